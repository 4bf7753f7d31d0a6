/* Sizes of a kind of model as a table: what a weights file's description says, what a recipe sets, and what ranges are
 * possible. One table for all of these, in the kind's own file.
 *
 *   static const model_field fields[] = {
 *       {"depth", "model.depth", offsetof(vit_config, depth), FIELD_WHOLE, 1, 1000, 0},
 *       {0},
 *   };
 */
#ifndef MODELS_FIELDS_H
#define MODELS_FIELDS_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "support/json_out.h"

typedef enum field_type {
    FIELD_WHOLE, /* int64_t */
    FIELD_REAL,  /* double */
    FIELD_FLAG   /* int: 0 or 1 */
} field_type;

typedef struct model_field {
    const char *name; /* in a description; NULL ends the table */
    const char *key;  /* of the recipe: a number, a bool, or a choice's place; NULL: no key sets it */
    size_t at;        /* in the kind's own struct */
    field_type type;
    double low, high; /* inclusive */
    int later;        /* older files lack it: it is 0 then */
} model_field;

/* The field of a name; NULL: there is none. */
const model_field *field_find(const model_field *fields, const char *name);
double field_get(const model_field *f, const void *own);
void field_set(const model_field *f, void *own, double value);

/* The members of an object that is open in j. */
void fields_write(const model_field *fields, const void *own, json_out *j);
/* HCT_EFORMAT names the member that is missing, of another type or out of range. */
hct_status fields_read(const model_field *fields, const cJSON *object, void *own, hct_err *err);
/* HCT_EFORMAT names the first size that differs: told by a description, held by the tensors. skip: names that no tensor
 * tells, ended by NULL. */
hct_status fields_compare(const model_field *fields, const void *told, const void *held, const char *const *skip,
                          hct_err *err);

#endif
