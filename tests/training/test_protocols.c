/* probe/protocol.h: logistic regression beside scikit-learn's answers, the grid of heads beside a second computation in
 * double, heads that predict what was fitted, and what is refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "evaluation/ranking.h"
#include "hct/philox.h"
#include "models/probe.h"
#include "probe/logistic.h"
#include "probe/protocol.h"
#include "support/device.h"
#include "support/streams.h"
#include "training/sampler.h"

enum { N = 80, WIDTH = 4 };
static float x[N * WIDTH];
static int8_t label[N];
static size_t rows[N];

/* Columns of very different scales and offsets; both classes in any half. */
static void make_data(void) {
    const double scale[] = {0.25, 0.025, 2.5, 0.25}, shift[] = {0, 2, -30, 0.5};
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < WIDTH; j++)
            x[i * WIDTH + j] = (float)(((i * (7 + 3 * j) + 11 * j * j) % 23 - 11) * scale[j] + shift[j]);
        label[i] =
            (int8_t)((i * 5 % 13 > 7) ^ ((double)x[i * WIDTH] + (double)x[i * WIDTH + 2] / 10 > -2 && i % 3 != 0));
        rows[i] = (size_t)i;
    }
}

enum { TRAIN = 50 };
static probe_data halves(void) {
    return (probe_data){.row = x,
                        .n = N,
                        .width = WIDTH,
                        .tokens = 1,
                        .label = label,
                        .train = rows,
                        .valid = rows + TRAIN,
                        .n_train = TRAIN,
                        .n_valid = N - TRAIN};
}

static recipe with(const char *a, const char *b) {
    recipe r = recipe_default();
    hct_err err = {0};
    const char *const keys[] = {"method=probe", a, b};
    for (size_t i = 0; i < 3; i++)
        if (keys[i]) ck_assert_msg(recipe_set(&r, keys[i], &err) == HCT_OK, "%s", err.msg);
    return r;
}

/* scikit-learn 1.9.1, LogisticRegression(C=C, tol=1e-14, solver="newton-cholesky") on these rows, as they are and
 * standardised. */
START_TEST(logistic_as_scikit_learn) {
    static const struct {
        double c;
        int standardized;
        double w[WIDTH + 1];
    } known[] = {
        {0.01, 0, {0.043707631, 0.005707258, 0.005085404, 0.105454261, -0.367481993}},
        {0.01, 1, {0.037522036, 0.031623905, 0.007018746, 0.081200695, -0.458972036}},
        {3, 0, {0.080776110, 0.856345703, 0.007210971, 0.326204837, -2.143507851}},
        {3, 1, {0.153953987, 0.264868030, 0.064597382, 0.530894326, -0.499251420}},
    };
    hct_err err = {0};
    make_data();
    const probe_data d = {.row = x, .n = N, .width = WIDTH, .tokens = 1, .label = label};
    const probe_rows all = {.row = rows, .n = N, .label = label};
    double mean[WIDTH], sd[WIDTH];
    probe_moments(&d, &all, mean, sd);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        logistic_problem p = {.x = x, .width = WIDTH, .row = rows, .label = label, .n = N};
        if (known[k].standardized) p.mean = mean, p.sd = sd;
        logistic_report report;
        double w[WIDTH + 1] = {0};
        ck_assert_msg(logistic_fit(&p, known[k].c, w, &report, &err) == HCT_OK, "%s", err.msg);
        for (int j = 0; j <= WIDTH; j++) ck_assert_double_eq_tol(w[j], known[k].w[j], 2e-8);
        for (int j = 0; j <= WIDTH; j++) w[j] = 5 - 3 * j; /* from anywhere */
        ck_assert_msg(logistic_fit(&p, known[k].c, w, &report, &err) == HCT_OK, "%s", err.msg);
        for (int j = 0; j <= WIDTH; j++) ck_assert_double_eq_tol(w[j], known[k].w[j], 2e-8);
    }
}
END_TEST

START_TEST(logistic_refuses) {
    hct_err err = {0};
    logistic_report report;
    double w[WIDTH + 1] = {0};
    make_data();
    logistic_problem p = {.x = x, .width = WIDTH, .row = rows, .label = label, .n = N};
    ck_assert_int_eq(logistic_fit(&p, 0, w, &report, &err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "not above 0"));
    memset(label, 1, sizeof label);
    ck_assert_int_eq(logistic_fit(&p, 1, w, &report, &err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "80 positives of 80"));
    make_data();
    x[3] = NAN;
    ck_assert_int_eq(logistic_fit(&p, 1, w, &report, &err), HCT_EINVAL);
}
END_TEST

