/* Attention maps, principal components and t-SNE by hand; headct project and headct retrieve as a user runs them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "explain/attention.h"
#include "explain/lesions.h"
#include "explain/overlay.h"
#include "explain/pca.h"
#include "explain/saliency.h"
#include "explain/neighbours.h"
#include "explain/tsne_tree.h"
#include "hct/safetensors.h"
#include "headct_run.h"
#include "imaging/nifti.h"
#include "models/vit_encoder.h"
#include "models/build.h"
#include "scratch.h"
#include "support/csv.h"
#include "support/device.h"
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

enum { MANY = 600, DIM = 8, NEAR = 60 };

/* Six clusters. */
static void put_points(float *x) {
    srand(12);
    for (int i = 0; i < MANY; i++)
        for (int d = 0; d < DIM; d++)
            x[i * DIM + d] = (float)rand() / (float)RAND_MAX + (d == i % 6 ? 1.5f : 0) + (i % 50 == 7 ? 0 : 1e-3f);
    for (int d = 0; d < DIM; d++) x[DIM + d] = x[d]; /* two that lie together */
}

START_TEST(neighbours_are_the_nearest) {
    static float x[MANY * DIM];
    static uint32_t index[MANY * NEAR], again[MANY * NEAR];
    static double square[MANY * NEAR], all[MANY];
    hct_err err = {0};
    put_points(x);
    ck_assert_int_eq(neighbours_find(x, MANY, DIM, NEAR, 1, index, square, &err), HCT_OK);
    for (int i = 0; i < MANY; i++) {
        for (int j = 0; j < MANY; j++) {
            all[j] = 0;
            for (int d = 0; d < DIM; d++) {
                double v = (double)x[i * DIM + d] - (double)x[j * DIM + d];
                all[j] += v * v;
            }
        }
        all[i] = INFINITY;
        for (int k = 0; k < NEAR; k++) {
            int best = 0;
            for (int j = 1; j < MANY; j++)
                if (all[j] < all[best]) best = j;
            ck_assert_uint_eq(index[i * NEAR + k], (unsigned)best);
            ck_assert_double_eq_tol(square[i * NEAR + k], all[best], 1e-12);
            all[best] = INFINITY;
        }
    }
    ck_assert_int_eq(neighbours_find(x, MANY, DIM, NEAR, 4, again, square, &err), HCT_OK);
    ck_assert_mem_eq(index, again, sizeof index);
    ck_assert_int_eq(neighbours_find(x, 5, DIM, 5, 1, index, square, &err), HCT_EINVAL);
}
END_TEST

/* How many of the 10 nearest in space are among the 10 nearest on the plane, as a share. */
static double kept(const float *x, const double *y) {
    static float plane[2 * MANY];
    static uint32_t a[MANY * 10], b[MANY * 10];
    static double square[MANY * 10];
    int same = 0;
    for (int i = 0; i < 2 * MANY; i++) plane[i] = (float)y[i];
    neighbours_find(x, MANY, DIM, 10, 1, a, square, NULL);
    neighbours_find(plane, MANY, 2, 10, 1, b, square, NULL);
    for (int i = 0; i < MANY * 10; i++)
        for (int k = 0; k < 10; k++) same += a[i] == b[i / 10 * 10 + k];
    return same / (10.0 * MANY);
}

/* With every cell opened and P over all pairs that it holds the sum is the exact one; at theta 0.5 the gradient differs
 * by little, and the layout keeps as many neighbours. */
