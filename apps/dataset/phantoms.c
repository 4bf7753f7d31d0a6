/* A folder of made-up head CTs and the CSV of their labels. */
#include "dataset/phantoms.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataset/sources.h"
#include "hct/io.h"
#include "imaging/nifti.h"
#include "support/workers.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/progress.h"

/* One scan to write: which, and the labels that came out. */
typedef struct item {
    int64_t patient, scan;
    int present[FINDINGS], reads[READINGS];
} item;

typedef struct batch {
    const phantoms_options *set;
    item *items;
    pthread_mutex_t lock; /* guards progress */
    progress progress;
    int64_t done;
} batch;

static void scan_name(const item *it, char ret[48]) {
    snprintf(ret, 48, "p%04lld_s%lld", (long long)it->patient + 1, (long long)it->scan + 1);
}

/* DIR-masks: beside the scans, which headct prepare takes whole. */
static int masks_folder(const phantoms_options *s, char *ret, size_t room) {
    size_t n = strlen(s->out);
    while (n > 1 && s->out[n - 1] == '/') n--;
    return snprintf(ret, room, "%.*s-masks", (int)n, s->out);
}

/* DIR-masks/SCAN_WHAT.nii.gz */
static hct_status write_mask(const phantoms_options *s, const char *name, const char *what, volume *v, hct_err *err) {
    char path[4096];
    int n = masks_folder(s, path, sizeof path);
    snprintf(path + n, sizeof path - (size_t)n, "/%s_%s.nii.gz", name, what);
    hct_status st = nifti_write(path, v, 1, err);
    volume_free(v);
    return st;
}

static hct_status write_masks(const phantoms_options *s, const phantom *p, const char *name, hct_err *err) {
    volume v;
    int any = 0;
    hct_status st = HCT_OK;
    for (int f = 0; f < FINDINGS && st == HCT_OK; f++) {
        if (!(s->masks >> f & 1) || !p->present[f]) continue;
        any = 1;
        if ((st = phantom_mask(p, (finding)f, &v, err)) == HCT_OK) st = write_mask(s, name, finding_names[f], &v, err);
    }
    if (st == HCT_OK && any && (st = phantom_inside(p, &v, err)) == HCT_OK) st = write_mask(s, name, "brain", &v, err);
    return st;
}

static hct_status write_one(void *context, int64_t i, hct_err *err) {
    batch *b = context;
    item *it = &b->items[i];
    phantom p;
    volume v;
    char name[48], path[4096];
    phantom_draw(&p, &b->set->set, (uint64_t)it->patient, (uint64_t)it->scan);
    memcpy(it->present, p.present, sizeof it->present);
    memcpy(it->reads, p.reads, sizeof it->reads);
    scan_name(it, name);
    snprintf(path, sizeof path, "%s/%s.nii.gz", b->set->out, name);
    hct_status s = phantom_render(&p, &v, err);
    if (s == HCT_OK) s = nifti_write(path, &v, 1, err);
    volume_free(&v);
    if (s == HCT_OK && b->set->masks) s = write_masks(b->set, &p, name, err);
    pthread_mutex_lock(&b->lock);
    progress_show(&b->progress, ++b->done, "");
    pthread_mutex_unlock(&b->lock);
    return s;
}

static hct_status write_labels(const phantoms_options *s, const item *items, int64_t n, hct_err *err) {
    char path[4096], name[48];
    snprintf(path, sizeof path, "%s/labels.csv", s->out);
    hct_outfile *f = hct_outfile_open(path, err);
    csv_put(f, 0, "scan");
    csv_put(f, 1, "patient");
    const int readings = s->readings ? READINGS : 0;
    for (int k = 0; k < FINDINGS; k++) csv_put(f, (size_t)k + 2, finding_names[k]);
    for (int k = 0; k < readings; k++) csv_put(f, (size_t)(FINDINGS + k) + 2, reading_names[k]);
    csv_end_row(f);
    for (int64_t i = 0; i < n; i++) {
        scan_name(&items[i], name);
        csv_put(f, 0, name);
        name[strcspn(name, "_")] = 0;
        csv_put(f, 1, name);
        for (int k = 0; k < FINDINGS; k++) csv_put(f, (size_t)k + 2, items[i].present[k] ? "1" : "0");
        for (int k = 0; k < readings; k++) csv_put(f, (size_t)(FINDINGS + k) + 2, items[i].reads[k] ? "1" : "0");
        csv_end_row(f);
    }
    return hct_outfile_close(f, err);
}

