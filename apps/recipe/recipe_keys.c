/* The table of recipe keys, and their values as text. */
#include "recipe/recipe_keys.h"

#include "hct/nearest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(recipe, member)
/* clang-format off */
#define INT(section, key, member, low, high, start, help) \
    { section, key, KEY_INT, AT(member), low, high, NULL, start, help, false }
#define REAL(section, key, member, low, high, start, help) \
    { section, key, KEY_REAL, AT(member), low, high, NULL, start, help, false }
#define BOOL(section, key, member, start, help) \
    { section, key, KEY_BOOL, AT(member), 0, 1, NULL, start, help, false }
#define CHOICE(section, key, member, words, start, help) \
    { section, key, KEY_CHOICE, AT(member), 0, 0, words, start, help, false }
#define OTHER(kind, section, key, member, start, help) \
    { section, key, kind, AT(member), 0, 0, NULL, start, help, false }
#define LATER(kind, section, key, member, start, help) \
    { section, key, kind, AT(member), 0, 0, NULL, start, help, true }
#define LATER_INT(section, key, member, low, high, start, help) \
    { section, key, KEY_INT, AT(member), low, high, NULL, start, help, true }
#define LATER_REAL(section, key, member, low, high, start, help) \
    { section, key, KEY_REAL, AT(member), low, high, NULL, start, help, true }
#define LATER_BOOL(section, key, member, start, help) \
    { section, key, KEY_BOOL, AT(member), 0, 1, NULL, start, help, true }
#define LATER_CHOICE(section, key, member, words, start, help) \
    { section, key, KEY_CHOICE, AT(member), 0, 0, words, start, help, true }
#define WORD(section, key, member, words, start, help, later) \
    { section, key, KEY_WORD, AT(member), 0, 0, words, start, help, later }
/* clang-format on */

static const double MANY = 1e9;

const char *const recipe_sections[] = {"",      "data",  "model", "model.decoder", "model.resnet", "optim",
                                       "train", "views", "dino",  "probe",         "finetune",     NULL};