START_TEST(tsne_by_tree) {
    static float x[MANY * DIM];
    static double p[MANY * MANY], y[2 * MANY], z[2 * MANY], g[2 * MANY], h[2 * MANY], *sparse;
    double kl = 0, other = 0, exact = 0, apart = 0, size = 0;
    hct_err err = {0};
    tsne_tree *t;
    put_points(x);
    for (int i = 0; i < 2 * MANY; i++) y[i] = z[i] = x[i / 2 * DIM + i % 2] * 1e-3 + 1e-5 * (double)(i % 17);
    ck_assert_int_eq(tsne_tree_make(x, MANY, DIM, 20, 1, &t, &err), HCT_OK);
    /* the P that the tree must hold, as a full matrix */
    sparse = calloc(MANY * MANY, sizeof *sparse);
    static uint32_t index[MANY * NEAR];
    static double square[MANY * NEAR];
    ck_assert(sparse && neighbours_find(x, MANY, DIM, NEAR, 1, index, square, &err) == HCT_OK);
    for (int i = 0; i < MANY; i++) {
        double row[NEAR];
        tsne_conditional(square + i * NEAR, NEAR, NEAR, 20, row);
        for (int k = 0; k < NEAR; k++) {
            sparse[i * MANY + (int)index[i * NEAR + k]] += row[k] / (2.0 * MANY);
            sparse[(int)index[i * NEAR + k] * MANY + i] += row[k] / (2.0 * MANY);
        }
    }
    for (int i = 0; i < 2 * MANY; i++) z[i] *= 4000; /* spread out, as later in a descent */
    ck_assert_int_eq(tsne_cost(sparse, z, MANY, 3, 1, &kl, g, &err), HCT_OK);
    ck_assert_int_eq(tsne_tree_cost(t, z, 3, 0, 1, &other, h, &err), HCT_OK);
    ck_assert_double_eq_tol(other, kl, 1e-9);
    for (int i = 0; i < 2 * MANY; i++) ck_assert_double_eq_tol(h[i], g[i], 1e-12);
    ck_assert_int_eq(tsne_tree_cost(t, z, 3, 0.5, 4, &other, h, &err), HCT_OK);
    for (int i = 0; i < 2 * MANY; i++) {
        apart += (h[i] - g[i]) * (h[i] - g[i]);
        size += g[i] * g[i];
    }
    ck_assert_double_gt(apart, 0);
    ck_assert_double_lt(sqrt(apart / size), 0.03);
    free(sparse);
    tsne_options o = {.iterations = 500, .threads = 2};
    memcpy(z, y, sizeof z);
    ck_assert_int_eq(tsne_joint(x, MANY, DIM, 20, 2, p, &err), HCT_OK);
    ck_assert_int_eq(tsne_run(p, MANY, &o, y, &kl, &err), HCT_OK);
    ck_assert_int_eq(tsne_tree_run(t, &o, 0.5, z, &other, &err), HCT_OK);
    exact = kept(x, y);
    double tree = kept(x, z);
    ck_assert_msg(exact > 0.3 && tree > 0.95 * exact, "kept: %g exactly, %g by the tree", exact, tree);
    tsne_tree_free(t);
    ck_assert_int_eq(tsne_tree_make(x, 50, DIM, 20, 1, &t, &err), HCT_EINVAL);
    x[3] = NAN;
    ck_assert_int_eq(tsne_tree_make(x, MANY, DIM, 20, 1, &t, &err), HCT_EINVAL);
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
    assert_says(headct_run("project %s --method tree --perplexity 8 --out %s -q", e, out), 0,
                "t-SNE by Barnes-Hut: KL");
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

/* A prepared volume of 32^3 voxels of 1 mm, of which the middle 24 are the model's 12^3, and a scan of the same head
 * with axes of its own: x to the left, y and z exchanged, 2 mm steps. */
static input_spec small_spec(void) { return input_cube(&(hu_window){40, 80}, 1, 24, 12); }

static void two_grids(volume *prepared, volume *own) {
    ck_assert_int_eq(volume_alloc(prepared, HCT_I16, (int64_t[]){32, 32, 32}, NULL), HCT_OK);
    ck_assert_int_eq(volume_alloc(own, HCT_F32, (int64_t[]){20, 21, 22}, NULL), HCT_OK);
    for (int64_t i = 0; i < volume_count(prepared); i++) prepared->i16[i] = (int16_t)(i % 80);
    const double a[4][4] = {{1, 0, 0, -16}, {0, 1, 0, -10}, {0, 0, 1, 5}, {0, 0, 0, 1}},
                 b[4][4] = {{-2, 0, 0, 20}, {0, 0, 2, -14}, {0, 2, 0, 3}, {0, 0, 0, 1}};
    memcpy(prepared->affine, a, sizeof a);
    memcpy(own->affine, b, sizeof b);
}

START_TEST(maps_come_back_to_the_scan) {
    volume prepared, own, overlay;
    hct_err err = {0};
    double value[64] = {0};
    input_spec spec = small_spec();
    const saliency_map map = {{4, 4, 4}, value};
    two_grids(&prepared, &own);
    value[(1 * 4 + 2) * 4 + 3] = 1; /* cells of 6 mm: x 4 + 9, y 4 + 15, z 4 + 21 voxels of the prepared volume */
    const double mm[3] = {4 + 9 - 0.5 - 16, 4 + 15 - 0.5 - 10, 4 + 21 - 0.5 + 5};
    ck_assert_int_eq(overlay_make(&map, &prepared, &spec, &own, &overlay, &err), HCT_OK);
    for (int d = 0; d < 3; d++) ck_assert_int_eq(overlay.dim[d], own.dim[d]);
    ck_assert_mem_eq(overlay.affine, own.affine, sizeof own.affine);
    double sum = 0, centre[3] = {0};
    for (int64_t k = 0, at = 0; k < own.dim[2]; k++)
        for (int64_t j = 0; j < own.dim[1]; j++)
            for (int64_t i = 0; i < own.dim[0]; i++, at++) {
                const double index[3] = {(double)i, (double)j, (double)k};
                double v = overlay.f32[at];
                int out = 0;
                ck_assert(v >= 0 && v <= 1);
                for (int d = 0; d < 3; d++) {
                    double x = own.affine[d][3];
                    for (int e = 0; e < 3; e++) x += own.affine[d][e] * index[e];
                    centre[d] += v * x;
                    double in = x - prepared.affine[d][3]; /* what the model saw: voxels 4 to 27 */
                    out |= in < 3.5 || in > 27.5;
                }
                if (out) ck_assert(v == 0);
                sum += v;
            }
    ck_assert_double_gt(sum, 8);
    for (int d = 0; d < 2; d++) ck_assert_double_eq_tol(centre[d] / sum, mm[d], 0.25);
    ck_assert_double_eq_tol(centre[2] / sum, mm[2], 1.1); /* the outermost cell is flat to its border */
    int64_t peak[3];
    ck_assert(overlay_peak(&overlay, peak) > 0.6f); /* voxels of 2 mm, cells of 6 mm */
    ck_assert_int_eq(overlay_draw(&prepared, &prepared, (int64_t[]){16, 16, 16}, &spec.window[0], "c",
                                  scratch_path("o.png"), &err),
                     HCT_EDTYPE);
    volume_free(&prepared);
    volume_free(&own);
    volume_free(&overlay);
}
END_TEST

/* 1,000 voxels, 900 of them brain, 20 of these a lesion. */
START_TEST(the_top_of_a_map) {
    volume map, brain, lesion;
    double hits, chance;
    hct_err err = {0};
    const int64_t dim[3] = {10, 10, 10};
    volume_alloc(&map, HCT_F32, dim, NULL);
    volume_alloc(&brain, HCT_F32, dim, NULL);
    volume_alloc(&lesion, HCT_F32, dim, NULL);
    for (int i = 0; i < 1000; i++) {
        brain.f32[i] = i >= 100;
        lesion.f32[i] = i < 120; /* the part outside of the brain does not count */
        map.f32[i] = (float)(i < 100 ? 5 : i < 105 ? 3 : i < 509 ? 1 : 2);
    }
    /* the 9 highest of 900: 5 of the lesion, then 4 of 491 equals, none of the lesion */
    ck_assert_int_eq(overlay_hits(&map, &brain, &lesion, 0.01, &hits, &chance, &err), HCT_OK);
    ck_assert_double_eq_tol(hits, 5.0 / 9, 1e-12);
    ck_assert_double_eq_tol(chance, 20.0 / 900, 1e-12);
    for (int i = 0; i < 1000; i++) map.f32[i] = 1; /* a map that says nothing is worth what chance is */
    ck_assert_int_eq(overlay_hits(&map, &brain, &lesion, 0.01, &hits, &chance, &err), HCT_OK);
    ck_assert_double_eq_tol(hits, chance, 1e-12);
    for (int i = 0; i < 1000; i++) lesion.f32[i] = i < 100;
    ck_assert_int_eq(overlay_hits(&map, &brain, &lesion, 0.01, &hits, &chance, &err), HCT_EINVAL);
    volume_free(&map);
    volume_free(&brain);
    volume_free(&lesion);
}
END_TEST

static model_info tiny_classifier(void) {
    const vit_config vit = {
        .image = 12, .patch = 6, .channels = 1, .width = 12, .depth = 2, .heads = 2, .mlp = 24, .norm_eps = 1e-6};
    model_info info = {.encoder = encoder_of_vit(&vit, &(hu_window){40, 80}, 24),
                       .role = MODEL_CLASSIFIER,
                       .n_tasks = 1};
    snprintf(info.task[0], MODEL_NAME, "IPH");
    return info;
}

static double log_odds(saliency *s, const float *x, saliency_map *map) {
    double p;
    hct_err err = {0};
    ck_assert_msg(saliency_run(s, x, SALIENCY_INPUT, NULL, NULL, map, &p, &err) == HCT_OK, "%s", err.msg);
    return log(p / (1 - p));
}

/* |gradient x input| by differences of the answer; occlusion by a scan with the patch black. */
START_TEST(maps_of_a_model) {
    enum { SIDE = 12, N = SIDE * SIDE * SIDE };
    static float x[N], dark[N];
    hct_err err = {0};
    model_info info = tiny_classifier();
    hct_dev *dev = device_open("cpu", &err);
    params *p = dev ? model_new(dev, &info, 5, &err) : NULL;
    ck_assert_msg(p != NULL, "%s", err.msg);
    saliency *s = saliency_new(dev, p, &info, "IPH", &err);
    ck_assert_msg(s != NULL, "%s", err.msg);
    srand(3);
    for (int i = 0; i < N; i++) x[i] = (float)rand() / (float)RAND_MAX;
    saliency_map map, other;
    double answer = log_odds(s, x, &map), probability, largest = 0;
    for (int i = 0; i < N; i++) largest = fmax(largest, map.value[i]);
    ck_assert_double_gt(largest, 0);
    for (int i = 7; i < N; i += 191) {
        float at = x[i], h = 0.25f;
        double ends[2];
        for (int side = 0; side < 2; side++) {
            x[i] = side ? at - h : at + h;
            ends[side] = log_odds(s, x, &other);
            free(other.value);
        }
        x[i] = at;
        ck_assert_double_eq_tol(fabs((ends[0] - ends[1]) / (2 * (double)h) * (double)at), map.value[i], 0.02 * largest);
    }
    free(map.value);
    ck_assert_int_eq(saliency_run(s, x, SALIENCY_OCCLUSION, NULL, NULL, &map, &probability, &err), HCT_OK);
    ck_assert_double_eq_tol(log(probability / (1 - probability)), answer, 1e-5);
    memcpy(dark, x, sizeof x);
    for (int i = 6; i < 12; i++) /* cell (1, 0, 1) */
        for (int j = 0; j < 6; j++)
            for (int k = 6; k < 12; k++) dark[(i * SIDE + j) * SIDE + k] = 0;
    ck_assert_double_eq_tol(map.value[5], answer - log_odds(s, dark, &other), 1e-5);
    free(other.value);
    free(map.value);
    static const saliency_method sums[] = {SALIENCY_CLASS, SALIENCY_ROLLOUT};
    for (int m = 0; m < 2; m++) { /* shares: what is not given to patches stays with the class token */
        double sum = 0;
        ck_assert_int_eq(saliency_run(s, x, sums[m], NULL, NULL, &map, &probability, &err), HCT_OK);
        for (int i = 0; i < 8; i++) {
            ck_assert_double_gt(map.value[i], 0);
            sum += map.value[i];
        }
        ck_assert(sum < 1);
        free(map.value);
    }
    ck_assert_int_eq(saliency_run(s, x, SALIENCY_GRADIENT, NULL, NULL, &map, &probability, &err), HCT_OK);
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += map.value[i];
    ck_assert_double_gt(sum, 0);
    free(map.value);
    ck_assert_int_eq(saliency_run(s, x, SALIENCY_DISTANCE, NULL, NULL, &map, &probability, &err), HCT_OK);
    for (int i = 0; i < 8; i++)
        ck_assert(map.value[i] > 0 && map.value[i] < 12 * sqrt(3)); /* 2 x 2 x 2 patches of 12 mm */
    free(map.value);
    saliency_heads heads; /* their means are what the methods give */
    saliency_map mean[2];
    ck_assert_int_eq(saliency_read_heads(s, x, &heads, &err), HCT_OK);
    ck_assert(heads.layers == 2 && heads.heads == 2 && heads.cells[0] == 2);
    saliency_run(s, x, SALIENCY_CLASS, NULL, NULL, &mean[0], &probability, &err);
    saliency_run(s, x, SALIENCY_DISTANCE, NULL, NULL, &mean[1], &probability, &err);
    for (int i = 0; i < 8; i++) {
        ck_assert_double_eq_tol((heads.of_class[i] + heads.of_class[8 + i]) / 2, mean[0].value[i], 1e-12);
        double all = 0;
        for (int h = 0; h < 4; h++) all += heads.distance[8 * h + i] / 4;
        ck_assert_double_eq_tol(all, mean[1].value[i], 1e-9);
    }
    free(heads.of_class);
    free(heads.distance);
    free(mean[0].value);
    free(mean[1].value);
    saliency_free(s);
    s = saliency_new(dev, p, &info, NULL, &err);
    ck_assert(s && saliency_allows(s, SALIENCY_CLASS) && !saliency_allows(s, SALIENCY_INPUT));
    ck_assert_int_eq(saliency_run(s, x, SALIENCY_GRADIENT, NULL, NULL, &map, &probability, &err), HCT_EINVAL);
    saliency_free(s);
    ck_assert_ptr_null(saliency_new(dev, p, &info, "SDH", &err));
    ck_assert_ptr_nonnull(strstr(err.msg, "no task 'SDH'; the first one is IPH"));
    params_free(p);
    device_close(dev);
}
END_TEST

/* The ratio of both means, and its interval; a method that was not used has no row. */
START_TEST(lesions_of_many_scans) {
    hct_err err;
    lesions *l = lesions_new();
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(lesions_add(l, SALIENCY_INPUT, i % 2 ? 0.6 : 0.2, 0.05, &err), HCT_OK);
    ck_assert_int_eq(lesions_add(l, SALIENCY_CLASS, 0.1, 0.1, &err), HCT_OK);
    sheet *s = lesions_sheet(l, "IPH");
    ck_assert_uint_eq(sheet_rows(s), 2);
    ck_assert_int_eq(sheet_write(s, scratch_path("lesions"), &err), HCT_OK);
    csv *t = csv_read(scratch_path("lesions/lesions.csv"), &err);
    ck_assert_ptr_nonnull(t);
    double low = atof(csv_cell(t, 1, 6)), high = atof(csv_cell(t, 1, 7));
    ck_assert_str_eq(csv_cell(t, 1, 2), "40");
    ck_assert_double_eq_tol(atof(csv_cell(t, 1, 5)), 8, 1e-9);
    /* deviation of the mean: 0.2 / sqrt(40) / 0.05 = 0.632; 1.96 of it */
    ck_assert_double_eq_tol(low, 8 - 1.24, 0.25);
    ck_assert_double_eq_tol(high, 8 + 1.24, 0.25);
    ck_assert_str_eq(csv_cell(t, 0, 6), "undefined");
    csv_free(t);
    sheet_free(s);
    lesions_free(l);
}
END_TEST

START_TEST(explain) {
    hct_err err = {0};
    model_info info = tiny_classifier();
    hct_dev *dev = device_open("cpu", &err);
    params *p = dev ? model_new(dev, &info, 5, &err) : NULL;
    ck_assert(p && weights_save(scratch_path("w.safetensors"), p, &info, NULL, 0, &err) == HCT_OK);
    params_free(p);
    device_close(dev);
    volume prepared, own, back;
    two_grids(&prepared, &own);
    for (int64_t i = 0; i < volume_count(&own); i++) own.f32[i] = (float)(i * 7 % 90) - 5;
    ck_assert_int_eq(nifti_write(scratch_path("scan.nii.gz"), &own, 1, &err), HCT_OK);
    for (int64_t i = 0; i < volume_count(&own); i++) own.f32[i] = i > 4000 && i < 5000;
    ck_assert_int_eq(nifti_write(scratch_path("lesion.nii.gz"), &own, 1, &err), HCT_OK);
    char w[300], scan[300], out[300];
    snprintf(w, sizeof w, "%s", scratch_path("w.safetensors"));
    snprintf(scan, sizeof scan, "%s", scratch_path("scan.nii.gz"));
    snprintf(out, sizeof out, "%s", scratch_path("maps"));
    assert_says(headct_run("explain -w %s --task IPH %s --method rollout --method occlusion --lesion %s --out %s -q", w,
                           scan, scratch_path("lesion.nii.gz"), out),
                0, "occlusion");
    ck_assert_int_eq(nifti_read(scratch_path("maps/scan_IPH_rollout.nii.gz"), &back, &err), HCT_OK);
    for (int d = 0; d < 3; d++) ck_assert_int_eq(back.dim[d], own.dim[d]);
    for (int d = 0; d < 16; d++) ck_assert_double_eq_tol(back.affine[d / 4][d % 4], own.affine[d / 4][d % 4], 1e-5);
    ck_assert(path_is_file(scratch_path("maps/scan_IPH_occlusion.png")));
    csv *t = csv_read(scratch_path("maps/explain.csv"), NULL);
    ck_assert(t && t->rows == 2 && strcmp(csv_cell(t, 0, (size_t)csv_column(t, "ratio")), "undefined") != 0);
    csv_free(t);
    ck_assert(path_make_folders(scratch_path("viewed"), &err) == HCT_OK &&
              path_make_folders(scratch_path("masks"), &err) == HCT_OK);
    put("viewed/recipe.yaml", "name: x\n");
    assert_says(headct_run("report %s --view %s:%s --view %s:%s --out %s", scratch_path("viewed"), scan,
                           scratch_path("maps/scan_IPH_occlusion.nii.gz"), scan, scratch_path("maps/absent.nii.gz"),
                           scratch_path("viewed.html")),
                3, "absent.nii.gz");
    char *page = NULL;
    ck_assert_int_eq(hct_read_file(scratch_path("viewed.html"), &page, NULL, &err), HCT_OK);
    ck_assert(strstr(page, "aria-label=\"scan.nii.gz, scan_IPH_occlusion.nii.gz\"") && strstr(page, "Left out: "));
    free(page);
    put("masks/scan_brain.nii.gz", "no NIfTI");
    assert_says(headct_run("explain -w %s --task IPH %s --method rollout --masks %s --out %s --table-only -q", w, scan,
                           scratch_path("masks"), scratch_path("few")),
                1, "scan_brain.nii.gz");
    ck_assert_int_eq(rename(scratch_path("lesion.nii.gz"), scratch_path("masks/scan_IPH.nii.gz")), 0);
    ck_assert_int_eq(remove(scratch_path("masks/scan_brain.nii.gz")), 0);
    char *first = strdup(headct_said);
    for (int randomised = 0; randomised < 2; randomised++) {
        assert_says(headct_run("explain -w %s --task IPH %s --method rollout --masks %s --out %s --table-only -q %s", w,
                               scan, scratch_path("masks"), scratch_path("few"), randomised ? "--randomise 8" : ""),
                    0, "lesion_of_brain");
        ck_assert_str_ne(first, headct_said); /* other weights, other map */
        free(first);
        first = strdup(headct_said);
    }
    free(first);
    ck_assert(path_is_file(scratch_path("few/lesions.csv")) && path_is_file(scratch_path("few/explain.csv")));
    ck_assert(!path_is_file(scratch_path("few/scan_IPH_rollout.nii.gz")));
    ck_assert_int_eq(path_make_folders(scratch_path("tuned/IPH"), &err), HCT_OK);
    dev = device_open("cpu", &err);
    p = dev ? model_new(dev, &info, 77, &err) : NULL; /* other weights */
    ck_assert(p && weights_save(scratch_path("tuned/IPH/weights.safetensors"), p, &info, NULL, 0, &err) == HCT_OK);
    params_free(p);
    device_close(dev);
    assert_says(headct_run("explain --distances -w %s --run %s %s --out %s", w, scratch_path("tuned"), scan,
                           scratch_path("reach")),
                0, "scan, pre-trained: attention reaches");
    static const char *const pictures[] = {"attention_scan_axial", "attention_scan_coronal", "attention_scan_sagittal",
                                           "heads_scan_pre-trained", "heads_scan_IPH"};
    for (int i = 0; i < 5; i++) {
        char path[80];
        snprintf(path, sizeof path, "reach/%s.png", pictures[i]);
        ck_assert_msg(path_is_file(scratch_path(path)), "%s", path);
    }
    t = csv_read(scratch_path("reach/attention_distance.csv"), &err);
    ck_assert(t && t->rows == 8); /* 2 models, 2 layers, 2 heads */
    for (size_t r = 0; r < 8; r++) ck_assert(atof(csv_cell(t, r, 4)) > 0 && atof(csv_cell(t, r, 4)) < 12 * sqrt(3));
    ck_assert_str_ne(csv_cell(t, 0, 4), csv_cell(t, 4, 4));
    csv_free(t);
    assert_says(headct_run("explain --distances --run %s %s --out %s", out, scan, scratch_path("reach")), 1,
                "holds no weights.safetensors");
    assert_says(headct_run("explain -w %s %s --masks %s --out %s", w, scan, out, out), 2, "--masks needs --task");
    assert_says(headct_run("explain -w %s %s /nowhere.nii.gz --out %s -q", w, scan, out), 3, "/nowhere.nii.gz");
    ck_assert_ptr_nonnull(strstr(headct_said, "rollout"));
    assert_says(headct_run("explain -w %s --task SDH %s --out %s", w, scan, out), 1, "no task 'SDH'");
    assert_says(headct_run("explain -w %s %s --method input --out %s", w, scan, out), 1,
                "needs a classifier and --task");
    assert_says(headct_run("explain -w %s %s --method magic --out %s", w, scan, out), 2, "--method magic");
    assert_says(headct_run("explain %s --out %s", scan, out), 2, "--weights FILE or --run RUN");
    assert_says(headct_run("explain -w %s %s --lesion %s --method rollout --out %s", w, scan,
                           scratch_path("maps/absent.nii.gz"), out),
                1, "absent.nii.gz");
    volume_free(&prepared);
    volume_free(&own);
    volume_free(&back);
}
END_TEST

CHECK_MAIN("explain", attention_by_hand, principal_components, tsne_by_differences, neighbours_are_the_nearest,
           tsne_by_tree, project, retrieve, maps_come_back_to_the_scan, the_top_of_a_map, maps_of_a_model,
           lesions_of_many_scans, explain)
