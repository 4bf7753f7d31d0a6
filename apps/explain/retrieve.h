/* Nearest scans by cosine similarity of embeddings, and how often they share a label: mean average precision. */
#ifndef EXPLAIN_RETRIEVE_H
#define EXPLAIN_RETRIEVE_H

#include <stdio.h>

#include "hct/types.h"

enum { RETRIEVE_QUERIES = 256 };

typedef struct retrieve_options {
    const char *embeddings, *queries;    /* queries: a second file; NULL: the scans of the first one themselves */
    const char *out, *labels;            /* out NULL: printed alone; labels NULL: no mAP */
    const char *query[RETRIEVE_QUERIES]; /* only these scans are printed and listed; none: all are listed */
    int n_query;
    int64_t k, resamples, seed, threads;
    int same_patient; /* a query's own patient is searched, too */
} retrieve_options;

/* OUT/neighbours.csv: query, rank, scan, patient, similarity; OUT/retrieval.csv: label, queries, map with its interval,
 * and what chance gives, the share of positives.
 *
 * A label's mAP: over queries that have it, the mean of the average precision (ranking.h) of all searched scans by
 * similarity; 95% percentile intervals over resamples of queries. A query never finds itself, and without same_patient
 * no scan of its own patient. */
hct_status retrieve_run(const retrieve_options *o, FILE *said, hct_err *err);

#endif
