/* A machine for Python's pickles that runs nothing: it knows lists, dicts, numbers, texts and named objects. */
#include "pickle/pickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pickle {
    pickle_value *value;
    size_t n, capacity;
    void **kept;
    size_t n_kept, kept_capacity;
    pickle_id root;
    char unknown[264];
};

/* The machine: a stack of values, marks in it, numbered values. */
typedef struct machine {
    const char *path;
    const unsigned char *bytes;
    size_t size, at, op; /* op: where the current opcode lies, for messages */
    pickle *p;
    const pickle_hooks *hooks;
    pickle_id *stack;
    uint32_t *mark; /* heights of the stack */
    size_t height, stack_capacity, marks, mark_capacity;
    pickle_id *memo; /* number -> value + 1; 0: not set */
    size_t memo_capacity, memoized;
    hct_err *err;
} machine;

/* The code stands beside the call, so that compilers see that it is no success. */
#define BAD(text)                                                                                                      \
    (hct_fail(m->err, HCT_EFORMAT, "%s: its pickle is damaged at byte %zu: " text, m->path, m->op), HCT_EFORMAT)
#define NO_MEMORY(m) (hct_fail((m)->err, HCT_ENOMEM, "%s: out of memory for its pickle", (m)->path), HCT_ENOMEM)
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        hct_status try_ = (call);                                                                                      \
        if (try_ < 0) return try_;                                                                                     \
    } while (0)

/* Doubles an array when it is full; false where memory runs out. */
static int room(void **array, size_t *capacity, size_t n, size_t element) {
    if (n < *capacity) return 1;
    size_t more = *capacity ? 2 * *capacity : 64;
    void *grown = realloc(*array, more * element);
    if (!grown) return 0;
    *array = grown;
    *capacity = more;
    return 1;
}

pickle_id pickle_make(pickle *p, pickle_value v) {
    if (p->n >= UINT32_MAX || !room((void **)&p->value, &p->capacity, p->n, sizeof v)) return PICKLE_NONE;
    p->value[p->n] = v;
    return (pickle_id)p->n++;
}

void *pickle_keep(pickle *p, size_t n) {
    void *bytes = room((void **)&p->kept, &p->kept_capacity, p->n_kept, sizeof *p->kept) ? malloc(n ? n : 1) : NULL;
    if (bytes) p->kept[p->n_kept++] = bytes;
    return bytes;
}

const pickle_value *pickle_at(const pickle *p, pickle_id v) { return &p->value[v]; }
const char *pickle_unknown(const pickle *p) { return p->unknown; }
pickle_id pickle_root(const pickle *p) { return p->root; }

void pickle_free(pickle *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n; i++)
        if (p->value[i].kind == PICKLE_TUPLE || p->value[i].kind == PICKLE_LIST || p->value[i].kind == PICKLE_DICT)
            free(p->value[i].item);
    for (size_t i = 0; i < p->n_kept; i++) free(p->kept[i]);
    free(p->kept);
    free(p->value);
    free(p);
}

int pickle_is_text(const pickle *p, pickle_id v, const char *text) {
    const pickle_value *x = pickle_at(p, v);
    return x->kind == PICKLE_TEXT && x->n == strlen(text) && !memcmp(x->text, text, x->n);
}

pickle_id pickle_member(const pickle *p, pickle_id d, const char *key) {
    const pickle_value *x = pickle_at(p, d);
    pickle_id found = PICKLE_NONE;
    for (uint32_t i = 0; x->kind == PICKLE_DICT && i + 1 < x->n; i += 2)
        if (pickle_is_text(p, x->item[i], key)) found = x->item[i + 1];
    return found;
}

/* ---- bytes, stack, memo ---- */

static hct_status take(machine *m, size_t n, const unsigned char **ret) {
    if (n > m->size - m->at) return BAD("it ends in the middle of a value");
    *ret = m->bytes + m->at;
    m->at += n;
    return HCT_OK;
}

static hct_status take_number(machine *m, int bytes, uint64_t *ret) {
    const unsigned char *p;
    TRY(take(m, (size_t)bytes, &p));
    *ret = 0;
    for (int i = 0; i < bytes; i++) *ret |= (uint64_t)p[i] << 8 * i;
    return HCT_OK;
}

