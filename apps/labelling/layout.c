/* Layouts: YAML to patterns and expressions. */
#include "labelling/layout.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "hct/io.h"
#include "recipe/recipe.h"
#include "support/paths.h"
#include "support/text.h"

typedef struct reader {
    layout *l;
    yaml_document_t *doc;
    hct_err *err;
} reader;

#define BAD(rd, node, ...) bad_at(rd, node, __VA_ARGS__)

static hct_status HCT_PRINTF(3, 4) bad_at(reader *rd, const yaml_node_t *n, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return hct_fail(rd->err, HCT_EFORMAT, "%s line %zu: %s", rd->l->path, n ? n->start_mark.line + 1 : 1, text);
}

static const char *scalar(const yaml_node_t *n) {
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static hct_status take_text(reader *rd, const yaml_node_t *value, const char *key, char **ret) {
    const char *text = scalar(value);
    if (!text || !*text) return BAD(rd, value, "%s: a text is needed", key);
    free(*ret);
    return (*ret = strdup(text)) ? HCT_OK : hct_fail(rd->err, HCT_ENOMEM, "no memory for a layout");
}

static hct_status take_pattern(reader *rd, const yaml_node_t *value, const char *key, regex_t *ret, bool *ret_has) {
    const char *text = scalar(value);
    char why[200];
    if (!text) return BAD(rd, value, "%s: a pattern is needed", key);
    if (*ret_has) return BAD(rd, value, "%s: stands there twice", key);
    int code = regcomp(ret, text, REG_EXTENDED);
    *ret_has = !code;
    if (!code) return HCT_OK;
    regerror(code, ret, why, sizeof why);
    return BAD(rd, value, "%s: '%s' is no POSIX extended regular expression: %s", key, text, why);
}

/* Calls take of each pair of a mapping. */
static hct_status each(reader *rd, const yaml_node_t *map, const char *what,
                       hct_status (*take)(reader *, const char *, const yaml_node_t *)) {
    hct_status s = HCT_OK;
    if (!map || map->type != YAML_MAPPING_NODE) return BAD(rd, map, "%s: keys and values are needed", what);
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top && s == HCT_OK;
         p++) {
        const char *key = scalar(yaml_document_get_node(rd->doc, p->key));
        const yaml_node_t *value = yaml_document_get_node(rd->doc, p->value);
        s = key ? take(rd, key, value) : BAD(rd, value, "%s: a key is no text", what);
    }
    return s;
}

static hct_status take_of_table(reader *rd, const char *key, const yaml_node_t *value) {
    layout *l = rd->l;
    if (!strcmp(key, "name")) return take_text(rd, value, key, &l->name_column);
    if (!strcmp(key, "age")) return take_text(rd, value, key, &l->age);
    if (!strcmp(key, "sex")) return take_text(rd, value, key, &l->sex);
    if (!strcmp(key, "match")) return take_pattern(rd, value, key, &l->match, &l->has_match);
    if (!strcmp(key, "number"))
        return scalar(value) && text_bool(scalar(value), &l->number) ? HCT_OK : BAD(rd, value, "number: true or false");
    return BAD(rd, value, "unknown key '%s' of table: name, match, number, age and sex are known", key);
}

static int nothing(void *context, const char *column, const char *compare, const char *word, hct_err *err) {
    (void)context, (void)column, (void)compare, (void)word, (void)err;
    return -1;
}

static hct_status take_label(reader *rd, const char *key, const yaml_node_t *value) {
    layout *l = rd->l;
    hct_err why;
    for (int k = 0; k < l->n; k++)
        if (!strcmp(l->names[k], key)) return BAD(rd, value, "label '%s' is defined twice", key);
    if (l->n == LAYOUT_LABELS) return BAD(rd, value, "more than %d labels", LAYOUT_LABELS);
    if (!*key || strlen(key) >= LAYOUT_NAME || text_control(key))
        return BAD(rd, value, "'%s' cannot name a label", key);
    hct_status s = take_text(rd, value, key, &l->expressions[l->n]);
    if (s == HCT_OK && layout_evaluate(l->expressions[l->n], nothing, NULL, &why) == -2)
        return BAD(rd, value, "%.300s", why.msg);
    if (s == HCT_OK) snprintf(l->names[l->n++], LAYOUT_NAME, "%s", key);
    return s;
}

