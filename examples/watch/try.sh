#!/bin/sh
# Receiver, watcher and sender on this machine: try.sh RUN DICOM_FOLDER. Needs headct and DCMTK (apt-get install dcmtk). Ends with the table.
set -e
run=$1 scans=$2
[ -n "$run" ] && [ -d "$scans" ] || { echo "usage: try.sh RUN DICOM_FOLDER" >&2; exit 2; }
work=$(mktemp -d)
mkdir "$work/incoming"
storescp --fork --output-directory "$work/incoming" 11112 &
receiver=$!
trap 'kill $receiver; rm -rf "$work"' EXIT
sleep 1
storescu --scan-directories --recurse 127.0.0.1 11112 "$scans"
headct watch "$work/incoming" --run "$run" --out "$work/table.csv" --dicom-sr "$work/reports" --once --settle 0 || [ $? -eq 3 ]
cat "$work/table.csv"
for report in "$work"/reports/*.dcm; do dsrdump "$report" | grep -av IMAGE; done
