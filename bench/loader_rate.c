/* loader_rate DATASET [--threads N] [--seconds S] [--windows]: scans a second that the loader decodes, without any
 * training: the prepared cubes that DINO reads (int16), or the windowed inputs of MAE. Nothing is kept in memory, so
 * every scan is read and decoded each time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/loader.h"
#include "support/measure.h"

static int usage(void) {
    fputs("usage: loader_rate DATASET [--threads N] [--seconds S] [--windows]\n", stderr);
    return 2;
}

int main(int argc, char **argv) {
    static const hu_window window[] = {{40, 80}, {80, 200}, {600, 2800}};
    const char *folder = NULL;
    double seconds = 10;
    int threads = 0, windows = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--threads") && i + 1 < argc) threads = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--seconds") && i + 1 < argc) seconds = atof(argv[++i]);
        else if (!strcmp(argv[i], "--windows")) windows = 1;
        else if (argv[i][0] != '-' && !folder) folder = argv[i];
        else return usage();
    }
    if (!folder || !(seconds > 0)) return usage();
    hct_err err = {0, ""};
    dataset *d = dataset_open(folder, &err);
    loader_options o = {.cube = {.region = 224, .edge = 224}, .threads = threads};
    if (windows) o.input = input_cube(window, 3, 192, 96);
    loader *l = d && d->n ? loader_new(d, &o, &err) : NULL;
    size_t *order = l ? malloc(d->n * sizeof *order) : NULL, done = 0;
    void *item = l ? malloc(loader_item_bytes(l)) : NULL;
    hct_status st = order && item ? HCT_OK : err.code < 0 ? err.code : HCT_EINVAL;
    for (size_t i = 0; st == HCT_OK && i < d->n; i++) order[i] = i;
    double began = measure_now(), took = 0;
    while (st == HCT_OK && took < seconds) {
        int got = 0;
        st = loader_start(l, order, d->n, &err);
        while (st == HCT_OK && took < seconds && (got = loader_next(l, item, NULL, &err)) > 0) {
            done++;
            took = measure_now() - began;
        }
        if (got < 0) st = (hct_status)got;
    }
    if (st == HCT_OK)
        printf("{\"scans\": %zu, \"seconds\": %.3f, \"scans_per_second\": %.2f, \"megabytes_per_second\": %.1f, "
               "\"item\": \"%s\", \"threads\": %d}\n",
               done, took, (double)done / took, (double)done * (double)loader_item_bytes(l) / took / 1e6,
               windows ? "windowed inputs, float32" : "cubes, int16", threads);
    else fprintf(stderr, "loader_rate: %s\n", err.msg[0] ? err.msg : "the dataset has no scan");
    loader_free(l);
    dataset_close(d);
    free(order);
    free(item);
    return st == HCT_OK ? 0 : 1;
}
