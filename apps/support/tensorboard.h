/* TensorBoard event files with scalars, so that `tensorboard --logdir runs` shows a run.
 *
 * Format: records of u64 length, u32 masked CRC-32C of the length, bytes, u32 masked CRC-32C of the bytes; the bytes
 * are the protocol buffer tensorflow.Event: wall_time = 1 (double), step = 2 (varint), file_version = 3, summary = 5
 * with values = 1 of tag = 1, simple_value = 2 (float); session_log = 7 with status = 1. */
#ifndef SUPPORT_TENSORBOARD_H
#define SUPPORT_TENSORBOARD_H

#include "hct/types.h"

typedef struct tensorboard tensorboard;

/* A new file FOLDER/events.out.tfevents.SECONDS.HOST.PID. first_step above 0 marks a resumed run: TensorBoard then
 * hides what older files of the folder hold from that step on. */
tensorboard *tensorboard_open(const char *folder, int64_t first_step, hct_err *err);
/* One scalar, written at once. The first that cannot be written is a warning in the log, and the last of this file: a
 * run does not end for it. t may be NULL. */
void tensorboard_scalar(tensorboard *t, int64_t step, const char *tag, double value);
void tensorboard_close(tensorboard *t);

/* CRC-32C (Castagnoli), and as the records mask it: rotated right by 15 bits plus 0xa282ead8. */
uint32_t crc32c(const void *bytes, size_t n);
uint32_t crc32c_masked(const void *bytes, size_t n);

#endif