const recipe_key recipe_keys[] = {
    OTHER(KEY_TEXT, "", "name", name, "", "what the run is called"),
    WORD("", "method", method, "mae|probe|dino|finetune", "mae", "what is trained", false),
    INT("", "seed", seed, 0, 9e15, "1", "seed of every random number: weights, masks, order, draws"),

    OTHER(KEY_TEXT, "data", "dataset", data.dataset, "", "folder made by headct prepare"),
    OTHER(KEY_TEXT, "data", "train", data.train, "train", "split to train on"),
    OTHER(KEY_TEXT, "data", "validation", data.validation, "val", "split that chooses the best checkpoint"),
    OTHER(KEY_TEXT, "data", "test", data.test, "test", "split that is only evaluated"),
    REAL("data", "fraction", data.fraction, 0, 1, "1",
         "share of the training split's patients that is learned from; smaller shares lie within larger ones"),
    LATER_INT("data", "patients", data.patients, 0, MANY, "0",
              "patients of the training split that are learned from, in place of a share; fewer lie within more; 0: by "
              "data.fraction"),
    LATER_INT("data", "seed", data.seed, -1, 9e15, "-1",
              "seed of which patients these are, so that draws of them may be paired; -1: seed"),
    OTHER(KEY_LIST, "data", "tasks", data.tasks, "", "label columns; none: all that the dataset has"),
    OTHER(KEY_WINDOWS, "data", "windows", data.windows, "40:80,80:200,600:2800", "HU windows, one channel each"),
    INT("data", "crop", data.crop, 1, 224, "192", "edge of the cube cut from the middle, mm"),
    INT("data", "image", data.image, 1, 512, "96", "edge of the model's input, voxels"),

    WORD("model", "kind", model.kind, "vit|resnet3d", "vit", "kind of encoder", true),
    LATER(KEY_TEXT, "model", "weights", model.weights, "",
          "encoder weights (safetensors) that pre-training goes on from; none: it begins anew"),
    INT("model", "patch", model.patch, 1, 512, "12", "edge of a patch, voxels"),
    INT("model", "width", model.width, 6, 65536, "768", "width of the encoder; divisible by heads and by 6"),
    INT("model", "depth", model.depth, 1, 1000, "12", "blocks of the encoder"),
    INT("model", "heads", model.heads, 1, 1024, "12", "attention heads of the encoder"),
    INT("model", "mlp", model.mlp, 1, 262144, "3072", "hidden width of the encoder's MLPs"),
    INT("model", "registers", model.registers, 0, 1024, "0", "register tokens"),
    BOOL("model", "qkv_bias", model.qkv_bias, "false", "whether query, key and value have a bias"),
    CHOICE("model", "position", model.position, "fixed|trained", "fixed",
           "sine-cosine table: fixed as in the paper, or trained as in the published code"),
    CHOICE("model", "init", model.init, "xavier|normal", "xavier",
           "first values of the encoder's matrices: Glorot's uniform (MAE's authors), or normal with deviation 0.02 "
           "(DINO's authors)"),
    REAL("model", "mask_ratio", model.mask_ratio, 0, 1, "0.75", "share of patches that MAE removes"),
    BOOL("model", "norm_pix", model.norm_pix, "false", "whether MAE's targets are normalised per patch"),
    LATER_CHOICE("model", "loss", model.loss, "all|inside", "all",
                 "hidden voxels that MAE's loss counts: all (the paper), or those that no window clamps and whose six "
                 "neighbours none does"),
    INT("model.decoder", "width", model.decoder.width, 6, 65536, "768",
        "width of MAE's decoder; divisible by its heads and by 6"),
    INT("model.decoder", "depth", model.decoder.depth, 1, 1000, "8", "blocks of the decoder"),
    INT("model.decoder", "heads", model.decoder.heads, 1, 1024, "16", "attention heads of the decoder"),
    INT("model.decoder", "mlp", model.decoder.mlp, 1, 262144, "3072", "hidden width of the decoder's MLPs"),
    BOOL("model.decoder", "bias", model.decoder.bias, "false",
         "whether its embedding, qkv and prediction layers have biases"),

    LATER_INT("model.resnet", "blocks1", model.resnet.blocks[0], 1, 1000, "3", "blocks of a ResNet's first stage"),
    LATER_INT("model.resnet", "blocks2", model.resnet.blocks[1], 1, 1000, "4", "blocks of its second stage"),
    LATER_INT("model.resnet", "blocks3", model.resnet.blocks[2], 1, 1000, "6", "blocks of its third stage"),
    LATER_INT("model.resnet", "blocks4", model.resnet.blocks[3], 1, 1000, "3", "blocks of its fourth stage"),
    LATER_INT("model.resnet", "width", model.resnet.width, 1, 4096, "64",
              "channels behind its first convolution; its embedding has 32 times as many"),
    LATER_CHOICE(
        "model.resnet", "form", model.resnet.form, "plain|dilated", "plain",
        "strides 1,2,2,2 (3D-ResNets), or 1,2,1,1 with dilation 1,1,2,4 and a first stride of 2,2,2 (MedicalNet)"),

    CHOICE("optim", "name", optim.name, "adamw|adam|sgd", "adamw", "the optimiser"),
    CHOICE("optim", "schedule", optim.schedule, "cosine|poly|constant", "cosine",
           "how the learning rate falls after warm-up"),
    REAL("optim", "lr", optim.lr, 0, 1000, "0.0015", "learning rate, for a batch of 256 where it is scaled"),
    BOOL("optim", "scale_lr_by_batch", optim.scale_lr_by_batch, "true",
         "whether the rate is lr * batch / 256, batch counting all scans of a step"),
    OTHER(KEY_PAIR, "optim", "betas", optim.betas, "0.9,0.95", "Adam's decay rates"),
    REAL("optim", "eps", optim.eps, 0, 1, "1e-08", "Adam's epsilon"),
    REAL("optim", "momentum", optim.momentum, 0, 1, "0.9", "momentum of SGD"),
    REAL("optim", "weight_decay", optim.weight_decay, 0, 1000, "0.05", "weight decay at the first step"),
    REAL("optim", "weight_decay_end", optim.weight_decay_end, -1, 1000, "-1",
         "weight decay after the last step, along a cosine; -1: the same all along"),
    CHOICE("optim", "decay", optim.decay, "all|matrices", "all",
           "tensors that decay: all, or only those of two or more dimensions"),
    REAL("optim", "clip", optim.clip, 0, 1e9, "0", "largest gradient norm, for clip_mode"),
    CHOICE("optim", "clip_mode", optim.clip_mode, "none|global|tensor", "none",
           "norm over all tensors, or of each by itself"),
    INT("optim", "batch", optim.batch, 1, 65536, "64", "scans a rank takes at once"),
    INT("optim", "accumulate", optim.accumulate, 1, 65536, "4", "batches added up to one step"),
    INT("optim", "epochs", optim.epochs, 1, 1000000, "400", "passes over the training split"),
    REAL("optim", "warmup_epochs", optim.warmup_epochs, 0, 1000000, "0", "linear warm-up in epochs"),
    REAL("optim", "warmup_fraction", optim.warmup_fraction, 0, 1, "0.05", "linear warm-up as a share of all steps"),
    REAL("optim", "min_lr_ratio", optim.min_lr_ratio, 0, 1, "0.001", "last learning rate as a share of the first"),

    INT("train", "workers", train.workers, 1, 1024, "2", "loader threads"),
    OTHER(KEY_TEXT, "train", "device", train.device, "auto", "backend to run on, as headct backends names it"),
    INT("train", "checkpoint_every", train.checkpoint_every, 0, MANY, "0",
        "steps between checkpoints; 0: after each epoch only"),
    LATER_INT("train", "keep", train.keep, 1, 1000, "1",
              "checkpoints that stay, the last one among them; the older ones by their step"),
    INT("train", "log_every", train.log_every, 1, MANY, "1", "steps between lines of metrics.jsonl"),
    INT("train", "validate_every", train.validate_every, 0, MANY, "1",
        "epochs between validations, and after the last; 0: pre-training is never validated"),
    INT("train", "early_stop", train.early_stop, 0, MANY, "0",
        "validations without a better one before the end; 0: never"),
    INT("train", "balanced", train.balanced, 0, MANY, "0", "scans drawn an epoch, classes evenly; 0: every scan once"),
    INT("train", "cache_mb", train.cache_mb, 0, MANY, "2048", "memory for prepared inputs, MiB"),
    BOOL("train", "disk_cache", train.disk_cache, "false",
         "keep model inputs in DATASET/inputs, for many runs over one dataset"),

    CHOICE("train", "precision", train.precision, "f32|bf16", "f32",
           "what pre-training computes in; bf16: activations and products, while weights, gradients' sums, moments, "
           "statistics and losses stay f32"),
    BOOL("train", "recompute", train.recompute, "false",
         "keep only each block's input and compute the rest again for its gradient: less memory, a third more work"),

    INT("views", "global", views.global, 1, 16, "2", "views of a scan that DINO's teacher sees too"),
    INT("views", "local", views.local, 0, 64, "3", "smaller views, the student's alone"),
    INT("views", "global_min", views.global_edge[0], 1, 224, "112", "shortest edge of a global view's crop, mm"),
    INT("views", "global_max", views.global_edge[1], 1, 224, "224", "longest edge of a global view's crop, mm"),
    INT("views", "local_min", views.local_edge[0], 1, 224, "64", "shortest edge of a local view's crop, mm"),
    INT("views", "local_max", views.local_edge[1], 1, 224, "112", "longest edge of a local view's crop, mm"),
    CHOICE("views", "shape", views.shape, "cube|box", "cube",
           "crops: cubes, or boxes with an edge of its own along each axis"),
    INT("views", "region", views.region, 8, 224, "224", "edge of the cube in the middle that crops are taken from, mm"),
    INT("views", "shrink", views.shrink, 1, 16, "1",
        "crops are taken from volumes averaged over this many voxels along each axis; 1 as in the paper"),
    REAL("views", "flip", views.flip, 0, 1, "0", "probability of a flip along each axis"),
    REAL("views", "shift", views.shift, 0, 1, "0.1", "largest intensity shift, in window units"),
    REAL("views", "shift_prob", views.shift_prob, 0, 1, "0", "probability of an intensity shift"),
    REAL("views", "smooth_prob", views.smooth_prob, 0, 1, "0", "probability of Gaussian smoothing"),
    REAL("views", "sigma_min", views.sigma[0], 0, 8, "0.5",
         "least sigma of the smoothing along an axis, voxels of the view"),
    REAL("views", "sigma_max", views.sigma[1], 0, 8, "1", "largest sigma of the smoothing"),
    REAL("views", "gamma_prob", views.gamma_prob, 0, 1, "0", "probability of a gamma adjustment"),
    REAL("views", "gamma_min", views.gamma[0], 0.01, 10, "0.2", "least gamma"),
    REAL("views", "gamma_max", views.gamma[1], 0.01, 10, "1", "largest gamma"),
    CHOICE("views", "placement", views.placement, "all|published", "all",
           "every view may be augmented in every way (the paper); only global ones, the first smoothed, the second "
           "gamma-adjusted (its code)"),

    INT("dino", "prototypes", dino.prototypes, 1, 1e7, "65536", "rows of the last layer"),
    INT("dino", "hidden", dino.hidden, 1, 1e6, "2048", "width of the head's hidden layers"),
    INT("dino", "bottleneck", dino.bottleneck, 1, 1e6, "256", "width of what is normalised before the last layer"),
    BOOL("dino", "batch_norm", dino.batch_norm, "false",
         "whether the head's hidden layers are normalised over the batch; for small data"),
    REAL("dino", "student_temp", dino.student_temp, 1e-4, 100, "0.1", "the student's temperature"),
    REAL("dino", "teacher_temp_start", dino.teacher_temp_start, 1e-4, 100, "0.04",
         "the teacher's temperature in the first epoch"),
    REAL("dino", "teacher_temp", dino.teacher_temp, 1e-4, 100, "0.04", "the teacher's temperature after its warm-up"),
    INT("dino", "teacher_temp_epochs", dino.teacher_temp_epochs, 0, 1e6, "30", "epochs of that warm-up"),
    REAL("dino", "momentum", dino.momentum, 0, 1, "0.994",
         "momentum of the teacher's moving average at the first step"),
    REAL("dino", "momentum_end", dino.momentum_end, 0, 1, "1",
         "momentum of the teacher's moving average at the last step, along a cosine"),
    REAL("dino", "center_momentum", dino.center_momentum, 0, 1, "0.9", "momentum of the centre's moving average"),
    INT("dino", "freeze_last_layer", dino.freeze_last_layer, 0, 1e6, "1",
        "first epochs in which the last layer is left alone"),

    OTHER(KEY_TEXT, "probe", "weights", probe.weights, "",
          "encoder weights (safetensors); with features random: only its sizes are taken"),
    CHOICE("probe", "kind", probe.kind, "linear|attentive|mil", "linear",
           "what is put on the frozen features: a linear layer, attention over tokens by a learned query, or gated "
           "attention over a bag of vectors (AB-MIL)"),
    CHOICE("probe", "features", probe.features, "encoder|random|histogram|embeddings", "encoder",
           "the encoder's; a random encoder's; a histogram of the input's voxels; embeddings made elsewhere"),
    LATER(KEY_TEXT, "probe", "embeddings", probe.embeddings, "",
          "file of embeddings made elsewhere (safetensors, npy, npz, CSV, JSON lines), with features embeddings"),
    LATER(KEY_TEXT, "probe", "embedding_ids", probe.embedding_ids, "",
          "file of the scans' ids in the order of its rows, where the file of embeddings has none; none: FILE.ids"),
    CHOICE("probe", "pool", probe.pool, "cls|mean", "cls",
           "the encoder's class token (the paper), or the mean of its patch tokens"),
    INT("probe", "heads", probe.heads, 1, 1024, "12",
        "attention heads of an attentive probe; they divide the encoder's width"),
    LATER_CHOICE(
        "probe",
        "protocol", probe.protocol, "paper|logistic|cvpr26", "paper",
        "how the head is found: AdamW by optim (the paper), L2-regularised logistic regression to convergence, "
        "or the grid of 104 linear heads of the CVPR 2026 challenge"),
    LATER_REAL("probe", "c", probe.c, 0, 1e12, "0",
               "of logistic regression: 1 / strength of the penalty, as scikit-learn's C; 0: the best validation AUC "
               "of ten values from 1e-4 to 1e4"),
    LATER_BOOL("probe", "standardize", probe.standardize, "false",
               "of logistic regression: features minus their mean, divided by their deviation in training"),
    LATER_CHOICE("probe", "watched", probe.watched, "auroc|balanced_accuracy|loss", "auroc",
                 "of the CVPR 2026 grid: what of validation chooses head and epoch"),

    CHOICE("finetune", "init", finetune.init, "weights|random", "weights",
           "the encoder's first values: of finetune.weights, or drawn (from scratch)"),
    OTHER(KEY_TEXT, "finetune", "weights", finetune.weights, "",
          "weights (safetensors) to start from; with init random: only their sizes are taken"),
    CHOICE("finetune", "tasks", finetune.tasks, "each|all", "each",
           "a model of its own for each task (the paper), or one encoder with a head a task"),
    CHOICE("finetune", "head", finetune.head, "linear|attentive|mil", "linear",
           "what is put on the encoder: batch norm and a linear layer, attention over all tokens first, or the gated "
           "attention of AB-MIL"),
    INT("finetune", "heads", finetune.heads, 1, 1024, "12",
        "attention heads of an attentive head; they divide the encoder's width"),
    CHOICE("finetune", "pool", finetune.pool, "cls|mean", "cls",
           "what a linear head takes: the class token (the paper), or the mean of the patch tokens"),
    CHOICE("finetune", "backbone", finetune.backbone, "full|frozen|lora", "full",
           "what of the encoder is trained: all, nothing, or low-rank additions to its attention"),
    REAL("finetune", "backbone_lr", finetune.backbone_lr, 0, 1000, "1e-05",
         "the encoder's learning rate, scheduled as the head's, optim.lr; 0: optim.lr"),
    REAL("finetune", "layer_decay", finetune.layer_decay, 0, 1, "1",
         "the encoder's rate falls by this factor from block to block towards the input; 1: it does not"),
    REAL("finetune", "drop_path", finetune.drop_path, 0, 0.99, "0",
         "probability that a scan skips a residual branch: 0 in the first block, this in the last"),
    INT("finetune", "lora_rank", finetune.lora_rank, 1, 4096, "8", "rank of the additions, with backbone lora"),
    REAL("finetune", "lora_alpha", finetune.lora_alpha, 0, MANY, "16", "they count alpha / rank"),
};

