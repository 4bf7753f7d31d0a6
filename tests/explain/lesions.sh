#!/bin/sh
# Whether maps show what the answer rests on: a classifier of easy phantoms (recipes/easy-lesions.yaml), the method chosen on validation lesions, test
# lesions against their masks; and models with other weights for each scan, which can show nothing. lesions.sh HEADCT RECIPE.
. "$(dirname "$0")/../support/tap.sh"
headct=$(realpath "$1") recipe=$(realpath "$2")
cd "${HEADCT_LESIONS:-$work}" || exit 1
if [ ! -s run/metrics.json ]; then
    "$headct" phantom --out easy --patients 560 --scans-per-patient 1 --size tiny --plain --pose 0 --findings IPH,SDH --larger 0.6 --brighter 15 --noise 2-4 \
        --prevalence 0.5 --masks IPH,SDH --seed 21 -q >/dev/null &&
        "$headct" prepare --in easy --out data --labels easy/labels.csv -q >/dev/null 2>&1 && "$headct" split data --ratios 6:2:3 --seed 1 >/dev/null 2>&1 &&
        "$headct" finetune --recipe "$recipe" --data data --run run --set data.tasks=IPH,SDH -q >trained 2>&1
fi
[ -s run/metrics.json ]
ok $? "a classifier of IPH and SDH"
"$headct" dataset list data --out scans.csv
# scans SPLIT TASK: files of those that have the finding
scans() { awk -F, -v s="$1" -v t="$2" 'NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next } $c["split"] == s && $c[t] == 1 { print "easy/" $1 ".nii.gz" }' scans.csv; }
# value FILE ROW COLUMN: a cell of a CSV whose first or second column is ROW
value() { awk -F, -v r="$2" -v k="$3" 'NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next } $1 == r || $2 == r { print $c[k] }' "$1"; }
# holds A OP B
holds() { awk -v a="$1" -v b="$3" "BEGIN { exit !(a + 0 $2 b + 0) }"; }
for task in IPH SDH; do
    auc=$(value run/metrics.csv $task roc_auc)
    holds "$auc" ">=" 0.85
    ok $? "$task: test AUC $auc, 0.85 or more"
    # shellcheck disable=SC2046
    "$headct" explain --run run --task $task --masks easy-masks --table-only --method class --method rollout --method gradient --method input \
        --out val-$task $(scans val $task) -q >/dev/null 2>&1
    method=$(awk -F, 'NR > 1 && $6 > best { best = $6; name = $2 } END { print name }' val-$task/lesions.csv)
    sed 's/^/# validation: /' val-$task/lesions.csv
    # shellcheck disable=SC2046
    "$headct" explain --run run --task $task --masks easy-masks --table-only --method "$method" --out test-$task $(scans test $task) -q >/dev/null 2>&1
    sed 's/^/# test: /' test-$task/lesions.csv
    n=$(value test-$task/lesions.csv "$method" lesions) ratio=$(value test-$task/lesions.csv "$method" ratio) low=$(value test-$task/lesions.csv "$method" ratio_low)
    holds "$n" ">=" 50
    ok $? "$task: $n test lesions, 50 or more"
    holds "$ratio" ">=" 5 && holds "$low" ">" 4
    ok $? "$task: by $method the top 1% holds $ratio times the lesion's share of the brain ($low at the least), 5 or more"
    # shellcheck disable=SC2046
    "$headct" explain --run run --task $task --masks easy-masks --table-only --randomise 1 --method "$method" --method input --out random-$task \
        $(scans test $task) -q >/dev/null 2>&1
    sed 's/^/# random weights: /' random-$task/lesions.csv
    random=$(value random-$task/lesions.csv "$method" ratio)
    holds "$random" "<" 2.5
    ok $? "$task: of random weights $random, near 1"
done
done_testing
