/* Reads the systems of a comparison. */
#include "comparison/systems.h"

#include <ctype.h>
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
    const char *path;
    char *folder; /* the file's, with its slash */
    yaml_document_t *doc;
    hct_err *err;
} reader;

static hct_status HCT_PRINTF(3, 4) bad(const reader *rd, const yaml_node_t *n, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return hct_fail(rd->err, HCT_EFORMAT, "%s line %zu: %s", rd->path, n ? n->start_mark.line + 1 : 1, text);
}

static const char *scalar(const yaml_node_t *n) {
    return n && n->type == YAML_SCALAR_NODE && *(const char *)n->data.scalar.value ? (const char *)n->data.scalar.value
                                                                                   : NULL;
}

static hct_status take_text(const reader *rd, const yaml_node_t *value, const char *key, char **ret) {
    if (*ret) return bad(rd, value, "%s: stands there twice", key);
    if (!scalar(value) || text_control(scalar(value))) return bad(rd, value, "%s: a text is needed", key);
    return (*ret = strdup(scalar(value))) ? HCT_OK : hct_fail(rd->err, HCT_ENOMEM, "out of memory");
}

/* The path beside the YAML file, where such a file is; else as it stands. */
static hct_status take_file(const reader *rd, const yaml_node_t *value, const char *key, char **ret) {
    hct_status st = take_text(rd, value, key, ret);
    if (st < 0 || **ret == '/') return st;
    char *beside = path_join(rd->folder, *ret);
    if (!beside) return hct_fail(rd->err, HCT_ENOMEM, "out of memory");
    if (path_is_file(beside)) {
        free(*ret);
        *ret = beside;
    } else free(beside);
    return HCT_OK;
}

static hct_status take_name(const reader *rd, const yaml_node_t *value, comparison_system *s) {
    const char *text = scalar(value);
    size_t n = text ? strlen(text) : 0, fit = 0;
    while (fit < n && (isalnum((unsigned char)text[fit]) || strchr("-_.", text[fit]))) fit++;
    if (*s->name) return bad(rd, value, "name: stands there twice");
    if (!n || fit < n || n >= SYSTEM_NAME || text[0] == '.' || text[0] == '-')
        return bad(rd, value, "name: 1 to %d letters, digits, '-', '_' and '.' are needed, a letter or digit first",
                   SYSTEM_NAME - 1);
    memcpy(s->name, text, n + 1);
    return HCT_OK;
}

static hct_status take_sets(const reader *rd, const yaml_node_t *value, comparison_system *s) {
    if (!value || value->type != YAML_SEQUENCE_NODE) return bad(rd, value, "set: a list [KEY=VALUE, ...] is needed");
    for (const yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top; i++) {
        const yaml_node_t *n = yaml_document_get_node(rd->doc, *i);
        if (s->n_sets == SYSTEM_SETS) return bad(rd, n, "set: more than %d keys", SYSTEM_SETS);
        hct_status st = take_text(rd, n, "set", &s->set[s->n_sets]);
        if (st < 0) return st;
        s->n_sets++;
    }
    return HCT_OK;
}

static hct_status take_key(const reader *rd, const char *key, const yaml_node_t *value, comparison_system *s) {
    if (!strcmp(key, "name")) return take_name(rd, value, s);
    if (!strcmp(key, "recipe")) return take_text(rd, value, key, &s->recipe);
    if (!strcmp(key, "weights")) return take_file(rd, value, key, &s->weights);
    if (!strcmp(key, "embeddings")) return take_file(rd, value, key, &s->embeddings);
    if (!strcmp(key, "note")) return take_text(rd, value, key, &s->note);
    if (!strcmp(key, "set")) return take_sets(rd, value, s);
    return bad(rd, value, "unknown key '%s' of a system: name, recipe, weights, embeddings, set and note are known",
               key);
}

