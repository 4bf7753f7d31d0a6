#!/bin/sh
# predict and embed over files, DICOM folders and datasets; what they refuse. $1: headct, $2: folder of real scans (env HEADCT_DATA wins).
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
real=${HEADCT_DATA:-$2}
cat >"$work/mae.yaml" <<R
method: mae
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 2}
R
printf 'method: probe\noptim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\ndata: {tasks: [SDH, IPH]}\n' >"$work/probe.yaml"
q="--quiet"
"$headct" phantom --out "$work/ph" --plain --patients 24 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 3 $q >/dev/null
check "prepare" "$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" $q
check "split" "$headct" split "$work/data" --ratios 5:2:3 --seed 1
check "pretrain" "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/mae" $q
check "the picture is there" test -s "$work/mae/figures/reconstruction.png"
w=$work/mae/weights.safetensors
for features in encoder random histogram; do
    check "probe, $features" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --set probe.features=$features --run "$work/$features" $q
done
check "probe, attentive" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --kind attentive --set probe.heads=2 --run "$work/attentive" $q
refuses 1 "probe.heads" "heads that do not divide the width" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --kind attentive --set probe.heads=5 --run "$work/five" $q
refuses 1 "histogram" "an attentive probe of a histogram" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --kind attentive --set probe.features=histogram --run "$work/five" $q
check "predictions carry the weights' hash" sh -c 'python3 -c "import json, sys; d = json.load(open(sys.argv[1])); sys.exit(any(len(d[k]) != 64 for k in (\"weights_sha256\", \"recipe_sha256\", \"preprocessing_sha256\", \"data_sha256\")))" "$1"' sh "$work/encoder/predictions.csv.json"
# A run whose last files cannot be written has no predictions: what looks for finished runs does not take it for one.
mkdir "$work/unwritable" && : >"$work/unwritable/figures"
refuses 1 "figures" "a probe whose figures cannot be written fails" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --run "$work/unwritable" $q
ok "$([ -e "$work/unwritable/predictions.csv" ] && echo 1 || echo 0)" "and leaves no predictions"
check "report" "$headct" report "$work/mae" "$work/encoder" "$work/random" --out "$work/report.html"
check "plan" "$headct" plan "$work/mae.yaml" --data "$work/data"
"$headct" plan "$work/mae.yaml" --data "$work/data" --set data.fraction=0.5 >"$work/plan"
grep -q '^run  *6 scans, 2 steps in 2 epochs' "$work/plan"
ok $? "plan counts the scans of data.fraction"
grep -q '^loading .* 2 threads .* all 0.00 GiB of inputs kept' "$work/plan"
ok $? "plan tells what loading takes beside the program"
check "bench" "$headct" bench --recipe "$work/mae.yaml" --steps 1
check "backends" "$headct" backends
if grep -q avx2 /proc/cpuinfo; then HCT_ISA=avx3 "$headct" backends 2>&1 | grep -q "HCT_ISA=avx3: avx2 and avx512 are known"; fi
ok $? "an instruction set that fastcpu does not know is named"

# predict: the probabilities of the run's own predictions.csv, and resuming.
for run in attentive encoder; do
    rm -f "$work/p.csv" "$work/p.csv.json"
    check "predict a part of a dataset, $run" "$headct" predict --run "$work/$run" --data "$work/data" --split test --out "$work/p.csv" $q
    python3 - "$work/$run/predictions.csv" "$work/p.csv" <<'P'
import csv, sys
a = {r["scan"]: r for r in csv.DictReader(open(sys.argv[1]))}
b = list(csv.DictReader(open(sys.argv[2])))
worst = max(abs(float(r[t]) - float(a[r["scan"]][t])) for r in b for t in ("SDH", "IPH"))
print("# largest difference", worst)
sys.exit(not b or worst > 1e-5)
P
    ok $? "predict says what the probe said, $run"
done
cp "$work/p.csv" "$work/whole.csv"
head -c $(($(wc -c <"$work/p.csv") - 7)) "$work/whole.csv" >"$work/p.csv" # a half last line
check "predict again does what is missing" "$headct" predict --run "$work/encoder" --data "$work/data" --split test --out "$work/p.csv" $q
but_time "$work/p.csv" >"$work/p.then"
but_time "$work/whole.csv" | cmp "$work/p.then" - >/dev/null
ok $? "and ends with the same file but for the last row's time"
refuses 1 "p.csv" "a table of other weights is not added to" "$headct" predict --run "$work/random" --data "$work/data" --split test --out "$work/p.csv" $q
check "one scan as JSON" sh -c '"$1" predict --run "$2" "$3" --json --quiet | python3 -c "import json, sys; d = [json.loads(l) for l in sys.stdin]; sys.exit(not (len(d) == 1 and 0 < d[0][\"probabilities\"][\"SDH\"] < 1 and len(d[0][\"weights_sha256\"]) == 64))"' \
    sh "$headct" "$work/encoder" "$(ls "$work"/ph/*.nii.gz | head -n 1)"
