/* predictions.csv: what a model said of each scan, and what is true.
 *
 *   scan,patient,split,IPH,SDH,y_IPH,y_SDH
 *   s001,p07,test,0.93,0.02,1,0
 *
 * One column a task with its probability; the labels stand in columns y_TASK (1, 0, empty: not known), or come from a
 * labels CSV or a dataset. `patient` and `split` may be missing. */
#ifndef EVALUATION_PREDICTIONS_H
#define EVALUATION_PREDICTIONS_H

#include <stdbool.h>

#include "evaluation/statistics.h"

typedef struct predictions {
    size_t n, n_tasks;
    size_t n_refused;                /* further rows of the file, of scans that were left out when it was made */
    char **scan, **patient, **split; /* [n]; "" where the file does not say */
    char **task;                     /* [n_tasks], in the file's order */
    double *score;                   /* [n, n_tasks] */
    int8_t *label;                   /* [n, n_tasks]: 1, 0, -1 not known */
} predictions;

/* Columns that `headct predict` adds: the input's SHA-256; why a scan was left out (its other cells are empty); what
 * names the scan in clear; when it was predicted and by which headct; and where thresholds are known threshold_TASK of
 * each task, and the tasks that reach theirs, with semicolons between. Only the second is read here. */
#define PREDICTIONS_INPUT "input_sha256"
#define PREDICTIONS_REFUSED "refused"
extern const char *const predictions_names[]; /* NULL at the end */
#define PREDICTIONS_TIME "time"
#define PREDICTIONS_VERSION "version"
#define PREDICTIONS_THRESHOLD "threshold_"
#define PREDICTIONS_ABOVE "above"

/* Whether a row whose column `split` says `part` is of the split that is asked for (NULL: all; several with + between:
 * dataset/split.h). */
bool predictions_of_split(const char *part, const char *split);
/* n rows and n_tasks columns of nothing: texts "", scores 0, labels -1. All NULL on HCT_ENOMEM. */
hct_status predictions_alloc(size_t n, size_t n_tasks, predictions *ret, hct_err *err);
void predictions_free(predictions *p);
/* Replaces one of the texts above. */
hct_status predictions_text(char **slot, const char *text, hct_err *err);

/* Only rows of `split` (NULL: all); those of scans that were left out are counted in n_refused. Errors name file and
 * line: no column scan, no task, a cell that is no number or not finite, a label that is not 1, 0 or empty, one scan
 * twice, a split nobody is in. */
hct_status predictions_read(const char *path, const char *split, predictions *ret, hct_err *err);
/* Atomic; y_ columns where `labels`. */
hct_status predictions_write(const predictions *p, bool labels, const char *path, hct_err *err);

/* Takes labels by scan from a labels CSV, or from a dataset where path is a folder; where both have one, this wins.
 * ret_scans, ret_tasks: how many scans and tasks got any. */
hct_status predictions_take_labels(predictions *p, const char *path, size_t *ret_scans, size_t *ret_tasks,
                                   hct_err *err);
/* Drops tasks without a single known label, so that what remains can be evaluated. Returns how many. */
size_t predictions_drop_unlabelled(predictions *p);
/* Puts b's rows and tasks into the order of a's; scans and tasks that a lacks are dropped, all of a's must be there.
 * b's labels become a's. */
hct_status predictions_align(const predictions *a, predictions *b, hct_err *err);

/* One scan twice is an error, as predictions_read's. */
hct_status predictions_refuse_twins(const char *path, const predictions *p, hct_err *err);
/* Clears keep[i] of every scan of a that b lacks. */
hct_status predictions_shared(const predictions *a, const predictions *b, bool *keep, hct_err *err);
/* Drops the scans that are not to be kept. */
void predictions_keep(predictions *p, const bool *keep);

/* Each patient's scans as a group (a scan without a patient is its own); HCT_ENOMEM otherwise. */
hct_status predictions_patients(const predictions *p, row_groups *ret, hct_err *err);
void row_groups_free(row_groups *g);

/* The same numbers as statistics.h takes them; borrowed. */
static inline score_table predictions_table(const predictions *p) {
    return (score_table){p->n, p->n_tasks, p->score, p->label};
}

#endif
