/* A write() that runs out of disk, for machines where no small file system may be mounted.
 * A program that links write_shim.c has its write() in front of libc's, also for calls made inside libhct. */
#ifndef TESTS_SUPPORT_WRITE_SHIM_H
#define TESTS_SUPPORT_WRITE_SHIM_H

/* Bytes that may still be written to descriptors above 2; then writes are cut short and fail with ENOSPC, as on a full
 * disk. Negative: no limit (the start value). */
extern long write_shim_for; /* that many writes fail, then there is room again; below 0: all */
extern long write_shim_budget;
/* Number of write() calls on such descriptors so far. */
extern long write_shim_calls;
/* The program is killed (SIGKILL) in the midst of writing, once this many bytes went to files with ".tmp." in their
 * names: those that hct_outfile writes beside a target. Negative: never (the start value). */
extern long write_shim_kill;

#endif
