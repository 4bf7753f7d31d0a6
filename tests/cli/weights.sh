#!/bin/sh
# import and export through the program. $1: headct, $2: golden folder (env HEADCT_GOLDEN wins).
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
headct=$1
golden=${HEADCT_GOLDEN:-$2}/checkpoint
refuses 1 "none.pth" "a missing file" "$headct" import "$work/none.pth" --out "$work/w.safetensors"
printf 'not a checkpoint' >"$work/bad.pth"
refuses 1 "no zip archive" "a file that is no checkpoint" "$headct" import "$work/bad.pth" --out "$work/w.safetensors"
test ! -e "$work/w.safetensors"
ok $? "and nothing was written"
refuses 2 "--out" "no --out" "$headct" import "$work/bad.pth"
refuses 2 "student or teacher" "--which of nothing" "$headct" import "$work/bad.pth" --out "$work/w.safetensors" --which both
# Which file is of which kind, its heads, width and channels, by the set's own list: MAE and DINO pre-training, a fine-tuned backbone, a linear classifier of two classes.
cat >"$work/kinds.py" <<'P'
import glob, json, os, shlex, sys
from weights_file import tensors
best = {}
for path in sorted(glob.glob(sys.argv[1] + "/*.json")):
    case = json.load(open(path))
    found = {"heads": case["config"]["heads"], "width": case["config"]["dim"], "channels": case["config"]["ch"]}
    for name, file in case["files"].items():
        unused = [load["unused_in_file"] for load in file.get("load_into_plain_vit", {}).values()]
        kind = "dino" if file["momentum"] else "mae" if any("mask_token" in u for u in unused) else "backbone" if [] in unused else "other"
        if not unused:
            head = tensors(os.path.join(sys.argv[1], os.path.splitext(name)[0] + "_expected.safetensors"))
            kind = "classifier" if "w.bn.running_mean" in head and head["w.linear.weight"][1][0] == 2 else "other"
        if kind != "other":
            found.setdefault(kind, os.path.join(sys.argv[1], name))
    best = max(best, found, key=len)
for key in ("mae", "dino", "backbone", "classifier", "heads", "width", "channels"):
    print(f"{key}={shlex.quote(str(best.get(key, '')))}")
P
eval "$(python3 "$work/kinds.py" "$golden")"
if [ -z "$mae" ] || [ -z "$dino" ] || [ -z "$backbone" ] || [ -z "$classifier" ]; then
    skip "real checkpoints" "$golden lists no MAE, DINO, fine-tuned backbone and classifier of one size"
    done_testing
fi
windows='' other=40:80 # the paper's three need no naming
if [ "$channels" -ne 3 ]; then windows=$(yes 40:80 | head -n "$channels" | paste -sd, -) other=$windows,40:80; fi
import() { "$headct" import "$@" --heads "$heads" ${windows:+--windows "$windows"}; }
check "MAE, with its decoder" import "$mae" --decoder-heads 1 --out "$work/mae.safetensors"
check "DINO, teacher" import "$dino" --which teacher --out "$work/teacher.safetensors"
check "DINO, student" import "$dino" --out "$work/student.safetensors"
if cmp -s "$work/teacher.safetensors" "$work/student.safetensors"; then ok 1 "which are not the same"; else ok 0 "which are not the same"; fi
check "a fine-tuned backbone and its classifier" import "$backbone" --classifier "ICH=$classifier" --out "$work/ich.safetensors"
refuses 1 "--heads" "heads that no shape tells are asked for" "$headct" import "$dino" --out "$work/w.safetensors"
refuses 1 "--windows" "another number of windows than channels" "$headct" import "$dino" --heads "$heads" --windows "$other" --out "$work/w.safetensors"
refuses 1 "no teacher" "the teacher of a file without one" import "$mae" --which teacher --out "$work/w.safetensors"
refuses 1 "head alone" "a classifier without its backbone" import "$classifier" --out "$work/w.safetensors"
# Out and in again: the same tensors, and what Python's own tools make of the files.
check "export to safetensors" "$headct" export --weights "$work/mae.safetensors" --out "$work/out.safetensors" --card "$work/card.md"
check "export to torch's format" "$headct" export --weights "$work/mae.safetensors" --format pth --out "$work/out.pth"
check "which is imported again" import "$work/out.pth" --decoder-heads 1 --out "$work/again.safetensors"
check "a classifier too" "$headct" export --weights "$work/ich.safetensors" --format pth --out "$work/ich.pth"
check "with its head" import "$work/ich.pth" --out "$work/ich_again.safetensors"
python3 - "$work" <<'P'
import pickletools, struct, sys, zipfile
from weights_file import tensors
w = sys.argv[1] + "/"
same = tensors(w + "mae.safetensors") == tensors(w + "out.safetensors") == tensors(w + "again.safetensors")
same = same and tensors(w + "ich.safetensors") == tensors(w + "ich_again.safetensors")
z = zipfile.ZipFile(w + "out.pth")
ops = list(pickletools.genops(z.read("archive/data.pkl")))
names = {a for o, a, _ in ops if o.name == "GLOBAL"}
fine = z.testzip() is None and names == {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch FloatStorage"}
fine = fine and all((i.header_offset + 30 + len(i.filename) + struct.unpack("<H", open(w + "out.pth", "rb").read()[i.header_offset + 28:i.header_offset + 30])[0]) % 64 == 0 for i in z.infolist())
sys.exit(not (same and fine))
P
ok $? "no tensor differs; zipfile and pickletools read the archive"
grep -q "width $width" "$work/card.md"
ok $? "the card says the sizes"
"$headct" phantom --out "$work/ph" --plain --patients 1 --scans-per-patient 1 --size tiny --seed 3 --quiet >/dev/null
check "imported weights embed a scan" "$headct" embed --weights "$work/student.safetensors" "$work"/ph/*.nii.gz --out "$work/e.safetensors" --quiet
check "and an imported classifier predicts one" "$headct" predict --weights "$work/ich.safetensors" "$work"/ph/*.nii.gz --json --quiet
done_testing
