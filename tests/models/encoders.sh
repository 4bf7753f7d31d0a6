#!/bin/sh
# Merlin's, CT-FM's and HLIP's encoders through the program, as small models with published names and inputs: import, prepare --for, embed, finetune.
# $1: headct, $2: test_import, which writes the models, $3: its cases.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
q=--quiet
"$2" "$3" "$work" >/dev/null
check "Merlin's names are read" "$headct" import "$work/merlin.safetensors" --out "$work/merlin"
check "CT-FM's" "$headct" import "$work/ct-fm.safetensors" --out "$work/ct-fm"
check "HLIP's" "$headct" import "$work/hlip-v1.safetensors" --set heads=2 --set period=3 --out "$work/hlip"
tiny_data 10 6:2:2 --prevalence 0.5
refuses 3 "headct prepare --for merlin" "scans that were not prepared for it" "$headct" embed --weights "$work/merlin" --data "$work/data" --out "$work/no.safetensors" $q
for kind in merlin ct-fm hlip; do
    check "prepare --for $kind" "$headct" prepare --in "$work/ph" --out "$work/data" --for $kind $q
    grep -q "10 unchanged" "$work/out" && grep -q "10 volumes made for $kind" "$work/out"
    ok $? "makes ten volumes, and leaves the others as they are"
