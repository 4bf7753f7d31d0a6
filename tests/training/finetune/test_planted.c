/* Full fine-tuning of one model for one finding reaches an AUC above 0.95 on heads with a planted lesion that it has
 * not seen. */
#include <stdio.h>

#include "check_main.h"
#include "planted.h"

enum { SCANS = 112, TRAIN = 64, VALID = 16, TEST = SCANS - TRAIN - VALID };

START_TEST(reaches_0_95) {
    static const char *const ball[] = {"ball"};
    recipe r = planted_recipe();
    hct_err err = {0};
    well(recipe_set(&r, "train.balanced=64", &err));
    well(recipe_set(&r, "optim.epochs=6", &err));
    bench b = bench_open(&r, SCANS, TRAIN, VALID, ball, 1);
    finetune_result m;
    well(finetune_fit(&b.base, &r, &b.t, &(finetune_options){0}, &m, &err));
    double test = trial_auc(&b.t, TRAIN + VALID, TEST);
    printf("# test AUC %.3f of %d scans, validation %.3f at step %lld of %lld\n", test, TEST, m.best,
           (long long)m.best_step, (long long)m.steps);
    ck_assert_msg(test > 0.95, "AUC %g", test);
    finetune_result_free(&m);
    bench_close(&b);
}
END_TEST

CHECK_MAIN("planted", reaches_0_95)