for command in predict embed; do
    "$headct" $command --help | tr -s '\n ' ' ' | grep -q "its patient in the result is its own ID, as in headct prepare without --labels"
    ok $? "$command --help says who the patient of a file is"
done
mkdir "$work/two" && cp "$work/ph/p0001_s1.nii.gz" "$work/two/x.nii.gz" && cp "$work/ph/p0001_s1.nii.gz" "$work/two/y.nii.gz"
"$headct" predict --run "$work/encoder" "$work/two" --out "$work/two.csv" $q >/dev/null && "$headct" prepare --in "$work/two" --out "$work/two/data" $q >/dev/null &&
    "$headct" predict --run "$work/encoder" --data "$work/two/data" --out "$work/two-data.csv" $q >/dev/null
[ "$(cut -d, -f1,2 "$work/two.csv" | tr '\n' ' ')" = "scan,patient x,x y,y " ] && [ "$(cut -d, -f1,2 "$work/two-data.csv")" = "$(cut -d, -f1,2 "$work/two.csv")" ]
ok $? "it is the scan itself, as in a dataset without labels"
check "embed a dataset" "$headct" embed --weights "$w" --data "$work/data" --out "$work/e.safetensors" $q
# --precision: close to f32, said in what is written, not mixed with it.
for precision in bf16 int8; do
    check "predict in $precision" "$headct" predict --run "$work/attentive" --data "$work/data" --precision $precision --out "$work/$precision.csv" $q
    check "embed in $precision" "$headct" embed --weights "$w" --data "$work/data" --precision $precision --out "$work/$precision.safetensors" $q
    "$headct" predict --run "$work/attentive" --data "$work/data" --out "$work/f32.csv" $q >/dev/null
    python3 - "$work" $precision <<'P'
import csv, json, math, sys
from weights_file import floats
work, precision = sys.argv[1:]
a, b = (floats(f"{work}/{n}.safetensors")["embeddings"] for n in ("e", precision))
n = 24
rows = [(a[i:i + n], b[i:i + n]) for i in range(0, len(a), n)]
cosine = min(sum(p * q for p, q in zip(x, y)) / math.sqrt(sum(p * p for p in x) * sum(q * q for q in y)) for x, y in rows)
f32, own = ({r["scan"]: r for r in csv.DictReader(open(f"{work}/{k}.csv"))} for k in ("f32", precision))
apart = [abs(float(f32[s][t]) - float(own[s][t])) for s in f32 for t in ("SDH", "IPH")]
print("#", precision, "least cosine", cosine, "probabilities apart by", max(apart))
sys.exit(not (len(rows) == len(own) == 24 and 0.999 < cosine and a != b and 0 < max(apart) < 0.02 and json.load(open(f"{work}/{precision}.csv.json"))["precision"] == precision))
P
    ok $? "$precision is close to f32, and is named"
    refuses 1 "$precision.csv" "a table of $precision is not added to in f32" "$headct" predict --run "$work/attentive" --data "$work/data" --out "$work/$precision.csv" $q
    refuses 1 "another precision ($precision, now f32)" "nor a file of embeddings" "$headct" embed --weights "$w" --data "$work/data" --out "$work/$precision.safetensors" $q
