#!/bin/sh
# report over many runs and report --paper: figures with their numbers, significance, seeds, what is missing. $1: headct; $2: this folder.
. "$(dirname "$0")/../support/tap.sh"
headct=$(realpath "$1")
python3 "$2/make_runs.py" "$work/runs"
ok $? "runs"
bad=0
for p in "$work"/runs/*/predictions.csv; do
    "$headct" evaluate --run "$(dirname "$p")" --bootstrap 40 -q >/dev/null 2>&1 || bad=1
done
ok $bad "evaluated"
cd "$work/runs" || exit 1
"$headct" report finetune-langone-* scratch-langone linear-langone-dino sweep --out ../several.html >../several.txt 2>&1
ok $? "a page of several runs"
csv=../several_figures/comparison_bars.csv
[ -s "$csv" ] && [ -s ../several_figures/comparison_radar.svg ] && [ -s ../several_figures/all_runs.csv ] && [ -s ../several_figures/scaling.csv ]
ok $? "bars, radar, forest and scaling curves, and their numbers beside them"
python3 - "$csv" finetune-langone-dino-1-0/metrics.json finetune-langone-dino-1-1/metrics.json <<'P'
import csv, json, sys
rows = [r for r in csv.DictReader(open(sys.argv[1])) if r["series"].endswith("mean of 2 seeds") and r["group"] == "macro mean"]
two = sorted(json.load(open(f))["macro"]["roc_auc"]["value"] for f in sys.argv[2:])
want = [sum(two) / 2] + two
sys.exit(len(rows) != 1 or any(abs(float(rows[0][k]) - w) > 1e-9 for k, w in zip(("value", "low", "high"), want)))
P
ok $? "two seeds are one lane: mean, lowest and highest"
grep -q "Highest macro AUC: DINO, fine-tuned" ../several.html && grep -q "headct finetune --recipe" ../several.html && grep -q "AUC of each task on validation" ../several.html
ok $? "the first sentence, the command, curves of each task's model"
grep -q "Points of the sweep by their macro AUC" ../several.html && grep -q "Worst errors: the surest" ../several.html
ok $? "the sweep's page, the worst errors"
"$headct" report finetune-island-dino-1-0 scratch-island --out ../two.html >/dev/null
python3 - ../two_figures/comparison_bars.csv <<'P'
import csv, sys
marks = [r["mark"] for r in csv.DictReader(open(sys.argv[1])) if r["series"] == "from scratch"]
sys.exit(len(marks) != 4 or "" in marks)  # shifts of 1.5 and 0.5 deviations, 140 scans: told apart in each task
P
ok $? "differences that are sure are marked"
"$headct" report --paper scratch-island finetune-island-dino-1-0 --out ../few.html >../few.txt
ok $? "the paper's figures of two runs"
grep -q "^2 figures drawn, 17 missing" ../few.txt && grep -q "Missing: a few-shot run. headct fewshot" ../few.html
ok $? "what is missing is named with the command that makes it"
"$headct" evaluate --run finetune-langone-dino-1-0 --by thickness:0.5-1-3-5 --by manufacturer --groups groups.csv --bootstrap 40 -q >/dev/null 2>&1
"$headct" report --paper ./*/ --out ../paper.html >../paper.txt
grep -q "^15 figures drawn, 4 missing" ../paper.txt
ok $? "of runs of all kinds: $(head -n 1 ../paper.txt)"
bad=0
for f in figure_1e_langone_bars figure_1f_island_radar figure_1g_bars figure_3 supplementary_figure_6_bars supplementary_figure_10_IVH supplementary_figure_12_finetune-langone-dino-1-0; do
    [ -s "../paper_figures/$f.svg" ] && [ -s "../paper_figures/$f.csv" ] || { echo "# no $f" && bad=1; }
done
ok $bad "figures and numbers are there"
"$headct" phantom --out ../ph --plain --patients 8 --scans-per-patient 1-2 --prevalence 0.5 --size tiny --quiet >/dev/null &&
    "$headct" prepare --in ../ph --out data/langone --labels ../ph/labels.csv --quiet >/dev/null 2>&1 && "$headct" split data/langone --ratios 2:1:1 >/dev/null 2>&1
ok $? "a dataset"
"$headct" dataset info data/langone --figures ../info >../info.txt
python3 - ../info ../ph/labels.csv <<'P'
import csv, sys
rows = lambda f: list(csv.DictReader(open(f)))
labels = rows(sys.argv[2])
want = {l: sum(r[l] == "1" for r in labels) for l in ("IPH", "SDH", "ICH")}
card = rows(sys.argv[1] + "/prevalence.csv")
people = {r["group"]: r for r in rows(sys.argv[1] + "/demographics.csv")}
good = all(int(r["positive"]) == want[r["label"]] for r in card if r["split"] == "all" and r["label"] in want)
good = good and all(sum(int(r["positive"]) for r in card if r["label"] == l and r["split"] != "all") == want[l] for l in want)
good = good and int(people["all"]["patients"]) == 8 and all(int(people[l + " positive"]["scans"]) == want[l] for l in want)
sys.exit(not good)
P
ok $? "dataset info: prevalence by split and demographics, counted again"
sed -n '2s/.*/scan,patient,split,IPH,y_IPH/p' linear-langone-dino/predictions.csv >p.csv
"$headct" dataset list data/langone | awk -F, 'NR > 1 { printf "%s,%s,test,0.%d,%d\n", $1, $2, (NR * 37) % 90 + 10, NR % 2 }' >>p.csv
mv p.csv linear-langone-dino/predictions.csv
"$headct" report linear-langone-dino >/dev/null 2>&1
grep -q "Data: langone" linear-langone-dino/report.html && [ -s linear-langone-dino/figures/error_IPH.png ] && grep -q "Demographics" linear-langone-dino/report.html
ok $? "a run's page has its data card, and its worst errors their pictures"
printf 'arm,macro AUC\nfirst,0.7\n' >arms.csv
"$headct" report linear-langone-dino --lead 'It held.' --table 'arms.csv:Arms & draws' --picture linear-langone-dino/figures/error_IPH.png:Worst --out first.html >/dev/null 2>&1
python3 - first.html <<'P'
import sys
page = open(sys.argv[1]).read()
at = [page.find(x) for x in ("It held.", "<figcaption>Worst", "Arms &amp; draws", '<a href="#part1"')]
sys.exit(-1 in at or at != sorted(at))
P
ok $? "a sentence, a picture and a table of one's own stand above the contents"
refuses 1 "none.csv" "a table that is not there" "$headct" report linear-langone-dino --table none.csv --out second.html
mkdir -p reach plane/figures
cp linear-langone-dino/figures/error_IPH.png reach/attention_s1_axial.png
cp linear-langone-dino/figures/roc_IPH.svg plane/figures/project_IPH.svg
"$headct" report --paper reach plane --out ../pictures.html | grep -q "^2 figures drawn, 17 missing"
ok $? "attention distances and projections are laid out"
done_testing
