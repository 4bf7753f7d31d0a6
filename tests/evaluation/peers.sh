#!/bin/sh
# Statistics beside scikit-learn, SciPy and statsmodels on 200 fresh random cases of each kind: peers.sh TEST-CASES BUILD. The Python is HEADCT_PYTHON
# where that has them, else one in BUILD/statistics-venv, made by pip; where there is no network either, it is skipped.
. "$(dirname "$0")/../support/tap.sh"
program=$1 build=$2
needs='import sklearn, scipy, statsmodels'
python=${HEADCT_PYTHON:-python3}
if ! "$python" -c "$needs" 2>/dev/null; then
    python=$build/statistics-venv/bin/python
    "$python" -c "$needs" 2>/dev/null ||
        { python3 -m venv "$build/statistics-venv" && "$python" -m pip install --quiet --no-cache-dir scikit-learn scipy statsmodels; } >"$work/pip" 2>&1 || true
fi
if ! "$python" -c "$needs" 2>/dev/null; then
    skip "statistics beside scikit-learn, SciPy and statsmodels" "they are not installed and pip cannot get them"
    done_testing
fi
seed=${HEADCT_SEED:-$(date +%s)}
note "seed $seed"
check "200 cases of each kind are made" sh -c '"$1" "$2/cases.py" --count 200 --seed "$3" >"$4/cases.json"' sh "$python" "$(dirname "$0")" "$seed" "$work"
status=0
"$program" "$work/cases.json" >"$work/said" 2>&1 || status=$?
sed 's/^/# /' "$work/said"
ok $status "all of them agree (seed $seed)"
done_testing
