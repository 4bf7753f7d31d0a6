/* Attention maps, principal components and t-SNE by hand; headct project and headct retrieve as a user runs them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "explain/attention.h"
#include "explain/pca.h"
#include "explain/tsne.h"
#include "hct/safetensors.h"
#include "headct_run.h"
#include "scratch.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

static void put(const char *name, const char *text) { scratch_file(name, text, strlen(text)); }

static void assert_says(int got, int want, const char *what) {
    ck_assert_msg(got == want && strstr(headct_said, what), "exit %d, wanted %d and \"%s\":\n%s", got, want, what,
                  headct_said);
}

/* Class token and two patches, two layers of one head. */
static const float two_layers[18] = {0.2f, 0.5f, 0.3f, 0.1f, 0.6f, 0.3f, 0.4f, 0.4f, 0.2f,
                                     0.6f, 0.1f, 0.3f, 0.2f, 0.2f, 0.6f, 0.5f, 0.3f, 0.2f};
static const attention_shape pair = {2, 1, 3, 1, {1, 1, 2}, {5, 5, 12}};

START_TEST(attention_by_hand) {
    double map[2], distance[4];
    hct_err err;
    ck_assert_int_eq(attention_check(&pair, &err), HCT_OK);
    attention_of_class(&pair, two_layers, map);
    ck_assert_double_eq_tol(map[0], 0.5, 1e-7);
    /* (A2 + I)/2 (A1 + I)/2, first row: [0.8 0.05 0.15] ([0.6 0.25 0.15] [0.05 0.8 0.15] [0.2 0.2 0.6]) */
    ck_assert_int_eq(attention_rollout(&pair, two_layers, map, &err), HCT_OK);
    ck_assert_double_eq_tol(map[0], 0.8 * 0.25 + 0.05 * 0.8 + 0.15 * 0.2, 1e-7);
    ck_assert_double_eq_tol(map[1], 0.8 * 0.15 + 0.05 * 0.15 + 0.15 * 0.6, 1e-7);
    attention_distance(&pair, two_layers, 0, distance);
    const double want[] = {0.3 * 12, 0.4 * 12, 0.6 * 12, 0.3 * 12};
    for (int i = 0; i < 4; i++) ck_assert_double_eq_tol(distance[i], want[i], 1e-6);
    attention_distance(&pair, two_layers, 1, distance);
    ck_assert_double_eq_tol(distance[0], 0.3 / 0.9 * 12, 1e-6);
    attention_shape wrong = pair;
    wrong.grid[0] = 2;
    ck_assert_int_eq(attention_check(&wrong, &err), HCT_ESHAPE);
}
END_TEST

/* Rows along (3, 4) / 5 with a little of (-4, 3) / 5. */
START_TEST(principal_components) {
    float x[20];
    double y[20], share[2];
    hct_err err;
    for (int i = 0; i < 10; i++) {
        double u = i - 4.5, v = i % 2 ? 0.1 : -0.1;
        x[2 * i] = (float)(7 + 0.6 * u - 0.8 * v);
        x[2 * i + 1] = (float)(-3 + 0.8 * u + 0.6 * v);
    }
    ck_assert_int_eq(pca(x, 10, 2, 2, 1, y, share, &err), HCT_OK);
    ck_assert_double_eq_tol(share[0] + share[1], 1, 1e-12);
    ck_assert_double_gt(share[0], 0.99);
    double rows = 0;
    for (int i = 0; i < 10; i++) {
        ck_assert_double_eq_tol(y[2 * i], i - 4.5, 0.02);
        double centred[2] = {x[2 * i] - 7, x[2 * i + 1] + 3}; /* distances stay */
        rows += centred[0] * centred[0] + centred[1] * centred[1] - y[2 * i] * y[2 * i] - y[2 * i + 1] * y[2 * i + 1];
    }
    ck_assert_double_eq_tol(rows, 0, 1e-4);
    ck_assert_int_eq(pca(x, 1, 2, 1, 1, y, share, &err), HCT_EINVAL);
    x[5] = NAN;
    ck_assert_int_eq(pca(x, 10, 2, 1, 1, y, share, &err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "row 2"));
}
END_TEST

