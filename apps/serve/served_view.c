/* A scan as the viewer takes it. */
#include "serve/served_view.h"

#include <stdlib.h>
#include <string.h>

#include "explain/overlay.h"
#include "explain/saliency.h"
#include "figures/viewer.h"
#include "imaging/form.h"

static const classifier *who_says(const served_model *m, const char *task) {
    for (size_t i = 0; i < m->set.n; i++)
        for (int k = 0; k < m->set.item[i].info.n_tasks; k++)
            if (!strcmp(m->set.item[i].info.task[k], task)) return &m->set.item[i];
    return NULL;
}

/* The map over the voxels of v, row-major, and its peak. */
static hct_status make_map(const served_model *m, const volume *v, const char *task, float **ret, int64_t at[3],
                           hct_err *err) {
    const classifier *c = who_says(m, task);
    if (!c) return hct_fail(err, HCT_ENOTFOUND, "the model has no task '%s'", task);
    const input_spec *spec = &c->info.encoder.input;
    if (*spec->form)
        return hct_fail(err, HCT_EINVAL, "the model takes volumes of its own, which are not mapped back yet");
    saliency *s = saliency_new(m->dev, c->p, &c->info, task, err);
    float *input = malloc(input_floats(spec) * sizeof *input + 1);
    saliency_map map = {.value = NULL};
    volume over = {0};
    double probability;
    hct_status st = !s ? (err ? err->code : HCT_EINVAL) : input ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = input_make(spec, v, input, err);
    if (st == HCT_OK) {
        const saliency_method how = saliency_allows(s, SALIENCY_GRADIENT) ? SALIENCY_GRADIENT : SALIENCY_INPUT;
        st = saliency_run(s, input, how, NULL, NULL, &map, &probability, err);
    }
    if (st == HCT_OK) st = overlay_make(&map, v, spec, v, &over, err);
    if (st == HCT_OK && overlay_peak(&over, at) <= 0) st = hct_fail(err, HCT_EINVAL, "the map is nowhere above 0");
    if (st == HCT_OK && !(*ret = volume_row_major(&over, err))) st = HCT_ENOMEM;
    saliency_free(s);
    volume_free(&over);
    free(map.value);
    free(input);
    return st;
}

hct_status served_view(served_model *m, cohort *c, size_t i, const char *task, text_buffer *html, hct_err *ret_why,
                       hct_err *err) {
    const candidate_options o = {.jobs = 0};
    candidate_facts facts;
    volume v = {0};
    float *shown = NULL, *over = NULL;
    viewer view = {.title = c->scans[i].id, .mm = {1, 1, 1}, .overlay_name = task};
    *ret_why = (hct_err){0};
    candidate *found = cohort_files_find(c->files, c->scans[i].found, err);
    if (!found) return err ? err->code : HCT_EIO;
    hct_status st = candidate_prepare(&c->files->candidates, found, &c->files->filters, &o, &v, &facts, err);
    if (st == HCT_OK && !(shown = volume_row_major(&v, err))) st = HCT_ENOMEM;
    for (int a = 0; a < 3; a++) {
        view.dim[a] = v.dim[a];
        view.at[a] = v.dim[a] / 2;
    }
    if (st == HCT_OK && *task && make_map(m, &v, task, &over, view.at, ret_why) == HCT_ENOMEM)
        st = hct_fail(err, HCT_ENOMEM, "%s", ret_why->msg);
    view.volume = shown;
    view.overlay = over;
    if (st == HCT_OK) viewer_html(html, &view);
    volume_free(&v);
    free(shown);
    free(over);
    return st;
}