/* Separable rows: the answer is finite, because of the penalty, and is reached at any C. */
START_TEST(logistic_of_separable_rows) {
    hct_err err = {0};
    logistic_report report;
    make_data();
    for (int i = 0; i < N; i++) label[i] = x[i * WIDTH] > 0;
    const logistic_problem p = {.x = x, .width = WIDTH, .row = rows, .label = label, .n = N};
    for (double c = 1e-6; c < 1e7; c *= 100) {
        double w[WIDTH + 1] = {0};
        ck_assert_msg(logistic_fit(&p, c, w, &report, &err) == HCT_OK, "C %g: %s", c, err.msg);
    }
}
END_TEST

static params *new_head(hct_dev *dev) {
    hct_err err = {0};
    params *head = params_new(dev);
    head_declare(head, "", WIDTH, 2, 0);
    ck_assert_msg(params_check(head, &err) == HCT_OK && params_init(head, 1, &err) == HCT_OK, "%s", err.msg);
    return head;
}

static double auc_of(const double *score, const int8_t *of, size_t n) {
    ranking r;
    hct_err err = {0};
    ck_assert_msg(ranking_make(score, of, n, &r, &err) == HCT_OK, "%s", err.msg);
    double auc = ranking_auc(&r, NULL);
    ranking_free(&r);
    return auc;
}

/* The head says what the fit found, standardised or not; C is the smallest of the ten with the best validation AUC. */
START_TEST(logistic_head) {
    hct_err err = {0};
    make_data();
    hct_dev *dev = device_open("cpu", NULL);
    const probe_data d = halves();
    const probe_rows train = {.row = rows, .n = TRAIN, .label = label};
    for (int standardized = 0; standardized < 2; standardized++) {
        recipe r = with("probe.protocol=logistic", standardized ? "probe.standardize=true" : NULL);
        params *head = new_head(dev);
        double score[N], mean[WIDTH], sd[WIDTH], best = -1, best_c = 0, want[N];
        char chosen[PROBE_CHOSEN], said[PROBE_CHOSEN];
        const probe_fit_options o = {.task = "SDH"};
        ck_assert_msg(probe_by_protocol(&r, dev, &d, &o, head, score, chosen, &err) == HCT_OK, "%s", err.msg);
        probe_moments(&d, &train, mean, sd);
        for (int i = 0; i < 10; i++) {
            logistic_problem p = {.x = x, .width = WIDTH, .row = rows, .label = label, .n = TRAIN};
            logistic_report report;
            double w[WIDTH + 1] = {0}, s[N], c = pow(10, -4 + 8 * i / 9.0);
            if (standardized) p.mean = mean, p.sd = sd;
            ck_assert_msg(logistic_fit(&p, c, w, &report, &err) == HCT_OK, "%s", err.msg);
            for (int k = 0; k < N; k++) {
                s[k] = w[WIDTH];
                for (int j = 0; j < WIDTH; j++)
                    s[k] +=
                        w[j] * (standardized ? ((double)x[k * WIDTH + j] - mean[j]) / sd[j] : (double)x[k * WIDTH + j]);
            }
            double auc = auc_of(s + TRAIN, label + TRAIN, N - TRAIN);
            if (auc <= best) continue;
            best = auc;
            best_c = c;
            for (int k = 0; k < N; k++) want[k] = 1 / (1 + exp(-s[k]));
        }
        snprintf(said, sizeof said, "C %.3g", best_c);
        ck_assert_str_eq(chosen, said);
        for (int k = 0; k < N; k++) ck_assert_double_eq_tol(score[k], want[k], 2e-6);
        params_free(head);
    }
    recipe r = with("probe.protocol=logistic", NULL);
    probe_data unlabelled = d;
    unlabelled.n_valid = 0;
    params *head = new_head(dev);
    double score[N];
    char chosen[PROBE_CHOSEN];
    const probe_fit_options o = {.task = "SDH"};
    ck_assert_int_eq(probe_by_protocol(&r, dev, &unlabelled, &o, head, score, chosen, &err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "'SDH': the validation split has 0 positives and 0 negatives"));
    r = with("probe.protocol=logistic", "probe.c=0.5");
    ck_assert_msg(probe_by_protocol(&r, dev, &unlabelled, &o, head, score, chosen, &err) == HCT_OK, "%s", err.msg);
    ck_assert_str_eq(chosen, "C 0.5");
    params_free(head);
    device_close(dev);
}
END_TEST

/* ---- the grid again, a head at a time, in double ---- */

typedef struct again {
    double loss, score[N], lr, decay;
    int epoch, standardized;
} again;

