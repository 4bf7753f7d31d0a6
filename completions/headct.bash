# Bash completion for headct. It asks the program itself, so it knows every command and option there is.
_headct() {
    local word=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]} words
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words=$("$program" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z0-9-]*\) .*/\1/p')
        COMPREPLY=($(compgen -W "$words --help --version" -- "$word"))
    elif [[ $word == -* ]]; then
        words=$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null | grep -oE '^ +(-[A-Za-z?], +)?--[a-z][a-z0-9-]*' |
            grep -oE -- '--[a-z0-9-]+')
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    fi
}
complete -o default -F _headct headct
