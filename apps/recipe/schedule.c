/* Schedules as functions of the step. */
#include "recipe/schedule.h"

#include <math.h>

double schedule_lr(const lr_schedule *s, int64_t step) {
    if (step < s->warmup) return s->base * (double)step / (double)s->warmup;
    int64_t left = s->total - s->warmup;
    double progress = (double)(step - s->warmup) / (double)(left > 1 ? left : 1);
    switch (s->kind) {
    case SCHEDULE_COSINE: return s->min + (s->base - s->min) * 0.5 * (1 + cos(M_PI * progress));
    case SCHEDULE_POLY: return (s->base - s->min) * (1 - progress) * (1 - progress) + s->min;
    case SCHEDULE_CONSTANT: break;
    }
    return s->base;
}

double schedule_scaled_lr(double stated, double batch) { return stated * batch / 256; }

double schedule_cosine(double start, double end, int64_t step, int64_t total) {
    return end + 0.5 * (start - end) * (1 + cos(M_PI * (double)step / (double)total));
}

double schedule_temperature(double start, double end, int64_t warmup, int64_t epoch) {
    if (epoch >= warmup) return end;
    return warmup > 1 ? start + (end - start) * (double)epoch / (double)(warmup - 1) : start;
}