_Static_assert(sizeof recipe_keys / sizeof *recipe_keys <= RECIPE_KEYS, "recipe.given must hold all keys");
const size_t recipe_key_count = sizeof recipe_keys / sizeof *recipe_keys;

const char *recipe_key_path(const recipe_key *k, char buffer[128]) {
    snprintf(buffer, 128, "%s%s%s", k->section, *k->section ? "." : "", k->key);
    return buffer;
}

const recipe_key *recipe_key_find(const char *path, size_t n) {
    char name[128];
    for (size_t i = 0; i < recipe_key_count; i++)
        if (strlen(recipe_key_path(&recipe_keys[i], name)) == n && memcmp(name, path, n) == 0) return &recipe_keys[i];
    return NULL;
}

const recipe_key *recipe_key_nearest(const char *path) {
    const char *dot = strrchr(path, '.'), *word = dot ? dot + 1 : path;
    const recipe_key *near = NULL;
    char name[128];
    size_t least = strlen(path) / 3 + 2;
    for (size_t i = 0; i < recipe_key_count; i++) {
        const recipe_key *k = &recipe_keys[i];
        size_t whole = hct_name_distance(path, recipe_key_path(k, name)), last = hct_name_distance(word, k->key);
        bool elsewhere =
            dot && (strlen(k->section) != (size_t)(dot - path) || strncmp(k->section, path, (size_t)(dot - path)) != 0);
        if (elsewhere) last += 2;
        if (last < whole) whole = last;
        if (whole < least) least = whole, near = k;
    }
    return near;
}

