/* hct/io.h: a file is either whole or not there, also on a full disk. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"
#include "hct/io.h"
#include "scratch.h"
#include "write_shim.h"

static char *text_of(const char *path) {
    char *text = NULL;
    ck_assert_int_eq(hct_read_file(path, &text, NULL, NULL), HCT_OK);
    return text;
}

static void assert_text(const char *path, const char *want) {
    char *text = text_of(path);
    ck_assert_str_eq(text, want);
    free(text);
}

START_TEST(writes_and_replaces) {
    const char *path = scratch_path("a.txt");
    for (int round = 0; round < 2; round++) {
        hct_err err = {0};
        hct_outfile *f = hct_outfile_open(path, &err);
        ck_assert_ptr_nonnull(f);
        hct_outfile_printf(f, "round %d, %s", round, "text");
        hct_outfile_write(f, "!", 1);
        ck_assert_int_eq(hct_outfile_close(f, &err), HCT_OK);
        assert_text(path, round ? "round 1, text!" : "round 0, text!");
    }
    ck_assert_int_eq(scratch_count(scratch_folder()), 1);
    unlink(path);
}
END_TEST

START_TEST(writes_more_than_the_buffer) {
    size_t n = 3000001;
    unsigned char *bytes = malloc(n);
    for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    const char *path = scratch_path("big");
    hct_outfile *f = hct_outfile_open(path, NULL);
    for (size_t at = 0, k = 1; at < n; at += k, k = k * 3 + 1) {
        if (k > n - at) k = n - at;
        hct_outfile_write(f, bytes + at, k);
    }
    ck_assert_int_eq(hct_outfile_close(f, NULL), HCT_OK);
    hct_mapped m;
    ck_assert_int_eq(hct_map_file(path, &m, NULL), HCT_OK);
    ck_assert_uint_eq(m.size, n);
    ck_assert_mem_eq(m.bytes, bytes, n);
    hct_unmap_file(&m);
    free(bytes);
    unlink(path);
}
END_TEST

START_TEST(discard_leaves_nothing) {
    hct_outfile *f = hct_outfile_open(scratch_path("d"), NULL);
    hct_outfile_write(f, "x", 1);
    hct_outfile_discard(f);
    hct_outfile_discard(NULL);
    ck_assert_int_eq(scratch_count(scratch_folder()), 0);
}
END_TEST

START_TEST(two_writers_of_one_path) {
    const char *path = scratch_path("two");
    hct_outfile *a = hct_outfile_open(path, NULL), *b = hct_outfile_open(path, NULL);
    hct_outfile_write(a, "first", 5);
    hct_outfile_write(b, "second", 6);
    ck_assert_int_eq(hct_outfile_close(a, NULL), HCT_OK);
    assert_text(path, "first");
    ck_assert_int_eq(hct_outfile_close(b, NULL), HCT_OK);
    assert_text(path, "second");
    unlink(path);
}
END_TEST

/* What somebody has put where the temporary files would lie, links to a file of the user's, is not written through. */
START_TEST(writes_through_no_link) {
    enum { PLANTED = 40 };
    const char *victim = scratch_file("victim", "precious", 8), *path = scratch_path("planted.txt");
    char first[4096], name[5000];
    unsigned serial;
    hct_err err = {0};
    hct_outfile *f = hct_outfile_open(path, &err); /* tells the names of the next ones */
    snprintf(name, sizeof name, "ls '%s' | grep planted.txt.tmp", scratch_folder());
    FILE *list = popen(name, "r");
    ck_assert_ptr_nonnull(fgets(first, sizeof first, list));
    pclose(list);
    hct_outfile_discard(f);
    char *dot = strrchr(first, '.');
    serial = (unsigned)strtoul(dot + 1, NULL, 10);
    *dot = 0;
    for (unsigned k = 1; k <= PLANTED; k++) {
        snprintf(name, sizeof name, "%s/%s.%u", scratch_folder(), first, serial + k);
        ck_assert_int_eq(symlink(victim, name), 0);
    }
    f = hct_outfile_open(path, &err);
    ck_assert_msg(f != NULL, "%s", err.msg);
    hct_outfile_printf(f, "mine");
    ck_assert_int_eq(hct_outfile_close(f, &err), HCT_OK);
    assert_text(victim, "precious");
    assert_text(path, "mine");
    for (unsigned k = 1; k <= PLANTED; k++) {
        snprintf(name, sizeof name, "%s/%s.%u", scratch_folder(), first, serial + k);
        unlink(name);
    }
    unlink(path);
    unlink(scratch_path("victim"));
}
END_TEST

