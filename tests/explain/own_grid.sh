#!/bin/sh
# Maps lie on the voxels that the scan was read as: own_grid.sh HEADCT DATA BUILD. CT_pitch.nii.gz: the file's own; dicom_ge_tilt: a tilted series of uneven
# slices, which no affine describes, so the even grid that dcm2niix puts it on. nibabel from HEADCT_PYTHON, else from a venv in BUILD, made by pip.
. "$(dirname "$0")/../support/tap.sh"
headct=$(realpath "$1") data=$2 build=$3
if [ ! -f "$data/CT_pitch.nii.gz" ]; then
    skip "maps on the scan's voxels" "no scans in $data"
    done_testing
fi
python=${HEADCT_PYTHON:-python3}
if ! "$python" -c 'import nibabel' 2>/dev/null; then
    python=$build/nibabel-venv/bin/python
    "$python" -c 'import nibabel' 2>/dev/null || { python3 -m venv "$build/nibabel-venv" && "$python" -m pip install --quiet --no-cache-dir nibabel; } >"$work/pip" 2>&1 || true
fi
if ! "$python" -c 'import nibabel' 2>/dev/null; then
    skip "maps on the scan's voxels" "nibabel is not installed and pip cannot get it"
    done_testing
fi
cd "$work" || exit 1
cat >small.yaml <<'Y'
method: finetune
data: {tasks: [SDH], crop: 160, image: 40, windows: [{center: 40, width: 80}]}
model: {patch: 10, width: 24, depth: 2, heads: 2, mlp: 48}
finetune: {init: random, backbone_lr: 0}
optim: {lr: 1e-3, batch: 8, accumulate: 1, epochs: 1, scale_lr_by_batch: false}
Y
"$headct" phantom --out ph --plain --patients 16 --scans-per-patient 1 --prevalence 0.5 --size tiny -q >/dev/null &&
    "$headct" prepare --in ph --out data --labels ph/labels.csv -q >/dev/null 2>&1 && "$headct" split data --ratios 2:1:1 >/dev/null &&
    "$headct" finetune --recipe small.yaml --data data --run run -q >said 2>&1
ok $? "a classifier"
check "maps" "$headct" explain --run run --task SDH --method gradient --method input "$data/CT_pitch.nii.gz" "$data/dicom_ge_tilt" --out maps -q
mkdir even && dcm2niix -z y -o even -f tilt "$data/dicom_ge_tilt" >/dev/null 2>&1
cat >grid.py <<'P'
import sys
import nibabel
import numpy
scan, overlay = (nibabel.load(f) for f in sys.argv[2:])
affine = scan.affine if sys.argv[1] == "own" else scan.get_qform()  # of a tilted series dcm2niix's sform is sheared, and stretches rows
values = numpy.asarray(overlay.dataobj)
print(scan.shape, overlay.shape, numpy.abs(affine - overlay.affine).max(), values.max())
sys.exit(not (scan.shape[:3] == overlay.shape and numpy.allclose(affine, overlay.affine, atol=1e-4) and values.max() > 0))
P
for method in gradient input; do
    check "CT_pitch, $method: the file's affine and shape" "$python" grid.py own "$data/CT_pitch.nii.gz" maps/CT_pitch_SDH_$method.nii.gz
    check "dicom_ge_tilt, $method: the even grid's" "$python" grid.py even even/tilt_Tilt_Eq_1.nii.gz maps/dicom_ge_tilt_SDH_$method.nii.gz
done
done_testing