static hct_status number_of(const recipe_key *k, const char *text, double *ret, hct_err *err) {
    char path[128], low[32], high[32];
    recipe_key_path(k, path);
    int64_t whole = 0;
    bool ok = k->kind == KEY_INT ? text_int64(text, &whole) : text_double(text, ret);
    if (k->kind == KEY_INT) *ret = (double)whole;
    if (!ok || isnan(*ret))
        return hct_fail(err, HCT_EINVAL, "%s: '%s' is not a %s", path, text,
                        k->kind == KEY_INT ? "whole number" : "number");
    if (*ret < k->low || *ret > k->high)
        return hct_fail(err, HCT_EINVAL, "%s: %s is not between %s and %s", path, text, text_of_double(k->low, low),
                        text_of_double(k->high, high));
    return HCT_OK;
}

/* Number of the word in "a|b|c", -1 where it is none of them. */
static int word_number(const char *words, const char *text) {
    size_t n = strlen(text);
    for (int i = 0; n && words; i++) {
        if (strncmp(words, text, n) == 0 && (words[n] == '|' || words[n] == '\0')) return i;
        words = strchr(words, '|');
        if (words) words++;
    }
    return -1;
}

/* Copies the next part of *at, up to ',' or the end, without surrounding blanks. False at the end, or where too
 * long. */