/* A copy stays what it was when the file shrinks; a mapping of it would end the process. */
START_TEST(a_copy_outlives_its_file) {
    enum { BYTES = 100000 };
    static char text[BYTES];
    memset(text, 'x', BYTES);
    const char *path = scratch_file("shrinks", text, BYTES);
    hct_mapped m;
    hct_err err = {0};
    ck_assert_int_eq(hct_load_file(path, &m, &err), HCT_OK);
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_uint_eq(m.size, BYTES);
    ck_assert_int_eq(m.bytes[BYTES - 1], 'x');
    hct_unmap_file(&m);
    ck_assert_int_eq(hct_load_file(path, &m, &err), HCT_OK);
    ck_assert_uint_eq(m.size, 0);
    hct_unmap_file(&m);
    unlink(path);
}
END_TEST

START_TEST(refuses_missing_folder_and_folder_target) {
    hct_err err = {0};
    hct_outfile *f = hct_outfile_open(scratch_path("nowhere/file"), &err);
    ck_assert_ptr_null(f);
    hct_outfile_write(f, "x", 1);
    ck_assert_int_eq(hct_outfile_close(f, &err), HCT_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.msg, "nowhere/file"));

    const char *folder = scratch_path("folder");
    mkdir(folder, 0777);
    f = hct_outfile_open(folder, &err);
    ck_assert_int_eq(hct_outfile_close(f, &err), HCT_EIO);
    ck_assert_int_eq(scratch_count(scratch_folder()), 1);
    hct_mapped m;
    ck_assert_int_eq(hct_map_file(folder, &m, &err), HCT_EIO);
    ck_assert_ptr_nonnull(strstr(err.msg, "is a folder"));
    rmdir(folder);
    const char *pipe = scratch_path("pipe"); /* not waited for */
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    ck_assert_int_eq(hct_map_file(pipe, &m, &err), HCT_EIO);
    ck_assert_ptr_nonnull(strstr(err.msg, "is a device or pipe"));
    unlink(pipe);
}
END_TEST

START_TEST(reads_empty_and_missing) {
    hct_err err = {0};
    hct_mapped m;
    const char *path = scratch_file("empty", "", 0);
    ck_assert_int_eq(hct_map_file(path, &m, &err), HCT_OK);
    ck_assert_uint_eq(m.size, 0);
    hct_unmap_file(&m);
    assert_text(path, "");
    unlink(path);
    ck_assert_int_eq(hct_map_file(path, &m, &err), HCT_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.msg, path));
}
END_TEST

