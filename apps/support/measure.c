/* Clock, memory and a machine's rate of matrix products. */
#include "support/measure.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

double measure_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

const char *measure_utc(char when[32]) {
    time_t now = time(NULL);
    struct tm t;
    strftime(when, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &t));
    return when;
}

static uint64_t status_field(const char *key) {
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    size_t n = strlen(key);
    for (char line[256]; f && fgets(line, sizeof line, f);)
        if (!strncmp(line, key, n) && sscanf(line + n, " %llu", &kib) == 1) break;
    if (f) fclose(f);
    return (uint64_t)kib * 1024;
}

uint64_t measure_resident(void) { return status_field("RssAnon:") + status_field("RssShmem:"); }
uint64_t measure_from_files(void) { return status_field("RssFile:"); }

double measure_product_rate(hct_dev *dev) {
    enum { M = 2048, K = 768, N = 3072 };
    hct_tensor *x = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){M, K}, NULL),
               *w = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){N, K}, NULL);
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    double best = 0;
    if (x && w && t) {
        hct_keep(t, hct_linear(t, hct_use(t, x), hct_use(t, w), 0));
        if (hct_compile(t, NULL) == HCT_OK)
            for (int i = 0; i < 4; i++) { /* the first run warms up */
                double start = measure_now();
                if (hct_run(t, NULL) < 0) break;
                double rate = 2.0 * M * K * N / (measure_now() - start);
                if (i && rate > best) best = rate;
            }
    }
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(w);
    return best;
}
