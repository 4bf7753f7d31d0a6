/* Scans put into groups by the values of a column: of a CSV that has a column scan, or of a dataset's tags. */
#ifndef EVALUATION_GROUPING_H
#define EVALUATION_GROUPING_H

#include "hct/types.h"

enum { GROUPING_MOST = 64, GROUPING_EDGES = 32 };

typedef struct grouping {
    char column[128];
    double edge[GROUPING_EDGES];
    size_t edges;
    size_t n; /* groups */
    char name[GROUPING_MOST][96];
    double order[GROUPING_MOST];  /* where a group stands among the others */
    int32_t shown[GROUPING_MOST]; /* groups in that order, equals as they came */
    int32_t *of;                  /* [scans]: each one's group */
} grouping;

/* by: "sex", or "age:18-40-65-80": numbers cut at these edges, each with its lower edge, the last with both; values
 * outside and missing ones are groups of their own. source: a CSV, or a dataset. Errors: no such column (with the
 * nearest), no edge, more than GROUPING_MOST groups, none of the scans known there, one there twice. */
hct_status grouping_make(const char *by, const char *source, char *const *scans, size_t n, grouping *ret, hct_err *err);
void grouping_free(grouping *g);

#endif