static hct_status push(machine *m, pickle_id v) {
    if (!room((void **)&m->stack, &m->stack_capacity, m->height, sizeof *m->stack)) return NO_MEMORY(m);
    m->stack[m->height++] = v;
    return HCT_OK;
}

static hct_status push_new(machine *m, pickle_value v) {
    pickle_id id = pickle_make(m->p, v);
    return id == PICKLE_NONE ? NO_MEMORY(m) : push(m, id);
}

/* The stack below the last mark belongs to others. */
static size_t floor_of(const machine *m) { return m->marks ? m->mark[m->marks - 1] : 0; }

static hct_status pop(machine *m, pickle_id *ret) {
    if (m->height <= floor_of(m)) return BAD("it takes a value that is not there");
    *ret = m->stack[--m->height];
    return HCT_OK;
}

static hct_status top(machine *m, pickle_id *ret) {
    if (m->height <= floor_of(m)) return BAD("it takes a value that is not there");
    *ret = m->stack[m->height - 1];
    return HCT_OK;
}

/* Values above the last mark, which is taken away; they stay in stack[height ...]. */
static hct_status pop_mark(machine *m, const pickle_id **ret, size_t *ret_n) {
    if (!m->marks) return BAD("it takes a mark that is not there");
    size_t from = m->mark[--m->marks];
    *ret = m->stack ? m->stack + from : NULL; /* none yet, where nothing stands above the mark */
    *ret_n = m->height - from;
    m->height = from;
    return HCT_OK;
}

static hct_status memo_set(machine *m, uint64_t number) {
    pickle_id v;
    TRY(top(m, &v));
    if (number >= m->size) return BAD("a memo number is larger than the pickle");
    while (number >= m->memo_capacity) {
        size_t before = m->memo_capacity;
        if (!room((void **)&m->memo, &m->memo_capacity, m->memo_capacity, sizeof *m->memo)) return NO_MEMORY(m);
        memset(m->memo + before, 0, (m->memo_capacity - before) * sizeof *m->memo);
    }
    m->memoized += !m->memo[number];
    m->memo[number] = v + 1;
    return HCT_OK;
}

static hct_status memo_get(machine *m, uint64_t number) {
    if (number >= m->memo_capacity || !m->memo[number]) return BAD("it takes a memo number that was never set");
    return push(m, m->memo[number] - 1);
}

/* ---- containers ---- */

static hct_status make_tuple(machine *m, const pickle_id *item, size_t n) {
    pickle_id *copy = malloc((n + 1) * sizeof *copy);
    if (!copy) return NO_MEMORY(m);
    if (n) memcpy(copy, item, n * sizeof *copy);
    pickle_id id = pickle_make(m->p, (pickle_value){.kind = PICKLE_TUPLE, .n = (uint32_t)n, .item = copy});
    if (id != PICKLE_NONE) return push(m, id);
    free(copy);
    return NO_MEMORY(m);
}

static hct_status tuple_of(machine *m, size_t n) {
    if (m->height - floor_of(m) < n) return BAD("it takes a value that is not there");
    m->height -= n;
    pickle_id item[3];
    memcpy(item, m->stack + m->height, n * sizeof *item);
    return make_tuple(m, item, n);
}

static hct_status extend(machine *m, pickle_id target, pickle_kind kind, const pickle_id *item, size_t n) {
    pickle_value *v = &m->p->value[target];
    if (v->kind == PICKLE_INERT) return HCT_OK; /* a dict, list or set of a class of its own */
    if (v->kind != kind)
        return kind == PICKLE_DICT ? BAD("it puts a key into something that is no dict")
                                   : BAD("it appends to something that is no list");
    if (kind == PICKLE_DICT && n % 2) return BAD("a key has no value");
    if (n > v->capacity - v->n) {
        size_t more = 2 * (size_t)v->capacity > v->n + n ? 2 * (size_t)v->capacity : v->n + n;
        pickle_id *grown = more < UINT32_MAX ? realloc(v->item, more * sizeof *grown) : NULL;
        if (!grown) return NO_MEMORY(m);
        v->item = grown;
        v->capacity = (uint32_t)more;
    }
    if (n) memcpy(v->item + v->n, item, n * sizeof *item);
    v->n += (uint32_t)n;
    return HCT_OK;
}

