/* Reading a recipe: libcyaml with a schema made from the table of keys. Every scalar comes as text and goes through the
 * same door as --set, so a value means the same in both. libcyaml tells what it dislikes only through its log. */
#include <cyaml/cyaml.h>
#include <stdlib.h>
#include <string.h>

#include "hct/nearest.h"
#include "support/paths.h"
#include "recipe/recipe_keys.h"

enum { MAX_SECTIONS = 16 };

typedef struct raw_window {
    char *center, *width;
} raw_window;

/* What the file says of one key; NULL: nothing. */
typedef struct raw_value {
    char *text;          /* scalars */
    char **items;        /* KEY_LIST, KEY_PAIR */
    raw_window *windows; /* KEY_WINDOWS */
    uint32_t n;          /* of items or windows */
} raw_value;

typedef struct raw_recipe {
    raw_value of[RECIPE_KEYS + RECIPE_ALIASES]; /* in the order of the table, then of the aliases */
} raw_recipe;

static const cyaml_schema_value_t text_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, CYAML_UNLIMITED),
};
static const cyaml_schema_field_t window_fields[] = {
    CYAML_FIELD_STRING_PTR("center", CYAML_FLAG_POINTER, raw_window, center, 0, CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("width", CYAML_FLAG_POINTER, raw_window, width, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t window_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, raw_window, window_fields),
};

/* libcyaml's schema: fields[s] are those of section s. */
typedef struct schema {
    cyaml_schema_field_t fields[MAX_SECTIONS][RECIPE_KEYS + RECIPE_ALIASES + 1]; /* each ends with an empty one */
    size_t n[MAX_SECTIONS];
    cyaml_schema_value_t top;
} schema;

/* The field of raw value i: name in its section, of a key's kind. */
static cyaml_schema_field_t key_field(size_t i, const char *name, key_kind kind) {
    uint32_t base = (uint32_t)(offsetof(raw_recipe, of) + i * sizeof(raw_value));
    cyaml_schema_field_t f = {.key = name};
    f.value.flags = (enum cyaml_flag)(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL);
    if (kind != KEY_LIST && kind != KEY_PAIR && kind != KEY_WINDOWS) {
        f.data_offset = base + (uint32_t)offsetof(raw_value, text);
        f.value.type = CYAML_STRING;
        f.value.data_size = sizeof(char);
        f.value.string.max = CYAML_UNLIMITED;
        return f;
    }
    f.data_offset = base + (uint32_t)(kind == KEY_WINDOWS ? offsetof(raw_value, windows) : offsetof(raw_value, items));
    f.count_offset = base + (uint32_t)offsetof(raw_value, n);
    f.count_size = sizeof(uint32_t);
    f.value.type = CYAML_SEQUENCE;
    f.value.data_size = kind == KEY_WINDOWS ? sizeof(raw_window) : sizeof(char *);
    f.value.sequence.entry = kind == KEY_WINDOWS ? &window_value : &text_value;
    f.value.sequence.min = kind == KEY_LIST ? 0 : 1; /* libcyaml cannot tell [] from nothing: both leave a list alone */
    f.value.sequence.max = CYAML_UNLIMITED;
    return f;
}

static size_t section_number(const char *name, size_t length) {
    size_t s = 0;
    while (strlen(recipe_sections[s]) != length || strncmp(recipe_sections[s], name, length) != 0) s++;
    return s;
}

static void build(schema *out) {
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < recipe_key_count; i++) {
        size_t s = section_number(recipe_keys[i].section, strlen(recipe_keys[i].section));
        out->fields[s][out->n[s]++] = key_field(i, recipe_keys[i].key, recipe_keys[i].kind);
    }
    for (size_t i = 0; i < recipe_alias_count; i++) {
        const recipe_alias *a = &recipe_aliases[i];
        size_t s = section_number(a->section, strlen(a->section));
        out->fields[s][out->n[s]++] = key_field(RECIPE_KEYS + i, a->key, recipe_key_find(a->of, strlen(a->of))->kind);
    }
    for (size_t s = 1; recipe_sections[s]; s++) { /* every section is a field of the one it lies in */
        const char *dot = strrchr(recipe_sections[s], '.');
        size_t parent = dot ? section_number(recipe_sections[s], (size_t)(dot - recipe_sections[s])) : 0;
        cyaml_schema_field_t f = {.key = dot ? dot + 1 : recipe_sections[s]};
        f.value.type = CYAML_MAPPING;
        f.value.flags = CYAML_FLAG_OPTIONAL;
        f.value.data_size = sizeof(raw_recipe);
        f.value.mapping.fields = out->fields[s];
        out->fields[parent][out->n[parent]++] = f;
    }
    out->top.type = CYAML_MAPPING;
    out->top.flags = CYAML_FLAG_POINTER;
    out->top.data_size = sizeof(raw_recipe);
    out->top.mapping.fields = out->fields[0];
}

