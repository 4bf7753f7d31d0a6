/* Rules that make labels of records, read from a YAML file (recipes/labels/nyu.yaml shows all of the form):
 *
 *   window: [0, 90]             days about the scan, both ends taken; or a word for one of the paper's two readings,
 *                               forward (0 to 90) or centered (-45 to 45)
 *   labels:
 *     IPH: {codes: [I610, I61?]}                      ICD-10: all codes that begin so; ? one character
 *     ICH: {any_of: [IPH, IVH], codes: [I629]}        positive too where one of those is
 *     ADRD: {codes: [G30], medications: [DONEPEZIL]}  a medication whose name holds the word, in any case
 */
#ifndef LABELLING_RULES_H
#define LABELLING_RULES_H

#include <stdbool.h>

#include "hct/types.h"

enum { RULES_LABELS = 60, RULES_NAME = 64, RULES_CODE = 16 };

typedef struct rule_pattern {
    char text[RULES_NAME]; /* of a code: normalised */
    int label;
} rule_pattern;

typedef struct label_rules {
    int64_t first, last; /* days of the window */
    int n;
    char names[RULES_LABELS][RULES_NAME];
    uint64_t implies[RULES_LABELS]; /* bit k: label k is positive where this one is; with itself; closed */
    rule_pattern *codes, *medications;
    size_t n_codes, n_medications;
    char sha256[65]; /* of the file's bytes */
} label_rules;

/* path: a file, or the name of one of the rules that came with headct ("nyu"). HCT_EFORMAT names what is wrong: an
 * unknown key, a label that any_of names and nobody defines, a cycle, a pattern that no code can match, an empty
 * window, two labels of one name. Free with rules_free. */
hct_status rules_read(const char *path, label_rules *ret, hct_err *err);
void rules_free(label_rules *r);

/* "forward", "centered" ("centred"), or two whole numbers with a colon between them; false: neither, or none is left
 * between them. */
bool rules_window(const char *text, int64_t *ret_first, int64_t *ret_last);

/* Upper case, without dots and blanks; false: too long for a code. */
bool rules_normalise(const char *code, char ret[RULES_CODE]);
/* Labels that a normalised code, or a medication's name, makes positive: bits. */
uint64_t rules_of_code(const label_rules *r, const char *code);
uint64_t rules_of_medication(const label_rules *r, const char *name);
/* Whether a code can be one of ICD-9 alone: it begins with a digit; or it is an external cause, E and three digits
 * before the dot (ICD-10 has its dot after two), or E9, which ICD-10 has not. Other codes of V and E may be
 * either's. */
bool rules_is_icd9(const char *code);

#endif
