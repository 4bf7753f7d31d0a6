/* A method of pre-training in one file: the embedding's first value learns the image's mean. */
#ifndef TOY_METHOD_H
#define TOY_METHOD_H

#include "pretrain/method.h"

extern const method method_toy;

#endif
