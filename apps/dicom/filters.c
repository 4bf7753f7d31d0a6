/* Reading filters: YAML by libyaml's events (libcyaml cannot tell an empty list from none), the whitelist by our CSV
 * reader. */
#include "dicom/filters.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "dicom/filters_builtin.h"
#include "hct/nearest.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/sha256.h"

/* A file as it is: texts, and lists of them. NULL: the key is not there. */
typedef struct raw_list {
    char **items;
    uint32_t n;
} raw_list;

/* X(member) of the same name as the key */
#define TEXT_KEYS(X)                                                                                                   \
    X(absent)                                                                                                          \
    X(modality)                                                                                                        \
    X(derived)                                                                                                         \
    X(orientation) X(least_slices) X(whitelist) X(contrast) X(least_coverage) X(least_matrix) X(least_extent) X(hu)
#define LIST_KEYS(X)                                                                                                   \
    X(kinds)                                                                                                           \
    X(thickness) X(kvp) X(kernels) X(no_kernels) X(head_words) X(other_words) X(contrast_words) X(no_words)

typedef struct raw_filters {
#define X(member) char *member;
    TEXT_KEYS(X)
#undef X
#define X(member) raw_list *member;
    LIST_KEYS(X)
#undef X
} raw_filters;

const char *series_class_name(series_class c) {
    static const char *const names[] = {"axial",    "localizer",     "secondary-capture",
                                        "reformat", "perfusion-map", "dose-page"};
    return names[c];
}

/* ---- patterns ---- */

static void free_patterns(filter_patterns *p) {
    for (size_t i = 0; i < p->n; i++) {
        regfree(&p->compiled[i]);
        free(p->text[i]);
    }
    free(p->compiled);
    free(p->text);
    *p = (filter_patterns){0};
}

void filters_free(series_filters *f) {
    filter_patterns *all[] = {&f->kernels,     &f->no_kernels,     &f->head_words,
                              &f->other_words, &f->contrast_words, &f->no_words};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free_patterns(all[i]);
    for (size_t i = 0; i < f->n_whitelist; i++) {
        free(f->whitelist[i].study);
        free(f->whitelist[i].kernel);
    }
    free(f->whitelist);
    *f = (series_filters){0};
}

typedef enum fit { FIT_WHOLE, FIT_WORDS, FIT_ANYWHERE } fit;

static hct_status add_pattern(filter_patterns *p, const char *text, fit how, hct_err *err) {
    static const char *const around[][2] = {{"^(", ")$"}, {"(^| )(", ")($| )"}, {"(", ")"}};
    size_t n = strlen(text) + 16;
    char *full = malloc(n);
    regex_t *more = realloc(p->compiled, (p->n + 1) * sizeof *more);
    if (more) p->compiled = more;
    char **texts = realloc(p->text, (p->n + 1) * sizeof *texts);
    if (texts) p->text = texts;
    hct_status s = full && more && texts ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK) {
        snprintf(full, n, "%s%s%s", around[how][0], text, around[how][1]);
        int bad = regcomp(&more[p->n], full, REG_EXTENDED | REG_ICASE | REG_NOSUB);
        if (bad) s = hct_fail(err, HCT_EFORMAT, "'%s' is no regular expression", text);
        else if (!(texts[p->n] = strdup(text))) {
            regfree(&more[p->n]);
            s = hct_fail(err, HCT_ENOMEM, "no memory");
        } else p->n++;
    }
    free(full);
    return s;
}

static hct_status set_patterns(const raw_list *l, fit how, filter_patterns *ret, hct_err *err) {
    if (!l) return HCT_OK;
    free_patterns(ret);
    hct_status s = HCT_OK;
    for (uint32_t i = 0; i < l->n && s == HCT_OK; i++) s = add_pattern(ret, l->items[i], how, err);
    return s;
}

const char *filter_match(const filter_patterns *p, const char *text) {
    for (size_t i = 0; i < p->n; i++)
        if (regexec(&p->compiled[i], text, 0, NULL, 0) == 0) return p->text[i];
    return NULL;
}

