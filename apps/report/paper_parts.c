/* Few-shot curves, pictures, prevalence. */
#include "report/paper_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures/bars.h"
#include "report/fewshot_report.h"
#include "support/paths.h"

/* Every figure of a folder whose name begins so. */
static hct_status add_all(report *r, const char *folder, const char *prefix, const char *of, int *ret_drawn,
                          hct_err *err) {
    static const char *const endings[] = {".svg", ".png"};
    hct_status st = HCT_OK;
    for (int e = 0; e < 2 && path_is_folder(folder) && st == HCT_OK; e++) {
        char **names = NULL;
        size_t n = 0;
        st = path_list(folder, endings[e], &names, &n, err);
        for (size_t i = 0; i < n; i++) {
            char *path = strncmp(names[i], prefix, strlen(prefix)) ? NULL : path_join(folder, names[i]);
            char *stem = path ? path_stem(path) : NULL, caption[400];
            if (stem && path_is_below(path, of)) { /* a link that leads elsewhere is not copied into a page */
                snprintf(caption, sizeof caption, "%s: %s", path_base(of), stem);
                report_figure(r, path, caption);
                *ret_drawn = 1;
            }
            free(stem);
            free(path);
            free(names[i]);
        }
        free(names);
    }
    return st;
}

hct_status paper_fewshot(report *r, const run_facts *const *runs, size_t n, const char *folder, int *ret_drawn,
                         hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        char *own = NULL;
        if (!runs[i]->has_fewshot) continue;
        if (asprintf(&own, "%s/figure_2_%s", folder, path_base(runs[i]->folder)) < 0)
            return hct_fail(err, HCT_ENOMEM, "out of memory");
        st = path_make_folders(own, err);
        if (st == HCT_OK) st = fewshot_report_draw(runs[i]->folder, own, err);
        if (st == HCT_OK) st = add_all(r, own, "fewshot", own, ret_drawn, err);
        free(own);
    }
    return st;
}

hct_status paper_pictures(report *r, const run_facts *const *runs, size_t n, const char *prefix, const char *sub,
                          int *ret_drawn, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        char *folder = *sub ? path_join(runs[i]->folder, sub) : strdup(runs[i]->folder);
        st = folder ? add_all(r, folder, prefix, runs[i]->folder, ret_drawn, err)
                    : hct_fail(err, HCT_ENOMEM, "out of memory");
        free(folder);
    }
    return st;
}

hct_status paper_prevalence(report *r, const run_facts *const *runs, size_t n, const char *folder, const char *name,
                            int *ret_drawn, hct_err *err) {
    static const char *const series[] = {"positive"};
    hct_status st = HCT_OK;
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        const run_facts *f = runs[i];
        double share[FACTS_TASKS];
        const char *tasks[FACTS_TASKS];
        int seen = !f->has_metrics || !f->has_recipe || !f->n_tasks;
        for (size_t j = 0; j < i; j++)
            seen |= runs[j]->has_metrics && runs[j]->has_recipe && !strcmp(runs[j]->dataset, f->dataset);
        if (seen) continue;
        for (size_t k = 0; k < f->n_tasks; k++) {
            tasks[k] = f->task[k].name;
            share[k] = f->task[k].positives / (f->task[k].positives + f->task[k].negatives);
        }
        char title[300], *path = NULL;
        snprintf(title, sizeof title, "%s: share of positives among %.0f tested scans", f->dataset, f->scans);
        const bars b = {.title = title,
                        .y_label = "share of scans",
                        .groups = tasks,
                        .series = series,
                        .n_groups = f->n_tasks,
                        .n_series = 1,
                        .value = share,
                        .line = NAN};
        if (asprintf(&path, "%s/%s_%s.svg", folder, name, f->dataset) < 0)
            return hct_fail(err, HCT_ENOMEM, "out of memory");
        st = path_make_folders(folder, err);
        if (st == HCT_OK) st = bars_write(&b, path, err);
        if (st == HCT_OK) report_figure(r, path, title);
        *ret_drawn |= st == HCT_OK;
        free(path);
    }
    return st;
}
