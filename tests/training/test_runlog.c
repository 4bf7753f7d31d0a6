/* metrics.jsonl over kills and resumes, TensorBoard's framing read back by a checker of its own. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check_main.h"
#include "hct/io.h"
#include "scratch.h"
#include "support/paths.h"
#include "support/tensorboard.h"
#include "run/runlog.h"
#include "write_shim.h"

static const char *run_folder(const char *name) {
    const char *path = scratch_path(name);
    mkdir(path, 0777);
    return path;
}

static char *metrics_of(const char *run) {
    char path[600], *text = NULL;
    snprintf(path, sizeof path, "%s/metrics.jsonl", run);
    ck_assert_int_eq(hct_read_file(path, &text, NULL, NULL), HCT_OK);
    return text;
}

/* Logs steps from..to as a trainer would. */
static void train(runlog *log, int from, int to) {
    for (int s = from; s <= to; s++) {
        runlog_write(log, s, "train", (runlog_value[]){{"epoch", s / 4}, {"loss", 1.0 / s}, {"lr", 1e-3}}, 3);
        runlog_timing(log, s, "scans_per_second", 12.5);
        if (s % 4 == 0) runlog_write(log, s, "validation", (runlog_value[]){{"loss", s == 8 ? NAN : 2.0 / s}}, 1);
    }
}

START_TEST(a_resumed_log_equals_an_undisturbed_one) {
    const char *whole = run_folder("whole");
    runlog *log = runlog_open(whole, -1, NULL);
    train(log, 1, 12);
    ck_assert_int_eq(runlog_sync(log, NULL), HCT_OK);
    ck_assert_int_eq(runlog_close(log, NULL), HCT_OK);
    char *want = metrics_of(whole);
    ck_assert_ptr_nonnull(strstr(want, "{\"step\":1,\"phase\":\"train\",\"epoch\":0,\"loss\":1,\"lr\":0.001}\n"));
    ck_assert_ptr_nonnull(strstr(want, "{\"step\":8,\"phase\":\"validation\",\"loss\":null}\n"));
    for (int killed = 1; killed <= 11; killed++)
        for (int checkpoint = 0; checkpoint <= killed; checkpoint += 3) {
            const char *run = run_folder("killed");
            log = runlog_open(run, -1, NULL); /* a new run drops what lay there */
            train(log, 1, killed);
            runlog_close(log, NULL);
            char path[600];
            snprintf(path, sizeof path, "%s/metrics.jsonl", run);
            FILE *f = fopen(path, "a");
            fputs("{\"step\":99,\"pha", f); /* half a line, as a kill leaves it */
            fclose(f);
            log = runlog_open(run, checkpoint, NULL);
            train(log, checkpoint + 1, 12);
            runlog_close(log, NULL);
            char *got = metrics_of(run);
            ck_assert_str_eq(got, want);
            free(got);
        }
    free(want);
}
END_TEST

START_TEST(series_are_read_back) {
    const char *run = run_folder("series");
    runlog *log = runlog_open(run, -1, NULL);
    train(log, 1, 12);
    runlog_close(log, NULL);
    double *steps, *values;
    size_t n;
    ck_assert_int_eq(runlog_read(run, "train", "loss", &steps, &values, &n, NULL), HCT_OK);
    ck_assert_uint_eq(n, 12);
    ck_assert_double_eq(steps[6], 7);
    ck_assert_double_eq(values[6], 1.0 / 7);
    free(steps);
    free(values);
    ck_assert_int_eq(runlog_read(run, "validation", "loss", &steps, &values, &n, NULL), HCT_OK);
    ck_assert_uint_eq(n, 2); /* the NaN is left out */
    free(steps);
    free(values);
    ck_assert_int_eq(runlog_read(run, "train", "nothing", &steps, &values, &n, NULL), HCT_OK);
    ck_assert_uint_eq(n, 0);
    free(steps);
    free(values);
    char **phases;
    ck_assert_int_eq(runlog_phases(run, "loss", &phases, &n, NULL), HCT_OK);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(phases[0], "train");
    ck_assert_str_eq(phases[1], "validation");
    free(phases[0]);
    free(phases[1]);
    free(phases);
    ck_assert_int_eq(runlog_read(scratch_folder(), "train", "loss", &steps, &values, &n, NULL), HCT_ENOTFOUND);
}
END_TEST

