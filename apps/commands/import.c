/* headct import: PyTorch checkpoints to weights. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/command.h"
#include "support/text.h"
#include "recipe/recipe.h"
#include "weights/import.h"

static const char doc[] =
    "Reads a checkpoint of the published code (a .pth file of torch.save, a .safetensors file, or the .index.json of "
    "several) "
    "and writes weights that headct runs. Nothing in the file is executed: tensors, dicts, numbers and text are read, "
    "any "
    "other Python object is left as an empty value. Optimiser and scheduler are ignored. A file that headct export "
    "wrote keeps its "
    "windows, crop and heads; options override them.\n\n"
    "Sizes come from the tensors' shapes. What no shape tells has the paper's values where no option says otherwise: "
    "attention heads (64 channels each), the "
    "HU windows, the crop. The encoder of DINO is taken without its head, MAE with its decoder. A fine-tuned model "
    "lies in two files, its backbone's and its "
    "classifier's: give the first, and the second with --classifier.\v"
    "Examples:\n"
    "  headct import mae.pth --out mae.safetensors\n"
    "  headct import merlin.pt --out merlin.safetensors\n"
    "  headct import hlip/model.safetensors --set slices=1 --out hlip.safetensors\n"
    "  headct import dino.pth --which teacher --out dino.safetensors\n"
    "  headct import finetuned.pth --classifier ICH=finetuned_classifier.pth --out ich.safetensors";

enum {
    OPT_OUT = 'o',
    OPT_WHICH = 280,
    OPT_HEADS = 'H',
    OPT_DECODER_HEADS = 256,
    OPT_EPS,
    OPT_WINDOWS,
    OPT_CROP,
    OPT_ENCODER,
    OPT_DROP,
    OPT_CLASSIFIER,
    OPT_AS,
    OPT_MAP,
    OPT_SET
};

static const struct argp_option options[] = {
    {"out", OPT_OUT, "FILE", 0, "the weights to write (safetensors)", 0},
    {"which", OPT_WHICH, "NAME", 0,
     "student (default; what the published code loads) or teacher (the moving average of DINO)", 0},
    {"heads", OPT_HEADS, "N", 0, "attention heads (default: width / 64)", 0},
    {"decoder-heads", OPT_DECODER_HEADS, "N", 0, "attention heads of MAE's decoder (default: its width / 48)", 0},
    {"norm-eps", OPT_EPS, "EPS", 0, "eps of the last norm (default: 1e-5 with MAE's decoder, else 1e-6)", 0},
    {"windows", OPT_WINDOWS, "C:W,...", 0, "HU window of each channel, centre:width (default: 40:80,80:200,600:2800)",
     0},
    {"crop", OPT_CROP, "MM", 0, "edge of the cube cut from the middle (default: 192)", 0},
    {"encoder-only", OPT_ENCODER, NULL, 0, "leave MAE's decoder out", 0},
    {"drop-registers", OPT_DROP, NULL, 0,
     "leave register tokens out, as the published code does in a model without them; outputs differ", 0},
    {"map", OPT_MAP, "LIBRARY", 0, "the file is a ViT of monai or timm: its names are translated (docs/zoo.md)", 0},
    {"as", OPT_AS, "KIND", 0,
     "kind of encoder, where the tensors' names do not tell it: vit, resnet3d, merlin, ct-fm, hlip", 0},
    {"set", OPT_SET, "SIZE=NUMBER", 0,
     "a size that no shape tells (hlip: slices, heads, period; resnet3d: dilated); may be given several times", 0},
    {"classifier", OPT_CLASSIFIER, "TASK=FILE", 0, "a head for this backbone; may be given several times", 0},
    {0},
};

enum { SETS = 16 };

typedef struct settings {
    import_options o;
    recipe r; /* parses windows and crop */
    hu_window window[RECIPE_WINDOWS];
    import_head head[MODEL_TASKS];
    import_size set[SETS];
} settings;

static void whole(struct argp_state *state, const char *option, const char *arg, int64_t *ret) {
    if (!text_int64(arg, ret) || *ret < 1 || *ret > 1 << 20)
        argp_error(state, "--%s %s: a whole number of 1 or more is needed", option, arg);
}

