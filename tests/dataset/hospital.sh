#!/bin/sh
# headct label on a hospital of $2 patients whose labels are known: both windows, exactly. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
check "a hospital of $2" python3 "$(dirname "$0")/hospital.py" "$headct" "$work/h" "$2"
for window in forward centered; do
    check "labels, $window" "$headct" label "$work/h/data" --rules nyu --window $window --diagnoses "$work/h/dx.csv" --medications "$work/h/rx.csv" --key "$work/h/key"
    "$headct" dataset list "$work/h/data" --out "$work/list.csv"
    python3 - "$work/list.csv" "$work/h/expected-$window.csv" <<'P'
import csv, sys
got, want = (sorted(csv.DictReader(open(f)), key=lambda r: r["scan"]) for f in sys.argv[1:])
labels = [k for k in want[0] if k != "scan"]
wrong = [(w["scan"], l, g[l], w[l]) for g, w in zip(got, want) for l in labels if (g["scan"], g[l]) != (w["scan"], w[l])]
known = sum(r["SDH"] != "" for r in want)
print("#", len(want), "scans,", known, "with a record,", {l: sum(r[l] == "1" for r in want) for l in labels})
for w in wrong[:10]: print("#", *w)
sys.exit(bool(wrong) or len(got) != len(want) or not 0 < known < len(want) or any(all(r[l] != "1" for r in want) for l in labels))
P
    ok $? "every label of every scan, $window"
done
done_testing
