/* The paper's figures: a table of what belongs to each, and the few ways of drawing them. */
#include "report/paper.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/compare.h"
#include "report/paper_groups.h"
#include "report/paper_parts.h"
#include "report/scaling.h"
#include "support/paths.h"

static int is(const run_facts *f, const char *approach) { return !strcmp(f->approach, approach); }

/* The encoder's pre-training saw all data, or nothing tells that it did not. */
static int whole(const run_facts *f) { return !(f->scaled < 1) && f->own.data.fraction >= 1 && !f->own.data.patients; }

static int by(const run_facts *f, const char *method) { return !strcmp(f->pretraining, method); }

/* "embeddings, linear probe" and its kin: of another program's encoder. */
static int given(const run_facts *f) { return !strncmp(f->approach, "embeddings, ", 12); }

/* Ours: a vision transformer that was pre-trained; others: encoders of other kinds, embeddings made elsewhere. */
static int ours(const run_facts *f) { return !strcmp(f->encoder, "vit") && !given(f); }

/* The label of a run's lane in a figure; NULL: it does not belong there. buffer of 2 * FACTS_NAME. */
typedef const char *select_run(const run_facts *f, char *buffer);

static const char *named(char *buffer, const char *fmt, const char *a, const char *b) {
    snprintf(buffer, 2 * FACTS_NAME, fmt, a, b);
    return buffer;
}

static const char *scratch_or_tuned(const run_facts *f, char *buffer) {
    if (!ours(f) || !whole(f)) return NULL;
    if (is(f, "from scratch")) return "from scratch";
    if (!is(f, "fine-tuned")) return NULL;
    return *f->pretraining ? named(buffer, "fine-tuned, %s%s", f->pretraining, "") : "fine-tuned";
}

static const char *other_models(const run_facts *f, char *buffer) {
    if (given(f)) return named(buffer, "embeddings of %s%s", path_base(f->own.probe.embeddings), f->approach + 10);
    if (!ours(f) && (is(f, "fine-tuned") || is(f, "linear probe")))
        return named(buffer, "%s, %s", f->encoder, f->approach);
    if (!ours(f) || !whole(f)) return NULL;
    return is(f, "linear probe") || is(f, "fine-tuned") ? named(buffer, "ours, %s, %s", f->approach, f->pretraining)
                                                        : NULL;
}

static const char *in_domain_or_external(const run_facts *f, char *buffer) {
    (void)buffer;
    if (!f->has_recipe && f->has_metrics) return "external validation";
    return ours(f) && whole(f) && is(f, "fine-tuned") && !by(f, "MAE") ? "in-domain fine-tuning" : NULL;
}

static const char *windows(const run_facts *f, char *buffer) {
    if (!ours(f) || !whole(f) || !is(f, "fine-tuned")) return NULL;
    snprintf(buffer, 2 * FACTS_NAME, "%lld HU window%s", (long long)f->windows, f->windows == 1 ? "" : "s");
    return buffer;
}

static const char *patches(const run_facts *f, char *buffer) {
    if (!ours(f) || !whole(f) || !is(f, "fine-tuned")) return NULL;
    snprintf(buffer, 2 * FACTS_NAME, "patches of %lld^3", (long long)f->patch);
    return buffer;
}

static const char *other_tuned(const run_facts *f, char *buffer) {
    if (!is(f, "fine-tuned") && !is(f, "from scratch")) return NULL;
    if (!ours(f)) return named(buffer, "%s, %s", f->encoder, f->approach);
    if (!whole(f)) return NULL;
    return is(f, "fine-tuned") ? named(buffer, "ours, %s%s", f->pretraining, ", fine-tuned") : "from scratch";
}

static int tuning(const run_facts *f) {
    return ours(f) && whole(f) &&
           (is(f, "fine-tuned") || is(f, "linear probe") || is(f, "attentive probe") || is(f, "low-rank tuned"));
}

static const char *methods(const run_facts *f, char *buffer) {
    return tuning(f) && *f->pretraining ? named(buffer, "%s, %s", f->pretraining, f->approach) : NULL;
}

static const char *linear(const run_facts *f, char *buffer) {
    if (is(f, "embeddings, linear probe"))
        return named(buffer, "embeddings of %s%s", path_base(f->own.probe.embeddings), "");
    return ours(f) && whole(f) && is(f, "linear probe") ? named(buffer, "ours, %s%s", f->pretraining, "") : NULL;
}