static hct_status take_root(reader *rd, const char *key, const yaml_node_t *value) {
    layout *l = rd->l;
    if (!strcmp(key, "scans")) {
        if (scalar(value) && !*scalar(value)) return BAD(rd, value, "scans: a pattern is needed");
        return take_pattern(rd, value, key, &l->scans, &l->has_scans);
    }
    if (!strcmp(key, "exclude")) return take_pattern(rd, value, key, &l->exclude, &l->has_exclude);
    if (!strcmp(key, "patient")) return take_text(rd, value, key, &l->patient);
    if (!strcmp(key, "mask")) return take_text(rd, value, key, &l->mask);
    if (!strcmp(key, "table")) {
        l->has_table = true;
        return each(rd, value, key, take_of_table);
    }
    if (!strcmp(key, "labels")) return each(rd, value, key, take_label);
    return BAD(rd, value, "unknown key '%s': scans, exclude, patient, table, mask and labels are known", key);
}

static bool has_key(const reader *rd, const yaml_node_t *root, const char *name) {
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const char *key = scalar(yaml_document_get_node(rd->doc, p->key));
        if (key && !strcmp(key, name)) return true;
    }
    return false;
}

static hct_status read_root(reader *rd) {
    const yaml_node_t *root = yaml_document_get_root_node(rd->doc);
    layout *l = rd->l;
    hct_status s = HCT_OK;
    if (!root || root->type != YAML_MAPPING_NODE || !has_key(rd, root, "scans"))
        return BAD(rd, root, "is no layout: it needs 'scans', the pattern of the files that are scans");
    s = each(rd, root, "layout", take_root);
    if (s == HCT_OK && !l->scans.re_nsub) return BAD(rd, root, "scans: needs a group in brackets, the scan's name");
    if (s == HCT_OK && l->has_match && !l->match.re_nsub) return BAD(rd, root, "match: needs a group in brackets");
    if (s == HCT_OK && l->has_table && !l->name_column)
        return BAD(rd, root, "table: needs 'name', the column of names");
    return s;
}

hct_status layout_read(const char *name, layout *ret, hct_err *err) {
    *ret = (layout){0};
    char *text = NULL, *named = NULL;
    size_t n = 0;
    yaml_parser_t parser;
    yaml_document_t doc;
    if (!strchr(name, '/') && !path_is_file(name) && asprintf(&named, "layouts/%s", name) >= 0)
        ret->path = recipe_find(named);
    else ret->path = strdup(name);
    free(named);
    if (!ret->path) return hct_fail(err, HCT_ENOMEM, "%s: no memory", name);
    hct_status s = hct_read_file(ret->path, &text, &n, err);
    if (s == HCT_OK && !yaml_parser_initialize(&parser)) s = hct_fail(err, HCT_ENOMEM, "%s: no memory", name);
    else if (s == HCT_OK) {
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
        if (!yaml_parser_load(&parser, &doc))
            s = hct_fail(err, HCT_EFORMAT, "%s line %zu: %s", ret->path, parser.problem_mark.line + 1,
                         parser.problem ? parser.problem : "is no YAML");
        else {
            reader rd = {.l = ret, .doc = &doc, .err = err};
            s = read_root(&rd);
            yaml_document_delete(&doc);
        }
        yaml_parser_delete(&parser);
    }
    free(text);
    return s;
}

void layout_free(layout *l) {
    if (l->has_scans) regfree(&l->scans);
    if (l->has_exclude) regfree(&l->exclude);
    if (l->has_match) regfree(&l->match);
    for (int k = 0; k < LAYOUT_LABELS; k++) free(l->expressions[k]);
    free(l->path);
    free(l->patient);
    free(l->mask);
    free(l->name_column);
    free(l->age);
    free(l->sex);
    *l = (layout){0};
}

bool layout_wants(const layout *l, const char *relative) {
    if (l->has_exclude && regexec(&l->exclude, relative, 0, NULL, 0) == 0) return false;
    return regexec(&l->scans, relative, 0, NULL, 0) == 0;
}