static void plant(const char *name, int days_old) {
    const char *path = scratch_file(name, "half", 4);
    struct timespec times[2] = {
        {.tv_sec = time(NULL) - days_old * 86400 - 60},
        {.tv_sec = time(NULL) - days_old * 86400 - 60},
    };
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Of a writer that was killed nothing stays; what one at work here, or perhaps at work elsewhere, writes is left
 * alone, and so are others' files. */
START_TEST(removes_what_the_dead_left) {
    ck_assert_int_eq(hct_leftovers_remove(scratch_path("nowhere")), 0);
    hct_outfile *mine = hct_outfile_open(scratch_path("mine"), NULL);
    int go[2], done[2];
    char byte = 0;
    ck_assert(pipe(go) == 0 && pipe(done) == 0);
    pid_t child = fork();
    if (child == 0) {
        hct_outfile *f = hct_outfile_open(scratch_path("killed"), NULL);
        if (write(done[1], f ? "1" : "0", 1) == 1 && read(go[0], &byte, 1) == 0) _exit(1);
        _exit(2);
    }
    ck_assert(read(done[0], &byte, 1) == 1 && byte == '1');
    ck_assert_int_eq(scratch_count(scratch_folder()), 2);
    ck_assert_int_eq(hct_leftovers_remove(scratch_folder()), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert_int_eq(hct_leftovers_remove(scratch_folder()), 1);
    ck_assert_int_eq(scratch_count(scratch_folder()), 1);
    hct_outfile_write(mine, "whole", 5);
    ck_assert_int_eq(hct_outfile_close(mine, NULL), HCT_OK);
    assert_text(scratch_path("mine"), "whole");

    /* another system's; an earlier headct's */
    static const char *const names[] = {"w.safetensors.tmp.0000000a.2.0", "w.tmp.tmp.2.10"};
    for (int i = 0; i < 2; i++) {
        plant(names[i], 0);
        ck_assert_int_eq(hct_leftovers_remove(scratch_folder()), 0);
        plant(names[i], 1);
        ck_assert_int_eq(hct_leftovers_remove(scratch_folder()), 1);
    }
    static const char *const others[] = {"notes.tmp.txt", "a.tmp.2", "a.tmp.2.0.nii", ".tmp.", "a.tmp.0000000a.2.0~"};
    for (int i = 0; i < 5; i++) plant(others[i], 1000);
    ck_assert_int_eq(hct_leftovers_remove(scratch_folder()), 0);
    ck_assert_int_eq(scratch_count(scratch_folder()), 6);
    for (int i = 0; i < 5; i++) unlink(scratch_path(others[i]));
    unlink(scratch_path("mine"));
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(done[i]);
    }
}
END_TEST

/* Writes n bytes over an older file and returns what close says. */
static hct_status overwrite(const char *path, size_t n, hct_err *err) {
    char block[1000];
    memset(block, 'n', sizeof block);
    hct_outfile *f = hct_outfile_open(path, err);
    for (size_t at = 0; at < n; at += sizeof block) hct_outfile_write(f, block, sizeof block);
    return hct_outfile_close(f, err);
}

/* Whatever the byte at which the disk is full: the old file stays, no temporary is left, the message says why. */
START_TEST(full_disk_by_shim) {
    const char *path = scratch_file("old", "old", 3);
    const long n = 600000, budgets[] = {0, 1, 999, 262144, 262145, 524288, 599999};
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        hct_err err = {0};
        write_shim_budget = budgets[i];
        hct_status status = overwrite(path, (size_t)n, &err);
        write_shim_budget = -1;
        ck_assert_int_eq(status, HCT_EIO);
        ck_assert_ptr_nonnull(strstr(err.msg, "No space left on device"));
        assert_text(path, "old");
        ck_assert_int_eq(scratch_count(scratch_folder()), 1);
    }
    write_shim_budget = n;
    ck_assert_int_eq(overwrite(path, (size_t)n, NULL), HCT_OK);
    write_shim_budget = -1;
    ck_assert_int_gt(write_shim_calls, 0);
    unlink(path);
}
END_TEST

static int overwrite_on_64_kib(void) {
    const char *folder = scratch_path("small");
    if (scratch_mount(folder, 65536) < 0) return 77;
    char path[600];
    snprintf(path, sizeof path, "%s/file", folder);
    hct_err err = {0};
    if (overwrite(path, 8000, &err) != HCT_OK) return 1;
    if (overwrite(path, 600000, &err) != HCT_EIO || !strstr(err.msg, "No space left on device")) return 2;
    hct_mapped m;
    return hct_map_file(path, &m, &err) < 0 || m.size != 8000 || scratch_count(folder) != 1 ? 3 : 0;
}

/* The same on a real full file system where one may be mounted. */
START_TEST(full_disk_by_tmpfs) {
    mkdir(scratch_path("small"), 0777);
    int code = scratch_apart(overwrite_on_64_kib);
    if (code == 77) puts("# tmpfs may not be mounted here: full_disk_by_shim alone covers the full disk");
    else ck_assert_int_eq(code, 0);
    rmdir(scratch_path("small"));
}
END_TEST

CHECK_MAIN("io", writes_and_replaces, writes_more_than_the_buffer, discard_leaves_nothing, two_writers_of_one_path,
           writes_through_no_link, a_copy_outlives_its_file, refuses_missing_folder_and_folder_target,
           reads_empty_and_missing, removes_what_the_dead_left, full_disk_by_shim, full_disk_by_tmpfs)
