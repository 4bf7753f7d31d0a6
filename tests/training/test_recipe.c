/* Recipes: defaults, overlay, --set, refusals with file, line and nearest key, and the text that reads back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "comparison/systems.h"
#include "hct/io.h"
#include "scratch.h"
#include "pretrain/method.h"
#include "support/paths.h"
#include "recipe/recipe.h"
#include "recipe/recipe_keys.h"

static hct_status load(const char *yaml, recipe *r, hct_err *err) {
    return recipe_load(scratch_file("r.yaml", yaml, strlen(yaml)), r, err);
}

/* What a command checks of a recipe. */
static hct_status check_all(const recipe *r, hct_err *err) {
    hct_status st = recipe_check(r, err);
    return st == HCT_OK ? method_check_recipe(r, err) : st;
}

static char *text_of(const recipe *r) {
    text_buffer t = {0};
    recipe_text(r, &t);
    return text_take(&t, "recipe", NULL);
}

START_TEST(defaults_are_the_papers) {
    recipe r = recipe_default();
    ck_assert_int_eq(check_all(&r, NULL), HCT_OK);
    ck_assert_int_eq(r.model.width, 768);
    ck_assert_int_eq(r.data.windows.n, 3);
    ck_assert_double_eq(r.data.windows.at[2].center, 600);
    ck_assert_double_eq(r.data.windows.at[2].width, 2800);
    ck_assert_double_eq(r.optim.betas[1], 0.95);
    ck_assert_int_eq(r.model.position, POSITION_FIXED);
    ck_assert_str_eq(r.data.validation, "val");
    ck_assert(r.optim.scale_lr_by_batch && !r.model.qkv_bias);
}
END_TEST

START_TEST(every_key_has_a_default_it_takes) {
    recipe r;
    memset(&r, 0, sizeof r);
    for (size_t i = 0; i < recipe_key_count; i++) {
        hct_err err = {0};
        text_buffer t = {0};
        ck_assert_msg(recipe_key_assign(&recipe_keys[i], recipe_keys[i].start, &r, &err) == HCT_OK, "%s", err.msg);
        recipe_key_text(&recipe_keys[i], &r, &t);
        ck_assert_str_eq(text_so_far(&t), recipe_keys[i].start);
        text_free(&t);
        bool known = false;
        for (const char *const *s = recipe_sections; *s; s++) known |= strcmp(*s, recipe_keys[i].section) == 0;
        ck_assert_msg(known, "section of %s", recipe_keys[i].key);
    }
}
END_TEST

START_TEST(a_file_is_laid_over) {
    recipe r = recipe_default();
    hct_err err = {0};
    const char *yaml =
        "# comment\nname: \"a \\\"b\\\" c\"\nseed: 7\n"
        "data:\n  tasks: [IPH, \"SDH\"]\n  windows:\n    - {center: 40, width: 80}\n    - {center: -5.5, width: 1e2}\n"
        "model:\n  qkv_bias: yes\n  position: trained\n  decoder: {depth: 2}\n"
        "optim: {lr: 1e-4, betas: [0.8, 0.99], clip_mode: tensor, clip: 3}\n";
    ck_assert_msg(load(yaml, &r, &err) == HCT_OK, "%s", err.msg);
    ck_assert_str_eq(r.name, "a \"b\" c");
    ck_assert_int_eq(r.seed, 7);
    ck_assert_int_eq(r.data.tasks.n, 2);
    ck_assert_str_eq(r.data.tasks.item[1], "SDH");
    ck_assert_int_eq(r.data.windows.n, 2);
    ck_assert_double_eq(r.data.windows.at[1].center, -5.5);
    ck_assert_double_eq(r.data.windows.at[1].width, 100);
    ck_assert(r.model.qkv_bias && r.model.position == POSITION_TRAINED);
    ck_assert_int_eq(r.model.decoder.depth, 2);
    ck_assert_int_eq(r.model.decoder.width, 768);
    ck_assert_double_eq(r.optim.lr, 1e-4);
    ck_assert_double_eq(r.optim.betas[0], 0.8);
    ck_assert_int_eq(r.optim.clip_mode, CLIP_TENSOR);
    ck_assert_int_eq(recipe_check(&r, &err), HCT_OK);
    ck_assert_int_eq(load("", &r, &err), HCT_OK);
    ck_assert_int_eq(r.seed, 7);
}
END_TEST

