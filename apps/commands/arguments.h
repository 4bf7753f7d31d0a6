/* Values of options. */
#ifndef COMMANDS_ARGUMENTS_H
#define COMMANDS_ARGUMENTS_H

#include <argp.h>
#include <stdint.h>

/* The value of --name; one that is no whole number from low to high ends the program with a message. */
int64_t argument_whole(struct argp_state *state, const char *name, const char *text, int64_t low, int64_t high);
/* The value of --shard, I/N with I from 1 to N: things I - 1, I - 1 + N, ... of those counted from 0. Ends the
 * program with a message where it is none. */
void argument_shard(struct argp_state *state, const char *text, int64_t *ret_first, int64_t *ret_step);

#endif
