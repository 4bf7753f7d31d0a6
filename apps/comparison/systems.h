/* The systems of a comparison, as a YAML file names them:
 *
 *   systems:
 *     - name: fm-ct-dino            # names its folder, and stands in tables: letters, digits, - _ .
 *       recipe: finetune            # a file, or one that came with headct; its method: probe or finetune
 *       weights: fm-ct.safetensors  # probe.weights or finetune.weights; absent: the recipe's own
 *       embeddings: google.jsonl    # of a probe, instead of weights
 *       set: [optim.epochs=10]      # keys of the recipe
 *       note: as published          # for readers of the table
 *
 * Files are looked for beside the YAML file first, then from the working directory. */
#ifndef COMPARISON_SYSTEMS_H
#define COMPARISON_SYSTEMS_H

#include "hct/types.h"

enum { SYSTEMS = 64, SYSTEM_SETS = 32, SYSTEM_NAME = 64 };

typedef struct comparison_system {
    char name[SYSTEM_NAME];
    char *recipe, *weights, *embeddings, *note; /* NULL: not given; files by the path that opens them */
    char *set[SYSTEM_SETS];
    int n_sets;
} comparison_system;

typedef struct system_list {
    comparison_system *item;
    size_t n;
} system_list;

/* path: a file, or the name of one that came with headct ("comparison"). HCT_EFORMAT: file, line and what is wrong.
 * Free in any case. */
hct_status systems_read(const char *path, system_list *ret, hct_err *err);
void systems_free(system_list *s);

#endif
