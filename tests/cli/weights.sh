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
for file in checkpoint.json mae.pth dino.pth vit_finetuned.pth vit_finetuned_classifier.pth; do
    [ -f "$golden/$file" ] && continue
    skip "real checkpoints" "$golden/$file is absent"
    done_testing
done
size() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["config"][sys.argv[2]])' "$golden/checkpoint.json" "$1"; }
heads=$(size heads) width=$(size dim)
check "MAE, with its decoder" "$headct" import "$golden/mae.pth" --heads "$heads" --decoder-heads 1 --out "$work/mae.safetensors"
check "DINO, teacher" "$headct" import "$golden/dino.pth" --heads "$heads" --which teacher --out "$work/teacher.safetensors"
check "DINO, student" "$headct" import "$golden/dino.pth" --heads "$heads" --out "$work/student.safetensors"
if cmp -s "$work/teacher.safetensors" "$work/student.safetensors"; then ok 1 "which are not the same"; else ok 0 "which are not the same"; fi
check "a fine-tuned backbone and its classifier" "$headct" import "$golden/vit_finetuned.pth" --heads "$heads" --classifier "ICH=$golden/vit_finetuned_classifier.pth" --out "$work/ich.safetensors"
refuses 1 "--heads" "heads that no shape tells are asked for" "$headct" import "$golden/dino.pth" --out "$work/w.safetensors"
refuses 1 "--windows" "one window for three channels" "$headct" import "$golden/dino.pth" --heads "$heads" --windows 40:80 --out "$work/w.safetensors"
refuses 1 "no teacher" "the teacher of a file without one" "$headct" import "$golden/mae.pth" --heads "$heads" --which teacher --out "$work/w.safetensors"
refuses 1 "head alone" "a classifier without its backbone" "$headct" import "$golden/vit_finetuned_classifier.pth" --heads "$heads" --out "$work/w.safetensors"
# Out and in again: the same tensors, and what Python's own tools make of the files.
check "export to safetensors" "$headct" export --weights "$work/mae.safetensors" --out "$work/out.safetensors" --card "$work/card.md"
check "export to torch's format" "$headct" export --weights "$work/mae.safetensors" --format pth --out "$work/out.pth"
check "which is imported again" "$headct" import "$work/out.pth" --heads "$heads" --decoder-heads 1 --out "$work/again.safetensors"
check "a classifier too" "$headct" export --weights "$work/ich.safetensors" --format pth --out "$work/ich.pth"
check "with its head" "$headct" import "$work/ich.pth" --heads "$heads" --out "$work/ich_again.safetensors"
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
"$headct" phantom --out "$work/ph" --patients 1 --scans-per-patient 1 --size tiny --seed 3 --quiet >/dev/null
check "imported weights embed a scan" "$headct" embed --weights "$work/student.safetensors" "$work"/ph/*.nii.gz --out "$work/e.safetensors" --quiet
check "and an imported classifier predicts one" "$headct" predict --weights "$work/ich.safetensors" "$work"/ph/*.nii.gz --json --quiet
done_testing
