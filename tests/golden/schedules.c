/* Every row of every schedule CSV, and the teacher temperatures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "support/csv.h"
#include "support/text.h"
#include "tap.h"
#include "recipe/schedule.h"

static const golden_tol RATE = {1e-12, 1e-9, -1};

/* Column `name` as numbers; blanks become NaN. */
static double *column(const csv *t, const char *name) {
    int c = csv_column(t, name);
    double *v = calloc(t->rows + 1, sizeof *v);
    for (size_t i = 0; i < t->rows; i++)
        if (c < 0 || !text_double(csv_cell(t, i, (size_t)c), &v[i])) v[i] = NAN;
    return v;
}

static double *cosine(const cJSON *pair, size_t n, int64_t total) {
    double *v = calloc(n + 1, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = cJSON_IsArray(pair)
                   ? schedule_cosine(golden_number(pair, "0"), golden_number(pair, "1"), (int64_t)i, total)
                   : NAN;
    return v;
}

static void compare(const golden_case *c, const char *run, const char *what, double *got, double *want, size_t n,
                    golden_tol tol) {
    char label[160];
    snprintf(label, sizeof label, "%s: %s", run, what);
    golden_check_f64(c, label, got, n, want, n, tol);
    free(got);
    free(want);
}

static void check_run(const golden_case *c, const cJSON *run) {
    char path[1024];
    hct_err err = {0};
    snprintf(path, sizeof path, "%s/%s.csv", c->folder, run->string);
    csv *t = csv_read(path, &err);
    const cJSON *kind = golden_item(run, "kind"), *warm = golden_item(run, "warm");
    if (!t || !cJSON_IsString(kind) || !cJSON_IsString(warm)) {
        tap_ok(0, "%s: kind, warm and a CSV of %s (%s)", c->name, run->string, err.msg);
        csv_free(t);
        return;
    }
    double base = golden_number(run, "base"), batch = golden_number(run, "batch");
    if (!isnan(batch)) base = schedule_scaled_lr(base, batch);
    int64_t epoch_steps = (int64_t)golden_number(run, "nit");
    int64_t total = epoch_steps * (int64_t)golden_number(run, "epochs");
    double amount = strtod(warm->valuestring, NULL);
    int64_t warmup = strstr(warm->valuestring, "epoch") ? (int64_t)(amount * (double)epoch_steps)
                                                        : (int64_t)(amount * (double)total);
    lr_schedule s = {!strcmp(kind->valuestring, "cosine") ? SCHEDULE_COSINE
                     : !strcmp(kind->valuestring, "poly") ? SCHEDULE_POLY
                                                          : SCHEDULE_CONSTANT,
                     base, base / 1000, warmup, total};
    golden_check_number(c, "total steps", (double)total, golden_number(run, "total_steps"), GOLDEN_FORMULA);
    golden_check_number(c, "warm-up steps", (double)warmup, golden_number(run, "warmup_steps"), GOLDEN_FORMULA);
    golden_check_number(c, "scaled rate", base, golden_number(run, "base_lr_after_batch_scaling"), GOLDEN_FORMULA);
    golden_check_number(c, "rate after the last step", schedule_lr(&s, total), golden_number(run, "lr_after_last_step"),
                        RATE);
    tap_ok(t->rows == (size_t)total, "%s: %zu rows for %lld steps", run->string, t->rows, (long long)total);
    double *lr = calloc(t->rows + 1, sizeof *lr), *steps = column(t, "step");
    for (size_t i = 0; i < t->rows; i++) lr[i] = schedule_lr(&s, (int64_t)steps[i]);
    free(steps);
    compare(c, run->string, "learning rate", lr, column(t, "lr"), t->rows, RATE);
    compare(c, run->string, "weight decay", cosine(golden_item(run, "wd"), t->rows, total), column(t, "wd"), t->rows,
            GOLDEN_FORMULA);
    compare(c, run->string, "momentum", cosine(golden_item(run, "ema"), t->rows, total), column(t, "ema"), t->rows,
            GOLDEN_FORMULA);
    csv_free(t);
}

static void check_temperature(const golden_case *c, const cJSON *one) {
    const cJSON *want = golden_item(one, "per_epoch");
    for (int e = 0; e < cJSON_GetArraySize(want); e++)
        golden_check_number(c, "teacher temperature",
                            schedule_temperature(golden_number(one, "warmup_teacher_temp"),
                                                 golden_number(one, "teacher_temp"),
                                                 (int64_t)golden_number(one, "warmup_epochs"), e),
                            cJSON_GetArrayItem(want, e)->valuedouble, GOLDEN_FORMULA);
}

int main(void) {
    golden_case *c;
    golden_begin();
    for (size_t i = 0; (c = golden_open("schedules", i)); golden_close(c), i++) {
        const cJSON *item;
        cJSON_ArrayForEach(item, golden_item(c->json, "runs")) check_run(c, item);
        cJSON_ArrayForEach(item, golden_item(c->json, "teacher_temp")) check_temperature(c, item);
    }
    return golden_done();
}
