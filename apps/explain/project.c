/* headct project: the work. */
#include "explain/project.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "evaluation/grouping.h"
#include "explain/embeddings.h"
#include "explain/pca.h"
#include "explain/tsne_tree.h"
#include "figures/plot.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/stop.h"

typedef struct plane {
    const project_options *o;
    embeddings e;
    int by_tree;                      /* Barnes-Hut */
    double *pca, *tsne, share[2], kl; /* [n, 2]; tsne NULL: not asked for */
    grouping *group;                  /* [n_colours] */
    progress line;
} plane;

static int tell(void *context, int step) {
    plane *v = context;
    progress_show(&v->line, step, "");
    return stop_asked();
}

static hct_status lay_out_exactly(plane *v, const tsne_options *t, hct_err *err) {
    size_t n = v->e.n;
    double *p = malloc(n * n * sizeof *p + 1);
    hct_status st = p ? tsne_joint(v->e.x, n, v->e.width, v->o->perplexity, t->threads, p, err)
                      : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", n);
    if (st == HCT_OK) st = tsne_run(p, n, t, v->tsne, &v->kl, err);
    free(p);
    return st;
}

/* Of many scans: neighbours by their first COMPONENTS principal components, which hold nearly all of what tells
 * embeddings apart, and cost less. */
static hct_status lay_out_by_tree(plane *v, const tsne_options *t, hct_err *err) {
    enum { COMPONENTS = 50 };
    size_t n = v->e.n, width = v->e.width;
    const float *x = v->e.x;
    float *less = NULL;
    tsne_tree *tree = NULL;
    hct_status st = HCT_OK;
    if (width > COMPONENTS) {
        double *y = malloc(n * COMPONENTS * sizeof *y), share[COMPONENTS];
        less = malloc(n * COMPONENTS * sizeof *less);
        st = y && less ? pca(x, n, width, COMPONENTS, t->threads, y, share, err)
                       : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", n);
        for (size_t i = 0; st == HCT_OK && i < n * COMPONENTS; i++) less[i] = (float)y[i];
        free(y);
        x = less;
        width = COMPONENTS;
    }
    if (st == HCT_OK) st = tsne_tree_make(x, n, width, v->o->perplexity, t->threads, &tree, err);
    if (st == HCT_OK) st = tsne_tree_run(tree, t, 0.5, v->tsne, &v->kl, err);
    tsne_tree_free(tree);
    free(less);
    return st;
}

static hct_status lay_out(plane *v, hct_err *err) {
    size_t n = v->e.n;
    double spread = 0;
    v->tsne = malloc(2 * n * sizeof *v->tsne + 1);
    hct_status st = v->tsne ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", n);
    for (size_t i = 0; i < n; i++) spread += v->pca[2 * i] * v->pca[2 * i] / (double)n;
    for (size_t i = 0; st == HCT_OK && i < 2 * n; i++) v->tsne[i] = spread > 0 ? v->pca[i] / sqrt(spread) * 1e-4 : 0;
    const tsne_options t = {
        .iterations = (int)v->o->iterations, .threads = (int)v->o->threads, .tell = tell, .tell_context = v};
    v->line = progress_begin(v->o->progress, "step", 0, v->o->iterations, "steps", 1);
    if (st == HCT_OK) st = v->by_tree ? lay_out_by_tree(v, &t, err) : lay_out_exactly(v, &t, err);
    progress_break(&v->line);
    return st;
}

static hct_status write_table(const plane *v, hct_err *err) {
    const predictions *s = &v->e.scans;
    char *path = path_join(v->o->out, "projection.csv");
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_outfile *f = hct_outfile_open(path, err);
    static const char *const fixed[] = {"scan", "patient", "split", "pca_1", "pca_2", "tsne_1", "tsne_2"};
    for (size_t c = 0; c < (v->tsne ? 7 : 5); c++) csv_put(f, c, fixed[c]);
    for (size_t k = 0; k < s->n_tasks; k++) csv_put(f, 5, s->task[k]);
    for (int g = 0; g < v->o->n_colours; g++) csv_put(f, 5, v->group[g].column);
    csv_end_row(f);
    for (size_t i = 0; i < v->e.n; i++) {
        csv_put(f, 0, s->scan[i]);
        csv_put(f, 1, s->patient[i]);
        csv_put(f, 2, s->split[i]);
        for (int a = 0; a < 2; a++) csv_put_double(f, 3, v->pca[2 * i + (size_t)a]);
        for (int a = 0; v->tsne && a < 2; a++) csv_put_double(f, 3, v->tsne[2 * i + (size_t)a]);
        for (size_t k = 0; k < s->n_tasks; k++) {
            int8_t y = s->label[i * s->n_tasks + k];
            csv_put(f, 3, y < 0 ? "" : y ? "1" : "0");
        }
        for (int g = 0; g < v->o->n_colours; g++) csv_put(f, 3, v->group[g].name[v->group[g].of[i]]);
        csv_end_row(f);
    }
    free(path);
    return hct_outfile_close(f, err);
}

