#!/bin/sh
# headct export --format onnx, run by ONNX Runtime and OpenVINO, beside headct embed and predict: from prepared volumes and from ready inputs, batches
# of one and three, class token and mean, registers, biases, crops that the size does not divide. $1: headct, $2: the build. The Python is HEADCT_PYTHON
# where that has them, else one in BUILD/onnx-venv, made by pip; where there is no network either, it is skipped.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1 build=$2
q=--quiet
needs='import onnx, onnxruntime, openvino'
python=${HEADCT_PYTHON:-python3}
if ! "$python" -c "$needs" 2>/dev/null; then
    python=$build/onnx-venv/bin/python
    "$python" -c "$needs" 2>/dev/null ||
        { python3 -m venv "$build/onnx-venv" && "$python" -m pip install --quiet --no-cache-dir onnx onnxruntime openvino; } >"$work/pip" 2>&1 || true
fi
if ! "$python" -c "$needs" 2>/dev/null; then
    skip "ONNX files beside ONNX Runtime and OpenVINO" "they are not installed and pip cannot get them"
    done_testing
fi
cat >"$work/probe.yaml" <<R
method: probe
optim: {epochs: 2, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}
probe: {features: random}
data: {tasks: [SDH, IPH]}
R
tiny_data 16 5:3:2 --prevalence 0.5
cat >"$work/run.py" <<'P'
import csv, gzip, json, sys
import numpy as np, onnx, onnxruntime, openvino
from weights_file import read
work, name = sys.argv[1:]
def volume(scan):
    b = gzip.open(f"{work}/data/scans/{scan}.nii.gz").read()
    at = int(np.frombuffer(b, "<f4", 1, 108)[0])
    return np.frombuffer(b, "<i2", 224**3, at).reshape(224, 224, 224).T  # x is fastest in the file
meta, tensors = read(f"{work}/{name}.e")
scans = json.loads(meta["scans"])
want = np.frombuffer(tensors["embeddings"][2], "<f4").reshape(tensors["embeddings"][1])
said = {r["scan"]: [float(r["SDH"]), float(r["IPH"])] for r in csv.DictReader(open(f"{work}/{name}/predictions.csv"))}
x = np.stack([volume(s) for s in scans[:4]])
path = f"{work}/{name}.onnx"
model = onnx.load(path)
onnx.checker.check_model(model, full_check=True)
assert json.loads({p.key: p.value for p in model.metadata_props}["tasks"]) == ["SDH", "IPH"]
assert model.ir_version == 8 and model.opset_import[0].version == 17
session, compiled = onnxruntime.InferenceSession(path), openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
worst = 0
for first, n in ((0, 1), (1, 3)):
    part = np.ascontiguousarray(x[first:first + n])
    for e, p in (session.run(["embedding", "probabilities"], {"volume": part}), [compiled([part])[k] for k in ("embedding", "probabilities")]):
        worst = max(worst, np.abs(e - want[first:first + n]).max() / np.abs(want).max(), np.abs(p - np.array([said[s] for s in scans[first:first + n]])).max())
print(f"# {name}: off by {worst:.2g} of the largest")
# ready inputs, of which headct embed --tensor makes tokens
ready = np.random.default_rng(1).random(onnx_shape := [2] + [d.dim_value for d in onnx.load(f"{work}/{name}-ready.onnx").graph.input[0].type.tensor_type.shape.dim][1:]).astype("<f4")
head = json.dumps({"input": {"dtype": "F32", "shape": onnx_shape, "data_offsets": [0, ready.nbytes]}}).encode()
open(f"{work}/in.safetensors", "wb").write(len(head).to_bytes(8, "little") + head + ready.tobytes())
got = onnxruntime.InferenceSession(f"{work}/{name}-ready.onnx").run(["embedding"], {"input": ready})[0]
np.save(f"{work}/ready.npy", got)
sys.exit(not worst < 1e-4)
P
one() {
    model=$1
    shift
    check "$model: weights" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --run "$work/$model" $q "$@"
    "$headct" embed --weights "$work/$model/weights.safetensors" --data "$work/data" --out "$work/$model.e" $q >/dev/null
    check "$model: export" "$headct" export --weights "$work/$model/weights.safetensors" --format onnx --input volume --out "$work/$model.onnx"
    check "$model: of ready inputs" "$headct" export --weights "$work/$model/weights.safetensors" --format onnx --out "$work/$model-ready.onnx"
    status=0
    "$python" "$work/run.py" "$work" "$model" >"$work/said" 2>&1 || status=$?
    grep "^#" "$work/said"
    ok $status "$model: both give headct's embeddings and probabilities to 1e-4"
    [ $status -eq 0 ] || sed 's/^/# /' "$work/said"
    "$headct" embed --weights "$work/$model/weights.safetensors" --tensor "$work/in.safetensors" --out "$work/t" $q >/dev/null
    "$python" - "$work" "$model" "$*" <<'P'
import sys
import numpy as np
from weights_file import read
work, name, options = sys.argv[1:]
tensors = read(f"{work}/t")[1]
tokens = np.frombuffer(tensors["tokens"][2], "<f4").reshape(tensors["tokens"][1])
registers = 2 if "registers=2" in options else 0
want = tokens[:, 1 + registers:].mean(1) if "pool=mean" in options else tokens[:, 0]
far = np.abs(np.load(f"{work}/ready.npy") - want).max() / np.abs(want).max()
print(f"# {name}: ready inputs off by {far:.2g}")
sys.exit(not far < 1e-4)
P
    ok $? "$model: ready inputs too"
}
small="--set model.patch=12 --set model.width=48 --set model.depth=3 --set model.heads=4 --set model.mlp=96"
one plain $small --set data.image=48
one odd $small --set data.image=36 --set data.crop=190 --set model.registers=2 --set model.qkv_bias=true --set probe.pool=mean
one base --set data.image=96
done_testing
