/* The one table of recipe keys, at most RECIPE_KEYS; only recipe*.c look at it. */
#ifndef RECIPE_RECIPE_KEYS_H
#define RECIPE_RECIPE_KEYS_H

#include "recipe/recipe.h"

typedef enum key_kind {
    KEY_INT,     /* int64_t */
    KEY_REAL,    /* double */
    KEY_BOOL,    /* bool */
    KEY_CHOICE,  /* an enum: place of the word in `words` */
    KEY_WORD,    /* char[RECIPE_WORD]: lower-case letters, digits, - and _; `words` are some of those that are known */
    KEY_TEXT,    /* char[RECIPE_TEXT] */
    KEY_LIST,    /* recipe_list */
    KEY_PAIR,    /* double[2] */
    KEY_WINDOWS, /* int64_t n, recipe_window at[] */
} key_kind;

typedef struct recipe_key {
    const char *section, *key; /* "" for the top level, "model.decoder" for a section in a section */
    key_kind kind;
    size_t offset;     /* in recipe */
    double low, high;  /* of numbers, inclusive */
    const char *words; /* of KEY_CHOICE, separated by '|' */
    const char *start; /* the default, as --set would take it */
    const char *help;
    /* Since headct 0.2: no part of text and hash where it has its default, so that older recipes keep theirs. */
    bool later;
} recipe_key;

extern const recipe_key recipe_keys[];
extern const size_t recipe_key_count;
/* Sections in the order of the text, "" first, each before those inside it; ends with NULL. */
extern const char *const recipe_sections[];

/* "optim.lr" of a row. */
const char *recipe_key_path(const recipe_key *k, char buffer[128]);
/* The row of "optim.lr" (n characters), or NULL. */
const recipe_key *recipe_key_find(const char *path, size_t n);
/* The nearest key to a slip, by its whole path, or by its last word, before all in its own section; NULL: none is
 * near. */
const recipe_key *recipe_key_nearest(const char *path);
/* The value as YAML. */
void recipe_key_yaml(const recipe_key *k, const recipe *r, text_buffer *out);

enum { RECIPE_ALIASES = 32 };
/* Another name that people know a key by. */
typedef struct recipe_alias {
    const char *section, *key, *of;
} recipe_alias;
extern const recipe_alias recipe_aliases[];
extern const size_t recipe_alias_count;
/* The key that a path of n characters is another name of; NULL: of none. */
const recipe_key *recipe_alias_find(const char *path, size_t n);
/* An alias' value as its key takes it. */
const char *recipe_alias_value(const recipe_key *k, const char *text);

/* Parses text into the member of *r; HCT_EINVAL says what the key takes. */
hct_status recipe_key_assign(const recipe_key *k, const char *text, recipe *r, hct_err *err);
/* The value as recipe_key_assign takes it. */
void recipe_key_text(const recipe_key *k, const recipe *r, text_buffer *out);

#endif