/* The gradient is that of the cost, by differences; threads change nothing; what cannot be is refused. */
START_TEST(tsne_by_differences) {
    enum { N = 15 };
    float x[3 * N];
    double p[N * N], y[2 * N], g[2 * N], other[2 * N], up, down;
    hct_err err;
    srand(4);
    for (int i = 0; i < 3 * N; i++) x[i] = (float)rand() / (float)RAND_MAX;
    for (int i = 0; i < 2 * N; i++) y[i] = (double)rand() / RAND_MAX;
    ck_assert_int_eq(tsne_joint(x, N, 3, 4, 1, p, &err), HCT_OK);
    double sum = 0;
    for (int i = 0; i < N * N; i++) sum += p[i];
    ck_assert_double_eq_tol(sum, 1, 1e-12);
    ck_assert_int_eq(tsne_cost(p, y, N, 1, 1, &up, g, &err), HCT_OK);
    for (int i = 0; i < 2 * N; i++) {
        double at = y[i], h = 1e-5;
        y[i] = at + h;
        tsne_cost(p, y, N, 1, 1, &up, NULL, &err);
        y[i] = at - h;
        tsne_cost(p, y, N, 1, 1, &down, NULL, &err);
        y[i] = at;
        ck_assert_double_eq_tol((up - down) / (2 * h), g[i], 1e-8);
    }
    memcpy(other, y, sizeof y);
    tsne_options o = {.iterations = 300, .threads = 1};
    ck_assert_int_eq(tsne_run(p, N, &o, y, &up, &err), HCT_OK);
    o.threads = 4;
    ck_assert_int_eq(tsne_run(p, N, &o, other, &down, &err), HCT_OK);
    ck_assert_mem_eq(y, other, sizeof y);
    ck_assert_int_eq(tsne_joint(x, N, 3, 14, 1, p, &err), HCT_EINVAL);
    ck_assert_int_eq(tsne_joint(x, TSNE_MOST + 1, 3, 5, 1, p, &err), HCT_ESHAPE);
}
END_TEST

enum { SCANS = 40, WIDTH = 6 };

/* Two clusters: the first half of the scans has label A; scans 2k and 2k + 1 are of one patient. */
static void put_embeddings(const char *name, int width) {
    float x[SCANS * WIDTH];
    text_buffer scans = {0}, patients = {0}, splits = {0};
    srand(9);
    for (int i = 0; i < SCANS * width; i++) x[i] = (float)rand() / (float)RAND_MAX;
    for (int i = 0; i < SCANS; i++) {
        x[i * width + (i < SCANS / 2 ? 0 : 1)] += 4;
        text_printf(&scans, "%s\"s%d\"", i ? "," : "[", i);
        text_printf(&patients, "%s\"p%d\"", i ? "," : "[", i / 2);
        text_printf(&splits, "%s\"%s\"", i ? "," : "[", i % 4 ? "train" : "test");
    }
    text_printf(&scans, "]");
    text_printf(&patients, "]");
    text_printf(&splits, "]");
    hct_err err;
    const hct_st_entry e = {.name = "embeddings",
                            .dtype = HCT_F32,
                            .ndim = 2,
                            .dim = {SCANS, width},
                            .data = x,
                            .bytes = sizeof(float) * (size_t)(SCANS * width)};
    const hct_st_pair meta[] = {{"scans", text_so_far(&scans)},
                                {"patients", text_so_far(&patients)},
                                {"splits", text_so_far(&splits)}};
    ck_assert_msg(hct_st_write(scratch_path(name), &e, 1, meta, 3, &err) == HCT_OK, "%s", err.msg);
    text_free(&scans);
    text_free(&patients);
    text_free(&splits);
    text_buffer labels = {0}, groups = {0};
    text_printf(&labels, "scan,patient,A,B\n");
    text_printf(&groups, "scan,thickness,maker\n");
    for (int i = 0; i < SCANS; i++) {
        text_printf(&labels, "s%d,p%d,%d,%s\n", i, i / 2, i < SCANS / 2, i % 5 ? "" : i % 2 ? "1" : "0");
        text_printf(&groups, "s%d,%g,%s\n", i, 0.5 + i % 9 * 0.5, i % 3 ? "X" : "Y");
    }
    text_save(&labels, scratch_path("labels.csv"), NULL);
    text_save(&groups, scratch_path("groups.csv"), NULL);
    text_free(&labels);
    text_free(&groups);
}

