# Fish completion for headct. It asks the program itself, so it knows every command and option there is.
function __headct_commands
    headct --help 2>/dev/null | string match -r '^  [a-z][a-z0-9-]* .*' | string replace -r '^  (\S+)\s+(.*)$' '$1\t$2'
end
function __headct_options
    set -l words (commandline -opc)
    set -q words[2]; or return
    headct $words[2] --help 2>/dev/null | string match -r '^ +(?:-[A-Za-z?], +)?--[a-z][a-z0-9-]*' | string match -r -- '--[a-z0-9-]+'
end
complete -c headct -n 'test (count (commandline -opc)) -eq 1' -f -a '(__headct_commands)'
complete -c headct -n 'test (count (commandline -opc)) -ge 2; and string match -q -- "-*" (commandline -ct)' -f -a '(__headct_options)'
