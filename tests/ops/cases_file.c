/* Cases in a text file (test-ops --cases FILE): the table of whoever writes an op or a kernel in a plugin. The format
 * is described to its readers in docs/writing-a-plugin.md, "Cases of your own". One line a case:
 *
 *   OP NAME WORD...
 *
 * where a word is an input [DIMS]{:DTYPE | :LOW..HIGH | :=VALUE,...}, an attribute NAME=VALUE, or a flag. */
#include "conformance.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_ELEMENTS = 1 << 28, MOST_VALUES = 256 };

static const struct {
    const char *word;
    unsigned set, clear;
} flags[] = {{"no-gradient", 0, GRAD},      {"big", BIG, 0},
             {"contiguous", CONTIGUOUS, 0}, {"no-broadcast", NO_BROADCAST, 0},
             {"zeros", ZEROS, 0},           {"exact", EXACT, 0},
             {"bench", BENCH, 0},           {"any-dtype", ANY_DTYPE, 0}};

/* ---- values by name ---- */

/* The largest number, the smallest normal and the smallest denormal one of a real dtype, and its eps. */
static const struct {
    int32_t dtype;
    double max, least, denormal, eps;
} limits[] = {{HCT_F64, DBL_MAX, DBL_MIN, 0x1p-1074, 0x1p-52},
              {HCT_F32, (double)FLT_MAX, (double)FLT_MIN, 0x1p-149, 0x1p-23},
              {HCT_BF16, 0x1.fep127, 0x1p-126, 0x1p-133, 0x1p-7},
              {HCT_F16, 65504, 0x1p-14, 0x1p-24, 0x1p-10}};

double least_normal(int32_t dtype) {
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].dtype == dtype) return limits[i].least;
    return 0;
}

static double largest_whole(int32_t dtype) {
    return dtype == HCT_U8 ? 255 : dtype == HCT_I8 ? 127 : dtype == HCT_I16 ? 32767 : 2147483647;
}

/* NAN is also what no word gives: known says which. */
static double value_of(const char *word, int32_t dtype, bool *known) {
    const char *name = word + (*word == '-');
    double sign = *word == '-' ? -1 : 1;
    char *end;
    *known = true;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (limits[i].dtype != dtype) continue;
        if (!strcmp(name, "max")) return sign * limits[i].max;
        if (!strcmp(name, "least")) return sign * limits[i].least;
        if (!strcmp(name, "denormal")) return sign * limits[i].denormal;
        if (!strcmp(name, "eps")) return sign * limits[i].eps;
    }
    if (!strcmp(name, "max")) return sign * largest_whole(dtype);
    if (!strcmp(name, "least") || !strcmp(name, "denormal") || !strcmp(name, "eps")) return 0;
    double x = strtod(word, &end);
    *known = *word && !*end;
    return real_dtype(dtype) ? x : isfinite(x) ? nearbyint(x) : 0; /* a whole dtype has neither inf nor nan */
}

double listed_value(const case_input *in, int32_t dtype, int64_t i) {
    bool known;
    return value_of(in->list[i % in->n_list], dtype, &known);
}

/* ---- words ---- */

typedef struct reader {
    const char *path;
    size_t line;
    op_case *c; /* under construction */
    uint32_t n_in, n_attr;
    hct_err *err;
} reader;

HCT_PRINTF(2, 3) static bool refuse(reader *r, const char *fmt, ...) {
    char what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    hct_fail(r->err, HCT_EINVAL, "%s:%zu: %s", r->path, r->line, what);
    return false;
}

static char *copy_of(const char *text, size_t n) {
    char *s = malloc(n + 1);
    if (!s) abort();
    memcpy(s, text, n);
    s[n] = 0;
    return s;
}

static bool whole(const char *text, int64_t *ret) {
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return *text && !*end && errno == 0;
}

/* "3,7,2" in place; -1: not such a list, or of more than most. A comma may end it. */
static int whole_list(char *text, int64_t *to, int most) {
    int n = 0;
    for (char *at = text, *comma; *at; at = comma) {
        comma = at + strcspn(at, ",");
        if (*comma) *comma++ = 0;
        if (n == most || !whole(at, &to[n++])) return -1;
    }
    return n;
}