/* SETITEM, APPEND: `n` values on the stack belong to the container below. */
static hct_status extend_by(machine *m, pickle_kind kind, size_t n) {
    pickle_id item[2], target;
    if (m->height - floor_of(m) < n) return BAD("it takes a value that is not there");
    m->height -= n;
    memcpy(item, m->stack + m->height, n * sizeof *item);
    TRY(top(m, &target));
    return extend(m, target, kind, item, n);
}

static hct_status extend_by_mark(machine *m, pickle_kind kind) {
    const pickle_id *item;
    size_t n;
    pickle_id target;
    TRY(pop_mark(m, &item, &n));
    TRY(top(m, &target));
    return extend(m, target, kind, item, n);
}

/* ---- numbers and names ---- */

static hct_status push_text(machine *m, pickle_kind kind, int length_bytes) {
    uint64_t n;
    const unsigned char *text;
    TRY(take_number(m, length_bytes, &n));
    if (n > m->size) return BAD("a text is longer than the pickle");
    TRY(take(m, (size_t)n, &text));
    return push_new(m, (pickle_value){.kind = kind, .n = (uint32_t)n, .text = (const char *)text});
}

static hct_status push_whole(machine *m, int64_t v) {
    return push_new(m, (pickle_value){.kind = PICKLE_WHOLE, .whole = v});
}

static hct_status push_int(machine *m, int bytes) {
    uint64_t v;
    TRY(take_number(m, bytes, &v));
    return push_whole(m, bytes == 4 ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v);
}

/* LONG1: little endian, two's complement, any length up to 8. */
static hct_status push_long(machine *m) {
    uint64_t n, v;
    TRY(take_number(m, 1, &n));
    if (n > 8) return BAD("a whole number has more than 64 bits");
    TRY(take_number(m, (int)n, &v));
    if (n && n < 8 && v >> (8 * n - 1)) v |= UINT64_MAX << 8 * n;
    return push_whole(m, (int64_t)v);
}

static hct_status push_real(machine *m) {
    const unsigned char *p;
    TRY(take(m, 8, &p));
    uint64_t bits = 0;
    double v;
    for (int i = 0; i < 8; i++) bits = bits << 8 | p[i];
    memcpy(&v, &bits, sizeof v);
    return push_new(m, (pickle_value){.kind = PICKLE_REAL, .real = v});
}

static hct_status push_global(machine *m, const char *module, size_t module_n, const char *name, size_t name_n) {
    char a[128], b[128];
    int clean = module_n < sizeof a && name_n < sizeof b;
    for (size_t i = 0; clean && i < module_n; i++)
        clean = (unsigned char)module[i] > 0x20 && (unsigned char)module[i] < 0x7f;
    for (size_t i = 0; clean && i < name_n; i++) clean = (unsigned char)name[i] > 0x20 && (unsigned char)name[i] < 0x7f;
    if (!clean) return BAD("a Python name is unreadable");
    memcpy(a, module, module_n);
    memcpy(b, name, name_n);
    a[module_n] = b[name_n] = '\0';
    int64_t known = m->hooks->global(m->hooks->context, a, b);
    if (known < 0) {
        if (!*m->p->unknown) snprintf(m->p->unknown, sizeof m->p->unknown, "%s.%s", a, b);
        return push_new(m, (pickle_value){.kind = PICKLE_INERT});
    }
    return push_new(m, (pickle_value){.kind = PICKLE_GLOBAL, .whole = known});
}

static hct_status line(machine *m, const char **ret, size_t *ret_n) {
    const unsigned char *start = m->bytes + m->at, *end = m->size > m->at ? memchr(start, '\n', m->size - m->at) : NULL;
    if (!end) return BAD("it ends in the middle of a name");
    *ret = (const char *)start;
    *ret_n = (size_t)(end - start);
    m->at += *ret_n + 1;
    return HCT_OK;
}

static hct_status global(machine *m) {
    const char *a, *b;
    size_t na, nb;
    TRY(line(m, &a, &na));
    TRY(line(m, &b, &nb));
    return push_global(m, a, na, b, nb);
}

