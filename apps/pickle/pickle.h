/* A reader of Python pickles that executes nothing: it knows the opcodes that tensors, dicts, lists, tuples, sets,
 * numbers and strings need, and a handful of names (globals) that its owner lists. What other names would make
 * becomes an inert value: nothing is run, made or looked up, and whoever asks the value for something finds nothing.
 * Any other opcode is an error that says which.
 *
 * Safe against hostile input: no recursion anywhere; each opcode makes at most one value, so memory is bounded by
 * the pickle's length (PICKLE_BYTES_MAX); memo numbers are bounded by it too; values may contain each other in
 * cycles, which is harmless as nothing here walks them. Texts are borrowed from the pickle's bytes, which must
 * outlive it. */
#ifndef PICKLE_PICKLE_H
#define PICKLE_PICKLE_H

#include "hct/types.h"

enum { PICKLE_BYTES_MAX = 16 << 20 };

typedef uint32_t pickle_id; /* a value; PICKLE_NONE is None */
enum { PICKLE_NONE = 0 };

typedef enum pickle_kind {
    PICKLE_IS_NONE,
    PICKLE_BOOL,   /* whole: 0 or 1 */
    PICKLE_WHOLE,  /* whole */
    PICKLE_REAL,   /* real */
    PICKLE_TEXT,   /* text, n bytes of UTF-8, not NUL-terminated */
    PICKLE_BYTES,  /* text, n bytes */
    PICKLE_TUPLE,  /* item[n] */
    PICKLE_LIST,   /* item[n] */
    PICKLE_DICT,   /* item[n]: key, value, key, value, in the order of the file */
    PICKLE_GLOBAL, /* whole: what hooks.global returned */
    PICKLE_INERT,  /* what an unknown name stands for, or would have made */
    PICKLE_OWN     /* whole: the owner's, made by its hooks; n tells its kinds apart */
} pickle_kind;

typedef struct pickle_value {
    pickle_kind kind;
    uint32_t n, capacity;
    union {
        int64_t whole;
        double real;
        const char *text;
        pickle_id *item;
    };
} pickle_value;

typedef struct pickle pickle;

/* What the owner knows. Hooks return HCT_OK and set *ret, or fill err. */
typedef struct pickle_hooks {
    void *context;
    int64_t (*global)(void *context, const char *module, const char *name); /* -1: unknown */
    hct_status (*reduce)(void *context, pickle *, int64_t global, pickle_id arguments, pickle_id *ret, hct_err *);
    hct_status (*build)(void *context, pickle *, pickle_id object, pickle_id state, hct_err *);
    hct_status (*persistent)(void *context, pickle *, pickle_id id, pickle_id *ret, hct_err *);
} pickle_hooks;

/* path is for messages only. NULL and err on any damage or refusal. */
pickle *pickle_read(const char *path, const unsigned char *bytes, size_t n, const pickle_hooks *, hct_err *err);
/* The same of a pickle that other bytes follow: *ret_used, those up to its end. */
pickle *pickle_read_first(const char *path, const unsigned char *bytes, size_t n, const pickle_hooks *,
                          size_t *ret_used, hct_err *err);
/* p may be NULL. */
void pickle_free(pickle *p);
pickle_id pickle_root(const pickle *p);
/* The first unknown name that it refers to, "module.name"; "" where there is none. */
const char *pickle_unknown(const pickle *p);
/* Borrowed until the next value is made. */
const pickle_value *pickle_at(const pickle *p, pickle_id);

/* For hooks: a new value; PICKLE_NONE where memory runs out. Bytes and text are borrowed. */
pickle_id pickle_make(pickle *p, pickle_value v);
/* For hooks: `n` bytes that live as long as p; NULL where memory runs out. */
void *pickle_keep(pickle *p, size_t n);

/* Value of a text key of a dict, the last one where it is there twice; PICKLE_NONE where absent or where d is no
 * dict. */
pickle_id pickle_member(const pickle *p, pickle_id d, const char *key);
/* Whether v is this text. */
int pickle_is_text(const pickle *p, pickle_id v, const char *text);

#endif