static const double RATES[] = {1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1};
static const double DECAYS[] = {1e-5, 1e-4, 1e-3, 1e-2};

static double logit(double w[2][WIDTH + 1], const double *z, int k) {
    double sum = w[k][WIDTH];
    for (int j = 0; j < WIDTH; j++) sum += w[k][j] * z[j];
    return sum;
}

/* First values are those of head h of one array over all heads: pairs of normal draws. */
static void first_values(uint64_t seed, int h, double w[2][WIDTH + 1]) {
    for (int k = 0; k < 2; k++) {
        for (int j = 0; j < WIDTH; j++) {
            size_t at = (size_t)((2 * h + k) * WIDTH + j), pair = at & ~(size_t)1;
            hct_philox r = hct_philox4x32(seed, pair, STREAM_WEIGHTS);
            double size = 0.01 * sqrt(-2 * log(((double)r.v[0] + 0.5) / 4294967296.0));
            double angle = 2 * acos(-1) * ((double)r.v[1] / 4294967296.0);
            w[k][j] = (double)(float)(size * (at & 1 ? sin(angle) : cos(angle)));
        }
        w[k][WIDTH] = 0;
    }
}

static double mean_loss(double w[2][WIDTH + 1], double z[][WIDTH], size_t from, size_t n) {
    double sum = 0;
    for (size_t i = from; i < from + n; i++) {
        double m = logit(w, z[i], 1) - logit(w, z[i], 0);
        sum += log1p(exp(label[i] ? -m : m)) / (double)n;
    }
    return sum;
}

static void one_head(const recipe *r, int h, int standardized, double z[][WIDTH], size_t n_train, again *io) {
    double w[2][WIDTH + 1], m[2][WIDTH + 1] = {{0}}, v[2][WIDTH + 1] = {{0}}, average = 0, least = INFINITY;
    size_t order[N];
    int since = 0;
    first_values((uint64_t)r->seed, h, w);
    for (int epoch = 1, t = 0; epoch <= 150; epoch++) { /* n_train < 128: one batch an epoch */
        double share = t < 5 ? 1e-3 + (1 - 1e-3) * t / 5 : 0.5 * (1 + cos(acos(-1) * (t - 5) / 145.0));
        double lr = RATES[h / 4] * share, g[2][WIDTH + 1] = {{0}};
        sampler_replaced((uint64_t)r->seed, (uint64_t)(epoch - 1), rows, label, n_train, n_train, order);
        for (size_t i = 0; i < n_train; i++) {
            double a = logit(w, z[order[i]], 0), b = logit(w, z[order[i]], 1), p = 1 / (1 + exp(a - b));
            for (int k = 0; k < 2; k++)
                for (int j = 0; j <= WIDTH; j++)
                    g[k][j] += (k ? p - label[order[i]] : label[order[i]] - p) * (j < WIDTH ? z[order[i]][j] : 1) /
                               (double)n_train;
        }
        t++;
        for (int k = 0; k < 2; k++)
            for (int j = 0; j <= WIDTH; j++) {
                m[k][j] = 0.9 * m[k][j] + 0.1 * g[k][j];
                v[k][j] = 0.999 * v[k][j] + 0.001 * g[k][j] * g[k][j];
                double step = m[k][j] / (1 - pow(0.9, t)) / (sqrt(v[k][j] / (1 - pow(0.999, t))) + 1e-8);
                w[k][j] -= lr * (DECAYS[h % 4] * w[k][j] + step);
            }
        double loss = mean_loss(w, z, n_train, N - n_train);
        average = epoch == 1 ? loss : 0.9 * average + 0.1 * loss;
        since = average < least ? 0 : since + 1;
        least = fmin(least, average);
        if (loss < io->loss) {
            *io = (again){
                .loss = loss, .lr = RATES[h / 4], .decay = DECAYS[h % 4], .epoch = epoch, .standardized = standardized};
            for (int i = 0; i < N; i++) io->score[i] = 1 / (1 + exp(logit(w, z[i], 0) - logit(w, z[i], 1)));
        }
        if (epoch >= 6 && since >= 10) break;
    }
}