static hct_status stack_global(machine *m) {
    pickle_id name, module;
    TRY(pop(m, &name));
    TRY(pop(m, &module));
    const pickle_value *a = pickle_at(m->p, module), *b = pickle_at(m->p, name);
    if (a->kind != PICKLE_TEXT || b->kind != PICKLE_TEXT) return BAD("a Python name is no text");
    return push_global(m, a->text, a->n, b->text, b->n);
}

static hct_status reduce(machine *m) {
    pickle_id arguments, callable, result;
    TRY(pop(m, &arguments));
    TRY(pop(m, &callable));
    if (pickle_at(m->p, callable)->kind == PICKLE_INERT) return push_new(m, (pickle_value){.kind = PICKLE_INERT});
    if (pickle_at(m->p, callable)->kind != PICKLE_GLOBAL || pickle_at(m->p, arguments)->kind != PICKLE_TUPLE)
        return BAD("it calls something that is no function");
    TRY(m->hooks->reduce(m->hooks->context, m->p, pickle_at(m->p, callable)->whole, arguments, &result, m->err));
    return push(m, result);
}

static hct_status build(machine *m) {
    pickle_id state, object;
    TRY(pop(m, &state));
    TRY(top(m, &object));
    if (pickle_at(m->p, object)->kind == PICKLE_INERT) return HCT_OK;
    return m->hooks->build(m->hooks->context, m->p, object, state, m->err);
}

static hct_status persistent(machine *m) {
    pickle_id id, result;
    TRY(pop(m, &id));
    TRY(m->hooks->persistent(m->hooks->context, m->p, id, &result, m->err));
    return push(m, result);
}

static hct_status mark(machine *m) {
    if (!room((void **)&m->mark, &m->mark_capacity, m->marks, sizeof *m->mark)) return NO_MEMORY(m);
    m->mark[m->marks++] = (uint32_t)m->height;
    return HCT_OK;
}

/* Numbers of Python's pickletools. STOP is the caller's. */
static hct_status step(machine *m, unsigned char op) {
    uint64_t v;
    const pickle_id *item;
    const unsigned char *skipped;
    size_t n;
    switch (op) {
    case 0x80: /* PROTO */
        TRY(take_number(m, 1, &v));
        return v < 2 || v > 5 ? BAD("its protocol is none of 2 to 5") : HCT_OK;
    case 0x95: return take(m, 8, &skipped);                                         /* FRAME */
    case '(': return mark(m);                                                       /* MARK */
    case 'N': return push(m, PICKLE_NONE);                                          /* NONE */
    case 0x88: return push_new(m, (pickle_value){.kind = PICKLE_BOOL, .whole = 1}); /* NEWTRUE */
    case 0x89: return push_new(m, (pickle_value){.kind = PICKLE_BOOL, .whole = 0}); /* NEWFALSE */
    case 'J': return push_int(m, 4);                                                /* BININT */
    case 'K': return push_int(m, 1);                                                /* BININT1 */
    case 'M': return push_int(m, 2);                                                /* BININT2 */
    case 0x8a: return push_long(m);                                                 /* LONG1 */
    case 'G': return push_real(m);                                                  /* BINFLOAT */
    case 'X': return push_text(m, PICKLE_TEXT, 4);                                  /* BINUNICODE */
    case 0x8c: return push_text(m, PICKLE_TEXT, 1);                                 /* SHORT_BINUNICODE */
    case 0x8d: return push_text(m, PICKLE_TEXT, 8);                                 /* BINUNICODE8 */
    case 'B': return push_text(m, PICKLE_BYTES, 4);                                 /* BINBYTES */
    case 'C': return push_text(m, PICKLE_BYTES, 1);                                 /* SHORT_BINBYTES */
    case ')': return make_tuple(m, NULL, 0);                                        /* EMPTY_TUPLE */
    case 0x85: return tuple_of(m, 1);                                               /* TUPLE1 */
    case 0x86: return tuple_of(m, 2);                                               /* TUPLE2 */
    case 0x87: return tuple_of(m, 3);                                               /* TUPLE3 */
    case 't': /* TUPLE */ TRY(pop_mark(m, &item, &n)); return make_tuple(m, item, n);
    case '}': return push_new(m, (pickle_value){.kind = PICKLE_DICT}); /* EMPTY_DICT */
    case ']': return push_new(m, (pickle_value){.kind = PICKLE_LIST}); /* EMPTY_LIST */
    case 's': return extend_by(m, PICKLE_DICT, 2);                     /* SETITEM */
    case 'u': return extend_by_mark(m, PICKLE_DICT);                   /* SETITEMS */
    case 'a': return extend_by(m, PICKLE_LIST, 1);                     /* APPEND */
    case 'e': return extend_by_mark(m, PICKLE_LIST);                   /* APPENDS */
    case 'q': /* BINPUT */ TRY(take_number(m, 1, &v)); return memo_set(m, v);
    case 'r': /* LONG_BINPUT */ TRY(take_number(m, 4, &v)); return memo_set(m, v);
    case 0x94: return memo_set(m, m->memoized); /* MEMOIZE */
    case 'h': /* BINGET */ TRY(take_number(m, 1, &v)); return memo_get(m, v);
    case 'j': /* LONG_BINGET */ TRY(take_number(m, 4, &v)); return memo_get(m, v);
    case 'c': return global(m);                                          /* GLOBAL */
    case 0x93: return stack_global(m);                                   /* STACK_GLOBAL */
    case 'R': return reduce(m);                                          /* REDUCE */
    case 0x81: return reduce(m);                                         /* NEWOBJ: class and arguments, as REDUCE */
    case 0x8f: return push_new(m, (pickle_value){.kind = PICKLE_INERT}); /* EMPTY_SET */
    case 0x90: return extend_by_mark(m, PICKLE_LIST);                    /* ADDITEMS */
    case 'b': return build(m);                                           /* BUILD */
    case 'Q': return persistent(m);                                      /* BINPERSID */
    default:
        return hct_fail(
            m->err, HCT_EFORMAT,
            "%s: its pickle has opcode 0x%02x at byte %zu, which tensors do not need; save the state dict alone",
            m->path, op, m->op);
    }
}

