#!/bin/sh
# ci/gpu-check on the emulated device: end to end; with too little memory; with cuBLASLt refusing every product. Each leaves a full report in one small
# file without the machine's name. $1: the build folder.
. "$(dirname "$0")/../support/tap.sh"
build=$1 root=$(cd "$(dirname "$0")/../.." && pwd)
# report NAME [OPTION...]: a dry run; what it says stands in NAME.log, its one file's content in NAME/.
report() {
    name=$1
    shift
    mkdir -p "$work/$name"
    python3 "$root/ci/gpu-check" --dry --build "$build" --out "$work/$name" "$@" >"$work/$name.log" 2>&1
    code=$?
    sed 's/^/# /' "$work/$name.log"
    tar -xzf "$work/$name/gpu-check-emulated-H100.tar.gz" -C "$work/$name"
    return $code
}
cat >"$work/look.py" <<'P'
import json, os, socket, sys
folder, areas, red = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
size = os.path.getsize(folder + "/gpu-check-emulated-H100.tar.gz")
verdict = json.load(open(folder + "/gpu-check-emulated-H100/verdict.json"))
print("#", verdict["sentence"])
assert size < 2_000_000 and verdict["dry"] and "no GPU was used" in verdict["sentence"]
assert list(verdict["areas"]) == areas, list(verdict["areas"])
assert [n for n, a in verdict["areas"].items() if a["status"] == "red"] == red
assert all(a["sentence"] for a in verdict["areas"].values())
host = socket.gethostname()
for f, _, files in os.walk(folder + "/gpu-check-emulated-H100"):
    for name in files:
        text = open(os.path.join(f, name)).read()
        assert sys.argv[4] not in text and (host == "localhost" or host not in text.split()), name
missing = [n for n, a in verdict["areas"].items() if a["status"] in ("green", "red") and not os.path.isdir(f"{folder}/gpu-check-emulated-H100/logs/{n}")]
assert not missing, missing
P
look() { python3 "$work/look.py" "$work/$1" "$2" "$3" "$root"; }
# figure NAME 'EXPRESSION over a, the areas': holds in a report.
figure() { python3 -c 'import json, sys; a = json.load(open(sys.argv[1]))["areas"]; sys.exit(not eval(sys.argv[2]))' \
    "$work/$1/gpu-check-emulated-H100/verdict.json" "$2"; }

report whole
ok $? "every area on the emulated device"
look whole "machine build probe dispatch bench conformance golden smoke train ranks sanitizer" ""
ok $? "a sentence and the logs of every area, in one small file, without names"
figure whole 'len(a["probe"]["figures"]) == 16 and {l["mode"] for l in a["bench"]["figures"]["lines"]} == {"dino", "mae", "forward"}'
ok $? "all primitives and all modes"
figure whole 'all(l["beside"] and l["modelled"]["launches"] > 100 for l in a["bench"]["figures"]["lines"] if l["mode"] != "forward")'
ok $? "measured kernels stand beside modelled ones"

EMU_MEMORY=3000000 report memory --only bench,train
ok $((1 - ($? > 0))) "too little memory is red"
look memory "machine build bench train" "bench train"
ok $? "every area is in the report"
figure memory '[(l["batch"], "out of memory" in l.get("error", "")) for l in a["bench"]["figures"]["lines"]] == [(4, True), (2, True), (1, False), (4, True),
    (2, True), (1, True), (4, False)] and "out of memory" in a["train"]["sentence"]'
ok $? "every batch that was tried is a line, and what fits is kept"

EMU_FAIL=heuristic@1+ report refused --only probe,dispatch,bench
ok $((1 - ($? > 0))) "refused products are red"
look refused "machine build probe dispatch bench" "probe dispatch"
ok $? "every area is in the report"
figure refused '"linear by cu:linear" in a["dispatch"]["sentence"] and "a product in bf16" in a["probe"]["sentence"]'
ok $? "it says which kernels took the library's place"

report budget --budget 1 --only probe,bench
look budget "machine build probe bench" ""
ok $? "what the time does not reach is named"
done_testing