/* What libcyaml logged: the first complaint, where, and the section round it. */
typedef struct complaint {
    char what[200], unknown_key[64], section[128];
    unsigned line;
} complaint;

__attribute__((format(printf, 3, 0))) static void take_log(cyaml_log_t level, void *context, const char *fmt,
                                                           va_list ap) {
    complaint *c = context;
    char line[300], field[64], joined[128];
    unsigned at;
    (void)level;
    vsnprintf(line, sizeof line, fmt, ap);
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "Load: ", 6) == 0 && !*c->what) {
        snprintf(c->what, sizeof c->what, "%s", line + 6);
        sscanf(line + 6, "Unexpected key: %63s", c->unknown_key);
    }
    const char *place = strstr(line, "(line: ");
    if (place && !c->line && sscanf(place, "(line: %u", &at) == 1) c->line = at;
    if (sscanf(line, " in mapping field '%63[^']'", field) == 1) { /* innermost comes first */
        snprintf(joined, sizeof joined, "%s%s%s", field, *c->section ? "." : "", c->section);
        snprintf(c->section, sizeof c->section, "%s", joined);
    }
}

/* Keys and sections near the unknown one; what lies in its own section is nearer than what lies in another. */
typedef struct search {
    const complaint *c;
    size_t least;
} search;

static bool is_nearer(search *s, const char *section, size_t length, const char *word) {
    bool elsewhere = strlen(s->c->section) != length || strncmp(s->c->section, section, length) != 0;
    size_t d = hct_name_distance(s->c->unknown_key, word) + elsewhere;
    if (d >= s->least && !(d == s->least && d == 0)) return false;
    s->least = d;
    return true;
}

/* The path of the key or section that was meant; NULL where none is near. */
static const char *nearest(const complaint *c, char name[128]) {
    search s = {c, strlen(c->unknown_key) / 3 + 2};
    const char *near = NULL;
    for (const char *const *p = recipe_sections + 1; *p; p++) {
        const char *dot = strrchr(*p, '.');
        if (is_nearer(&s, *p, dot ? (size_t)(dot - *p) : 0, dot ? dot + 1 : *p)) near = *p;
    }
    for (size_t i = 0; i < recipe_key_count; i++)
        if (is_nearer(&s, recipe_keys[i].section, strlen(recipe_keys[i].section), recipe_keys[i].key))
            near = recipe_key_path(&recipe_keys[i], name);
    return near;
}

/* A type of libcyaml's, or an event of libyaml's, in a reader's words. */
static const char *kind_of(const char *name) {
    if (!strncmp(name, "MAPPING", 7)) return "keys with values (key: value)";
    return !strncmp(name, "SEQUENCE", 8) ? "a list" : "a single value";
}