static bool next_part(const char **at, char *part, size_t size, bool *ret_too_long) {
    *ret_too_long = false;
    if (!*at) return false;
    while (**at == ' ') ++*at;
    size_t n = strcspn(*at, ","), kept = n;
    while (kept && (*at)[kept - 1] == ' ') kept--;
    *ret_too_long = kept >= size;
    if (*ret_too_long) return false;
    memcpy(part, *at, kept);
    part[kept] = '\0';
    *at = (*at)[n] == ',' ? *at + n + 1 : NULL;
    return true;
}

static hct_status assign_list(const char *path, const char *text, recipe_list *out, hct_err *err) {
    recipe_list list = {0};
    bool too_long = false;
    const char *at = text[strspn(text, " ")] ? text : NULL;
    for (char part[RECIPE_ITEM]; next_part(&at, part, sizeof part, &too_long); list.n++) {
        if (list.n == RECIPE_ITEMS) return hct_fail(err, HCT_EINVAL, "%s: more than %d items", path, RECIPE_ITEMS);
        if (!*part) return hct_fail(err, HCT_EINVAL, "%s: an item of '%s' is empty", path, text);
        memcpy(list.item[list.n], part, sizeof part);
    }
    if (too_long) return hct_fail(err, HCT_EINVAL, "%s: an item is longer than %d characters", path, RECIPE_ITEM - 1);
    *out = list;
    return HCT_OK;
}