void filter_normalise(const char *text, char *ret, size_t n) {
    size_t to = 0;
    bool blank = true;
    for (; text && *text && to + 1 < n; text++) {
        unsigned char c = (unsigned char)*text;
        bool kept = isalnum(c) || c == '+' || c >= 0x80;
        if (!kept && blank) continue;
        ret[to++] = kept ? (char)tolower(c) : ' ';
        blank = !kept;
    }
    if (to && ret[to - 1] == ' ') to--;
    ret[to] = 0;
}

/* ---- values ---- */

static hct_status set_word(const char *text, const char *key, const char *const *words, int n, int *ret, hct_err *err) {
    if (!text) return HCT_OK;
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], text) == 0) {
            *ret = i;
            return HCT_OK;
        }
    return hct_fail(err, HCT_EFORMAT, "%s: takes %s%s%s%s%s, not '%s'", key, words[0], n > 2 ? ", " : " or ", words[1],
                    n > 2 ? " or " : "", n > 2 ? words[2] : "", text);
}

static hct_status set_number(const char *text, const char *key, double *ret, hct_err *err) {
    if (!text || (text_double(text, ret) && *ret >= 0 && *ret < 1e6)) return HCT_OK;
    return hct_fail(err, HCT_EFORMAT, "%s: '%s' is no number", key, text);
}

static hct_status set_range(const raw_list *l, const char *key, double ret[2], hct_err *err) {
    if (!l) return HCT_OK;
    ret[0] = INFINITY;
    ret[1] = -INFINITY;
    if (l->n == 0) return HCT_OK;
    if (l->n == 2 && text_double(l->items[0], &ret[0]) && text_double(l->items[1], &ret[1]) && ret[0] <= ret[1])
        return HCT_OK;
    return hct_fail(err, HCT_EFORMAT, "%s: takes [low, high], or [] for any", key);
}

static hct_status set_kinds(const raw_list *l, bool kinds[CLASS_DOSE + 1], hct_err *err) {
    if (!l) return HCT_OK;
    memset(kinds, 0, (CLASS_DOSE + 1) * sizeof *kinds);
    for (uint32_t i = 0; i < l->n; i++) {
        int k = 0;
        while (k <= CLASS_DOSE && strcmp(series_class_name((series_class)k), l->items[i]) != 0) k++;
        if (k > CLASS_DOSE)
            return hct_fail(
                err, HCT_EFORMAT,
                "kinds: takes axial, localizer, secondary-capture, reformat, perfusion-map and dose-page, not '%s'",
                l->items[i]);
        kinds[k] = true;
    }
    return HCT_OK;
}

static hct_status read_whitelist(const char *name, const char *file, series_filters *f, hct_err *err) {
    char *folder = path_folder(name), *path = folder ? path_join(folder, file) : NULL;
    csv *t = path ? csv_read(path, err) : NULL;
    hct_status s = t ? HCT_OK : path ? (err ? err->code : HCT_EFORMAT) : hct_fail(err, HCT_ENOMEM, "no memory");
    int study = t ? csv_fixed_column(t, "Study Description", err) : -1, kvp = t ? csv_fixed_column(t, "KVP", err) : -1,
        kernel = t ? csv_fixed_column(t, "Convolution Kernel", err) : -1;
    if (t && (study < 0 || kvp < 0 || kernel < 0)) s = err ? err->code : HCT_EFORMAT;
    if (s == HCT_OK && !(f->whitelist = calloc(t->rows + 1, sizeof *f->whitelist)))
        s = hct_fail(err, HCT_ENOMEM, "no memory");
    for (size_t i = 0; s == HCT_OK && i < t->rows; i++) {
        filter_triple *w = &f->whitelist[f->n_whitelist++];
        if (!text_double(csv_cell(t, i, (size_t)kvp), &w->kvp))
            s = hct_fail(err, HCT_EFORMAT, "%s line %d: KVP is no number", path, t->lines[i]);
        w->study = strdup(csv_cell(t, i, (size_t)study));
        w->kernel = strdup(csv_cell(t, i, (size_t)kernel));
        if (s == HCT_OK && (!w->study || !w->kernel)) s = hct_fail(err, HCT_ENOMEM, "no memory");
    }
    f->has_whitelist = s == HCT_OK;
    if (t) csv_free(t);
    free(folder);
    free(path);
    return s;
}

