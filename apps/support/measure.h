/* Measuring: time, resident memory, and the rate of matrix products that time estimates are based on. */
#ifndef SUPPORT_MEASURE_H
#define SUPPORT_MEASURE_H

#include "hct/hct.h"

double measure_now(void); /* seconds, monotonic */
/* The time of day, UTC: "2026-11-30T12:00:00Z". Returns its argument. */
const char *measure_utc(char when[32]);
uint64_t measure_resident(void); /* bytes of memory that this process has taken and touched (RssAnon, RssShmem) */
/* bytes in memory of files that it maps: its code, libraries (RssFile); other processes share them */
uint64_t measure_from_files(void);
/* Floating-point operations a second of a product [2048, 768] x [768, 3072] in F32; 0 on failure. */
double measure_product_rate(hct_dev *dev);

#endif