START_TEST(a_full_disk_is_told) {
    const char *run = run_folder("full");
    hct_err err = {0};
    runlog *log = runlog_open(run, -1, &err);
    write_shim_budget = 300;
    train(log, 1, 12);
    ck_assert_int_eq(runlog_sync(log, &err), HCT_EIO);
    ck_assert_ptr_nonnull(strstr(err.msg, "metrics.jsonl"));
    ck_assert_int_eq(runlog_close(log, &err), HCT_EIO);
    write_shim_budget = -1;
    ck_assert_ptr_null(runlog_open(scratch_path("absent"), -1, &err));
    ck_assert_ptr_nonnull(strstr(err.msg, "absent"));
}
END_TEST

START_TEST(crc32c_of_known_bytes) { /* RFC 3720, B.4 */
    unsigned char zeros[32] = {0}, rising[32];
    for (int i = 0; i < 32; i++) rising[i] = (unsigned char)i;
    ck_assert_uint_eq(crc32c(zeros, 32), 0x8a9136aau);
    ck_assert_uint_eq(crc32c(rising, 32), 0x46dd794eu);
    ck_assert_uint_eq(crc32c("123456789", 9), 0xe3069283u);
}
END_TEST

static uint64_t little(const unsigned char *p, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/* Reads one protobuf field: its number, and a varint, fixed value or length; *at moves behind the tag and, for bytes,
 * stays at their start. */
static unsigned next_field(const unsigned char **at, uint64_t *value) {
    uint64_t tag = 0, v = 0;
    for (int s = 0;; s += 7) {
        tag |= (uint64_t)(**at & 127) << s;
        if (!(*(*at)++ & 128)) break;
    }
    int wire = tag & 7, bytes = wire == 1 ? 8 : wire == 5 ? 4 : 0;
    if (bytes) {
        v = little(*at, bytes);
        *at += bytes;
    } else {
        for (int s = 0;; s += 7) {
            v |= (uint64_t)(**at & 127) << s;
            if (!(*(*at)++ & 128)) break;
        }
    }
    *value = v;
    return (unsigned)(tag >> 3);
}

START_TEST(events_read_back) {
    const char *run = run_folder("events");
    runlog *log = runlog_open(run, 6, NULL);
    runlog_write(log, 300, "train", (runlog_value[]){{"loss", 0.25}}, 1);
    ck_assert_int_eq(runlog_close(log, NULL), HCT_OK);
    char **names;
    size_t n, records = 0, size;
    ck_assert_int_eq(path_list(run, "", &names, &n, NULL), HCT_OK);
    ck_assert_uint_eq(n, 2); /* events..., metrics.jsonl */
    ck_assert_int_eq(strncmp(names[0], "events.out.tfevents.", 20), 0);
    char *path = path_join(run, names[0]), *text;
    ck_assert_int_eq(hct_read_file(path, &text, &size, NULL), HCT_OK);
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    for (; p < end; records++) {
        uint64_t length = little(p, 8), v;
        ck_assert_uint_le(length, (uint64_t)(end - p) - 16);
        ck_assert_uint_eq(little(p + 8, 4), crc32c_masked(p, 8));
        ck_assert_uint_eq(little(p + 12 + length, 4), crc32c_masked(p + 12, length));
        const unsigned char *at = p + 12;
        ck_assert_uint_eq(next_field(&at, &v), 1); /* wall_time, a double after 2020 */
        double wall;
        memcpy(&wall, &v, 8);
        ck_assert_double_gt(wall, 1.577e9);
        if (records == 0) {
            ck_assert_uint_eq(next_field(&at, &v), 3);
            ck_assert_mem_eq(at, "brain.Event:2", 13);
        } else {
            ck_assert_uint_eq(next_field(&at, &v), 2);
            ck_assert_uint_eq(v, records == 1 ? 7 : 300);
            ck_assert_uint_eq(next_field(&at, &v), records == 1 ? 7 : 5);
            if (records == 2) {
                ck_assert_uint_eq(next_field(&at, &v), 1);
                ck_assert_uint_eq(next_field(&at, &v), 1);
                ck_assert_uint_eq(v, 10);
                ck_assert_mem_eq(at, "train/loss", 10);
                at += 10;
                ck_assert_uint_eq(next_field(&at, &v), 2);
                float f;
                memcpy(&f, &(uint32_t){(uint32_t)v}, 4);
                ck_assert_float_eq(f, 0.25f);
            }
        }
        p += 16 + length;
    }
    ck_assert_uint_eq(records, 3);
    ck_assert_ptr_eq(p, end);
    free(text);
    free(path);
    for (size_t i = 0; i < n; i++) free(names[i]);
    free(names);
}
END_TEST

CHECK_MAIN("runlog", a_resumed_log_equals_an_undisturbed_one, series_are_read_back, a_full_disk_is_told,
           crc32c_of_known_bytes, events_read_back)
