#!/bin/sh
# The Python package over this build. $1: headct, $2: the source tree, $3: its version, $4: the sanitizers of the build.
here=$(dirname "$0")
for python in "${HEADCT_PYTHON:-}" python3 /usr/bin/python3; do
    [ -n "$python" ] && "$python" -c 'import numpy' 2>/dev/null && break
    python=
done
if [ -z "$python" ]; then
    echo "1..0 # SKIP no Python with NumPy here (Debian: python3-numpy)"
    exit 0
fi
export HEADCT="$1" HEADCT_TREE="$2" HEADCT_VERSION="$3" PYTHONPATH="$2/python" PYTHONDONTWRITEBYTECODE=1
unset HEADCT_DEVICE
# A library built for a sanitizer wants its runtime to be there first; Python itself leaks by design.
case $4 in *address*)
    export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
    ;;
esac
exec "$python" "$here/run.py"