static hct_status set_words(const raw_filters *r, series_filters *f, hct_err *err) {
    static const char *const pass_refuse[] = {"pass", "refuse"}, *const any_axial[] = {"any", "axial"},
                             *const actions[] = {"keep", "warn", "refuse"}, *const keep_refuse[] = {"keep", "refuse"};
    int absent = f->absent_refuses, derived = f->derived_refused, axial = f->axial_only,
        contrast = f->contrast == FILTER_REFUSE, hu = f->hu;
    hct_status s = set_word(r->absent, "absent", pass_refuse, 2, &absent, err);
    if (s == HCT_OK) s = set_word(r->derived, "derived", keep_refuse, 2, &derived, err);
    if (s == HCT_OK) s = set_word(r->orientation, "orientation", any_axial, 2, &axial, err);
    if (s == HCT_OK) s = set_word(r->contrast, "contrast", keep_refuse, 2, &contrast, err);
    if (s == HCT_OK) s = set_word(r->hu, "hu", actions, 3, &hu, err);
    if (s == HCT_OK && r->modality && strlen(r->modality) >= sizeof f->modality)
        s = hct_fail(err, HCT_EFORMAT, "modality: '%s' is none", r->modality);
    if (s < 0) return s;
    f->absent_refuses = absent;
    f->derived_refused = derived;
    f->axial_only = axial;
    f->contrast = contrast ? FILTER_REFUSE : FILTER_KEEP;
    f->hu = (filter_action)hu;
    if (r->modality) snprintf(f->modality, sizeof f->modality, "%s", strcmp(r->modality, "any") ? r->modality : "");
    return s;
}

static hct_status assign(const char *name, const raw_filters *r, series_filters *f, hct_err *err) {
    double slices = (double)f->least_slices, matrix = (double)f->least_matrix;
    hct_status s = set_words(r, f, err);
    if (s == HCT_OK) s = set_kinds(r->kinds, f->kinds, err);
    if (s == HCT_OK) s = set_number(r->least_slices, "least_slices", &slices, err);
    if (s == HCT_OK) s = set_number(r->least_matrix, "least_matrix", &matrix, err);
    if (s == HCT_OK) s = set_number(r->least_coverage, "least_coverage", &f->least_coverage, err);
    if (s == HCT_OK) s = set_number(r->least_extent, "least_extent", &f->least_extent, err);
    if (s == HCT_OK) s = set_range(r->thickness, "thickness", f->thickness, err);
    if (s == HCT_OK) s = set_range(r->kvp, "kvp", f->kvp, err);
    if (s == HCT_OK) s = set_patterns(r->kernels, FIT_WHOLE, &f->kernels, err);
    if (s == HCT_OK) s = set_patterns(r->no_kernels, FIT_WHOLE, &f->no_kernels, err);
    if (s == HCT_OK) s = set_patterns(r->head_words, FIT_ANYWHERE, &f->head_words, err);
    if (s == HCT_OK) s = set_patterns(r->other_words, FIT_ANYWHERE, &f->other_words, err);
    if (s == HCT_OK) s = set_patterns(r->contrast_words, FIT_WORDS, &f->contrast_words, err);
    if (s == HCT_OK) s = set_patterns(r->no_words, FIT_WORDS, &f->no_words, err);
    if (s == HCT_OK && r->whitelist && *r->whitelist) s = read_whitelist(name, r->whitelist, f, err);
    f->least_slices = (int64_t)slices;
    f->least_matrix = (int64_t)matrix;
    return s;
}

/* ---- the file: a mapping of texts and lists of texts ---- */

typedef struct parse {
    const char *name;
    yaml_parser_t yaml;
    raw_filters raw;
    hct_err *err;
} parse;

/* Where the value of a key belongs: one of the two is not NULL. */
typedef struct slot {
    char **text;
    raw_list **list;
} slot;

