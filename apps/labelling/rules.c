/* Rules of labels: YAML, patterns, unions. */
#include "labelling/rules.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "hct/io.h"
#include "recipe/recipe.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/text.h"

typedef struct reader {
    const char *path;
    yaml_document_t *doc;
    label_rules *r;
    char (*unions)[2][RULES_NAME]; /* label, one of its any_of */
    size_t n_unions;
    hct_err *err;
} reader;

#define BAD(rd, ...) hct_fail((rd)->err, HCT_EFORMAT, __VA_ARGS__)

static const char *scalar(const yaml_node_t *n) {
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static size_t line_of(const yaml_node_t *n) { return n ? n->start_mark.line + 1 : 0; }

bool rules_normalise(const char *code, char ret[RULES_CODE]) {
    size_t n = 0;
    for (; *code; code++) {
        if (*code == '.' || isspace((unsigned char)*code)) continue;
        if (n + 1 >= RULES_CODE) return false;
        ret[n++] = (char)toupper((unsigned char)*code);
    }
    ret[n] = 0;
    return true;
}

bool rules_is_icd9(const char *code) {
    code += strspn(code, " ");
    if (isdigit((unsigned char)*code)) return true;
    if (toupper((unsigned char)*code) != 'E') return false;
    return code[1] == '9' || (strspn(code + 1, "0123456789") == 3 && code[4] == '.');
}

bool rules_window(const char *text, int64_t *ret_first, int64_t *ret_last) {
    long long first, last;
    int end = 0;
    if (!strcmp(text, "forward")) *ret_first = 0, *ret_last = 90;
    else if (!strcmp(text, "centered") || !strcmp(text, "centred")) *ret_first = -45, *ret_last = 45;
    else if (sscanf(text, "%lld:%lld%n", &first, &last, &end) == 2 && !text[end] && first <= last && first >= -100000 &&
             last <= 100000)
        *ret_first = first, *ret_last = last;
    else return false;
    return true;
}

/* A letter, a digit, a letter or digit, then up to four more (ICD-10-CM); ? for any. */
static bool can_match(const char *p) {
    size_t n = strlen(p);
    if (n < 1 || n > 7 || !(isupper((unsigned char)p[0]) || p[0] == '?')) return false;
    if (n > 1 && !(isdigit((unsigned char)p[1]) || p[1] == '?')) return false;
    for (size_t i = 2; i < n; i++)
        if (!isupper((unsigned char)p[i]) && !isdigit((unsigned char)p[i]) && p[i] != '?') return false;
    return true;
}

static hct_status add_pattern(reader *rd, rule_pattern **list, size_t *n, const char *text, int label) {
    rule_pattern *more = realloc(*list, (*n + 1) * sizeof *more);
    if (!more) return hct_fail(rd->err, HCT_ENOMEM, "%s: no memory", rd->path);
    *list = more;
    more[*n].label = label;
    snprintf(more[(*n)++].text, RULES_NAME, "%s", text);
    return HCT_OK;
}

static hct_status take_item(reader *rd, const char *key, const yaml_node_t *item, int label) {
    const char *text = scalar(item);
    char code[RULES_CODE];
    if (!text || !*text || strlen(text) >= RULES_NAME)
        return BAD(rd, "%s line %zu: '%s' takes a list of words", rd->path, line_of(item), key);
    if (!strcmp(key, "codes")) {
        size_t n = strlen(text);
        bool fine = rules_normalise(text, code);
        if (fine && n && code[strlen(code) - 1] == '*') code[strlen(code) - 1] = 0; /* all that begin so match anyway */
        if (!fine || !can_match(code))
            return BAD(rd, "%s line %zu: no ICD-10 code can match '%s'", rd->path, line_of(item), text);
        return add_pattern(rd, &rd->r->codes, &rd->r->n_codes, code, label);
    }
    if (!strcmp(key, "medications")) return add_pattern(rd, &rd->r->medications, &rd->r->n_medications, text, label);
    void *more = realloc(rd->unions, (rd->n_unions + 1) * sizeof *rd->unions);
    if (!more) return hct_fail(rd->err, HCT_ENOMEM, "%s: no memory", rd->path);
    rd->unions = more;
    snprintf(rd->unions[rd->n_unions][0], RULES_NAME, "%s", rd->r->names[label]);
    snprintf(rd->unions[rd->n_unions++][1], RULES_NAME, "%s", text);
    return HCT_OK;
}

static hct_status read_label(reader *rd, const char *name, const yaml_node_t *body) {
    label_rules *r = rd->r;
    if (!*name || strlen(name) >= RULES_NAME || text_control(name))
        return BAD(rd, "%s: a label's name is empty, too long, or holds a control character", rd->path);
    for (int k = 0; k < r->n; k++)
        if (!strcmp(r->names[k], name)) return BAD(rd, "%s: label '%s' stands there twice", rd->path, name);
    if (r->n == RULES_LABELS) return BAD(rd, "%s: more than %d labels", rd->path, RULES_LABELS);
    if (!body || body->type != YAML_MAPPING_NODE)
        return BAD(rd, "%s line %zu: label '%s' needs codes, medications or any_of", rd->path, line_of(body), name);
    int label = r->n++;
    snprintf(r->names[label], RULES_NAME, "%s", name);
    hct_status s = HCT_OK;
    for (const yaml_node_pair_t *p = body->data.mapping.pairs.start; p < body->data.mapping.pairs.top && s == HCT_OK;
         p++) {
        const char *key = scalar(yaml_document_get_node(rd->doc, p->key));
        const yaml_node_t *list = yaml_document_get_node(rd->doc, p->value);
        if (!key || (strcmp(key, "codes") != 0 && strcmp(key, "medications") != 0 && strcmp(key, "any_of") != 0))
            return BAD(rd, "%s line %zu: unknown key '%s' of label '%s': codes, medications and any_of are known",
                       rd->path, line_of(list), key ? key : "?", name);
        if (!list || list->type != YAML_SEQUENCE_NODE)
            return BAD(rd, "%s line %zu: '%s' takes a list", rd->path, line_of(list), key);
        for (const yaml_node_item_t *i = list->data.sequence.items.start;
             i < list->data.sequence.items.top && s == HCT_OK; i++)
            s = take_item(rd, key, yaml_document_get_node(rd->doc, *i), label);
    }
    return s;
}

static hct_status read_window(reader *rd, const yaml_node_t *list) {
    if (list && list->type == YAML_SCALAR_NODE &&
        rules_window((const char *)list->data.scalar.value, &rd->r->first, &rd->r->last))
        return HCT_OK;
    int64_t day[2];
    const yaml_node_item_t *i = list && list->type == YAML_SEQUENCE_NODE ? list->data.sequence.items.start : NULL;
    bool fine = i && list->data.sequence.items.top - i == 2;
    for (int k = 0; fine && k < 2; k++) {
        const char *text = scalar(yaml_document_get_node(rd->doc, i[k]));
        fine = text && text_int64(text, &day[k]) && day[k] >= -36500 && day[k] <= 36500;
    }
    if (!fine)
        return BAD(rd, "%s line %zu: window: two numbers of days are needed, such as [0, 90]", rd->path, line_of(list));
    if (day[0] > day[1]) return BAD(rd, "%s line %zu: the window is empty", rd->path, line_of(list));
    rd->r->first = day[0];
    rd->r->last = day[1];
    return HCT_OK;
}

static int find_label(const label_rules *r, const char *name) {
    for (int k = 0; k < r->n; k++)
        if (!strcmp(r->names[k], name)) return k;
    return -1;
}

/* implies[], closed: what is positive with each label. */
static hct_status close_unions(reader *rd) {
    label_rules *r = rd->r;
    for (int k = 0; k < r->n; k++) r->implies[k] = 1ull << k;
    for (size_t u = 0; u < rd->n_unions; u++) {
        int whole = find_label(r, rd->unions[u][0]), part = find_label(r, rd->unions[u][1]);
        if (part < 0)
            return BAD(rd, "%s: label '%s' is any of '%s', which is not defined", rd->path, rd->unions[u][0],
                       rd->unions[u][1]);
        r->implies[part] |= 1ull << whole;
    }
    for (bool more = true; more;) {
        more = false;
        for (int a = 0; a < r->n; a++)
            for (int b = 0; b < r->n; b++)
                if (r->implies[a] >> b & 1 && (r->implies[a] | r->implies[b]) != r->implies[a]) {
                    r->implies[a] |= r->implies[b];
                    more = true;
                }
    }
    for (int a = 0; a < r->n; a++)
        for (int b = 0; b < a; b++)
            if (r->implies[a] >> b & 1 && r->implies[b] >> a & 1)
                return BAD(rd, "%s: labels '%s' and '%s' are made of each other", rd->path, r->names[b], r->names[a]);
    return HCT_OK;
}

static hct_status read_root(reader *rd) {
    const yaml_node_t *root = yaml_document_get_root_node(rd->doc), *labels = NULL;
    bool window = false;
    hct_status s = HCT_OK;
    if (!root || root->type != YAML_MAPPING_NODE) return BAD(rd, "%s: holds no rules (window and labels)", rd->path);
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top && s == HCT_OK;
         p++) {
        const char *key = scalar(yaml_document_get_node(rd->doc, p->key));
        const yaml_node_t *value = yaml_document_get_node(rd->doc, p->value);
        if (key && !strcmp(key, "window")) {
            s = read_window(rd, value);
            window = true;
        } else if (key && !strcmp(key, "labels")) labels = value;
        else
            return BAD(rd, "%s line %zu: unknown key '%s': window and labels are known", rd->path, line_of(value),
                       key ? key : "?");
    }
    if (s == HCT_OK && (!window || !labels || labels->type != YAML_MAPPING_NODE))
        return BAD(rd, "%s: needs 'window' and 'labels'", rd->path);
    for (const yaml_node_pair_t *p = s == HCT_OK ? labels->data.mapping.pairs.start : NULL;
         p && p < labels->data.mapping.pairs.top && s == HCT_OK; p++) {
        const char *name = scalar(yaml_document_get_node(rd->doc, p->key));
        s = read_label(rd, name ? name : "", yaml_document_get_node(rd->doc, p->value));
    }
    if (s == HCT_OK && !rd->r->n) s = BAD(rd, "%s: defines no label", rd->path);
    return s == HCT_OK ? close_unions(rd) : s;
}

