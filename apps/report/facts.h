/* What a run's folder says of it: its recipe and that of the encoder it began from, its metrics; so that runs can be
 * told apart and laid side by side. */
#ifndef REPORT_FACTS_H
#define REPORT_FACTS_H

#include "evaluation/statistics.h"
#include "recipe/recipe.h"

enum { FACTS_TASKS = 64, FACTS_NAME = 128 };

typedef struct task_facts {
    char name[FACTS_NAME];
    double positives, negatives;
    interval auc, ap;
} task_facts;

typedef struct run_facts {
    char folder[1024];
    char dataset[FACTS_NAME];  /* the last part of data.dataset; of an evaluation without a recipe the folder's name */
    char approach[FACTS_NAME]; /* "fine-tuned", "from scratch", "linear probe", ..., "pre-training", "external" */
    char pretraining[32];      /* of the encoder: "MAE", "DINO", "" where it is not known, "none" */
    char encoder[RECIPE_WORD]; /* kind, where known */
    double scaled;             /* share of the data that the encoder was pre-trained on; NaN: not known */
    int64_t patch, windows;    /* of the encoder, as far as known */
    int has_recipe, has_metrics, has_fewshot, has_sweep;
    recipe own, parent; /* parent: of the encoder's run; its method is "" where it is not known */
    size_t n_tasks;     /* of metrics.json */
    task_facts task[FACTS_TASKS], macro;
    double scans;
} run_facts;

/* Reads what is there; a recipe that is missing or damaged is left out. HCT_ENOTFOUND: no such folder; HCT_EFORMAT:
 * metrics.json is not what headct evaluate writes. */
hct_status facts_read(const char *run, run_facts *ret, hct_err *err);
/* Memory or disk failed: that is no fault of the run's, and nothing may be left out of a page for it. */
static inline int is_fault(hct_status st) { return st == HCT_ENOMEM || st == HCT_EIO; }
/* A task by name; NULL: none. */
const task_facts *facts_task(const run_facts *f, const char *name);

#endif
