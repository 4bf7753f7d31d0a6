/* headct: one program, one subcommand a job. See commands/. */
#include <argp.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/command.h"
#include "hct/comm.h"
#include "hct/log.h"
#include "hct/nearest.h"

static const command commands[] = {
    {"phantom", "makes up head CTs with known findings", command_phantom},
    {"prepare", "turns scans into a dataset", command_prepare},
    {"label", "labels of scans from diagnoses and medications", command_label},
    {"dataset", "what became of each file, series and scan of a dataset", command_dataset},
    {"qc", "a page to look at every scan of a dataset", command_qc},
    {"split", "deals a dataset's patients into train, val and test", command_split},
    {"pretrain", "pre-trains an encoder (MAE or DINO)", command_pretrain},
    {"finetune", "trains encoder and heads for each task, and evaluates them", command_finetune},
    {"probe", "trains and evaluates probes on frozen features", command_probe},
    {"fewshot", "few-shot evaluation of frozen features", command_fewshot},
    {"sweep", "a grid of probes, the best by validation", command_sweep},
    {"compare", "trains several systems on the same scans, and holds them against each other", command_compare},
    {"predict", "probabilities of scans from a trained classifier", command_predict},
    {"embed", "embeddings of scans, or tokens and attention of a tensor", command_embed},
    {"serve", "predictions and embeddings over HTTP", command_serve},
    {"watch", "predictions of what a DICOM receiver puts into a folder", command_watch},
    {"explain", "where in a scan a model looks", command_explain},
    {"project", "embeddings on a plane, by t-SNE and principal components", command_project},
    {"retrieve", "the scans nearest to a scan, and how often they share a label", command_retrieve},
    {"import", "weights from a PyTorch checkpoint", command_import},
    {"export", "weights as safetensors or a PyTorch state dict, and a model card", command_export},
    {"evaluate", "AUC and average precision of predictions, with intervals", command_evaluate},
    {"report", "an HTML page of one run or several", command_report},
    {"recipe", "explains the keys of recipes, and checks recipes", command_recipe},
    {"plan", "memory, work and time of a recipe before it runs", command_plan},
    {"backends", "lists backends, devices and plugins", command_backends},
    {"bench", "times a model on this machine", command_bench},
    {NULL, NULL, NULL},
};

static const command *find_command(const char *name) {
    for (const command *c = commands; c->name; c++)
        if (!strcmp(c->name, name)) return c;
    return NULL;
}

/* No command of that name: the nearest one is named. */
static int unknown(const char *name) {
    const char *names[64];
    size_t n = 0;
    for (const command *c = commands; c->name; c++) names[n++] = c->name;
    const char *near = hct_name_nearest(name, names, n);
    hct_log(HCT_LOG_ERROR, "headct: no command '%s'; %s%s%s", name,
            near ? "did you mean '" : "'headct --help' lists them", near ? near : "", near ? "'?" : "");
    return EXIT_USAGE;
}

static void usage(FILE *f) {
    fputs("usage: headct COMMAND [OPTION...]\n\n", f);
    for (const command *c = commands; c->name; c++) fprintf(f, "  %-10s %s\n", c->name, c->summary);
    fputs("\n'headct help COMMAND' explains one of them. headct is not a medical device.\n", f);
}

/* Waiting OpenMP threads spin for milliseconds by default, which costs a step many times its length where other work
 * shares the cores. About what waking them takes is enough. libgomp reads the variable before main, so the program
 * starts itself again once. */
static void wait_briefly(char **argv) {
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || setenv("GOMP_SPINCOUNT", "2000", 0)) return;
    execv("/proc/self/exe", argv); /* where that fails, it goes on as it is */
}

/* A volume is some 14 MB and lives for one scan. glibc would take pages for each from the system and give them back,
 * and filling them with zeros costs as much as reading the scan: they stay with the program, up to 128 MB of them. */
static void keep_freed_memory(void) {
#ifdef M_TRIM_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
#endif
}

/* Results may go to standard output: where they cannot be written, a command has not done its work. */
static const char *running = "headct";
static void close_output(void) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return;
    hct_log(HCT_LOG_ERROR, "%s: standard output: writing failed%s%s", running, errno ? ": " : "",
            errno ? strerror(errno) : "");
    _exit(EXIT_ERROR);
}

int main(int argc, char **argv) {
    static char name[64];
    argp_err_exit_status = EXIT_USAGE;
    atexit(close_output);
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    int help = !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help");
    if (help && argc < 3) {
        usage(stdout);
        return EXIT_OK;
    }
    if (help) { /* headct help COMMAND */
        if (!find_command(argv[2])) return unknown(argv[2]);
        argv[1] = argv[2];
        argv[2] = "--help";
        argc = 3;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("headct " HEADCT_VERSION);
        return EXIT_OK;
    }
    wait_briefly(argv);
    keep_freed_memory();
    const command *c = find_command(argv[1]);
    if (!c) return unknown(argv[1]);
    /* several would write one folder */
    static const char *const alone[] = {"finetune", "probe", "fewshot", "sweep"};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        if (!strcmp(alone[i], c->name) && hct_comm_wanted() > 1) {
            hct_log(HCT_LOG_ERROR,
                    "headct %s: started as one of %d ranks; it runs as one. headct pretrain trains with several",
                    c->name, hct_comm_wanted());
            return EXIT_ERROR;
        }
    snprintf(name, sizeof name, "headct %s", c->name);
    running = argv[1] = name;
    return c->run(argc - 1, argv + 1);
}
