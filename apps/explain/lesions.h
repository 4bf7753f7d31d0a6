/* What maps of many scans show of their lesions: the share of the top 1% of the brain's voxels that lies in the lesion,
 * beside the lesion's share of the brain, method by method. */
#ifndef EXPLAIN_LESIONS_H
#define EXPLAIN_LESIONS_H

#include "evaluation/sheet.h"
#include "explain/saliency.h"

typedef struct lesions lesions;

lesions *lesions_new(void);
void lesions_free(lesions *l);
/* One scan's numbers of overlay_hits (overlay.h). */
hct_status lesions_add(lesions *l, saliency_method m, double hits, double chance, hct_err *err);
/* A row a method: lesions, mean of both shares, their ratio (1: what chance gives) with the 95% percentile interval of
 * 1,000 bootstrap resamples of lesions. A sheet without rows where nothing was added; NULL: no memory. */
sheet *lesions_sheet(const lesions *l, const char *task);

#endif
