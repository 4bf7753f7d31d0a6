/* What a dataset holds: prevalence of each label in each split, demographics of all scans and of the positives and
 * negatives of each label (the paper's Supplementary Table 2), manufacturers, sites and thickness. */
#ifndef REPORT_DATA_CARD_H
#define REPORT_DATA_CARD_H

#include "figures/report.h"

/* Files into `out`: prevalence.csv (label, split, positive, negative, unknown, prevalence), demographics.csv (group,
 * scans, patients, male_percent, female_percent, age_mean, age_sd, of those whose sex and age are known), tags.csv
 * (tag, value, scans) and figures/prevalence.svg. r (NULL: no page): the same as tables, and the figure.
 * HCT_ENOTFOUND: no dataset there. */
hct_status data_card_make(const char *dataset, const char *out, report *r, hct_err *err);

#endif