static hct_status explain(const char *path, const complaint *c, cyaml_err_t error, hct_err *err) {
    char want[32], have[32];
    if (sscanf(c->what, "Expecting %31[A-Z_], got event: %31[A-Z_]", want, have) == 2)
        return hct_fail(err, HCT_EFORMAT, "%s:%u: %s: needs %s, holds %s", path, c->line,
                        *c->section ? c->section : "the recipe", kind_of(want), kind_of(have));
    if (!*c->unknown_key)
        return hct_fail(err, HCT_EFORMAT, "%s:%u: %s%s%s", path, c->line, *c->what ? c->what : cyaml_strerror(error),
                        *c->section ? ", at " : "", c->section);
    char name[128], wanted[200];
    snprintf(wanted, sizeof wanted, "%s%s%s", c->section, *c->section ? "." : "", c->unknown_key);
    const char *near = nearest(c, name);
    return hct_fail(err, HCT_EFORMAT, "%s:%u: no key '%s'%s%s%s", path, c->line, wanted, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
}

/* The value as --set would take it; NULL where the file does not hold the key. */
static void value_text(const recipe_key *k, const raw_value *v, text_buffer *out) {
    text_clear(out);
    if (v->text) text_printf(out, "%s", v->text);
    for (uint32_t i = 0; i < v->n; i++) {
        if (k->kind == KEY_WINDOWS)
            text_printf(out, "%s%s:%s", i ? "," : "", v->windows[i].center, v->windows[i].width);
        else text_printf(out, "%s%s", i ? "," : "", v->items[i]);
    }
}

/* A key under another name; not beside its own. */
static hct_status assign_alias(const char *path, const recipe_alias *a, const raw_recipe *raw, text_buffer *text,
                               recipe *r, hct_err *err) {
    const raw_value *v = &raw->of[RECIPE_KEYS + (size_t)(a - recipe_aliases)];
    const recipe_key *k = recipe_key_find(a->of, strlen(a->of));
    const raw_value *own = &raw->of[k - recipe_keys];
    hct_err here = {0};
    if (!v->text && !v->items && !v->windows) return HCT_OK;
    if (own->text || own->items || own->windows)
        return hct_fail(err, HCT_EFORMAT, "%s: %s is another name of %s; give one of them", path, a->key, a->of);
    value_text(k, v, text);
    const char *value = text_get(text, "the recipe", &here);
    hct_status st = value ? recipe_key_assign(k, recipe_alias_value(k, value), r, &here) : HCT_ENOMEM;
    if (st < 0) return hct_fail(err, st, "%s: %s", path, here.msg);
    r->given[k - recipe_keys] = true;
    return HCT_OK;
}

static hct_status assign_all(const char *path, const raw_recipe *raw, recipe *r, hct_err *err) {
    text_buffer text = {0};
    hct_status status = HCT_OK;
    for (size_t i = 0; i < recipe_key_count && status == HCT_OK; i++) {
        const raw_value *v = &raw->of[i];
        if (!v->text && !v->items && !v->windows) continue;
        hct_err here = {0};
        value_text(&recipe_keys[i], v, &text);
        const char *value = text_get(&text, "the recipe", &here);
        status = value ? recipe_key_assign(&recipe_keys[i], value, r, &here) : HCT_ENOMEM;
        if (status < 0) hct_fail(err, status, "%s: %s", path, here.msg);
        else r->given[i] = true;
    }
    for (size_t i = 0; i < recipe_alias_count && status == HCT_OK; i++)
        status = assign_alias(path, &recipe_aliases[i], raw, &text, r, err);
    text_free(&text);
    return status;
}

hct_status recipe_load(const char *path, recipe *r, hct_err *err) {
    _Static_assert(MAX_SECTIONS > 10, "recipe_sections must fit");
    schema *s = malloc(sizeof *s);
    if (!s) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    build(s);
    complaint c = {0};
    cyaml_config_t config = {.log_fn = take_log, .log_ctx = &c, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
    raw_recipe *raw = NULL;
    recipe laid_over = *r;
    hct_status status = HCT_OK;
    cyaml_err_t error =
        path_is_file(path) ? cyaml_load_file(path, &config, &s->top, (void **)&raw, NULL) : CYAML_ERR_FILE_OPEN;
    if (error == CYAML_ERR_FILE_OPEN) status = hct_fail(err, HCT_ENOTFOUND, "%s: there is no such recipe file", path);
    else if (error != CYAML_OK) status = explain(path, &c, error, err);
    else if (raw) /* NULL: an empty file */ status = assign_all(path, raw, &laid_over, err);
    if (raw) cyaml_free(&config, &s->top, raw, 0);
    free(s);
    if (status == HCT_OK) *r = laid_over;
    return status;
}