done
check "again" "$headct" prepare --in "$work/ph" --out "$work/data" --for merlin $q
grep -q " 0 volumes made for merlin" "$work/out"
ok $? "makes nothing"
first=$(ls "$work/data/forms/merlin" | head -n 1)
rm "$work/data/forms/merlin/$first"
check "a volume that is gone" "$headct" prepare --in "$work/ph" --out "$work/data" --for merlin $q
grep -q " 1 volumes made for merlin" "$work/out"
ok $? "is made again"
refuses 1 "prepared already" "its volumes are no sources" "$headct" prepare --in "$work/data/forms/merlin" --out "$work/other" $q
refuses 2 "merlin, ct-fm, hlip are known" "an encoder of no name" "$headct" prepare --in "$work/ph" --out "$work/data" --for merlyn $q
for kind in merlin ct-fm hlip; do check "embeddings of the dataset, $kind" "$headct" embed --weights "$work/$kind" --data "$work/data" --split test --out "$work/$kind.e" $q; done
two=$(python3 - "$work" <<'P'
import json, struct, sys
b = open(sys.argv[1] + "/merlin.e", "rb").read()
for s in json.loads(json.loads(b[8:8 + struct.unpack("<Q", b[:8])[0]])["__metadata__"]["scans"]):
    print(f"{sys.argv[1]}/ph/{s}.nii.gz")
P
)
for kind in merlin ct-fm; do check "and of two files, $kind" "$headct" embed --weights "$work/$kind" $two --out "$work/$kind.f" $q; done
check "both of Merlin's heads" "$headct" embed --weights "$work/merlin" --data "$work/data" --split val --output phecodes --out "$work/phecodes.e" $q
check "the other" "$headct" embed --weights "$work/merlin" --data "$work/data" --split val --output contrastive --out "$work/contrastive.e" $q
refuses 1 "gives embedding, phecodes, contrastive" "an output that it has not" "$headct" embed --weights "$work/merlin" --data "$work/data" --output codes --out "$work/no.e" $q
refuses 1 "another output" "another output into the same file" "$headct" embed --weights "$work/merlin" --data "$work/data" --split val --out "$work/phecodes.e" $q
# Studies: a folder of two series, and one of one.
mkdir -p "$work/study/a" "$work/study/b"
set -- $two
cp "$1" "$work/study/a/one.nii.gz"
cp "$2" "$work/study/a/two.nii.gz"
cp "$1" "$work/study/b/one.nii.gz"
check "studies" "$headct" embed --weights "$work/hlip" "$work/study" --out "$work/studies.e" $q
check "one study folder" "$headct" embed --weights "$work/hlip" "$work/study/a" --out "$work/study.e" $q
python3 - "$work" <<'P'
import json, struct, sys
def read(path):
    b = open(path, "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    h = json.loads(b[8:8 + n])
    m = h["__metadata__"]
    e = h["embeddings"]
    a, z = e["data_offsets"]
    v = struct.unpack(f"<{(z - a) // 4}f", b[8 + n + a:8 + n + z])
    k = e["shape"][1]
    return {s: v[i * k:(i + 1) * k] for i, s in enumerate(json.loads(m["scans"]))}, k
w = sys.argv[1]
def far(a, b):
    return max(abs(x - y) for x, y in zip(a, b)) / max(abs(x) for x in a)
good = True
for kind, width in (("merlin", 128), ("ct-fm", 16)):
    all_, k = read(f"{w}/{kind}.e")
    two, _ = read(f"{w}/{kind}.f")
    worst = max(far(all_[s], two[s]) for s in two)
    print(f"# {kind}: width {k}, files and dataset differ by {worst:.2g}")
    good = good and k == width and len(all_) == 2 and len(two) == 2 and worst < 1e-5
one, _ = read(f"{w}/hlip.e")
studies, k = read(f"{w}/studies.e")
study, _ = read(f"{w}/study.e")
print("# studies:", sorted(studies), sorted(study))
single = [v for s, v in studies.items() if s != "a"][0]
first = sorted(one)[0]
good = good and k == 5 and len(studies) == 2 and "a" in studies and list(study) == ["a"]
good = good and far(study["a"], studies["a"]) < 1e-6 and far(one[first], single) < 1e-5 and far(one[first], study["a"]) > 1e-3
good = good and read(f"{w}/phecodes.e")[1] == 6 and read(f"{w}/contrastive.e")[1] == 5
sys.exit(not good)
P
ok $? "give rows of the right widths; files what their dataset gives; a study of two series one row of its own"
# Fine-tuning Merlin's form with a linear head, killed and resumed.
cat >"$work/ft.yaml" <<R
method: finetune
seed: 3
data: {tasks: [SDH]}
finetune: {backbone_lr: 1e-3}
optim: {lr: 1e-2, scale_lr_by_batch: false, batch: 2, accumulate: 1, epochs: 1}
train: {checkpoint_every: 1, balanced: 6, workers: 1}
R
check "fine-tuning, undisturbed" "$headct" finetune --recipe "$work/ft.yaml" --data "$work/data" --weights "$work/merlin" --run "$work/whole" $q
"$headct" finetune --recipe "$work/ft.yaml" --data "$work/data" --weights "$work/merlin" --run "$work/stopped" $q >/dev/null 2>&1 &
pid=$!
tries=0
while [ ! -e "$work/stopped/checkpoints/last.safetensors" ] && kill -0 $pid 2>/dev/null && [ $tries -lt 3000 ]; do sleep 0.02; tries=$((tries + 1)); done
kill -KILL $pid
wait $pid
check "killed, and resumed" "$headct" finetune --run "$work/stopped" --resume $q
for f in weights.safetensors metrics.jsonl predictions.csv; do
    cmp -s "$work/whole/$f" "$work/stopped/$f"
    ok $? "$f is the same"
done
check "predict of a file" "$headct" predict --run "$work/whole" "$1" $q
# What the numbers went through is the form's, in every file alike, and so nothing warns of another preparation.
"$headct" predict --run "$work/whole" "$1" --out "$work/p.csv" $q >/dev/null 2>"$work/said"
"$headct" embed --weights "$work/whole/weights.safetensors" "$1" --out "$work/tuned.e" $q >/dev/null 2>>"$work/said"
! grep -q "another preparation" "$work/said"
ok $? "weights and volumes of one form are of one preparation"
python3 - "$work" <<'P'
import json, sys
from weights_file import read
w = sys.argv[1]
said = [json.load(open(f"{w}/{f}"))["preprocessing_sha256"] for f in ("p.csv.json", "whole/predictions.csv.json")]
said += [read(f"{w}/{f}")[0]["preprocessing_sha256"] for f in ("tuned.e", "merlin.e")]
said.append(json.loads(read(f"{w}/whole/weights.safetensors")[0]["headct"])["preprocessing_sha256"])
print("#", said)
sys.exit(len(set(said)) != 1 or len(said[0]) != 64)
P
ok $? "predictions, embeddings and weights name it"
refuses 1 "flips and shifts are of cubes" "flips of what is no cube" "$headct" finetune --recipe "$work/ft.yaml" --data "$work/data" --weights "$work/merlin" --run "$work/no" --set views.flip=0.5 $q
done_testing