hct_status rules_read(const char *name, label_rules *ret, hct_err *err) {
    *ret = (label_rules){0};
    char *text = NULL, *path = NULL, *named = NULL;
    size_t n = 0;
    yaml_parser_t parser;
    yaml_document_t doc;
    if (!strchr(name, '/') && !path_is_file(name) && asprintf(&named, "labels/%s", name) >= 0)
        path = recipe_find(named);
    else path = strdup(name);
    free(named);
    if (!path) return hct_fail(err, HCT_ENOMEM, "%s: no memory", name);
    hct_status s = hct_read_file(path, &text, &n, err);
    if (s == HCT_OK) s = sha256_bytes(text, n, ret->sha256, err);
    if (s == HCT_OK && !yaml_parser_initialize(&parser)) s = hct_fail(err, HCT_ENOMEM, "%s: no memory", path);
    else if (s == HCT_OK) {
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
        if (!yaml_parser_load(&parser, &doc))
            s = hct_fail(err, HCT_EFORMAT, "%s line %zu: %s", path, parser.problem_mark.line + 1,
                         parser.problem ? parser.problem : "is no YAML");
        else {
            reader rd = {.path = path, .doc = &doc, .r = ret, .err = err};
            s = read_root(&rd);
            free(rd.unions);
            yaml_document_delete(&doc);
        }
        yaml_parser_delete(&parser);
    }
    free(text);
    free(path);
    if (s < 0) rules_free(ret);
    return s;
}

void rules_free(label_rules *r) {
    free(r->codes);
    free(r->medications);
    *r = (label_rules){0};
}

uint64_t rules_of_code(const label_rules *r, const char *code) {
    uint64_t found = 0;
    for (size_t i = 0; i < r->n_codes; i++) {
        const char *p = r->codes[i].text, *c = code;
        while (*p && *c && (*p == *c || *p == '?')) p++, c++;
        if (!*p) found |= r->implies[r->codes[i].label];
    }
    return found;
}

uint64_t rules_of_medication(const label_rules *r, const char *name) {
    uint64_t found = 0;
    for (size_t i = 0; i < r->n_medications; i++)
        if (strcasestr(name, r->medications[i].text)) found |= r->implies[r->medications[i].label];
    return found;
}