static const char *methods_dino(const run_facts *f, char *buffer) {
    (void)buffer;
    return tuning(f) && by(f, "DINO") ? f->approach : NULL;
}

static const char *methods_mae(const run_facts *f, char *buffer) {
    (void)buffer;
    return tuning(f) && by(f, "MAE") ? f->approach : NULL;
}

typedef enum drawing {
    COMPARED,  /* lanes by `select`, a figure a dataset, or one for all where `together` */
    FEW_SHOT,  /* curves of fewshot.csv */
    SCALED,    /* over the share of the data: the mean; or each task */
    EXPLAINED, /* attention distance */
    PROJECTED, /* headct project */
    COUNTED,   /* prevalence */
    GROUPED    /* subgroups */
} drawing;

typedef struct figure {
    const char *id, *title;
    drawing how;
    select_run *select;
    int together;       /* COMPARED: lanes of all datasets in one figure; SCALED: each task; GROUPED: the macro mean */
    size_t lanes;       /* that make a comparison */
    const char *column; /* GROUPED */
    const char *missing, *command;
} figure;

static const figure figures[] = {
    {"Figure 1e", "With and without the foundation model", COMPARED, scratch_or_tuned, 0, 2, NULL,
     "a run from scratch and a fine-tuned one on the same dataset",
     "headct sweep --recipe scratch --data D --run runs/scratch-D; headct finetune --recipe finetune --weights "
     "runs/dino/weights.safetensors "
     "--data D --run runs/finetune-D"},
    {"Figure 1f", "The foundation model and others", COMPARED, other_models, 0, 2, NULL,
     "runs on another model's encoder or embeddings beside one of ours on the same dataset",
     "headct finetune --recipe finetune --weights merlin.safetensors --data D --run runs/merlin-D; headct probe --set "
     "probe.features=embeddings --set "
     "probe.embeddings=ct-foundation.npz --data D --run runs/google-D"},
    {"Figure 1g", "Fine-tuned in the domain, and validated from outside", COMPARED, in_domain_or_external, 1, 2, NULL,
     "a fine-tuned run, and another's evaluation on its dataset",
     "headct evaluate --run runs/finetune-LANGONE --data D --out runs/D-by-LANGONE"},
    {"Figure 2", "Few-shot performance; stars: all training scans", FEW_SHOT, NULL, 0, 0, NULL, "a few-shot run",
     "headct fewshot --recipe finetune --weights runs/dino/weights.safetensors --data LANGONE --run runs/fewshot"},
    {"Figure 3", "Share of the pre-training data (mean over tasks)", SCALED, NULL, 0, 0, NULL,
     "runs on encoders pre-trained on 10, 30, 100% of the data",
     "headct pretrain --recipe dino --set data.fraction=0.1 --data LANGONE --run runs/dino-10; headct finetune "
     "--recipe finetune --weights "
     "runs/dino-10/weights.safetensors --data D --run runs/finetune-10"},
    {"Figure 4", "Attention distance before and after fine-tuning", EXPLAINED, NULL, 0, 0, NULL,
     "a folder of attention distances",
     "headct explain --distances --weights runs/dino/weights.safetensors --run runs/finetune SCAN --out "
     "runs/attention"},
    {"Supplementary Figure 1 and 2", "Prevalence of each dataset", COUNTED, NULL, 0, 0, NULL,
     "an evaluated run on a dataset", "headct evaluate --run runs/finetune-D"},
    {"Supplementary Figure 3", "Channels", COMPARED, windows, 0, 2, NULL,
     "fine-tuned runs of encoders with one HU window and with three",
     "headct pretrain --recipe dino --set data.windows=40:80 --data LANGONE --run runs/one-window, and headct finetune "
     "on it"},
    {"Supplementary Figure 4", "Patch sizes", COMPARED, patches, 0, 2, NULL,
     "fine-tuned runs of encoders with patches of 12 and of 16",
     "headct pretrain --recipe dino --set model.patch=16 --data LANGONE --run runs/patch-16, and headct finetune on "
     "it"},
    {"Supplementary Figure 5", "Previous 3D models, fine-tuned", COMPARED, other_tuned, 0, 3, NULL,
     "fine-tuned runs of another encoder (Merlin, ResNet50-3D), of ours and from scratch on the same dataset",
     "headct finetune --recipe finetune --weights merlin.safetensors --data D --run runs/merlin-D"},
    {"Supplementary Figure 6", "Methods of tuning", COMPARED, methods, 1, 2, NULL,
     "fine-tuned, linear and attentive runs of one encoder",
     "headct probe --recipe probe --set probe.kind=attentive --weights runs/dino/weights.safetensors --data D --run "
     "runs/attentive-D"},
    {"Supplementary Figure 7", "Linear probes on ours and on Google's CT Foundation", COMPARED, linear, 0, 2, NULL,
     "linear probes on our encoder and on other embeddings",
     "headct probe --set probe.features=embeddings --set probe.embeddings=ct-foundation.npz --data D --run "
     "runs/google-D"},
    {"Supplementary Figure 8", "Methods of tuning on DINO, each task", COMPARED, methods_dino, 0, 2, NULL,
     "fine-tuned, linear and attentive runs on a DINO encoder",
     "headct probe --recipe probe --weights runs/dino/weights.safetensors --data D --run "
     "runs/linear-D"},
    {"Supplementary Figure 9", "Methods of tuning on MAE, each task", COMPARED, methods_mae, 0, 2, NULL,
     "fine-tuned, linear and attentive runs on an MAE encoder",
     "headct probe --recipe probe --weights runs/mae/weights.safetensors --data D --run "
     "runs/linear-mae-D"},
    {"Supplementary Figure 10", "Share of the pre-training data, each task", SCALED, NULL, 1, 0, NULL,
     "runs on encoders pre-trained on 10, 30, 100% of the data", "as for Figure 3"},
    {"Supplementary Figure 11", "t-SNE of the encoder's embeddings", PROJECTED, NULL, 0, 0, NULL,
     "a folder of headct project",
     "headct embed --weights runs/dino/weights.safetensors --data D --out e.safetensors; headct project e.safetensors "
     "--labels D --colour "
     "thickness:0.5-1-3-5 --colour manufacturer --groups D --out runs/plane"},
    {"Supplementary Figure 12", "Slice thickness (mean over tasks)", GROUPED, NULL, 1, 0, "thickness",
     "an evaluation by thickness",
     "headct evaluate --run runs/finetune-D --by thickness:0.5-1-3-5 --by manufacturer --groups D --out "
     "runs/finetune-D/evaluate-groups"},
    {"Supplementary Figure 13", "Slice thickness, each task", GROUPED, NULL, 0, 0, "thickness",
     "an evaluation by thickness", "as for Supplementary Figure 12"},
    {"Supplementary Figure 14", "Manufacturer, each task", GROUPED, NULL, 0, 0, "manufacturer",
     "an evaluation by manufacturer", "as for Supplementary Figure 12"},
};
enum { FIGURES = sizeof figures / sizeof *figures };

