#!/bin/sh
# Golden sets that are not the whole one: a family's folder that is not there is skipped by name; one without a case, one that nobody knows
# and a set without any are failures. $1: folder of the golden programs, $2: golden folder (env HEADCT_GOLDEN wins), $3: ci/test, $4: embed.py, $5: headct.
. "$(dirname "$0")/../support/tap.sh"
programs=$1 whole=$(realpath -m "${HEADCT_GOLDEN:-$2}")
unset HEADCT_GOLDEN HEADCT_GOLDEN_FULL HEADCT_DEVICE HEADCT_DATA
# set NAME FAMILY...: a set of these families alone, as $work/NAME.
set_of() {
    mkdir "$work/$1"
    for family in $2; do ln -s "$whole/$family" "$work/$1/$family"; done
}
# run STATUS NAME SET COMMAND...: one golden program with that set; its output in $work/out.
run() {
    want=$1 name=$2 folder=$3 status=0
    shift 3
    (cd "$work" && HEADCT_GOLDEN=$folder "$@") >"$work/out" 2>&1 || status=$?
    if [ $status -eq "$want" ]; then ok 0 "$name"; else ok 1 "$name (status $status, wanted $want)"; sed 's/^/# /' "$work/out"; fi
}
says() { if grep -qE -- "$1" "$work/out"; then ok 0 "$2"; else ok 1 "$2"; sed 's/^/# /' "$work/out"; fi; }

run 0 "a folder that is not there" elsewhere "$programs/golden_metrics"
says "SKIP $work/elsewhere is absent" "is named from the root on"
if [ ! -d "$whole/metrics" ] || [ ! -d "$whole/schedules" ]; then
    skip "parts of a set" "no golden folder, or one without metrics and schedules"
else
    set_of part "metrics schedules"
    run 0 "a relative folder is found" part "$programs/golden_metrics"
    says "^# golden folder: $work/part$" "and named from the root on"
    says "^# ran [1-9][0-9]* tensors in [1-9][0-9]* cases of metrics$" "what ran is counted by family"
    for pair in dino:dino_tiny augment:augment checkpoint:checkpoint preprocess:preprocess probes:probes mae:mae_tiny vit:vit_tiny; do
        run 0 "a set without ${pair#*:}" part "$programs/golden_${pair%:*}"
        says "^ok [0-9]* - ${pair#*:} # SKIP" "counts it as skipped"
    done
    run 0 "embed without vit_tiny" part python3 "$4" "$5" "$2"
    says "^ok 1 - vit_tiny # SKIP" "counts it as skipped"
    run 0 "the folder as a whole" part "$programs/golden_coverage"
    says "^ok [0-9]* - dino_tiny # SKIP" "names what it lacks"
    mkdir "$work/part/augment"
    run 1 "a family without a case" part "$programs/golden_augment"
    says "^not ok [0-9]* - .*/part/augment holds a case" "is a failure"
    run 1 "which the whole folder is too" part "$programs/golden_coverage"
    rmdir "$work/part/augment"
    mkdir "$work/part/vit_tiny" "$work/part/vit_base"
    for family in vit_tiny vit_base; do echo '{"config": {}}' >"$work/part/$family/bare.json"; done
    run 1 "cases without tensors" part "$programs/golden_vit"
    says "^not ok [0-9]* - vit_base/bare: something is compared" "compare nothing, which is a failure"
    rm -r "$work/part/vit_tiny" "$work/part/vit_base"
    mkdir "$work/part/dreams"
    run 1 "a family that nobody knows" part "$programs/golden_coverage"
    says "^not ok [0-9]* - family 'dreams' is known" "is a failure"
fi
# A scan that neither the case's folder nor data/ beside the set holds is looked for in HEADCT_DATA, by default data/ beside the shared set.
scan= real=$(realpath -m "$2/../data")
for json in "$whole"/preprocess/*.json; do
    [ -f "$json" ] || continue
    scan=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["input"]["name"])' "$json")
    [ -f "$whole/preprocess/$scan" ] || [ ! -f "$real/$scan" ] || break
    scan=
done
if [ -z "$scan" ]; then skip "scans elsewhere" "no case of preprocess has its scan in $real"; else
    mkdir -p "$work/scans/preprocess" "$work/real"
    ln -s "$json" "${json%.json}_samples.safetensors" "$work/scans/preprocess"
    run 0 "a scan in the default folder" scans "$programs/golden_preprocess"
    says "^# ran [1-9][0-9]* tensors in 1 cases of preprocess$" "is found"
    run 0 "a scan that is nowhere" scans env HEADCT_DATA="$work/real" "$programs/golden_preprocess"
    says "SKIP its input is neither" "is a case skipped by name"
    ln -s "$real/$scan" "$work/real/$scan"
    run 0 "a scan in HEADCT_DATA" scans env HEADCT_DATA="$work/real" "$programs/golden_preprocess"
    says "^# ran [1-9][0-9]* tensors in 1 cases of preprocess$" "is found"
fi
mkdir "$work/none"
run 1 "a set without any case" none "$programs/golden_coverage"

# ci/test among stand-ins for what it calls: what they are given is relative to where it was called, not to where they run.
mkdir -p "$work/tree/ci" "$work/tree/build/meson-logs" "$work/bin"
cp "$3" "$work/tree/ci/test"
touch "$work/tree/build/build.ninja"
for name in ninja python3; do printf '#!/bin/sh\n' >"$work/bin/$name"; done
printf '#!/bin/sh\necho "golden $HEADCT_GOLDEN"\n' >"$work/bin/meson"
chmod +x "$work"/bin/*
run 0 "ci/test with a relative folder" ./part env SUITE=golden PATH="$work/bin:$PATH" tree/ci/test
says "^golden $work/./part$" "takes it from the folder it was called in"
done_testing