static bool parse_values(reader *r, case_input *in, const char *text) {
    in->kind = IN_LIST;
    in->list = calloc(MOST_VALUES, sizeof *in->list);
    if (!in->list) abort();
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ",");
        bool known;
        if (in->n_list == MOST_VALUES) return refuse(r, "more than %d values", MOST_VALUES);
        in->list[in->n_list++] = copy_of(at, n);
        value_of(in->list[in->n_list - 1], HCT_F64, &known);
        if (!known)
            return refuse(r, "'%s' is no value: a number, inf, nan, max, least, denormal or eps, each also with a '-'",
                          in->list[in->n_list - 1]);
        at += n + (at[n] == ',');
    }
    return in->n_list ? true : refuse(r, "no values behind '='");
}

static bool parse_range(reader *r, case_input *in, char *text) {
    char *dots = strstr(text, ".."), *end, *end2;
    *dots = 0;
    in->low = strtod(text, &end);
    in->high = strtod(dots + 2, &end2);
    if (!*text || *end || !dots[2] || *end2 || !isfinite(in->low) || !isfinite(in->high) || in->low > in->high)
        return refuse(r, "'%s..%s' is no range LOW..HIGH", text, dots + 2);
    in->kind = IN_RANGE;
    return true;
}

static bool parse_dtype(reader *r, case_input *in, const char *text) {
    for (int32_t d = 0; d < HCT_DTYPES; d++)
        if (!strcasecmp(text, hct_dtype_name(d))) {
            in->fixed = d + 1;
            return true;
        }
    return refuse(r, "'%s' is neither a dtype, nor LOW..HIGH, nor =VALUE,...", text);
}

/* [3,7]:I32:0..9 */
static bool parse_input(reader *r, char *word) {
    case_input *in = &r->c->in[r->n_in];
    char *close = strchr(word, ']'), *more = close ? close + 1 : NULL;
    if (r->n_in == MAX_IN) return refuse(r, "more than %d inputs", MAX_IN);
    r->n_in++;
    *in = (case_input){.kind = IN_REAL};
    if (!close || (*more && *more != ':')) return refuse(r, "'%s': an input is [DIMS] or [DIMS]:...", word);
    *close = 0;
    in->ndim = whole_list(word + 1, in->dim, HCT_MAX_DIMS);
    if (in->ndim < 0) return refuse(r, "'%s]' is no shape of up to %d numbers", word, HCT_MAX_DIMS);
    int64_t n = 1;
    for (int d = 0; d < in->ndim; d++) {
        if (in->dim[d] < 0 || in->dim[d] > MOST_ELEMENTS || (n *= in->dim[d]) > MOST_ELEMENTS)
            return refuse(r, "an input of more than 2^28 elements, or of a negative dimension");
    }
    while (more && *more) { /* each part begins at its colon */
        char *part = more + 1, *next = strchr(part, ':');
        if (next) *next = 0;
        bool ok = *part == '='         ? parse_values(r, in, part + 1)
                  : strstr(part, "..") ? parse_range(r, in, part)
                                       : parse_dtype(r, in, part);
        if (!ok) return false;
        if (next) *next = ':';
        more = next;
    }
    if (in->fixed && in->kind != IN_LIST && in->kind != IN_RANGE) { /* one without gradients */
        in->kind = IN_RANGE;
        in->low = real_dtype(in->fixed - 1) ? -2 : 0;
        in->high = real_dtype(in->fixed - 1) ? 2 : 9;
    }
    if (in->kind == IN_LIST) {
        r->c->flags &= ~(unsigned)GRAD;
        r->c->flags |= ELEMENTWISE;
    }
    return true;
}

static bool parse_attribute(reader *r, char *word) {
    hct_attr *a = &r->c->attr[r->n_attr];
    char *value = strchr(word, '='), *end;
    if (r->n_attr == MAX_ATTR - 1) return refuse(r, "more than %d attributes", MAX_ATTR - 1);
    *value++ = 0;
    *a = (hct_attr){.name = copy_of(word, strlen(word)), .kind = HCT_ATTR_INT, .n = 1};
    r->n_attr++;
    if (strchr(value, ',')) {
        a->kind = HCT_ATTR_INTS;
        a->n = whole_list(value, a->ints, HCT_MAX_DIMS);
        return a->n > 0 ? true : refuse(r, "%s: no list of whole numbers", word);
    }
    if (whole(value, &a->ints[0])) return true;
    a->kind = HCT_ATTR_REAL;
    a->real = strtod(value, &end);
    return *value && !*end ? true : refuse(r, "%s=%s: a number, or whole numbers with commas between", word, value);
}

