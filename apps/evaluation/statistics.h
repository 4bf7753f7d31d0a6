/* Uncertainty of metrics: draws, bootstrap intervals and bands, permutation tests. */
#ifndef EVALUATION_STATISTICS_H
#define EVALUATION_STATISTICS_H

#include "evaluation/bootstrap.h"
#include "evaluation/permutation.h"
#include "evaluation/ranking.h"
#include "evaluation/resample.h"

#endif
