/* Lesions in the top of maps: collected, and told with an interval. */
#include "explain/lesions.h"

#include <math.h>
#include <stdlib.h>

#include "evaluation/resample.h"

enum { RESAMPLES = 1000 };

typedef struct shares {
    double *hits, *chance;
    size_t n, room;
} shares;

struct lesions {
    shares of[SALIENCY_METHODS];
};

lesions *lesions_new(void) { return calloc(1, sizeof(lesions)); }

void lesions_free(lesions *l) {
    for (int m = 0; l && m < SALIENCY_METHODS; m++) {
        free(l->of[m].hits);
        free(l->of[m].chance);
    }
    free(l);
}

static bool grow(double **v, size_t room) {
    double *more = realloc(*v, room * sizeof *more);
    if (more) *v = more;
    return more != NULL;
}

hct_status lesions_add(lesions *l, saliency_method m, double hits, double chance, hct_err *err) {
    shares *s = l ? &l->of[m] : NULL;
    if (s && s->n == s->room) {
        size_t room = 2 * s->room + 16;
        if (!grow(&s->hits, room) || !grow(&s->chance, room)) s = NULL;
        else s->room = room;
    }
    if (!s) return hct_fail(err, HCT_ENOMEM, "out of memory for a lesion");
    s->hits[s->n] = hits;
    s->chance[s->n++] = chance;
    return HCT_OK;
}

static double ratio(const shares *s, const uint32_t *weight) {
    double hits = 0, chance = 0;
    for (size_t i = 0; i < s->n; i++) {
        double w = weight ? weight[i] : 1;
        hits += w * s->hits[i];
        chance += w * s->chance[i];
    }
    return hits / chance;
}

/* Of [RESAMPLES] ratios. */
static bool interval_of(const shares *s, double *ret_low, double *ret_high) {
    double *v = malloc(RESAMPLES * sizeof *v);
    uint32_t *weight = malloc(s->n * sizeof *weight + 1);
    resampler r = bootstrap_resampler(RESAMPLES, 0);
    for (size_t b = 0; v && weight && b < RESAMPLES; b++) {
        r.draw(&r, b, s->n, weight);
        v[b] = ratio(s, weight);
    }
    if (v && weight) {
        *ret_low = percentile(v, RESAMPLES, 0.025);
        *ret_high = percentile(v, RESAMPLES, 0.975);
    }
    bool made = v && weight;
    free(v);
    free(weight);
    return made;
}

sheet *lesions_sheet(const lesions *l, const char *task) {
    sheet *t = sheet_new("lesions", "Lesions: the top 1% of each map inside them, beside their share of the brain",
                         "task,method,lesions,top_in_lesion,lesion_of_brain,ratio,ratio_low,ratio_high");
    for (int m = 0; t && m < SALIENCY_METHODS; m++) {
        const shares *s = &l->of[m];
        double low = NAN, high = NAN;
        if (!s->n) continue;
        if (s->n > 1 && !interval_of(s, &low, &high)) {
            sheet_free(t);
            return NULL;
        }
        sheet_text(t, task ? task : "");
        sheet_text(t, saliency_names[m]);
        sheet_count(t, s->n);
        sheet_number(t, mean_defined(s->hits, s->n), 4);
        sheet_number(t, mean_defined(s->chance, s->n), 4);
        sheet_number(t, ratio(s, NULL), 2);
        sheet_number(t, low, 2);
        sheet_number(t, high, 2);
    }
    return t;
}
