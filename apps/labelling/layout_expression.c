/* Expressions of labels: words, comparisons, or, and, not; three values. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "labelling/layout.h"

enum { WORD = 128, FAILED = -2, UNKNOWN = -1, DEEPEST = 32 };

typedef struct parser {
    const char *all, *at;
    layout_value *value;
    void *context;
    hct_err *err;
    int depth;
} parser;

static void skip(parser *p) { p->at += strspn(p->at, " \t\n"); }

static int bad(parser *p, const char *what) {
    hct_fail(p->err, HCT_EFORMAT, "'%s': %s at '%.40s'", p->all, what, *p->at ? p->at : "its end");
    return FAILED;
}

/* A word as it stands; false: there is none. */
static bool peek_word(parser *p, const char *word) {
    skip(p);
    size_t n = strlen(word);
    return strncmp(p->at, word, n) == 0 && !isalnum((unsigned char)p->at[n]) && p->at[n] != '_';
}

static bool take_word(parser *p, const char *word) {
    if (!peek_word(p, word)) return false;
    p->at += strlen(word);
    return true;
}

/* "in quotes", or letters, digits and some signs. */
static bool take_name(parser *p, char ret[WORD]) {
    skip(p);
    size_t n = 0;
    if (*p->at == '"') {
        n = strcspn(p->at + 1, "\"");
        if (p->at[n + 1] != '"' || n >= WORD) return false;
        snprintf(ret, WORD, "%.*s", (int)n, p->at + 1);
        p->at += n + 2;
        return true;
    }
    while (isalnum((unsigned char)p->at[n]) || (p->at[n] && strchr("_-.:/", p->at[n])) || (p->at[n] & 0x80)) n++;
    if (!n || n >= WORD) return false;
    snprintf(ret, WORD, "%.*s", (int)n, p->at);
    p->at += n;
    return true;
}

static int any_of(parser *p);

static int one(parser *p) {
    static const char *const signs[] = {"==", "!=", ">=", "<=", ">", "<"};
    char name[WORD], word[WORD];
    skip(p);
    if (p->depth > DEEPEST) return bad(p, "too many brackets");
    if (take_word(p, "not")) {
        p->depth++;
        int v = one(p);
        p->depth--;
        return v < 0 ? v : !v;
    }
    if (*p->at == '(') {
        p->at++;
        p->depth++;
        int v = any_of(p);
        p->depth--;
        skip(p);
        if (v == FAILED) return v;
        if (*p->at != ')') return bad(p, "a bracket is not closed");
        p->at++;
        return v;
    }
    if (peek_word(p, "or") || peek_word(p, "and") || !take_name(p, name)) return bad(p, "a column is expected");
    skip(p);
    for (size_t k = 0; k < sizeof signs / sizeof *signs; k++) {
        if (strncmp(p->at, signs[k], strlen(signs[k])) != 0) continue;
        p->at += strlen(signs[k]);
        if (!take_name(p, word)) return bad(p, "a word or number is expected");
        return p->value(p->context, name, signs[k], word, p->err);
    }
    return p->value(p->context, name, NULL, NULL, p->err);
}

static int all_of(parser *p) {
    int v = one(p);
    while (v != FAILED && take_word(p, "and")) {
        int w = one(p);
        v = w == FAILED ? w : v == 0 || w == 0 ? 0 : v == UNKNOWN || w == UNKNOWN ? UNKNOWN : 1;
    }
    return v;
}

static int any_of(parser *p) {
    int v = all_of(p);
    while (v != FAILED && take_word(p, "or")) {
        int w = all_of(p);
        v = w == FAILED ? w : v == 1 || w == 1 ? 1 : v == UNKNOWN || w == UNKNOWN ? UNKNOWN : 0;
    }
    return v;
}

int layout_evaluate(const char *expression, layout_value *value, void *context, hct_err *err) {
    parser p = {.all = expression, .at = expression, .value = value, .context = context, .err = err};
    int v = any_of(&p);
    skip(&p);
    return v != FAILED && *p.at ? bad(&p, "no expression goes on like this") : v;
}