static int64_t scans_of(const phantoms_options *s, int64_t patient) {
    return phantom_scans(s->set.seed, (uint64_t)patient, s->scans_min, s->scans_max);
}

static int is_of_set(const phantoms_options *s, const char *file) {
    long long patient, scan;
    char name[48], whole[64];
    if (sscanf(file, "p%lld_s%lld", &patient, &scan) != 2 || patient < 1 || patient > s->patients) return 0;
    if (scan < 1 || scan > scans_of(s, patient - 1)) return 0;
    scan_name(&(item){.patient = patient - 1, .scan = scan - 1}, name);
    snprintf(whole, sizeof whole, "%s.nii.gz", name);
    return strcmp(file, whole) == 0;
}

/* Makes the folder. Scans that are there may only be those that will be written over: labels.csv will not know of
 * others. It is written last, so an older one goes first: it must not stand beside scans that it does not tell of. */
static hct_status open_folder(const phantoms_options *s, hct_err *err) {
    char **names = NULL, strange[256] = "", *labels = path_join(s->out, "labels.csv");
    size_t n = 0, strangers = 0;
    hct_status status = labels ? path_make_folders(s->out, err) : hct_fail(err, HCT_ENOMEM, "no memory");
    if (status == HCT_OK) status = path_list(s->out, "", &names, &n, err);
    if (status == HCT_OK && s->masks) {
        char masks[4096];
        masks_folder(s, masks, sizeof masks);
        status = path_make_folders(masks, err);
    }
    for (size_t i = 0; i < n; i++) {
        if (source_is_volume(names[i]) && !is_of_set(s, names[i]) && !strangers++)
            snprintf(strange, sizeof strange, "%s", names[i]);
        free(names[i]);
    }
    free(names);
    if (strangers)
        status = hct_fail(err, HCT_EINVAL,
                          "%s: %zu scans are there that are not of this set (%s, for one) and would have no labels: "
                          "name another folder, or remove them",
                          s->out, strangers, strange);
    if (status == HCT_OK) hct_leftovers_remove(s->out);
    if (status == HCT_OK) unlink(labels);
    free(labels);
    return status;
}

hct_status phantoms_write(const phantoms_options *s, FILE *out, int64_t *ret_scans, hct_err *err) {
    int64_t n = 0;
    for (int64_t p = 0; p < s->patients; p++) n += scans_of(s, p);
    batch b = {.set = s, .items = calloc((size_t)n + 1, sizeof *b.items)};
    hct_status status =
        b.items ? open_folder(s, err) : hct_fail(err, HCT_ENOMEM, "no memory for %lld scans", (long long)n);
    if (status == HCT_OK) {
        for (int64_t p = 0, i = 0; p < s->patients; p++)
            for (int64_t k = 0; k < scans_of(s, p); k++) b.items[i++] = (item){.patient = p, .scan = k};
        pthread_mutex_init(&b.lock, NULL);
        b.progress = progress_begin(out, "scan", 0, n, "scans", 1);
        status = workers_run((int)s->jobs, n, write_one, &b, err);
        if (status == HCT_OK) progress_end(&b.progress, "");
        else progress_break(&b.progress);
        pthread_mutex_destroy(&b.lock);
    }
    if (status == HCT_OK) status = write_labels(s, b.items, n, err);
    free(b.items);
    *ret_scans = n;
    return status;
}