static hct_status unpickle(machine *m) {
    while (m->at < m->size) {
        m->op = m->at;
        unsigned char op = m->bytes[m->at++];
        if (op == '.') { /* STOP */
            TRY(pop(m, &m->p->root));
            if (m->height || m->marks) return BAD("values are left over at its end");
            return HCT_OK;
        }
        TRY(step(m, op));
    }
    return BAD("it has no end");
}

static pickle *read_pickle(const char *path, const unsigned char *bytes, size_t n, const pickle_hooks *hooks,
                           size_t *ret_used, hct_err *err) {
    pickle *p = calloc(1, sizeof *p);
    machine m = {.path = path, .bytes = bytes, .size = n, .p = p, .hooks = hooks, .err = err};
    hct_status st = HCT_OK;
    if (p) {
        pickle_make(p, (pickle_value){.kind = PICKLE_IS_NONE}); /* value 0 */
        st = p->n ? unpickle(&m) : NO_MEMORY(&m);
        if (st == HCT_OK && ret_used) *ret_used = m.at;
        else if (st == HCT_OK && m.at != m.size)
            st = hct_fail(err, HCT_EFORMAT, "%s: its pickle is damaged: bytes follow its end", path);
    } else {
        st = NO_MEMORY(&m);
    }
    free(m.stack);
    free(m.mark);
    free(m.memo);
    if (st == HCT_OK) return p;
    pickle_free(p);
    return NULL;
}

pickle *pickle_read(const char *path, const unsigned char *bytes, size_t n, const pickle_hooks *hooks, hct_err *err) {
    if (n <= PICKLE_BYTES_MAX) return read_pickle(path, bytes, n, hooks, NULL, err);
    hct_fail(err, HCT_EFORMAT, "%s: its pickle has %zu bytes, more than %d; save the state dict alone", path, n,
             PICKLE_BYTES_MAX);
    return NULL;
}

pickle *pickle_read_first(const char *path, const unsigned char *bytes, size_t n, const pickle_hooks *hooks,
                          size_t *ret_used, hct_err *err) {
    return read_pickle(path, bytes, n < PICKLE_BYTES_MAX ? n : PICKLE_BYTES_MAX, hooks, ret_used, err);
}
