/* The description in a weights file's metadata, read. (weights.c writes it.) */
#ifndef MODELS_DESCRIPTION_H
#define MODELS_DESCRIPTION_H

#include "models/weights.h"

/* text: the JSON of "headct-weights/2", or with older of "headct-weights/1". HCT_EFORMAT says what is wrong, without
 * the file's name. */
hct_status description_read(const char *text, int older, model_info *ret, hct_err *err);

#endif
