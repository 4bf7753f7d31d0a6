/* Sizes of models, walked by their tables. */
#include "models/fields.h"

#include <math.h>
#include <string.h>

const model_field *field_find(const model_field *fields, const char *name) {
    for (const model_field *f = fields; f->name; f++)
        if (!strcmp(f->name, name)) return f;
    return NULL;
}

double field_get(const model_field *f, const void *own) {
    const char *at = (const char *)own + f->at;
    int64_t whole;
    double real;
    int flag;
    switch (f->type) {
    case FIELD_WHOLE: return memcpy(&whole, at, sizeof whole), (double)whole;
    case FIELD_REAL: return memcpy(&real, at, sizeof real), real;
    case FIELD_FLAG: break;
    }
    memcpy(&flag, at, sizeof flag);
    return flag;
}

void field_set(const model_field *f, void *own, double value) {
    char *at = (char *)own + f->at;
    switch (f->type) {
    case FIELD_WHOLE: memcpy(at, &(int64_t){(int64_t)value}, sizeof(int64_t)); break;
    case FIELD_REAL: memcpy(at, &value, sizeof value); break;
    case FIELD_FLAG: memcpy(at, &(int){value != 0}, sizeof(int)); break;
    }
}

void fields_write(const model_field *fields, const void *own, json_out *j) {
    for (const model_field *f = fields; f->name; f++) {
        if (f->later && f->type == FIELD_REAL && field_get(f, own) == 0) continue; /* older files' text stays */
        double v = field_get(f, own);
        if (f->type == FIELD_WHOLE) json_whole(j, f->name, (int64_t)v);
        if (f->type == FIELD_REAL) json_number(j, f->name, v);
        if (f->type == FIELD_FLAG) json_bool(j, f->name, v != 0);
    }
}

hct_status fields_read(const model_field *fields, const cJSON *object, void *own, hct_err *err) {
    for (const model_field *f = fields; f->name; f++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, f->name);
        if (!v && f->later) continue;
        if (f->type == FIELD_FLAG ? !cJSON_IsBool(v) : !cJSON_IsNumber(v))
            return hct_fail(err, HCT_EFORMAT, "'%s' is missing or of another type", f->name);
        double value = f->type == FIELD_FLAG ? cJSON_IsTrue(v) : v->valuedouble;
        if (!(value >= f->low && value <= f->high) || (f->type == FIELD_WHOLE && value != floor(value)))
            return hct_fail(err, HCT_EFORMAT, "'%s' is %g; %g to %g are possible", f->name, value, f->low, f->high);
        field_set(f, own, value);
    }
    return HCT_OK;
}

static int is_in(const char *const *list, const char *name) {
    for (; list && *list; list++)
        if (!strcmp(*list, name)) return 1;
    return 0;
}

hct_status fields_compare(const model_field *fields, const void *told, const void *held, const char *const *skip,
                          hct_err *err) {
    for (const model_field *f = fields; f->name; f++)
        if (!is_in(skip, f->name) && field_get(f, told) != field_get(f, held))
            return hct_fail(err, HCT_EFORMAT, "%s is %g there, its tensors have %g", f->name, field_get(f, told),
                            field_get(f, held));
    return HCT_OK;
}