static hct_status take_system(const reader *rd, const yaml_node_t *n, system_list *io) {
    comparison_system *s = &io->item[io->n++];
    if (!n || n->type != YAML_MAPPING_NODE) return bad(rd, n, "a system's keys are needed");
    for (const yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        const char *key = scalar(yaml_document_get_node(rd->doc, p->key));
        const yaml_node_t *value = yaml_document_get_node(rd->doc, p->value);
        hct_status st = key ? take_key(rd, key, value, s) : bad(rd, value, "a key is no text");
        if (st < 0) return st;
    }
    if (!*s->name || !s->recipe) return bad(rd, n, "a system needs name and recipe");
    if (s->weights && s->embeddings) return bad(rd, n, "%s: weights and embeddings are both there", s->name);
    for (size_t i = 0; i + 1 < io->n; i++)
        if (!strcmp(io->item[i].name, s->name)) return bad(rd, n, "two systems are called '%s'", s->name);
    return HCT_OK;
}

static hct_status read_root(const reader *rd, system_list *ret) {
    const yaml_node_t *root = yaml_document_get_root_node(rd->doc), *list = NULL;
    if (!root || root->type != YAML_MAPPING_NODE) return bad(rd, root, "is no comparison: it needs a list 'systems'");
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(rd->doc, p->key);
        if (!scalar(key) || strcmp(scalar(key), "systems") != 0)
            return bad(rd, key, "unknown key '%s': systems is known", scalar(key) ? scalar(key) : "");
        list = yaml_document_get_node(rd->doc, p->value);
    }
    if (!list || list->type != YAML_SEQUENCE_NODE) return bad(rd, root, "is no comparison: it needs a list 'systems'");
    size_t n = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    if (!n || n > SYSTEMS) return bad(rd, list, "systems: 1 to %d are needed", SYSTEMS);
    if (!(ret->item = calloc(n, sizeof *ret->item))) return hct_fail(rd->err, HCT_ENOMEM, "out of memory");
    hct_status st = HCT_OK;
    for (const yaml_node_item_t *i = list->data.sequence.items.start; st == HCT_OK && i < list->data.sequence.items.top;
         i++)
        st = take_system(rd, yaml_document_get_node(rd->doc, *i), ret);
    return st;
}

static hct_status parse(reader *rd, const char *text, size_t n, system_list *ret) {
    yaml_parser_t parser;
    yaml_document_t doc;
    hct_status st = HCT_OK;
    if (!yaml_parser_initialize(&parser)) return hct_fail(rd->err, HCT_ENOMEM, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    if (!yaml_parser_load(&parser, &doc))
        st = hct_fail(rd->err, HCT_EFORMAT, "%s line %zu: %s", rd->path, parser.problem_mark.line + 1,
                      parser.problem ? parser.problem : "is no YAML");
    else {
        rd->doc = &doc;
        st = read_root(rd, ret);
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    return st;
}

hct_status systems_read(const char *path, system_list *ret, hct_err *err) {
    *ret = (system_list){0};
    size_t n = 0;
    char *text = NULL, *file = recipe_find(path);
    reader rd = {.path = file, .folder = file ? strdup(file) : NULL, .err = err};
    hct_status st = rd.folder ? hct_read_file(file, &text, &n, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) {
        char *slash = strrchr(rd.folder, '/');
        if (slash) slash[1] = '\0';
        else snprintf(rd.folder, 2, "."); /* a file's name has a character at least */
        st = parse(&rd, text, n, ret);
    }
    free(text);
    free(rd.folder);
    free(file);
    return st;
}

void systems_free(system_list *s) {
    for (size_t i = 0; i < s->n; i++) {
        comparison_system *c = &s->item[i];
        free(c->recipe);
        free(c->weights);
        free(c->embeddings);
        free(c->note);
        for (int k = 0; k < SYSTEM_SETS; k++) free(c->set[k]);
    }
    free(s->item);
    *s = (system_list){0};
}