/* Points by colour: of[i] the series of scan i, below 0 none. */
static hct_status draw(const plane *v, const char *name, const char *title, const char *const *names, const int32_t *of,
                       size_t n_series, hct_err *err) {
    size_t n = v->e.n;
    const double *y = v->tsne ? v->tsne : v->pca;
    double *points = malloc(2 * n * sizeof *points + 1);
    plot_series *s = calloc(n_series + 1, sizeof *s);
    char file[200], x_label[64], y_label[64];
    hct_status st = points && s ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a figure");
    for (size_t k = 0, at = 0; st == HCT_OK && k < n_series; k++) {
        s[k] = (plot_series){.title = names[k], .x = points + at, .y = points + n + at, .dots = true};
        for (size_t i = 0; i < n; i++) {
            if (of[i] != (int32_t)k) continue;
            points[at] = y[2 * i];
            points[n + at++] = y[2 * i + 1];
            s[k].n++;
        }
    }
    for (int a = 0; a < 2; a++) {
        char *label = a ? y_label : x_label;
        if (v->tsne) snprintf(label, 64, "t-SNE %d (no unit)", a + 1);
        else snprintf(label, 64, "principal component %d (%.0f%% of the variance)", a + 1, 100 * v->share[a]);
    }
    const plot figure = {.title = title,
                         .x_label = x_label,
                         .y_label = y_label,
                         .series = s,
                         .n = n_series,
                         .width = 760,
                         .height = 560};
    char *folder = path_join(v->o->out, "figures");
    char *path = folder ? path_join(folder, figure_file("project", name, file)) : NULL;
    if (st == HCT_OK && !path) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = path_make_folders(folder, err);
    if (st == HCT_OK) st = plot_write(&figure, path, err);
    free(folder);
    free(path);
    free(points);
    free(s);
    return st;
}

static hct_status draw_all(const plane *v, hct_err *err) {
    const predictions *s = &v->e.scans;
    size_t n = v->e.n;
    int32_t *of = malloc(n * sizeof *of + 1);
    hct_status st = of ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", n);
    for (size_t k = 0; k < s->n_tasks && st == HCT_OK; k++) {
        static const char *const names[] = {"all others", "positive"};
        char title[200];
        size_t positives = 0;
        for (size_t i = 0; i < n; i++) positives += (size_t)(of[i] = s->label[i * s->n_tasks + k] == 1);
        snprintf(title, sizeof title, "%s: %zu of %zu scans", s->task[k], positives, n);
        st = draw(v, s->task[k], title, names, of, 2, err);
    }
    for (int g = 0; g < v->o->n_colours && st == HCT_OK; g++) {
        const grouping *c = &v->group[g];
        const char *names[GROUPING_MOST];
        int32_t place[GROUPING_MOST];
        for (size_t i = 0; i < c->n; i++) {
            place[c->shown[i]] = (int32_t)i;
            names[i] = c->name[c->shown[i]];
        }
        for (size_t i = 0; i < n; i++) of[i] = place[c->of[i]];
        st = draw(v, c->column, c->column, names, of, c->n, err);
    }
    if (st == HCT_OK && s->n_tasks == 0 && v->o->n_colours == 0) {
        static const char *const names[] = {"scans"};
        for (size_t i = 0; i < n; i++) of[i] = 0;
        st = draw(v, "all", "All scans", names, of, 1, err);
    }
    free(of);
    return st;
}

hct_status project_run(const project_options *o, FILE *said, hct_err *err) {
    plane v = {.o = o, .kl = NAN, .group = calloc((size_t)o->n_colours + 1, sizeof *v.group)};
    hct_status st = v.group ? embeddings_read(o->embeddings, o->embedding_ids, o->split, &v.e, err)
                            : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && o->labels) st = embeddings_label(&v.e, o->labels, err);
    for (int g = 0; g < o->n_colours && st == HCT_OK; g++)
        st = grouping_make(o->colour[g], o->groups, v.e.scans.scan, v.e.n, &v.group[g], err);
    v.by_tree = v.e.n > TSNE_MOST || o->tree;
    if (st == HCT_OK) {
        v.pca = malloc(2 * v.e.n * sizeof *v.pca + 1);
        st = v.pca ? pca(v.e.x, v.e.n, v.e.width, 2, (int)o->threads, v.pca, v.share, err)
                   : hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", v.e.n);
    }
    if (st == HCT_OK && !o->pca_only) st = lay_out(&v, err);
    if (st == HCT_OK) st = path_make_folders(o->out, err);
    if (st == HCT_OK) st = write_table(&v, err);
    if (st == HCT_OK) st = draw_all(&v, err);
    if (st == HCT_OK && said) {
        fprintf(said, "%zu scans of %zu numbers; two principal components hold %.1f%% and %.1f%% of the variance",
                v.e.n, v.e.width, 100 * v.share[0], 100 * v.share[1]);
        if (v.tsne)
            fprintf(said, "; t-SNE%s: KL %.4f after %lld steps", v.by_tree ? " by Barnes-Hut" : "", v.kl,
                    (long long)o->iterations);
        fprintf(said, "\n%s\n", o->out);
    }
    for (int g = 0; v.group && g < o->n_colours; g++) grouping_free(&v.group[g]);
    free(v.group);
    free(v.pca);
    free(v.tsne);
    embeddings_free(&v.e);
    return st;
}
