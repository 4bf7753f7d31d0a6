/* headct embed: embeddings of scans, or tokens and attention of a tensor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/cohort_args.h"
#include "commands/command.h"
#include "embeddings/write.h"
#include "inference/embed.h"
#include "inference/tokens.h"
#include "support/stop.h"
#include "support/text.h"

static const char doc[] =
    "Writes the class token of each scan to one safetensors file: 'embeddings' [scans, width], with scans, patients "
    "and all hashes in its metadata. A "
    "SCAN is a NIfTI file, or a DICOM file, folder, CD, zip or tar file, searched as deep as it goes. What is done is "
    "saved every "
    "minute and at any signal: run the "
    "same command again and it does only what is missing. Scans that cannot be read are listed with their reason, and "
    "the exit status is 3.\n\n"
    "With --tensor it takes a ready (batch, channel, size, size, size) tensor instead, the one named 'input' or the "
    "only one of its file, and "
    "writes 'tokens', 'cls' and every layer's 'attn.L'. Another size than the weights' resamples their position "
    "table.\n\n"
    "An encoder over studies (hlip) takes all series of a study at once, one row a study: DICOM series by their study, "
    "NIfTI files by "
    "their folder; of a dataset each scan is a study.\n\n"
    "Weights are any file that headct wrote, or plain safetensors with the paper's keys: then --heads says what no "
    "shape tells, and --recipe the HU windows "
    "and the crop, where scans are embedded.\v"
    "Examples:\n"
    "  headct embed --weights runs/mae/weights.safetensors --data data --out embeddings.safetensors\n"
    "  headct embed --weights runs/mae/weights.safetensors scan.nii.gz ct_folder --out two.safetensors\n"
    "  headct embed --weights fm-ct.safetensors --data data --out e.safetensors --format npy --format h5\n"
    "  headct embed --weights hlip.safetensors study_folder --out study.safetensors\n"
    "  headct embed --weights merlin.safetensors --data data --output phecodes --out phecodes.safetensors\n"
    "  headct embed --weights vit.safetensors --heads 12 --tensor in.safetensors --out tokens.safetensors";

enum { FORMATS = 3 };
enum {
    OPT_OUT = 'o',
    OPT_TENSOR = 256,
    OPT_HEADS = 'H',
    OPT_RECIPE = 'r',
    OPT_EPS = 257,
    OPT_EVERY = 258,
    OPT_OUTPUT,
    OPT_FORMAT
};

static const struct argp_option options[] = {
    {"out", OPT_OUT, "FILE", 0, "the safetensors file to write, or to complete", 0},
    {"tensor", OPT_TENSOR, "FILE", 0, "safetensors file with the input, instead of scans", 0},
    {"heads", OPT_HEADS, "N", 0, "attention heads of weights without a headct description", 0},
    {"norm-eps", OPT_EPS, "EPS", 0, "eps of the last norm of such weights (default 1e-6; MAE encoders have 1e-5)", 0},
    {"recipe", OPT_RECIPE, "FILE", 0, "recipe with heads, windows and crop of such weights", 0},
    {"output", OPT_OUTPUT, "NAME", 0,
     "what is written: embedding (default); of merlin also phecodes or contrastive, its heads; of hlip also trunk", 0},
    {"format", OPT_FORMAT, "FORM", 0,
     "write it in another form beside FILE too: npy (and its .ids), csv, or h5 (a folder of CASE.h5 with y_hat, as the "
     "CVPR 2026 challenge has it); may be given several times",
     0},
    {"save-every", OPT_EVERY, "SECONDS", 0, "time between saves of what is done (default 60)", 0},
    {0},
};

typedef struct settings {
    cohort_args common;
    const char *out, *tensor, *recipe, *output, *format[FORMATS];
    int n_formats;
    int64_t heads;
    double eps, every;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_OUT: s->out = arg; break;
    case OPT_TENSOR: s->tensor = arg; break;
    case OPT_OUTPUT: s->output = arg; break;
    case OPT_RECIPE: s->recipe = arg; break;
    case OPT_FORMAT:
        if (!embeddings_writer_of(arg)) argp_error(state, "--format %s: npy, csv or h5", arg);
        if (s->n_formats == FORMATS) argp_error(state, "--format: more than %d", FORMATS);
        s->format[s->n_formats++] = arg;
        break;
    case OPT_HEADS:
        if (!text_int64(arg, &s->heads) || s->heads < 1)
            argp_error(state, "--heads %s: a whole number of 1 or more is needed", arg);
        break;
    case OPT_EPS:
        if (!text_double(arg, &s->eps) || !(s->eps > 0 && s->eps < 1))
            argp_error(state, "--norm-eps %s: a number between 0 and 1 is needed", arg);
        break;
    case OPT_EVERY:
        if (!text_double(arg, &s->every) || !(s->every >= 0))
            argp_error(state, "--save-every %s: seconds, 0 or more, are needed", arg);
        break;
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case ARGP_KEY_END:
        if (!s->common.weights) argp_error(state, "--weights FILE is missing");
        if (!s->out) argp_error(state, "--out FILE is missing");
        if (s->tensor && (s->common.n_scans || s->common.data))
            argp_error(state, "--tensor FILE stands instead of SCAN... and --data");
        if (s->tensor && (s->output || s->n_formats))
            argp_error(state, "--output and --format are of embeddings of scans");
        if (s->tensor && s->common.precision)
            argp_error(state, "--precision is of embeddings of scans: --tensor is computed in f32");
        if (!s->tensor) cohort_args_check(&s->common, state);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int embed_scans(const settings *s, const model_file_options *model) {
    embed_options o = {.model = *model,
                       .device = s->common.device,
                       .out = s->out,
                       .output = s->output,
                       .every = s->every,
                       .progress = s->common.quiet ? NULL : stderr};
    hct_err err = {0, ""};
    cohort c = {0};
    size_t kept = 0;
    stop_listen();
    hct_status st = cohort_from_args(&s->common, &c, &err);
    if (st == HCT_OK) st = embed_run(&o, &c, &kept, &err);
    int status = cohort_report("headct embed", &c, s->out, kept, st, &err);
    cohort_free(&c);
    for (int i = 0; st == HCT_OK && i < s->n_formats; i++) {
        char *path = NULL;
        st = embeddings_convert(s->out, s->format[i], &path, &err);
        if (st == HCT_OK) printf("%s\n", path);
        else status = command_end("headct embed", st, &err);
        free(path);
    }
    return status;
}

int command_embed(int argc, char **argv) {
    settings s = {.every = 60};
    const struct argp_child children[] = {{&cohort_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options,
                              parse,
                              "--weights FILE --out FILE SCAN...\n--weights FILE --out FILE --data DATASET\n--weights "
                              "FILE --out FILE --tensor FILE",
                              doc,
                              children,
                              NULL,
                              NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r = recipe_default();
    hct_err err = {0, ""};
    hct_status st = s.recipe ? recipe_load(s.recipe, &r, &err) : HCT_OK;
    model_file_options model = {.path = s.common.weights,
                                .recipe = s.recipe ? &r : NULL,
                                .heads = s.heads,
                                .norm_eps = s.eps,
                                .precision = s.common.precision};
    int scans = st == HCT_OK && !s.tensor;
    if (st == HCT_OK && s.tensor) st = tokens_run(&model, s.common.device, s.tensor, s.out, &err);
    int status = scans ? embed_scans(&s, &model) : command_end(argv[0], st, &err);
    if (!scans && st == HCT_OK) printf("%s\n", s.out);
    cohort_args_free(&s.common);
    return status;
}
