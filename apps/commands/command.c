/* What every command does: parse its arguments, say why it failed, end with the status that tells. */
#include "commands/command.h"

#include <stdlib.h>
#include <string.h>

#include "hct/log.h"

void command_parse(const struct argp *argp, int argc, char **argv, void *input) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "-h")) argv[i] = "--help";
    error_t failed = argp_parse(argp, argc, argv, 0, NULL, input);
    if (!failed) return;
    hct_log(HCT_LOG_ERROR, "%s: its arguments cannot be read: %s", argv[0], strerror(failed));
    exit(EXIT_ERROR);
}

int command_end(const char *command, hct_status st, const hct_err *err) {
    if (st == HCT_OK) return EXIT_OK;
    hct_log(HCT_LOG_ERROR, "%s: %s", command, err->msg);
    return st == HCT_EINTERRUPTED ? EXIT_STOPPED : EXIT_ERROR;
}