static slot find_slot(raw_filters *r, const char *key) {
#define X(member)                                                                                                      \
    if (strcmp(key, #member) == 0) return (slot){&r->member, NULL};
    TEXT_KEYS(X)
#undef X
#define X(member)                                                                                                      \
    if (strcmp(key, #member) == 0) return (slot){NULL, &r->member};
    LIST_KEYS(X)
#undef X
    return (slot){NULL, NULL};
}

static hct_status unknown_key(const parse *p, const char *key, size_t line) {
    static const char *const names[] = {
#define X(member) #member,
        TEXT_KEYS(X) LIST_KEYS(X)
#undef X
    };
    const char *near = hct_name_nearest(key, names, sizeof names / sizeof *names);
    return hct_fail(p->err, HCT_EFORMAT, "%s:%zu: no key '%s'%s%s%s", p->name, line, key,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* The next event; HCT_EFORMAT where the file is no YAML. */
static hct_status next_event(parse *p, yaml_event_t *e) {
    if (yaml_parser_parse(&p->yaml, e)) return HCT_OK;
    return hct_fail(p->err, HCT_EFORMAT, "%s:%zu: is no YAML: %s", p->name, p->yaml.problem_mark.line + 1,
                    p->yaml.problem ? p->yaml.problem : "it cannot be read");
}

static hct_status add_item(parse *p, raw_list *l, const char *text) {
    char **more = realloc(l->items, (l->n + 1) * sizeof *more), *copy = strdup(text);
    if (more) l->items = more;
    if (!more || !copy) {
        free(copy);
        return hct_fail(p->err, HCT_ENOMEM, "%s: no memory", p->name);
    }
    more[l->n++] = copy;
    return HCT_OK;
}

/* What stands behind a key. */
static hct_status take_value(parse *p, const char *key, slot to) {
    yaml_event_t e;
    hct_status s = next_event(p, &e);
    if (s < 0) return s;
    size_t line = e.start_mark.line + 1;
    bool scalar = e.type == YAML_SCALAR_EVENT, list = e.type == YAML_SEQUENCE_START_EVENT;
    if (to.text && scalar) {
        free(*to.text);
        *to.text = strdup((const char *)e.data.scalar.value);
    }
    yaml_event_delete(&e);
    if ((to.text && !scalar) || (to.list && !list))
        return hct_fail(p->err, HCT_EFORMAT, "%s:%zu: %s: takes %s", p->name, line, key,
                        to.text ? "a single value" : "a list: [...]");
    if (to.text) return *to.text ? HCT_OK : hct_fail(p->err, HCT_ENOMEM, "%s: no memory", p->name);
    if (!*to.list && !(*to.list = calloc(1, sizeof **to.list)))
        return hct_fail(p->err, HCT_ENOMEM, "%s: no memory", p->name);
    for (bool more = true; more && s == HCT_OK;) {
        s = next_event(p, &e);
        if (s < 0) return s;
        more = e.type != YAML_SEQUENCE_END_EVENT;
        if (e.type == YAML_SCALAR_EVENT) s = add_item(p, *to.list, (const char *)e.data.scalar.value);
        else if (more)
            s = hct_fail(p->err, HCT_EFORMAT, "%s:%zu: %s: takes a list of single values", p->name,
                         e.start_mark.line + 1, key);
        yaml_event_delete(&e);
    }
    return s;
}

static hct_status take_file(parse *p) {
    yaml_event_t e;
    hct_status s = HCT_OK;
    int inside = 0;
    for (bool more = true; more && s == HCT_OK;) {
        s = next_event(p, &e);
        if (s < 0) return s;
        more = e.type != YAML_STREAM_END_EVENT;
        if (e.type == YAML_MAPPING_START_EVENT && !inside) inside = 1;
        else if (e.type == YAML_MAPPING_END_EVENT) inside = 2;
        else if (e.type == YAML_SCALAR_EVENT && inside == 1) {
            slot to = find_slot(&p->raw, (const char *)e.data.scalar.value);
            if (!to.text && !to.list) s = unknown_key(p, (const char *)e.data.scalar.value, e.start_mark.line + 1);
            else s = take_value(p, (const char *)e.data.scalar.value, to);
        } else if (e.type == YAML_SCALAR_EVENT || e.type == YAML_SEQUENCE_START_EVENT ||
                   e.type == YAML_MAPPING_START_EVENT || e.type == YAML_ALIAS_EVENT)
            s = hct_fail(p->err, HCT_EFORMAT, "%s:%zu: filters are keys with values (key: value)", p->name,
                         e.start_mark.line + 1);
        yaml_event_delete(&e);
    }
    return s;
}

static void free_raw(raw_filters *r) {
#define X(member) free(r->member);
    TEXT_KEYS(X)
#undef X
#define X(member)                                                                                                      \
    for (uint32_t i = 0; r->member && i < r->member->n; i++) free(r->member->items[i]);                                \
    if (r->member) free(r->member->items);                                                                             \
    free(r->member);
    LIST_KEYS(X)
#undef X
}

/* Lays what the text says over *f. */
static hct_status lay_over(const char *name, const char *yaml, size_t n, series_filters *f, hct_err *err) {
    hct_err why = {0};
    parse p = {.name = name, .err = err};
    if (!yaml_parser_initialize(&p.yaml)) return hct_fail(err, HCT_ENOMEM, "%s: no memory", name);
    yaml_parser_set_input_string(&p.yaml, (const unsigned char *)yaml, n);
    hct_status s = take_file(&p);
    yaml_parser_delete(&p.yaml);
    if (s == HCT_OK && (s = assign(name, &p.raw, f, &why)) < 0)
        hct_fail(err, s, "%s%s%s", strncmp(why.msg, name, strlen(name)) ? name : "",
                 strncmp(why.msg, name, strlen(name)) ? ": " : "", why.msg);
    free_raw(&p.raw);
    return s;
}

hct_status filters_parse(const char *name, const char *yaml, size_t n, series_filters *ret, hct_err *err) {
    *ret = (series_filters){0};
    hct_status s = lay_over(filters_builtins[0].name, filters_builtins[0].yaml, filters_builtins[0].n, ret, err);
    if (s == HCT_OK && yaml != filters_builtins[0].yaml) s = lay_over(name, yaml, n, ret, err);
    if (s < 0) filters_free(ret);
    return s;
}

/* Twelve digits of the SHA-256 of the text, and of the triples. */
static hct_status put_mark(const char *name, const char *yaml, size_t n, series_filters *f, hct_err *err) {
    char hex[SHA256_HEX], kvp[32];
    sha256 *h = sha256_begin();
    sha256_add(h, yaml, n);
    for (size_t i = 0; i < f->n_whitelist; i++) {
        const filter_triple *w = &f->whitelist[i];
        sha256_add(h, w->study, strlen(w->study) + 1);
        sha256_add(h, w->kernel, strlen(w->kernel) + 1);
        text_of_double(w->kvp, kvp);
        sha256_add(h, kvp, strlen(kvp) + 1);
    }
    hct_status s = sha256_end(h, hex, err);
    snprintf(f->mark, sizeof f->mark, "%.40s %.12s", name, hex);
    return s;
}

static hct_status parse_and_mark(const char *name, const char *called, const char *yaml, size_t n, series_filters *ret,
                                 hct_err *err) {
    hct_status s = filters_parse(name, yaml, n, ret, err);
    if (s == HCT_OK && (s = put_mark(called, yaml, n, ret, err)) < 0) filters_free(ret);
    return s;
}

hct_status filters_read(const char *name, series_filters *ret, hct_err *err) {
    char *text;
    size_t n;
    for (const filters_builtin *b = filters_builtins; b->name; b++)
        if (strcmp(b->name, name) == 0) return parse_and_mark(name, name, b->yaml, b->n, ret, err);
    *ret = (series_filters){0};
    if (!path_is_file(name))
        return hct_fail(err, HCT_ENOTFOUND,
                        "%s: there is no such file of filters; any-head-ct, nyu and none are built in", name);
    hct_status s = hct_read_file(name, &text, &n, err);
    if (s < 0) return s;
    s = parse_and_mark(name, "file", text, n, ret, err);
    free(text);
    return s;
}