START_TEST(grid_beside_a_second_computation) {
    hct_err err = {0};
    make_data();
    for (int i = 0; i < N; i++) x[i * WIDTH + 2] /= 16; /* raw heads have a chance too */
    hct_dev *dev = device_open("cpu", NULL);
    const probe_data d = halves();
    const probe_rows train = {.row = rows, .n = TRAIN, .label = label};
    recipe r = with("probe.protocol=cvpr26", "probe.watched=loss");
    params *head = new_head(dev);
    double score[N], mean[WIDTH], sd[WIDTH], z[N][WIDTH];
    char chosen[PROBE_CHOSEN], said[PROBE_CHOSEN];
    const probe_fit_options o = {.task = "SDH"};
    ck_assert_msg(probe_by_protocol(&r, dev, &d, &o, head, score, chosen, &err) == HCT_OK, "%s", err.msg);
    probe_moments(&d, &train, mean, sd);
    again best = {.loss = INFINITY};
    for (int standardized = 0; standardized < 2; standardized++) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < WIDTH; j++) {
                double v = (double)x[i * WIDTH + j];
                z[i][j] = standardized ? (v - mean[j]) / sd[j] : v;
            }
        for (int h = 0; h < 52; h++) one_head(&r, h, standardized, z, TRAIN, &best);
    }
    snprintf(said, sizeof said, "lr %g, decay %g, %s, epoch %d", best.lr, best.decay,
             best.standardized ? "standardised" : "raw", best.epoch);
    ck_assert_str_eq(chosen, said);
    for (int i = 0; i < N; i++) ck_assert_double_eq_tol(score[i], best.score[i], 1e-4);
    /* by other figures of validation: the AUC of what is chosen is no lower */
    double by_loss = auc_of(score + TRAIN, label + TRAIN, N - TRAIN);
    r = with("probe.protocol=cvpr26", NULL);
    ck_assert_msg(probe_by_protocol(&r, dev, &d, &o, head, score, chosen, &err) == HCT_OK, "%s", err.msg);
    ck_assert(auc_of(score + TRAIN, label + TRAIN, N - TRAIN) >= by_loss);
    params_free(head);
    device_close(dev);
}
END_TEST

/* The head of attention-based multiple-instance learning, by its formula in double. */
START_TEST(mil_by_its_formula) {
    enum { BAGS = 3, OF = 5, HIDDEN = 128 };
    hct_err err = {0};
    hct_dev *dev = device_open("cpu", NULL);
    params *head = params_new(dev);
    head_declare(head, "", WIDTH, 2, HEAD_MIL);
    ck_assert_msg(params_check(head, &err) == HCT_OK && params_init(head, 5, &err) == HCT_OK, "%s", err.msg);
    float bag[BAGS * OF * WIDTH], logits[BAGS * 2], bias[2][HIDDEN];
    float tanh_w[HIDDEN * WIDTH], gate_w[HIDDEN * WIDTH], score_w[HIDDEN], linear_w[2 * WIDTH];
    for (int i = 0; i < BAGS * OF * WIDTH; i++) bag[i] = (float)sin(3.7 * i) * 2;
    for (int i = 0; i < HIDDEN; i++) bias[0][i] = (float)cos(i), bias[1][i] = (float)sin(2 * i);
    ck_assert(params_set(head, "tanh.bias", bias[0], &err) == HCT_OK);
    ck_assert(params_set(head, "gate.bias", bias[1], &err) == HCT_OK);
    ck_assert(hct_tensor_read(params_find(head, "tanh.weight")->tensor, tanh_w, &err) == HCT_OK);
    ck_assert(hct_tensor_read(params_find(head, "gate.weight")->tensor, gate_w, &err) == HCT_OK);
    ck_assert(hct_tensor_read(params_find(head, "score.weight")->tensor, score_w, &err) == HCT_OK);
    ck_assert(hct_tensor_read(params_find(head, "linear.weight")->tensor, linear_w, &err) == HCT_OK);
    hct_tensor *x_bag = hct_tensor_new(dev, HCT_F32, 3, (int64_t[]){BAGS, OF, WIDTH}, &err);
    ck_assert(x_bag && hct_tensor_write(x_bag, bag, &err) == HCT_OK);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id v = hct_use(t, x_bag);
    ck_assert_msg(hct_read(t, head_forward(t, head, "", HEAD_MIL, v, v, 0), logits, &err) == HCT_OK, "%s", err.msg);
    for (int b = 0; b < BAGS; b++) {
        double share[OF], sum = 0, h[OF][WIDTH];
        for (int i = 0; i < OF; i++) {
            double score = 0;
            for (int j = 0; j < WIDTH; j++) h[i][j] = (double)bag[(b * OF + i) * WIDTH + j] / sqrt(1 + PROBE_EPS);
            for (int k = 0; k < HIDDEN; k++) {
                double a = (double)bias[0][k], g = (double)bias[1][k];
                for (int j = 0; j < WIDTH; j++) {
                    a += (double)tanh_w[k * WIDTH + j] * h[i][j];
                    g += (double)gate_w[k * WIDTH + j] * h[i][j];
                }
                score += (double)score_w[k] * tanh(a) / (1 + exp(-g));
            }
            sum += share[i] = exp(score);
        }
        for (int c = 0; c < 2; c++) {
            double want = 0;
            for (int i = 0; i < OF; i++)
                for (int j = 0; j < WIDTH; j++) want += share[i] / sum * h[i][j] * (double)linear_w[c * WIDTH + j];
            ck_assert_double_eq_tol((double)logits[b * 2 + c], want, 1e-6);
        }
    }
    hct_tape_free(t);
    hct_tensor_free(x_bag);
    params_free(head);
    device_close(dev);
}
END_TEST

