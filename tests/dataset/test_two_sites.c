/* From public tables to figures, twice: a site in RSNA 2019's form and one in CQ500's, each prepared, labelled, split,
 * trained on and evaluated, and each model as it is on the other site, with labels mapped. Suite slow. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "make_dicom.h"
#include "prepare_runs.h"

enum { PATIENTS = 16, SLICES = 14 };

static double healthy(double x, double y, double z) { return fmin(head_hu(x, y, z), head_hu(-x, y, z)); }

/* A bleed that a small image shows: 75 HU within 30 mm. */
static double bleeding(double x, double y, double z) {
    double dx = x + 25, dy = y + 20, dz = z - 15;
    double hu = healthy(x, y, z);
    return hu > 0 && hu < 100 && dx * dx + dy * dy + dz * dz < 900 ? 75 : hu;
}

static void person(maker *m, int k, void *context) {
    (void)k;
    maker_text(m, 0x00100020, "LO", context);
}
static void magnet(maker *m, int k, void *context) {
    person(m, k, context);
    maker_text(m, 0x00080060, "CS", "MR");
}

static bool bleeds(int i) { return i % 2; }

/* Slices of 10 mm from -65 to 65. */
static void heads(const char *folder, const char *name, int number, const char *who, bool bleed, bool mr, int n) {
    shell("mkdir -p '%s'", folder);
    head_series_write(&(head_series){.folder = folder,
                                     .name = name,
                                     .n = n,
                                     .first = -65,
                                     .step = 10,
                                     .columns = 32,
                                     .rows = 38,
                                     .spacing = 6,
                                     .series = number,
                                     .hu = bleed ? bleeding : healthy,
                                     .edit = mr ? magnet : person,
                                     .context = (void *)(uintptr_t)who});
}

/* stage_2_train/ID_<9 hex>.dcm of PATIENTS, one MR, one of too few slices; t.csv: a row a slice and type. */
static void rsna(void) {
    for (int i = 0; i < PATIENTS + 2; i++) {
        char name[40], who[16];
        snprintf(name, sizeof name, "ID_%02d00%%02dabc.dcm", i);
        snprintf(who, sizeof who, "R%d", i);
        heads("stage_2_train", name, 2 + i, who, bleeds(i), i == PATIENTS, i == PATIENTS + 1 ? 3 : SLICES);
    }
    shell("python3 - <<'E'\n"
          "import glob, os\n"
          "out = open('t.csv', 'w')\n"
          "print('ID,Label', file=out)\n"
          "for f in sorted(glob.glob('stage_2_train/*')):\n"
          "    name = os.path.basename(f)[:-4]\n"
          "    i, k = int(name[3:5]), int(name[7:9])\n"
          "    seen = i %% 2 and abs(-65 + 10 * (k - 1) - 15) < 30\n"
          "    for t in 'epidural intraparenchymal intraventricular subarachnoid subdural any'.split():\n"
          "        print(f'{name}_{t},{int(bool(seen) and t in (\"intraparenchymal\", \"any\"))}', file=out)\n"
          "E");
}

/* cq/CQ500CTn CQ500CTn/Unknown Study/CT Plain; reads.csv with three readers, of whom two are right. */
static void cq500(void) {
    for (int i = 0; i < PATIENTS; i++) {
        char folder[100], who[16];
        snprintf(folder, sizeof folder, "cq/CQ500CT%d CQ500CT%d/Unknown Study/CT Plain", i + 1, i + 1);
        snprintf(who, sizeof who, "C%d", i);
        heads(folder, "CT%06d.dcm", 60 + i, who, bleeds(i), false, SLICES);
    }
    shell("python3 - <<'E'\n"
          "names = ('ICH IPH IVH SDH EDH SAH BleedLocation-Left BleedLocation-Right ChronicBleed Fracture '\n"
          "         'CalvarialFracture OtherFracture MassEffect MidlineShift').split()\n"
          "out = open('reads.csv', 'w', newline='')\n"
          "out.write(','.join(['name', 'Category'] + [f'R{r}:{n}' for r in (1, 2, 3) for n in names]) + '\\r\\n')\n"
          "for i in range(%d):\n"
          "    right = [[int(i %% 2 and n in ('ICH', 'IPH')) for n in names] for r in range(3)]\n"
          "    right[i %% 3] = [1 - v for v in right[i %% 3]]\n"
          "    out.write(','.join([f'CQ500-CT-{i + 1}', 'B1'] + [str(v) for r in right for v in r]) + '\\r\\n')\n"
          "E",
          PATIENTS);
}

