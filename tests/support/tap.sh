# TAP for shell programs: `. tap.sh`, then ok/skip/note, at the end done_testing. $work is a scratch folder, removed at the end.
count=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
# ok STATUS NAME: STATUS 0 is a pass.
ok() {
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; failed=1; fi
}
skip() { count=$((count + 1)); echo "ok $count - $1 # SKIP $2"; }
note() { echo "# $*"; }
# check NAME COMMAND...: passes where the command succeeds; its output is shown where it does not.
check() {
    name=$1
    shift
    if "$@" >"$work/out" 2>&1; then ok 0 "$name"; else ok 1 "$name"; sed 's/^/# /' "$work/out"; fi
}
# refuses STATUS TEXT NAME COMMAND...: passes where the command ends with STATUS and one line on stderr has TEXT.
refuses() {
    want=$1 text=$2 name=$3
    shift 3
    status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
    if [ $status -eq "$want" ] && grep -qF -- "$text" "$work/err"; then ok 0 "$name"; else
        ok 1 "$name (status $status, wanted $want and '$text')"
        sed 's/^/# /' "$work/err"
    fi
}
# fails TEXT NAME COMMAND...: passes where the command ends with any failure and stderr has TEXT: for launchers, which may have a status of their own.
fails() {
    text=$1 name=$2
    shift 2
    status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
    if [ $status -ne 0 ] && grep -qF -- "$text" "$work/err"; then ok 0 "$name"; else
        ok 1 "$name (status $status, wanted a failure and '$text')"
        sed 's/^/# /' "$work/err"
    fi
}
done_testing() { echo "1..$count"; exit $failed; }
