# What shell tests of the program share; read after tap.sh, with the program in $headct. Their Python finds weights_file.py beside this file.
support=$(dirname "$0")
until [ -e "$support/support/program.sh" ]; do support=$support/..; done
export PYTHONPATH="$support/support${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
# tiny_data PATIENTS RATIOS [OPTION...]: phantoms in $work/ph, one scan a patient, and their dataset $work/data, split.
tiny_data() {
    patients=$1 ratios=$2
    shift 2
    "$headct" phantom --out "$work/ph" --plain --patients "$patients" --scans-per-patient 1 --size tiny --seed 3 --quiet "$@" >/dev/null
    "$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" --quiet >/dev/null
    "$headct" split "$work/data" --ratios "$ratios" --seed 1 >/dev/null
}
# needs_opencl: ends the test, skipped, where there is no OpenCL device.
needs_opencl() {
    "$headct" backends 2>/dev/null | grep -q 'device opencl:0' && return
    skip "OpenCL" "no OpenCL device here"
    done_testing
}
# same_tensors FILE FILE: the same names, types, shapes and bytes, whatever the metadata.
same_tensors() { python3 "$support/support/weights_file.py" "$1" "$2"; }
# relay FILE: results of another TAP program as this one's.
relay() {
    sed -n 's/^\(not ok\|ok\) [0-9]* - /\1 /p' "$1" >"$work/lines"
    while read -r line; do
        case $line in "not ok "*) ok 1 "${line#not ok }" ;; *) ok 0 "${line#ok }" ;; esac
    done <"$work/lines"
}
# but_time FILE: a table of predictions, or its JSON, without the times of its rows.
but_time() { sed 's/,20[-0-9]*T[:0-9]*Z,/,then,/; s/"time": *"20[^"]*"/"time":"then"/g' "$1"; }
# browser_python NAME BUILD: $python, which has selenium and axe-core; the test NAME ends, skipped, where they or chromium are missing.
browser_python() {
    for program in chromium chromedriver; do
        command -v $program >/dev/null || {
            skip "$1" "$program is not installed (apt-get install chromium chromium-driver)"
            done_testing
        }
    done
    needs='import axe_selenium_python, selenium'
    python=${HEADCT_PYTHON:-python3}
    "$python" -c "$needs" 2>/dev/null && return
    python=$2/browser-venv/bin/python
    "$python" -c "$needs" 2>/dev/null ||
        { python3 -m venv "$2/browser-venv" && "$python" -m pip install --quiet --no-cache-dir axe-selenium-python selenium; } >"$work/pip" 2>&1 || true
    "$python" -c "$needs" 2>/dev/null && return
    skip "$1" "axe-selenium-python is not installed and pip cannot get it"
    done_testing
}