/* The AUC of a task is that of its predictions and the site's labels of that name. */
static void check_figures(const char *folder, const char *part, const char *task, int scans, const char *site,
                          const char *label) {
    runs(OK, "dataset list %s --out list.csv", site);
    shell("python3 - '%s' '%s' '%s' %d '%s' <<'E'\n"
          "import csv, json, sys\n"
          "folder, part, task, n, label = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]\n"
          "truth = {r['scan']: int(r[label]) for r in csv.DictReader(open('list.csv'))}\n"
          "rows = [r for r in csv.DictReader(open(folder + '/predictions.csv')) if part in ('all', r['split'])]\n"
          "assert len(rows) == n, (len(rows), n)\n"
          "p = [(float(r[task]), truth[r['scan']]) for r in rows]\n"
          "pos, neg = [s for s, y in p if y], [s for s, y in p if not y]\n"
          "assert len(pos) == len(neg) == n // 2, p\n"
          "auc = sum((a > b) + 0.5 * (a == b) for a in pos for b in neg) / len(pos) / len(neg)\n"
          "m = {t['task']: t for t in json.load(open(folder + '/metrics.json'))['tasks']}\n"
          "m = m[label] if label in m else m[task] # a mapped task goes by the site's name\n"
          "assert m['positives'] == len(pos) and m['negatives'] == len(neg), (m, len(pos), len(neg))\n"
          "assert abs(m['roc_auc']['value'] - auc) < 1e-6, (m, auc)\n"
          "E",
          folder, part, task, scans, label);
}

START_TEST(two_sites) {
    enter("two_sites");
    rsna();
    cq500();
    shell("printf 'least_matrix: 8\\nleast_extent: 0\\nthickness: []\\n' > small.yaml");
    runs(PARTIAL, "prepare --in stage_2_train --out north --filters small.yaml --layout rsna --labels t.csv --quiet");
    says("labels: any 8, IPH 8, IVH 0, SAH 0, SDH 0, EDH 0; 16 scans labelled");
    runs(OK, "prepare --in cq --out south --filters small.yaml --layout cq500 --labels reads.csv --quiet");
    says("labels: ICH 8, IPH 8, IVH 0");
    static const char *const sites[] = {"north", "south"}, *const tasks[] = {"any", "ICH"};
    for (int k = 0; k < 2; k++) {
        runs(OK, "split %s --ratios 2:1:1 --stratify IPH --seed 3", sites[k]);
    }
    runs(OK, "dataset funnel north --out funnel.csv");
    shell("printf 'step,what,scans,patients,percent\\nfound,series and NIfTI files,18,,100.0\\nleft "
          "out,few-slices,1,,5.6\\nleft out,modality,1,,5.6\\nkept,scans,16,16,88.9\\npart,train,8,8,44.4\\n"
          "part,val,4,4,22.2\\npart,test,4,4,22.2\\n' | diff - funnel.csv");
    shell("cat > mae.yaml <<'R'\nmethod: mae\ndata: {crop: 192, image: 24}\n"
          "model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: "
          "48}}\n"
          "optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 1}\nR\n");
    for (int k = 0; k < 2; k++) {
        const char *here = sites[k], *there = sites[1 - k];
        runs(OK, "pretrain --recipe mae.yaml --data %s --run %s-mae --quiet", here, here);
        shell("printf 'method: finetune\\noptim: {epochs: 2, batch: 4, accumulate: 1, scale_lr_by_batch: false, lr: "
              "1e-3}\\ndata: {tasks: [%s, IPH]}\\n' > tune.yaml",
              tasks[k]);
        runs(OK, "finetune --recipe tune.yaml --data %s --weights %s-mae/weights.safetensors --run %s-run --quiet",
             here, here, here);
        runs(OK, "evaluate --run %s-run --bootstrap 20 --quiet", here);
        char run[32], out[32];
        snprintf(run, sizeof run, "%s-run", here);
        snprintf(out, sizeof out, "%s-there", here);
        check_figures(run, "test", tasks[k], 4, here, tasks[k]);
        /* as it is on the other site: its own name for the task is not known there */
        runs(OK, "evaluate --run %s --data %s --map %s=%s --out %s --bootstrap 20 --quiet", run, there, tasks[k],
             tasks[1 - k], out);
        check_figures(out, "all", tasks[k], PATIENTS, there, tasks[1 - k]);
        check_figures(out, "all", "IPH", PATIENTS, there, "IPH");
    }
    runs(ERROR, "evaluate --run north-run --data south --map nothing=ICH --out no --quiet");
    says("the run has no task 'nothing'");
}
END_TEST

int main(void) { return CHECK_RUN("two_sites", two_sites); }