static bool parse_flag(reader *r, const char *word) {
    int64_t n = 0;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(word, flags[i].word) != 0) continue;
        r->c->flags = (r->c->flags | flags[i].set) & ~flags[i].clear;
        return true;
    }
    if (!strncmp(word, "outputs:", 8) && whole(word + 8, &n) && n >= 1 && n <= MAX_OUT) {
        r->c->n_out = (uint32_t)n;
        return true;
    }
    if (!strncmp(word, "smooth:", 7) && whole(word + 7, &n) && n >= 1 && n <= MAX_OUT) {
        r->c->n_smooth = (uint32_t)n;
        return true;
    }
    return refuse(r, "'%s' is neither an input [DIMS], an attribute NAME=VALUE, nor a flag", word);
}

/* The next word of a line, or text between quotes; NULL at its end or at a comment. False: a quote is not closed. */
static bool next_word(char **at, char **ret) {
    char *s = *at;
    while (isspace((unsigned char)*s)) s++;
    *ret = *s && *s != '#' ? s : NULL;
    if (!*ret) return true;
    if (*s == '"') {
        *ret = ++s;
        s = strchr(s, '"');
        if (!s) return false;
    } else {
        while (*s && !isspace((unsigned char)*s)) s++;
    }
    if (*s) *s++ = 0;
    *at = s;
    return true;
}

static void case_free(op_case *c) {
    for (int i = 0; i < MAX_IN; i++) {
        for (int v = 0; v < c->in[i].n_list; v++) free(c->in[i].list[v]);
        free(c->in[i].list);
    }
    for (int i = 0; i < MAX_ATTR; i++) free((char *)c->attr[i].name);
    free((char *)c->op);
    free((char *)c->name);
}

/* One line into the reader's case; without a word: c->op stays NULL. */
static bool parse_line(reader *r, char *line) {
    char *word, *at = line, *name;
    if (!next_word(&at, &word)) return refuse(r, "a quote that is not closed");
    if (!word) return true;
    if (!next_word(&at, &name)) return refuse(r, "a quote that is not closed");
    if (!name) return refuse(r, "'%s': a line is OP NAME WORD...", word);
    if (*name == '[') return refuse(r, "'%s': the case has no name; a line is OP NAME WORD...", word);
    r->c->op = copy_of(word, strlen(word));
    r->c->name = copy_of(name, strlen(name));
    r->c->flags = GRAD;
    for (;;) {
        if (!next_word(&at, &word)) return refuse(r, "a quote that is not closed");
        if (!word) break;
        bool ok = *word == '['        ? parse_input(r, word)
                  : strchr(word, '=') ? parse_attribute(r, word)
                                      : parse_flag(r, word);
        if (!ok) return false;
    }
    for (uint32_t i = 0; i < r->n_in && r->c->flags & ANY_DTYPE; i++)
        if (r->c->in[i].kind == IN_REAL) r->c->in[i].kind = IN_ANY;
    return true;
}

op_case *case_file_read(const char *path, hct_err *err) {
    FILE *f = fopen(path, "r");
    if (!f) return hct_fail(err, HCT_EIO, "%s: cannot be opened: %s", path, strerror(errno)), NULL;
    reader r = {.path = path, .err = err};
    op_case *all = calloc(1, sizeof *all);
    size_t n = 0, room = 0;
    char *line = NULL;
    bool ok = all != NULL;
    while (ok && getline(&line, &room, f) >= 0) {
        r.line++;
        op_case *more = realloc(all, (n + 2) * sizeof *all);
        if (!more) abort();
        all = more;
        memset(&all[n], 0, 2 * sizeof *all);
        r.c = &all[n];
        r.n_in = r.n_attr = 0;
        ok = parse_line(&r, line);
        n += r.c->op != NULL;
    }
    if (ok && ferror(f)) ok = hct_fail(err, HCT_EIO, "%s: cannot be read", path) == HCT_OK;
    if (ok && !n) ok = hct_fail(err, HCT_EINVAL, "%s: there is no case in it", path) == HCT_OK;
    free(line);
    fclose(f);
    if (ok) return all;
    for (size_t i = 0; all && i < n; i++) case_free(&all[i]);
    free(all);
    return NULL;
}

void case_file_free(op_case *all) {
    for (op_case *c = all; c && c->op; c++) case_free(c);
    free(all);
}