/* "figure_1e" of "Figure 1e". */
static void file_of(const char *id, char *ret, size_t room) {
    size_t n = 0;
    for (; *id && n + 1 < room; id++) ret[n++] = *id == ' ' ? '_' : *id >= 'A' && *id <= 'Z' ? (char)(*id + 32) : *id;
    ret[n] = '\0';
}

typedef struct paper {
    report *r;
    const run_facts **at;
    size_t n;
    const char *folder;
} paper;

/* Datasets in order of appearance. */
static size_t datasets_of(const paper *p, const char **ret, size_t most) {
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        size_t k = 0;
        if (!p->at[i]->has_recipe || !p->at[i]->has_metrics) continue;
        while (k < n && strcmp(ret[k], p->at[i]->dataset) != 0) k++;
        if (k == n && n < most) ret[n++] = p->at[i]->dataset;
    }
    return n;
}

static hct_status draw_compared(const paper *p, const figure *f, int *ret_drawn, hct_err *err) {
    const char *datasets[16];
    size_t n = f->together ? 1 : datasets_of(p, datasets, 16);
    lane *lanes = calloc(LANES, sizeof *lanes);
    hct_status st = lanes ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %s", f->id);
    for (size_t d = 0; d < n && st == HCT_OK; d++) {
        size_t used = 0, external = 0;
        char file[160], name[160], title[260];
        for (size_t i = 0; i < p->n; i++) {
            char buffer[2 * FACTS_NAME], label[3 * FACTS_NAME];
            const char *own = f->select(p->at[i], buffer);
            if (!own || (!f->together && strcmp(p->at[i]->dataset, datasets[d]) != 0)) continue;
            external += !p->at[i]->has_recipe;
            snprintf(label, sizeof label, "%s%s%s", own, f->together ? ", " : "", f->together ? p->at[i]->dataset : "");
            lanes_add(lanes, &used, label, p->at[i]);
        }
        if (used < f->lanes || (f->select == in_domain_or_external && (!external || external == used))) continue;
        file_of(f->id, file, sizeof file);
        snprintf(name, sizeof name, "%.80s%s%.60s", file, f->together ? "" : "_", f->together ? "" : datasets[d]);
        snprintf(title, sizeof title, "%s%s%s", f->title, f->together ? "" : ": ", f->together ? "" : datasets[d]);
        st = compare_add(p->r, lanes, used, p->folder, name, title, NULL, err);
        *ret_drawn |= st == HCT_OK;
        if (st == HCT_ENOTFOUND) st = HCT_OK;
    }
    free(lanes);
    return st;
}