static void by_recipe(settings *s, struct argp_state *state, const char *key, const char *arg) {
    hct_err err = {0, ""};
    if (recipe_set_key(&s->r, key, arg, &err) < 0) argp_error(state, "%s", err.msg);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_OUT: s->o.out = arg; break;
    case OPT_WHICH:
        if (strcmp(arg, "student") != 0 && strcmp(arg, "teacher") != 0)
            argp_error(state, "--which %s: student or teacher is needed", arg);
        s->o.which = !strcmp(arg, "teacher") ? STATE_DICT_TEACHER : STATE_DICT_STUDENT;
        break;
    case OPT_HEADS: whole(state, "heads", arg, &s->o.heads); break;
    case OPT_DECODER_HEADS: whole(state, "decoder-heads", arg, &s->o.decoder_heads); break;
    case OPT_EPS:
        if (!text_double(arg, &s->o.norm_eps) || !(s->o.norm_eps > 0 && s->o.norm_eps < 1))
            argp_error(state, "--norm-eps %s: a number between 0 and 1 is needed", arg);
        break;
    case OPT_WINDOWS:
        by_recipe(s, state, "data.windows", arg);
        s->o.n_windows = (int)s->r.data.windows.n;
        for (int i = 0; i < s->o.n_windows; i++)
            s->window[i] = (hu_window){s->r.data.windows.at[i].center, s->r.data.windows.at[i].width};
        s->o.window = s->window;
        break;
    case OPT_CROP:
        by_recipe(s, state, "data.crop", arg);
        s->o.crop = s->r.data.crop;
        break;
    case OPT_ENCODER: s->o.encoder_only = 1; break;
    case OPT_DROP: s->o.drop_registers = 1; break;
    case OPT_MAP:
        s->o.map = !strcmp(arg, "timm") ? LIBRARY_TIMM : !strcmp(arg, "monai") ? LIBRARY_MONAI : LIBRARY_NONE;
        if (!s->o.map) argp_error(state, "--map: monai or timm is needed");
        break;
    case OPT_AS: s->o.as = arg; break;
    case OPT_SET: {
        char *equals = strchr(arg, '=');
        import_size *size = &s->set[s->o.n_set < SETS ? s->o.n_set : 0];
        if (!equals || equals == arg || !text_double(equals + 1, &size->value))
            argp_error(state, "--set %s: SIZE=NUMBER is needed", arg);
        if (s->o.n_set++ == SETS) argp_error(state, "--set: at most %d", SETS);
        *equals = '\0';
        size->name = arg;
        break;
    }
    case OPT_CLASSIFIER: {
        char *equals = strchr(arg, '=');
        if (!equals || equals == arg || !equals[1]) argp_error(state, "--classifier %s: TASK=FILE is needed", arg);
        if (s->o.n_heads == MODEL_TASKS) argp_error(state, "--classifier: at most %d", MODEL_TASKS);
        *equals = '\0';
        s->head[s->o.n_heads++] = (import_head){arg, equals + 1};
        break;
    }
    case ARGP_KEY_ARG:
        if (s->o.path) argp_error(state, "one FILE is imported at a time");
        s->o.path = arg;
        break;
    case ARGP_KEY_END:
        if (!s->o.path) argp_error(state, "FILE is missing");
        if (!s->o.out) argp_error(state, "--out FILE is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_import(int argc, char **argv) {
    settings *s = calloc(1, sizeof *s);
    const struct argp argp = {options, parse, "FILE --out FILE", doc, NULL, NULL, NULL};
    hct_err err = {0, ""};
    if (!s) {
        fputs("headct import: out of memory\n", stderr);
        return EXIT_ERROR;
    }
    s->r = recipe_default();
    s->o.head = s->head;
    s->o.set = s->set;
    command_parse(&argp, argc, argv, s);
    hct_status st = import_run(&s->o, NULL, &err);
    if (st == HCT_OK) printf("%s\n", s->o.out);
    free(s);
    return command_end(argv[0], st, &err);
}
