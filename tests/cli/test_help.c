/* What every command of the table must do: explain itself with an example, and refuse what it does not know; shell
 * completion offers the same names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "headct_run.h"
#include "tap.h"

enum { MAX_COMMANDS = 64 };

static char names[MAX_COMMANDS][64];

/* Lines of `headct --help` that start with two blanks and a name. */
static int list_commands(void) {
    int n = 0;
    for (char *line = strtok(headct_said, "\n"); line && n < MAX_COMMANDS; line = strtok(NULL, "\n"))
        if (strncmp(line, "  ", 2) == 0 && line[2] != ' ' && sscanf(line + 2, "%63[a-z0-9-] ", names[n]) == 1) n++;
    return n;
}

static void check_command(const char *name) {
    char call[80];
    snprintf(call, sizeof call, "headct %s", name);
    int status = headct_run("%s --help", name);
    tap_ok(status == 0 && strstr(headct_said, "Usage:"), "%s --help exits 0 with its usage", call);
    const char *example = strstr(headct_said, "Example");
    tap_ok(example && strstr(example, call), "%s --help has an example of itself", call);
    status = headct_run("%s --no-such-option", name);
    tap_ok(status == 2 && strstr(headct_said, "no-such-option"), "%s --no-such-option exits 2 and names it", call);
}

/* Each letter's long option, in all commands; out and run both say where results go. */
static char letters[128][32];

static void check_letters(const char *name) {
    char clash[160] = "";
    headct_run("%s --help", name);
    for (char *line = strtok(headct_said, "\n"); line; line = strtok(NULL, "\n")) {
        char letter, option[32];
        if (sscanf(line, " -%c, --%31[a-z-]", &letter, option) != 2 || letter < 'A') continue;
        if (!strcmp(option, "run")) snprintf(option, sizeof option, "out");
        char *before = letters[(int)letter];
        if (!*before) snprintf(before, sizeof letters[0], "%s", option);
        else if (strcmp(before, option) != 0)
            snprintf(clash, sizeof clash, "-%c: --%s and --%s", letter, before, option);
    }
    tap_ok(!*clash, "headct %s: a letter means what it means elsewhere %s", name, clash);
}

/* What bash offers for a command line, its last word being completed; in headct_said. */
static void complete(const char *script, const char *words, int last) {
    char line[1024];
    snprintf(line, sizeof line,
             "bash -c '. \"%s\"; COMP_WORDS=(\"$HEADCT\" %s); COMP_CWORD=%d; _headct; echo \" ${COMPREPLY[*]} \"'",
             script, words, last);
    shell("%s", line);
}

int main(void) {
    tap_ok(headct_run("--version") == 0 && strcmp(headct_said, "headct " VERSION "\n") == 0, "--version is %s",
           VERSION);
    tap_ok(headct_run("no-such-command") == 2 && strstr(headct_said, "no-such-command"), "an unknown command exits 2");
    tap_ok(headct_run(" ") == 2 && strstr(headct_said, "usage:"), "no command exits 2 with the usage");
    tap_ok(headct_run("help") == 0, "help exits 0");
    headct_run("--help");
    int n = list_commands();
    tap_ok(n >= 3, "headct --help lists %d commands", n);
    for (int i = 0; i < n; i++) check_command(names[i]);
    for (int i = 0; i < n; i++) check_letters(names[i]);
    tap_ok(headct_run("help prepare") == 0 && strstr(headct_said, "Usage: headct prepare"), "help prepare explains it");
    tap_ok(headct_run("prepare -h") == 0 && strstr(headct_said, "Usage: headct prepare"), "and so does prepare -h");
    tap_ok(headct_run("-h") == 0 && strstr(headct_said, "usage:"), "-h is --help");
    tap_ok(headct_run("preprare") == 2 && strstr(headct_said, "did you mean 'prepare'"), "a slip is told the nearest");
    tap_ok(headct_run("help pretrian") == 2 && strstr(headct_said, "did you mean 'pretrain'"), "of help, too");

    tap_ok(headct_run("--version >/dev/full") == 1, "a standard output that cannot be written is an error");
    tap_ok(headct_run("backends >/dev/full") == 1, "of a command, too");
    headct_run("backends 2>&1 >/dev/full | cat");
    tap_ok(strstr(headct_said, "headct backends: standard output: writing failed") != NULL, "and is told");

    complete(COMPLETION, "ev", 1);
    tap_ok(strcmp(headct_said, " evaluate \n") == 0, "bash completes ev");
    complete(COMPLETION, "\"\"", 1);
    int offered = 0;
    for (int i = 0; i < n; i++) {
        char padded[80];
        snprintf(padded, sizeof padded, " %s ", names[i]);
        offered += strstr(headct_said, padded) != NULL;
    }
    tap_ok(offered == n, "bash offers %d of %d commands", offered, n);
    complete(COMPLETION, "evaluate --boot", 2);
    tap_ok(strcmp(headct_said, " --bootstrap \n") == 0, "bash completes evaluate --boot");
    return tap_done();
}
