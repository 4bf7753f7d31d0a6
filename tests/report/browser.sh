#!/bin/sh
# Reports in headless Chromium, with axe-core: browser.sh HEADCT THIS-FOLDER BUILD. $HEADCT_PAGES: further pages, such as runs/demo/report.html. Needs
# Debian's chromium and chromium-driver; the Python is HEADCT_PYTHON where that has axe-selenium-python, else one in BUILD/browser-venv, made by pip.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$(realpath "$1") here=$2 build=$3
browser_python "reports in a browser" "$build"
cd "$work" || exit 1
python3 "$here/make_runs.py" runs
for r in scratch-langone finetune-langone-dino-1-0 finetune-langone-dino-1-1 finetune-langone-dino-0.1-0 linear-langone-dino; do
    "$headct" evaluate --run runs/$r --bootstrap 40 -q >/dev/null 2>&1
done
cat >small.yaml <<'Y'
method: finetune
data: {tasks: [IPH, SDH], crop: 160, image: 40, windows: [{center: 40, width: 80}]}
model: {patch: 10, width: 24, depth: 2, heads: 2, mlp: 48}
finetune: {init: random, backbone_lr: 0}
optim: {lr: 1e-3, batch: 8, accumulate: 1, epochs: 2, scale_lr_by_batch: false}
Y
"$headct" phantom --out ph --plain --patients 40 --scans-per-patient 1 --prevalence 0.5 --size tiny -q >/dev/null &&
    "$headct" prepare --in ph --out data --labels ph/labels.csv -q >/dev/null 2>&1 && "$headct" split data --ratios 2:1:1 >/dev/null &&
    "$headct" finetune --recipe small.yaml --data data --run downstream -q >prepared 2>&1 &&
    "$headct" explain --run downstream --task SDH --method gradient --method input ph/p0001_s1.nii.gz --out downstream/explain -q >>prepared 2>&1
ok $? "a downstream run"
"$headct" report downstream --view ph/p0001_s1.nii.gz:downstream/explain/p0001_s1_SDH_gradient.nii.gz >/dev/null
ok $? "its report, with a viewer"
"$headct" report runs/scratch-langone runs/finetune-* runs/linear-langone-dino runs/sweep runs/fewshot-langone --out several.html >/dev/null 2>&1
"$headct" report --paper runs/*/ --out paper.html >/dev/null
ok $? "a report of several runs, the paper's figures"
"$python" "$here/browser.py" downstream/report.html several.html paper.html $HEADCT_PAGES >said 2>&1
status=$?
while read -r line; do
    case $line in
    ok*) ok 0 "${line#* - }" ;;
    not*) ok 1 "${line#* - }" ;;
    1..*) ;;
    *) echo "# $line" ;;
    esac
done <said
ok $status "all pages"
done_testing