static hct_status draw_scaled(const paper *p, const figure *f, int *ret_drawn, hct_err *err) {
    hct_status st = HCT_OK;
    char file[160], name[400];
    if (!scaling_varies(p->at, p->n)) return HCT_OK;
    file_of(f->id, file, sizeof file);
    *ret_drawn = 1;
    if (!f->together) return scaling_add(p->r, p->at, p->n, p->folder, file, "", err);
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->at[i]->n_tasks && st == HCT_OK; k++) {
            int seen = 0;
            for (size_t j = 0; j < i; j++) seen |= facts_task(p->at[j], p->at[i]->task[k].name) != NULL;
            if (seen) continue;
            snprintf(name, sizeof name, "%s_%s", file, p->at[i]->task[k].name);
            for (char *c = name; *c; c++)
                if (*c == '/' || *c == ' ') *c = '_';
            st = scaling_add(p->r, p->at, p->n, p->folder, name, p->at[i]->task[k].name, err);
        }
    return st;
}

static hct_status draw_one(const paper *p, const figure *f, int *ret_drawn, hct_err *err) {
    char file[160];
    file_of(f->id, file, sizeof file);
    switch (f->how) {
    case COMPARED: return draw_compared(p, f, ret_drawn, err);
    case SCALED: return draw_scaled(p, f, ret_drawn, err);
    case FEW_SHOT: return paper_fewshot(p->r, p->at, p->n, p->folder, ret_drawn, err);
    case EXPLAINED: return paper_pictures(p->r, p->at, p->n, "attention_", "", ret_drawn, err);
    case PROJECTED: return paper_pictures(p->r, p->at, p->n, "project_", "figures", ret_drawn, err);
    case COUNTED: return paper_prevalence(p->r, p->at, p->n, p->folder, file, ret_drawn, err);
    case GROUPED: return paper_groups(p->r, p->at, p->n, p->folder, file, f->column, f->together, ret_drawn, err);
    }
    return HCT_OK;
}

hct_status paper_add(report *r, const char *const *runs, size_t n, const char *folder, size_t *ret_drawn,
                     size_t *ret_missing, hct_err *err) {
    run_facts *facts = calloc(n + 1, sizeof *facts);
    paper p = {r, calloc(n + 1, sizeof *p.at), 0, folder};
    *ret_drawn = *ret_missing = 0;
    hct_status st = facts && p.at ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu runs", n);
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        hct_err why = {0};
        hct_status read = facts_read(runs[i], &facts[p.n], &why);
        if (read == HCT_OK) p.at[p.n] = &facts[p.n], p.n++;
        else if (is_fault(read)) st = hct_fail(err, read, "%s", why.msg);
        else report_note(r, "Left out: %s", why.msg);
    }
    for (size_t k = 0; k < FIGURES && st == HCT_OK; k++) {
        int drawn = 0;
        char heading[200];
        snprintf(heading, sizeof heading, "%s: %s", figures[k].id, figures[k].title);
        report_heading(r, heading);
        st = draw_one(&p, &figures[k], &drawn, err);
        if (st == HCT_OK && !drawn) report_note(r, "Missing: %s. %s", figures[k].missing, figures[k].command);
        ++*(drawn ? ret_drawn : ret_missing);
    }
    if (st == HCT_OK)
        report_lead(r, "%zu of %d figures are drawn; of the others it is said what they need.", *ret_drawn, FIGURES);
    free(facts);
    free(p.at);
    return st;
}