static hct_status assign_pair(const char *path, const char *text, double out[2], hct_err *err) {
    char part[RECIPE_ITEM];
    bool too_long;
    double v[2];
    const char *at = text;
    for (int i = 0; i < 2; i++)
        if (!next_part(&at, part, sizeof part, &too_long) || !text_double(part, &v[i]) || !(v[i] >= 0 && v[i] < 1))
            return hct_fail(err, HCT_EINVAL, "%s: '%s' is not two numbers from 0 to below 1", path, text);
    if (at) return hct_fail(err, HCT_EINVAL, "%s: '%s' is more than two numbers", path, text);
    memcpy(out, v, sizeof v);
    return HCT_OK;
}

static hct_status assign_windows(const char *path, const char *text, char *member, hct_err *err) {
    char part[RECIPE_ITEM];
    bool too_long;
    const char *at = text;
    recipe_window w[RECIPE_WINDOWS];
    int64_t n = 0;
    for (; next_part(&at, part, sizeof part, &too_long); n++) {
        if (n == RECIPE_WINDOWS) return hct_fail(err, HCT_EINVAL, "%s: more than %d windows", path, RECIPE_WINDOWS);
        char *colon = strchr(part, ':');
        if (colon) *colon = '\0';
        if (!colon || !text_double(part, &w[n].center) || !text_double(colon + 1, &w[n].width) ||
            !isfinite(w[n].center) || !(w[n].width > 0 && isfinite(w[n].width)))
            return hct_fail(err, HCT_EINVAL, "%s: a window is center:width in HU with a width above 0, not '%s'", path,
                            text);
    }
    if (too_long || n == 0) return hct_fail(err, HCT_EINVAL, "%s: '%s' lists no window", path, text);
    memcpy(member, &n, sizeof n);
    memset(member + offsetof(recipe, data.windows.at) - offsetof(recipe, data.windows), 0, sizeof w);
    memcpy(member + offsetof(recipe, data.windows.at) - offsetof(recipe, data.windows), w, (size_t)n * sizeof *w);
    return HCT_OK;
}