START_TEST(project) {
    put_embeddings("e.safetensors", WIDTH);
    char e[300], out[300], labels[300], groups[300];
    snprintf(e, sizeof e, "%s", scratch_path("e.safetensors"));
    snprintf(out, sizeof out, "%s", scratch_path("plane"));
    snprintf(labels, sizeof labels, "%s", scratch_path("labels.csv"));
    snprintf(groups, sizeof groups, "%s", scratch_path("groups.csv"));
    assert_says(
        headct_run("project %s --labels %s --colour thickness:0.5-1-3-5 --colour maker --groups %s --perplexity 8 "
                   "--steps 400 -q --out %s",
                   e, labels, groups, out),
        0, "40 scans of 6 numbers");
    csv *t = csv_read(scratch_path("plane/projection.csv"), NULL);
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(t->rows, SCANS);
    int x = csv_column(t, "tsne_1"), y = csv_column(t, "tsne_2"), a = csv_column(t, "A"),
        g = csv_column(t, "thickness");
    ck_assert(x >= 0 && y >= 0 && a >= 0 && g >= 0);
    ck_assert_str_eq(csv_cell(t, 0, (size_t)g), "0.5 to 1");
    int alike = 0;
    for (size_t i = 0; i < SCANS; i++) { /* the nearest point is of the same cluster */
        double best = INFINITY;
        size_t nearest = i;
        for (size_t j = 0; j < SCANS; j++) {
            double d = hypot(atof(csv_cell(t, i, (size_t)x)) - atof(csv_cell(t, j, (size_t)x)),
                             atof(csv_cell(t, i, (size_t)y)) - atof(csv_cell(t, j, (size_t)y)));
            if (j != i && d < best) best = d, nearest = j;
        }
        alike += !strcmp(csv_cell(t, i, (size_t)a), csv_cell(t, nearest, (size_t)a));
    }
    ck_assert_int_eq(alike, SCANS);
    csv_free(t);
    static const char *const figures[] = {"A", "B", "thickness", "maker"};
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "plane/figures/project_%s.svg", figures[i]);
        ck_assert_msg(path_is_file(scratch_path(path)), "%s", path);
    }
    assert_says(headct_run("project %s --method pca --split test --out %s", e, out), 0, "10 scans of 6 numbers");
    assert_says(headct_run("project %s --out %s -q", e, out), 0, "KL");
    assert_says(headct_run("project %s --perplexity 39 --out %s", e, out), 1, "a perplexity of 39 needs more than 40");
    assert_says(headct_run("project %s --split tset --out %s", e, out), 1, "holds no scan of split tset");
    assert_says(headct_run("project %s --colour maker --out %s", e, out), 2, "--colour needs --groups");
    assert_says(headct_run("project %s --colour makre --groups %s --out %s", e, groups, out), 1, "maker");
    assert_says(headct_run("project %s", e), 2, "--out DIR is missing");
    assert_says(headct_run("project %s --out %s", labels, out), 1, "labels.csv");
    put("labels.csv", "scan,patient,A\nother,p,1\n");
    assert_says(headct_run("project %s --labels %s --out %s", e, labels, out), 1, "has labels of 0 of the 40 scans");
}
END_TEST

START_TEST(retrieve) {
    put_embeddings("e.safetensors", WIDTH);
    char e[300], labels[300];
    snprintf(e, sizeof e, "%s", scratch_path("e.safetensors"));
    snprintf(labels, sizeof labels, "%s", scratch_path("labels.csv"));
    assert_says(headct_run("retrieve %s --labels %s --neighbours 3 --out %s", e, labels, scratch_path("found")), 0,
                "mean average precision");
    csv *t = csv_read(scratch_path("found/retrieval.csv"), NULL),
        *near = csv_read(scratch_path("found/neighbours.csv"), NULL);
    ck_assert(t && near && t->rows == 2 && near->rows == SCANS * 3);
    ck_assert_str_eq(csv_cell(t, 0, 1), "20");
    ck_assert_str_eq(csv_cell(t, 0, 2), "1"); /* the clusters are apart: every query finds all of its own first */
    double chance;
    ck_assert(text_double(csv_cell(t, 0, 5), &chance));
    ck_assert_double_eq_tol(chance, 18.0 / 38, 1e-12);
    for (size_t r = 0; r < near->rows; r++) { /* no scan of the query's patient, similarity falls */
        int q = atoi(csv_cell(near, r, 0) + 1), s = atoi(csv_cell(near, r, 2) + 1);
        ck_assert(q / 2 != s / 2);
        if (r % 3) ck_assert(atof(csv_cell(near, r, 4)) <= atof(csv_cell(near, r - 1, 4)));
    }
    csv_free(t);
    csv_free(near);
    assert_says(headct_run("retrieve %s --query s7 --neighbours 39 --same-patient", e), 0, "s6");
    ck_assert_ptr_null(strstr(headct_said, "s7     1  s7"));
    assert_says(headct_run("retrieve %s --query s77", e), 1, "--query s77: no such scan among the 40");
    assert_says(headct_run("retrieve %s", e), 2, "nothing to show");
    put_embeddings("other.safetensors", 3);
    assert_says(headct_run("retrieve %s --queries %s --labels %s", e, scratch_path("other.safetensors"), labels), 1,
                "they are of different models");
    assert_says(headct_run("retrieve %s --query s1", labels), 1, "labels.csv");
}
END_TEST

CHECK_MAIN("explain", attention_by_hand, principal_components, tsne_by_differences, project, retrieve)
