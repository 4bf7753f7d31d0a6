/* The golden folder: reference numbers an implementation is compared with (its README says what each file holds).
 *
 * A case is one NAME.json of a family (a sub-folder) and the safetensors whose names start with NAME beside it. Nothing
 * about names, shapes or seeds may be assumed; a test program walks what it finds:
 *
 *   int main(void) {
 *       golden_case *c;
 *       golden_begin();
 *       for (size_t i = 0; (c = golden_open("mae_tiny", i)); golden_close(c)) i++, check(c);
 *       return golden_done();
 *   }
 *
 * Every comparison prints one TAP result (tap.h) and counts as one compared tensor; golden_done() prints "# ran N
 * tensors in M cases of FAMILY" for each family. Where the folder is absent the one result is a skip that says so. */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "hct/safetensors.h"

typedef struct golden_case {
    char family[64], name[128], folder[512]; /* folder: of the family */
    cJSON *json;
    int before;     /* results before it was opened */
    bool elsewhere; /* set it where another program runs the case */
} golden_case;

/* An element passes where |got - want| <= abs + rel * |want| (not checked where abs and rel are negative), the whole
 * where ||got - want|| <= rel_l2 * ||want|| (not checked where rel_l2 is negative). NaN fails, unless both are NaN. */
typedef struct golden_tol {
    double abs, rel, rel_l2;
} golden_tol;

/* What the golden README suggests for float32 forward tensors, for gradients, and for float64 formulas. */
extern const golden_tol GOLDEN_FORWARD, GOLDEN_GRADIENT, GOLDEN_FORMULA;

/* $HEADCT_GOLDEN, else ../shared/golden beside the source tree; NULL where that folder is absent. */
const char *golden_folder(void);
/* A scan or table that a case names and its folder lacks, by its path below a data folder: data/ beside the golden
 * folder, $HEADCT_DATA, else ../shared/data beside the source tree. NULL where none has it. Valid until the next
 * call. */
const char *golden_data(const char *name);
/* Says which folder it is; returns whether it is there. */
bool golden_begin(void);
/* Exit status for main. */
int golden_done(void);

/* Case i of a family in order of name; NULL after the last one, or without the folder. A JSON that cannot be read is
 * a failed result and is left out. For case 0, a set without the family's folder is a skipped result, an empty
 * folder a failed one. */
golden_case *golden_open(const char *family, size_t i);
/* A case that gave no result, say for want of its tensors, is a failed one. */
void golden_close(golden_case *c);
/* NAME + suffix + ".safetensors" ("" or "_io", ...). NULL where there is none; a damaged file is a failed result too.
 */
hct_st_file *golden_tensors(const golden_case *c, const char *suffix);
/* A case that is not run, with the reason; counted as skipped by its name. */
void golden_skip(const golden_case *c, const char *reason);

/* Number or text at a dotted path of the JSON ("config.width", "losses.3"). golden_number of an absent or other item is
 * NaN; "nan", "inf", "-inf" stand as strings in the files. golden_item gives NULL where absent. */
const cJSON *golden_item(const cJSON *json, const char *path);
double golden_number(const cJSON *json, const char *path);
/* The same of the item itself, for keys that hold a dot. */
double golden_value(const cJSON *item);
bool golden_bool(const cJSON *json, const char *path, bool fallback);

/* n = elements; freed by the caller with free(). NULL and a failed result where f is NULL or the tensor is absent. */
double *golden_f64(const hct_st_file *f, const char *name, size_t *ret_n);
float *golden_f32(const hct_st_file *f, const char *name, size_t *ret_n);
int64_t *golden_i64(const hct_st_file *f, const char *name, size_t *ret_n);

/* One result each, named "FAMILY/NAME: what"; true where it passed. n of got and want must be equal. */
bool golden_check_f64(const golden_case *c, const char *what, const double *got, size_t n_got, const double *want,
                      size_t n_want, golden_tol tol);
bool golden_check_f32(const golden_case *c, const char *what, const float *got, size_t n_got, const float *want,
                      size_t n_want, golden_tol tol);
/* Against the tensor `name` of f; an absent tensor fails. */
bool golden_check_tensor(const golden_case *c, const hct_st_file *f, const char *name, const float *got, size_t n_got,
                         golden_tol tol);
bool golden_check_number(const golden_case *c, const char *what, double got, double want, golden_tol tol);

#endif