hct_status recipe_key_assign(const recipe_key *k, const char *text, recipe *r, hct_err *err) {
    char path[128], *member = (char *)r + k->offset;
    recipe_key_path(k, path);
    hct_status status = HCT_OK;
    double v = 0;
    switch (k->kind) {
    case KEY_INT:
        status = number_of(k, text, &v, err);
        if (status == HCT_OK) memcpy(member, &(int64_t){(int64_t)v}, sizeof(int64_t));
        return status;
    case KEY_REAL:
        status = number_of(k, text, &v, err);
        if (status == HCT_OK) memcpy(member, &v, sizeof v);
        return status;
    case KEY_BOOL:
        if (text_bool(text, (bool *)member)) return HCT_OK;
        return hct_fail(err, HCT_EINVAL, "%s: '%s' is neither true nor false", path, text);
    case KEY_CHOICE: {
        int word = word_number(k->words, text);
        if (word < 0) return hct_fail(err, HCT_EINVAL, "%s: '%s' is not one of %s", path, text, k->words);
        memcpy(member, &word, sizeof word);
        return HCT_OK;
    }
    case KEY_WORD:
        if (!*text || strlen(text) >= RECIPE_WORD || text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_")])
            return hct_fail(err, HCT_EINVAL, "%s: '%s' is no word such as %s", path, text, k->words);
        memset(member, 0, RECIPE_WORD);
        memcpy(member, text, strlen(text));
        return HCT_OK;
    case KEY_TEXT:
        if (strlen(text) >= RECIPE_TEXT)
            return hct_fail(err, HCT_EINVAL, "%s: longer than %d characters", path, RECIPE_TEXT - 1);
        memset(member, 0, RECIPE_TEXT);
        memcpy(member, text, strlen(text));
        return HCT_OK;
    case KEY_LIST: return assign_list(path, text, (recipe_list *)(void *)member, err);
    case KEY_PAIR: return assign_pair(path, text, (double *)(void *)member, err);
    case KEY_WINDOWS: break;
    }
    return assign_windows(path, text, member, err);
}

void recipe_key_text(const recipe_key *k, const recipe *r, text_buffer *out) {
    const char *member = (const char *)r + k->offset;
    char number[32], second[32];
    switch (k->kind) {
    case KEY_INT: text_printf(out, "%lld", (long long)*(const int64_t *)(const void *)member); break;
    case KEY_REAL: text_printf(out, "%s", text_of_double(*(const double *)(const void *)member, number)); break;
    case KEY_BOOL: text_printf(out, "%s", *(const bool *)member ? "true" : "false"); break;
    case KEY_WORD:
    case KEY_TEXT: text_printf(out, "%s", member); break;
    case KEY_CHOICE: {
        const char *word = k->words;
        int n;
        for (memcpy(&n, member, sizeof n); n > 0; n--) word = strchr(word, '|') + 1;
        text_printf(out, "%.*s", (int)strcspn(word, "|"), word);
        break;
    }
    case KEY_LIST: {
        const recipe_list *list = (const recipe_list *)(const void *)member;
        for (int64_t i = 0; i < list->n; i++) text_printf(out, "%s%s", i ? "," : "", list->item[i]);
        break;
    }
    case KEY_PAIR: {
        const double *v = (const double *)(const void *)member;
        text_printf(out, "%s,%s", text_of_double(v[0], number), text_of_double(v[1], second));
        break;
    }
    case KEY_WINDOWS:
        for (int64_t i = 0; i < r->data.windows.n; i++)
            text_printf(out, "%s%s:%s", i ? "," : "", text_of_double(r->data.windows.at[i].center, number),
                        text_of_double(r->data.windows.at[i].width, second));
        break;
    }
}
