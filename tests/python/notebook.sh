#!/bin/sh
# docs/tutorial.ipynb, run from its first cell to its last in an environment of its own, with the package that pip installs from the source tree.
# $1: headct, $2: the source tree. $HEADCT_VENV: an environment to use that is there already.
. "$(dirname "$0")/../support/tap.sh"
export HEADCT="$1"
source=$2
venv=${HEADCT_VENV:-$work/venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv" >"$work/log" 2>&1 || { echo "1..0 # SKIP no venv here (Debian: python3-venv)"; exit 0; }
    "$venv/bin/pip" install -q nbclient ipykernel scikit-learn >"$work/log" 2>&1 || { echo "1..0 # SKIP pip installed nothing: $(tail -n 1 "$work/log")"; exit 0; }
fi
cp -r "$source/python" "$work/package"
check "pip installs the package" "$venv/bin/pip" install -q --no-deps --force-reinstall "$work/package"
cat >"$work/all.py" <<'P'
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
assert not any(c.get("outputs") for c in notebook.cells), "the notebook in the source tree holds outputs: clear them"
NotebookClient(notebook, timeout=600, resources={"metadata": {"path": sys.argv[2]}}).execute()
for cell in notebook.cells:
    for out in cell.get("outputs", []):
        text = out.get("text") or out.get("data", {}).get("text/plain", "")
        print("\n".join("# " + line for line in text.rstrip("\n").split("\n")))
said = [out.get("data", {}).get("text/plain") for cell in notebook.cells for out in cell.get("outputs", [])]
assert "True" in said, "the gradient is not the sum of its inputs"
P
"$venv/bin/python" "$work/all.py" "$source/docs/tutorial.ipynb" "$work" >"$work/ran" 2>&1
ok $? "every cell of the tutorial runs"
sed 's/^[^#]/# &/' "$work/ran" | tail -n 40
done_testing
