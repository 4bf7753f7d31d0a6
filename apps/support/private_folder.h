/* A folder for files of persons while they are read: in memory (/dev/shm) or where $TMPDIR says, its owner's alone
 * (mode 0700), named after the process, removed at the end. What a process that was killed left there, the next one of
 * the same user and purpose removes. */
#ifndef SUPPORT_PRIVATE_FOLDER_H
#define SUPPORT_PRIVATE_FOLDER_H

#include <stdbool.h>

#include "hct/types.h"

/* purpose: a word. in_memory: /dev/shm whatever $TMPDIR says. free it. NULL and err. */
char *private_folder(const char *purpose, bool in_memory, hct_err *err);
/* Removes it and frees its name; NULL is fine. */
void private_folder_remove(char *folder);
/* Files and folders below, and it. Links are removed, not followed. */
void remove_tree(const char *folder);

#endif
