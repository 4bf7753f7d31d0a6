#!/bin/sh
# Completion of each shell that is here offers commands and a command's options. $1: the folder of the completions.
. "$(dirname "$0")/../support/tap.sh"
folder=$1
PATH=$(dirname "$HEADCT"):$PATH
bash_offers() { # WORDS..., the last is completed
    bash -c 'source "$1/headct.bash"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _headct; printf "%s\n" "${COMPREPLY[@]}"' bash "$folder" "$@"
}
fish_offers() { fish --no-config -c "source '$folder/headct.fish'; complete -C '$*'" 2>"$work/fish"; }
# zsh completes in a terminal alone: one is made, Tab is pressed, and what it shows is read.
zsh_offers() { python3 "$(dirname "$0")/zsh_tab.py" "$folder" "$*"; }
for shell in bash fish zsh; do
    if ! command -v $shell >/dev/null; then
        skip "$shell" "no $shell here"
        continue
    fi
    ${shell}_offers headct pre >"$work/$shell" 2>&1
    check "$shell offers commands" grep -q prepare "$work/$shell"
    if grep -q evaluate "$work/$shell"; then ok 1 "$shell: those that begin so"; else ok 0 "$shell: those that begin so"; fi
    ${shell}_offers headct embed --out >"$work/$shell" 2>&1
    check "$shell offers a command's options" grep -q -e "--output" "$work/$shell"
done
done_testing
