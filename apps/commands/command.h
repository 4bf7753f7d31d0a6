/* A subcommand of headct: one file each in this folder, one line each in the table of ../headct.c.
 *
 * run gets argv[0] = "headct NAME", parses the rest with argp, prints errors as "headct NAME: ..." on standard error
 * and returns an exit status. */
#ifndef COMMANDS_COMMAND_H
#define COMMANDS_COMMAND_H

#include <argp.h>

#include "hct/types.h"

enum {
    EXIT_OK = 0,
    EXIT_ERROR = 1,   /* the one clear line says why */
    EXIT_USAGE = 2,   /* unknown option, missing argument */
    EXIT_PARTIAL = 3, /* done, but some inputs were refused; each is listed with its reason */
    /* SIGINT, SIGTERM or SIGUSR1: what was done is kept, run it again (training: with --resume) */
    EXIT_STOPPED = 75
};

/* argp_parse; where it fails without having said so (no memory), says it and ends the program. */
void command_parse(const struct argp *argp, int argc, char **argv, void *input);
/* Says why a command failed, and gives the status to end with: EXIT_OK, EXIT_STOPPED (HCT_EINTERRUPTED), EXIT_ERROR. */
int command_end(const char *command, hct_status st, const hct_err *err);

typedef struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} command;

int command_backends(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_dataset(int argc, char **argv);
int command_embed(int argc, char **argv);
int command_evaluate(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_export(int argc, char **argv);
int command_fewshot(int argc, char **argv);
int command_finetune(int argc, char **argv);
int command_import(int argc, char **argv);
int command_label(int argc, char **argv);
int command_phantom(int argc, char **argv);
int command_plan(int argc, char **argv);
int command_predict(int argc, char **argv);
int command_prepare(int argc, char **argv);
int command_pretrain(int argc, char **argv);
int command_probe(int argc, char **argv);
int command_project(int argc, char **argv);
int command_qc(int argc, char **argv);
int command_recipe(int argc, char **argv);
int command_report(int argc, char **argv);
int command_retrieve(int argc, char **argv);
int command_split(int argc, char **argv);
int command_serve(int argc, char **argv);
int command_sweep(int argc, char **argv);
int command_watch(int argc, char **argv);
int command_compare(int argc, char **argv);

#endif