/* A finding in one vector of a bag, whose mean says nothing: AB-MIL finds it, and its gradients are what taught it. */
START_TEST(mil_finds_one_vector_of_a_bag) {
    enum { BAGS = 120, OF = 8, LEARNED = 60 };
    static float bags[BAGS * OF * WIDTH];
    static int8_t of_bag[BAGS];
    static size_t bag_rows[BAGS];
    hct_err err = {0};
    for (int b = 0; b < BAGS; b++) {
        of_bag[b] = b % 2;
        bag_rows[b] = (size_t)b;
        for (int i = 0; i < OF * WIDTH; i++) {
            hct_philox r = hct_philox4x32(11, (uint64_t)b, (uint64_t)i);
            bags[b * OF * WIDTH + i] = (float)((double)r.v[0] / 4294967296.0 - 0.5);
        }
        float *one = bags + (b * OF + b % OF) * WIDTH, *other = bags + (b * OF + (b + 3) % OF) * WIDTH;
        for (int j = 0; j < 2; j++) { /* (+, +) and (-, -), or (+, -) and (-, +): sums are alike */
            one[j] += of_bag[b] && j ? -3 : 3;
            other[j] -= of_bag[b] && j ? -3 : 3;
        }
    }
    hct_dev *dev = device_open("cpu", NULL);
    const probe_data d = {.row = bags,
                          .n = BAGS,
                          .width = WIDTH,
                          .tokens = OF,
                          .heads = HEAD_MIL,
                          .label = of_bag,
                          .train = bag_rows,
                          .valid = bag_rows + LEARNED,
                          .n_train = LEARNED,
                          .n_valid = BAGS - LEARNED};
    recipe r = with("optim.lr=1e-2", "optim.epochs=60");
    const char *const keys[] = {"optim.batch=20", "optim.scale_lr_by_batch=false", "optim.warmup_fraction=0.1",
                                "optim.warmup_epochs=0"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        ck_assert_msg(recipe_set(&r, keys[i], &err) == HCT_OK, "%s", err.msg);
    params *head = params_new(dev);
    head_declare(head, "", WIDTH, 2, HEAD_MIL);
    ck_assert_msg(params_check(head, &err) == HCT_OK && params_init(head, 1, &err) == HCT_OK, "%s", err.msg);
    static double score[BAGS];
    char chosen[PROBE_CHOSEN];
    const probe_fit_options o = {.task = "SDH"};
    ck_assert_msg(probe_by_protocol(&r, dev, &d, &o, head, score, chosen, &err) == HCT_OK, "%s", err.msg);
    double auc = auc_of(score + LEARNED, of_bag + LEARNED, BAGS - LEARNED);
    ck_assert_msg(auc > 0.95, "AUC %f (%s)", auc, chosen);
    params_free(head);
    device_close(dev);
}
END_TEST

START_TEST(draws_with_replacement) {
    size_t order[4000], positives = 0, twice = 0, seen[N] = {0};
    make_data();
    ck_assert_int_eq(sampler_replaced(7, 3, rows, label, N, 4000, order), 1);
    for (size_t i = 0; i < 4000; i++) {
        positives += label[order[i]] != 0;
        twice += seen[order[i]]++ > 0;
    }
    ck_assert_double_eq_tol((double)positives, 2000, 4 * sqrt(1000.0)); /* four deviations of a fair coin */
    for (int i = 0; i < N; i++) ck_assert(seen[i] > 0);
    ck_assert_uint_eq(twice, 4000 - N);
    ck_assert_int_eq(sampler_replaced(7, 3, rows, (int8_t[N]){0}, N, 10, order), 0);
}
END_TEST

CHECK_MAIN("protocols", logistic_as_scikit_learn, logistic_refuses, logistic_of_separable_rows, logistic_head,
           grid_beside_a_second_computation, mil_by_its_formula, mil_finds_one_vector_of_a_bag, draws_with_replacement)
