#!/bin/sh
# The upload page of headct serve in headless Chromium: page.sh HEADCT BUILD. Needs what tests/report/browser.sh needs. $HEADCT_SHOTS: a folder for screenshots.
. "$(dirname "$0")/../support/tap.sh"
. "$(dirname "$0")/../support/program.sh"
browser_python "the upload page in a browser" "$2"
"$python" "$(dirname "$0")/page.py" "$1" "$work" >"$work/said" 2>&1
status=$?
cat "$work/said"
exit $status
