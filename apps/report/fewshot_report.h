/* Few-shot curves of a run's fewshot.csv. */
#ifndef REPORT_FEWSHOT_REPORT_H
#define REPORT_FEWSHOT_REPORT_H

#include "hct/types.h"

/* Draws FOLDER/fewshot_TASK.svg (AUC) and FOLDER/fewshotap_TASK.svg (average precision) of each task: each method over
 * the examples of each class, with the band of its draws; a star right of the curves where a method saw all training
 * scans. Nothing to do without RUN/fewshot.csv. HCT_EFORMAT: it is not what headct fewshot writes. */
hct_status fewshot_report_draw(const char *run, const char *folder, hct_err *err);

#endif