START_TEST(refuses_bad_files) {
    const struct {
        const char *yaml, *says;
    } bad[] = {
        {"name: x\noptim:\n  lrr: 3\n", "r.yaml:3: no key 'optim.lrr'; did you mean 'optim.lr'?"},
        {"bacth: 3\n", "r.yaml:1: no key 'bacth'; did you mean 'optim.batch'?"},
        {"optm:\n  lr: 1\n", "r.yaml:1: no key 'optm'; did you mean 'optim'?"},
        {"modle: {}\n", "no key 'modle'; did you mean 'model'?"},
        {"trian:\n  workers: 1\n", "no key 'trian'; did you mean 'train'?"},
        {"optim_: {lr: 1}\n", "no key 'optim_'; did you mean 'optim'?"},
        {"model:\n  decodr:\n    depth: 1\n", "r.yaml:2: no key 'model.decodr'; did you mean 'model.decoder'?"},
        {"model:\n  decoder:\n    dept: 1\n", "did you mean 'model.decoder.depth'?"},
        {"qwertzuiop: 1\n", "no key 'qwertzuiop'"},
        {"optim: 3\n", "r.yaml:1: optim: needs keys with values (key: value), holds a single value"},
        {"optim: {lr: [1]}\n", "optim.lr: needs a single value, holds a list"},
        {"optim: {lr: fast}\n", "optim.lr: 'fast' is not a number"},
        {"optim: {lr: nan}\n", "optim.lr: 'nan' is not a number"},
        {"optim: {lr: }\n", "optim.lr: '' is not a number"},
        {"optim: {batch: 1.5}\n", "optim.batch: '1.5' is not a whole number"},
        {"optim: {batch: 0}\n", "optim.batch: 0 is not between 1 and 65536"},
        {"optim: {name: adamax}\n", "'adamax' is not one of adamw|adam|sgd"},
        {"optim: {betas: [0.9]}\n", "optim.betas: '0.9' is not two numbers"},
        {"optim: {betas: [0.9, 1]}\n", "is not two numbers"},
        {"optim: {betas: [0.9, 0.9, 0.9]}\n", "is more than two"},
        {"model: {qkv_bias: 2}\n", "neither true nor false"},
        {"data: {windows: [{center: 40}]}\n", "Missing required mapping field: width"},
        {"data: {windows: [{center: 40, width: -1}]}\n", "center:width"},
        {"data: {windows: []}\n", "Insufficient entries"},
        {"data: {tasks: a}\n", "data.tasks: needs a list, holds a single value"},
        {"seed: 1\nseed: 2\n", "already seen"},
        {"name: 'open\n", "unexpected end"},
        {"- a\n", "the recipe: needs keys with values"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        recipe r = recipe_default();
        hct_err err = {0};
        char *before = text_of(&r);
        ck_assert_msg(load(bad[i].yaml, &r, &err) < 0, "accepted: %s", bad[i].yaml);
        ck_assert_msg(strstr(err.msg, "r.yaml") && strstr(err.msg, bad[i].says), "%s: %s", bad[i].yaml, err.msg);
        char *after = text_of(&r);
        ck_assert_str_eq(after, before);
        free(before);
        free(after);
    }
    recipe r;
    hct_err err = {0};
    ck_assert_int_eq(recipe_load(scratch_path("none.yaml"), &r, &err), HCT_ENOTFOUND);
    ck_assert_int_eq(recipe_load(scratch_folder(), &r, &err), HCT_ENOTFOUND);
}
END_TEST

START_TEST(set_from_the_command_line) {
    recipe r = recipe_default();
    hct_err err = {0};
    const char *good[] = {"optim.lr=3e-4", "data.tasks=IPH, SDH", "data.windows=40:80", "model.decoder.width=96",
                          "name=a=b",      "optim.betas=0.5,0.6"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(recipe_set(&r, good[i], &err) == HCT_OK, "%s", err.msg);
    ck_assert_double_eq(r.optim.lr, 3e-4);
    ck_assert_str_eq(r.data.tasks.item[1], "SDH");
    ck_assert_int_eq(r.data.windows.n, 1);
    ck_assert_str_eq(r.name, "a=b");
    const char *bad[][2] = {
        {"optim.lr", "section.key=value"},       {"optim.ler=1", "did you mean 'optim.lr'"},
        {"lrr=1", "did you mean 'optim.lr'"},    {"opitm.epochs=1", "did you mean 'optim.epochs'"},
        {"zzzzzzzzzz=1", "no key 'zzzzzzzzzz'"}, {"optim.lr=x", "not a number"},
        {"data.tasks=a,,b", "an item of"},       {"model.width=5", "not between 6"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_lt(recipe_set(&r, bad[i][0], &err), 0);
        ck_assert_msg(strstr(err.msg, bad[i][1]), "%s: %s", bad[i][0], err.msg);
    }
    ck_assert_double_eq(r.optim.lr, 3e-4);
}
END_TEST

START_TEST(other_names_of_keys) {
    recipe r = recipe_default(), same = r;
    hct_err err = {0};
    ck_assert_int_eq(load("optim: {learning_rate: 0.25, batch_size: 7}\ntrain: {amp: true}\nepochs: 3\n", &r, &err),
                     HCT_OK);
    ck_assert(r.optim.lr == 0.25 && r.optim.batch == 7 && r.optim.epochs == 3 && r.train.precision == PRECISION_BF16);
    ck_assert_int_eq(recipe_set(&same, "lr=0.25", &err), HCT_OK);
    ck_assert_int_eq(recipe_set(&same, "batch_size=7", &err), HCT_OK);
    ck_assert_int_eq(recipe_set(&same, "optim.epochs=3", &err), HCT_OK);
    ck_assert_int_eq(recipe_set(&same, "train.amp=true", &err), HCT_OK);
    char *a = text_of(&r), *b = text_of(&same);
    ck_assert_str_eq(a, b); /* kept under the key's own name */
    free(a);
    free(b);
    ck_assert_int_lt(load("optim: {learning_rate: 0.25, lr: 0.5}\n", &r, &err), 0);
    ck_assert_msg(strstr(err.msg, "learning_rate is another name of optim.lr"), "%s", err.msg);
    ck_assert_int_lt(load("train: {amp: fp16}\n", &r, &err), 0);
    ck_assert_msg(strstr(err.msg, "train.precision"), "%s", err.msg);
}
END_TEST

START_TEST(printed_for_people) {
    recipe r = recipe_default(), back = recipe_default();
    hct_err err = {0};
    text_buffer t = {0};
    ck_assert_int_eq(recipe_set(&r, "optim.lr=0.125", &err), HCT_OK);
    ck_assert_int_eq(recipe_set(&r, "name=a \"b\" # c", &err), HCT_OK);
    recipe_print(&r, true, &t); /* comments and all, it reads back */
    ck_assert_msg(load(text_so_far(&t), &back, &err) == HCT_OK, "%s", err.msg);
    char *a = text_of(&r), *b = text_of(&back);
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
    text_free(&t);
    back = r;
    ck_assert_int_eq(recipe_set(&back, "seed=9", &err), HCT_OK);
    recipe_difference(&r, &back, &t);
    ck_assert_str_eq(text_so_far(&t), "seed 1, now 9");
    text_free(&t);
    ck_assert_int_eq(recipe_explain("optim.lr", &t, &err), HCT_OK);
    ck_assert(strstr(text_so_far(&t), "default 0.0015") != NULL);
    text_free(&t);
    ck_assert_int_eq(recipe_explain("optim.ler", &t, &err), HCT_ENOTFOUND);
    ck_assert(strstr(err.msg, "did you mean 'optim.lr'") != NULL);
    text_free(&t);
}
END_TEST

START_TEST(what_must_fit_together) {
    const char *bad[][2] = {
        {"data.image=95", "not divisible by model.patch"},
        {"model.heads=7", "not divisible by model.heads"},
        {"model.width=796", "not divisible by"},
        {"model.decoder.heads=7", "model.decoder.width"},
        {"model.mask_ratio=1", "mask_ratio"},
        {"model.mask_ratio=0", "mask_ratio"},
        {"optim.lr=0", "above 0"},
        {"optim.warmup_epochs=5", "both set"},
        {"optim.clip=1", "go together"},
        {"optim.clip_mode=global", "go together"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        recipe r = recipe_default();
        hct_err err = {0};
        ck_assert_int_eq(recipe_set(&r, bad[i][0], &err), HCT_OK);
        ck_assert_msg(check_all(&r, &err) < 0 && strstr(err.msg, bad[i][1]), "%s: %s", bad[i][0], err.msg);
    }
    recipe r = recipe_default();
    strcpy(r.method, "probe");
    r.model.mask_ratio = 0; /* MAE's alone */
    ck_assert_int_eq(check_all(&r, NULL), HCT_OK);
}
END_TEST

START_TEST(text_reads_back) {
    recipe a = recipe_default(), b = recipe_default();
    hct_err err = {0};
    const char *sets[] = {
        "name=tab\there \"quote\" \\ # : é", "data.tasks=IPH,a b",      "optim.lr=0.1",          "optim.eps=1e-9",
        "data.windows=1.25:3,4:5",           "optim.warmup_fraction=0", "optim.warmup_epochs=5", "method=probe"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) ck_assert_int_eq(recipe_set(&a, sets[i], &err), HCT_OK);
    char *text = text_of(&a);
    ck_assert_msg(load(text, &b, &err) == HCT_OK, "%s in\n%s", err.msg, text);
    char *again = text_of(&b), hash[65], other[65];
    ck_assert_str_eq(again, text);
    ck_assert_int_eq(recipe_hash(&a, hash, NULL), HCT_OK);
    ck_assert_int_eq(recipe_hash(&b, other, NULL), HCT_OK);
    ck_assert_str_eq(hash, other);
    b.seed++;
    recipe_hash(&b, other, NULL);
    ck_assert_str_ne(hash, other);
    free(text);
    free(again);
}
END_TEST

START_TEST(schedule_of_a_run) {
    recipe r = recipe_default();
    lr_schedule s = recipe_schedule(&r, 5, 1); /* 64 x 4 = 256 */
    ck_assert_double_eq(s.base, 1.5e-3);
    ck_assert_int_eq(s.total, 2000);
    ck_assert_int_eq(s.warmup, 100);
    ck_assert_double_eq_tol(s.min, 1.5e-6, 1e-20);
    ck_assert_double_eq(recipe_schedule(&r, 5, 2).base, 3e-3);
    r.optim.scale_lr_by_batch = false;
    r.optim.warmup_fraction = 0;
    r.optim.warmup_epochs = 2.5;
    ck_assert_int_eq(recipe_schedule(&r, 4, 2).warmup, 10);
    ck_assert_double_eq(recipe_schedule(&r, 4, 2).base, 1.5e-3);
    ck_assert_double_eq(recipe_weight_decay(&r, 7, 10), 0.05);
    r.optim.weight_decay_end = 0.45;
    ck_assert_double_eq_tol(recipe_weight_decay(&r, 5, 10), 0.25, 1e-15);
}
END_TEST

START_TEST(shipped_recipes_are_good) {
    char **names;
    size_t n;
    hct_err err = {0};
    ck_assert_int_eq(path_list(RECIPES, ".yaml", &names, &n, &err), HCT_OK);
    ck_assert_uint_ge(n, 3);
    for (size_t i = 0; i < n; i++) {
        recipe r = recipe_default();
        char *path = path_join(RECIPES, names[i]);
        if (!strcmp(names[i], "comparison.yaml")) { /* is a list of systems, each by a recipe of these */
            system_list systems;
            ck_assert_msg(systems_read(path, &systems, &err) == HCT_OK, "%s", err.msg);
            ck_assert_uint_ge(systems.n, 6);
            systems_free(&systems);
            free(path);
            free(names[i]);
            continue;
        }
        ck_assert_msg(recipe_load(path, &r, &err) == HCT_OK && check_all(&r, &err) == HCT_OK, "%s: %s", path, err.msg);
        if (strcmp(names[i], "mae.yaml") == 0) { /* the paper's numbers are the defaults */
            recipe d = recipe_default();
            strcpy(d.name, r.name);
            d.views = r.views; /* by method: the defaults are those of DINO */
            char *a = text_of(&d), *b = text_of(&r);
            ck_assert_str_eq(a, b);
            free(a);
            free(b);
        }
        /* Methods of the paper: rates, epochs, draws; batch, decay, clip, warm-up of its code */
        if (strncmp(names[i], "finetune", 8) == 0) {
            ck_assert(recipe_finetunes(&r));
            ck_assert_double_eq(r.finetune.backbone_lr, 1e-5);
            ck_assert_double_eq(r.optim.lr, 1e-3);
            ck_assert(!r.optim.scale_lr_by_batch && r.finetune.tasks == MODELS_EACH &&
                      r.finetune.backbone == BACKBONE_FULL);
            ck_assert_int_eq(r.optim.epochs, 10);
            ck_assert_int_eq(r.optim.batch, 64);
            ck_assert_double_eq(r.optim.weight_decay, 0.01);
            ck_assert_double_eq(r.optim.warmup_fraction, 0.1);
            ck_assert(r.optim.clip_mode == CLIP_GLOBAL && r.optim.clip == 1);
            ck_assert_int_eq(r.train.balanced, strstr(names[i], "cq500") ? 500 : 5000);
        }
        /* fine-tuning's, from random weights at one rate; epochs are the sweep's */
        if (!strcmp(names[i], "scratch.yaml")) {
            recipe f = recipe_default();
            char *other = path_join(RECIPES, "finetune.yaml");
            ck_assert_int_eq(recipe_load(other, &f, &err), HCT_OK);
            strcpy(f.name, r.name);
            f.finetune.init = START_RANDOM;
            f.finetune.backbone_lr = 0;
            f.train.early_stop = 0;
            char *a = text_of(&f), *b = text_of(&r);
            ck_assert_str_eq(a, b);
            free(a);
            free(b);
            free(other);
        }
        free(path);
        free(names[i]);
    }
    free(names);
}
END_TEST

CHECK_MAIN("recipe", defaults_are_the_papers, every_key_has_a_default_it_takes, a_file_is_laid_over, refuses_bad_files,
           set_from_the_command_line, other_names_of_keys, printed_for_people, what_must_fit_together, text_reads_back,
           schedule_of_a_run, shipped_recipes_are_good)
