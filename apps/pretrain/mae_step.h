/* MAE as a method of pre-training: images of the encoder's form, random masks, the error of the hidden patches. */
#ifndef PRETRAIN_MAE_STEP_H
#define PRETRAIN_MAE_STEP_H

#include "pretrain/method.h"

extern const method method_mae;

#endif