done
refuses 2 "f32, bf16, int8" "a precision that there is not" "$headct" embed --weights "$w" --data "$work/data" --precision fp8 --out "$work/x.safetensors" $q
printf 'not a scan' >"$work/bad.nii"
refuses 3 "bad.nii" "a bad scan is listed and left out" "$headct" predict --run "$work/encoder" "$work/bad.nii" "$(ls "$work"/ph/*.nii.gz | head -n 1)" $q
latin=$(printf '%s/M\374ller.nii.gz' "$work")
one=$(ls "$work"/ph/*.nii.gz | head -n 1)
cp "$one" "$latin"
for command in "predict --run $work/encoder --json" "embed --weights $w --out $work/latin.safetensors"; do
    refuses 3 "no UTF-8" "${command%% *}: a name that no table can hold is listed and left out" "$headct" $command "$latin" "$one" $q
done
check "and the other scan is embedded" test -s "$work/latin.safetensors"
# Two at once into one file: the first is halted while it reads its scans, and goes on when the second has finished.
two_at_once() {
    "$headct" embed --weights "$w" "$work"/ph/*.nii.gz --out "$work/both.safetensors" $q &
    first=$!
    # Each scan is read twice, for its hash and its voxels: when the bytes of all were read, some half of them are done.
    while kill -0 $first 2>/dev/null && [ "$(sed -n 's/^rchar: //p' "/proc/$first/io" 2>/dev/null || echo 0)" -lt $(($(cat "$work"/ph/*.nii.gz | wc -c) * 6 / 5)) ]; do :; done
    kill -STOP $first
    "$headct" embed --weights "$w" "$one" --out "$work/both.safetensors" $q || return 9
    kill -CONT $first
    wait $first
}
refuses 1 "another program wrote it meanwhile" "embed: what another wrote meanwhile is not written over" two_at_once
check "and is whole" "$headct" embed --weights "$w" "$one" --out "$work/both.safetensors" $q
rm -f "$latin" "$work/latin.safetensors"

# Weights that are none.
python3 - "$work" <<'P'
import json, struct, sys
def write(name, head, body=b"", length=None):
    h = head if isinstance(head, bytes) else json.dumps(head).encode()
    open(sys.argv[1] + "/" + name, "wb").write(struct.pack("<Q", len(h) if length is None else length) + h + body)
t = lambda a, b: {"dtype": "F32", "shape": [(b - a) // 4], "data_offsets": [a, b]}
write("long.safetensors", {}, length=1 << 40)
write("overlap.safetensors", {"a": t(0, 8), "b": t(4, 12)}, b"x" * 12)
write("json.safetensors", b'{"a": {"dtype"', b"x" * 12)
write("plain.safetensors", {"a": t(0, 8)}, b"x" * 8)
P
for bad in long overlap json plain; do
    refuses 1 "$bad.safetensors" "weights: $bad" "$headct" embed --weights "$work/$bad.safetensors" --data "$work/data" --out "$work/x.safetensors" $q
done
ok "$([ -e "$work/x.safetensors" ] && echo 1 || echo 0)" "nothing was written for them"

# Which tensors decay: with a decay of 10 and 4 steps of 1e-2, what decays shrinks by a third, what does not stays within 4 steps of where it was.
for decay in all matrices; do
    check "decay: $decay" "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/data" --run "$work/decay-$decay" $q --set optim.decay=$decay \
        --set optim.weight_decay=10 --set optim.lr=1e-2 --set optim.warmup_fraction=0 --set optim.schedule=constant
done
python3 - "$work" <<'P'
import sys
from weights_file import floats
def norm(decay):
    x = floats(f"{sys.argv[1]}/decay-{decay}/weights.safetensors")["decoder_norm.weight"]
    return sum(x) / len(x)
every, some = norm("all"), norm("matrices")
print("# decoder_norm.weight", every, some)
sys.exit(not (every < 0.8 and abs(some - 1) < 0.08))
P
ok $? "norms decay with 'all' and not with 'matrices'"

# Mistakes in a recipe.
sed 's/mask_ratio/mask_rato/; s/image: 24/imge: 24/' "$work/mae.yaml" >"$work/typo.yaml"
refuses 1 "image" "an unknown key of a recipe names the nearest" "$headct" pretrain --recipe "$work/typo.yaml" --data "$work/data" --run "$work/typo" $q
refuses 1 "optim.lr" "an unknown key of --set names the nearest" "$headct" pretrain --recipe "$work/mae.yaml" --set optim.lrr=1 --data "$work/data" --run "$work/typo" $q
refuses 1 "SDH" "an unknown task names the nearest" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --weights "$w" --set data.tasks=SHD --run "$work/typo" $q
refuses 1 "nothing-here" "a dataset that is not there" "$headct" pretrain --recipe "$work/mae.yaml" --data "$work/nothing-here" --run "$work/typo" $q

# Real scans.
for scan in CT_pitch.nii.gz scct.nii dicom_ge_tilt; do
    if [ ! -e "$real/$scan" ]; then skip "real scan $scan" "$real/$scan is absent; set HEADCT_DATA"; continue; fi
    if [ -d "$real/$scan" ] && ! command -v dcm2niix >/dev/null; then skip "real scan $scan" "dcm2niix is not installed"; continue; fi
    check "$scan prepared" "$headct" prepare --in "$real/$scan" --out "$work/real" $q
    check "$scan embedded" "$headct" embed --weights "$w" "$real/$scan" --out "$work/real.safetensors" $q
    rm -f "$work/real.safetensors"
    check "$scan predicted" "$headct" predict --run "$work/encoder" "$real/$scan" $q
done
done_testing
