/* dicom/pile.h: every file of a tree once, under one heading. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dicom/pile.h"
#include "make_dicom.h"
#include "scratch.h"
#include "tap.h"

static char root[300];

static const char *in_root(const char *name) {
    static char paths[8][600];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t n) {
    FILE *f = fopen(in_root(name), "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) exit(99);
}

static void directory(const char *name) { /* a DICOMDIR: told by its class, not by its name */
    static const unsigned char meta[] = {2,   0,   2,    0,   'U', 'I', 20,  0,   '1', '.', '2', '.', '8', '4',
                                         '0', '.', '1',  '0', '0', '0', '8', '.', '1', '.', '3', '.', '1', '0',
                                         2,   0,   0x10, 0,   'U', 'I', 20,  0,   '1', '.', '2', '.', '8', '4',
                                         '0', '.', '1',  '0', '0', '0', '8', '.', '1', '.', '2', '.', '1', 0};
    unsigned char bytes[132 + sizeof meta] = {0};
    memcpy(bytes + 128, "DICM", 4);
    memcpy(bytes + 132, meta, sizeof meta);
    put(name, bytes, sizeof bytes);
}

static void make_tree(void) {
    snprintf(root, sizeof root, "%s/tree", scratch_folder());
    mkdir(root, 0700);
    head_series s = {
        .folder = in_root("cd/S1"), .n = 3, .columns = 16, .rows = 16, .first = 0, .step = 5, .name = "I%d0"};
    head_series_write(&s);
    s.folder = in_root("cd/S2/deep/deeper");
    s.form = (maker_form){.no_preamble = true, .no_meta = true, .implicit = true};
    head_series_write(&s);
    directory("cd/DICOMDIR");
    directory("cd/S1/DIRFILE");
    put("cd/autorun.inf", "[autorun]\r\n", 11);
    put("cd/empty", "", 0);
    put("cd/broken.dcm", "no DICOM at all, but it says so", 31);
    put("scan.nii.gz", "\x1f\x8b", 2);
    put("other.NII", "", 0);
    put(".hidden", "x", 1);
    if (symlink("S1/I10", in_root("cd/link")) < 0 || symlink("../..", in_root("cd/S2/up")) < 0 ||
        symlink("nowhere", in_root("cd/lost")) < 0)
        exit(99);
    mkfifo(in_root("cd/pipe"), 0600);
    mkdir(in_root("dataset"), 0700);
    put("dataset/a", "x", 1);
}

typedef struct listing {
    char text[8000];
    int cached;
} listing;

static hct_status take(void *context, pile_file *f, hct_err *err) {
    listing *l = context;
    (void)err;
    snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s %s\n", pile_kind_name(f->kind),
             f->relative);
    return HCT_OK;
}

static bool leave_out(void *context, const char *folder) {
    (void)context;
    return strlen(folder) > 8 && strcmp(folder + strlen(folder) - 8, "/dataset") == 0;
}

static bool cached(void *context, const pile_file *f, dicom_header *ret) {
    listing *l = context;
    if (!strstr(f->path, "/I") || f->size == 0 || f->mtime_ns == 0) return false;
    *ret = (dicom_header){0};
    ret->frames = calloc(1, sizeof *ret->frames);
    ret->n_frames = ret->n_described = 1;
    l->cached++;
    return true;
}

static void test_tree(void) {
    static const char want[] = "other .hidden\n"
                               "directory cd/DICOMDIR\n"
                               "dicom cd/S1/I10\n"
                               "dicom cd/S1/I20\n"
                               "dicom cd/S1/I30\n"
                               "directory cd/S1/DIRFILE\n"
                               "dicom cd/S2/deep/deeper/I10\n"
                               "dicom cd/S2/deep/deeper/I20\n"
                               "dicom cd/S2/deep/deeper/I30\n"
                               "again cd/S2/up\n"
                               "other cd/autorun.inf\n"
                               "unread cd/broken.dcm\n"
                               "unread cd/empty\n"
                               "again cd/link\n"
                               "unread cd/lost\n"
                               "other cd/pipe\n"
                               "left out dataset\n"
                               "nifti other.NII\n"
                               "nifti scan.nii.gz\n";
    listing l = {0};
    pile_counts n;
    hct_err err = {0};
    const char *input = root;
    pile_options o = {.inputs = &input, .n_inputs = 1, .take = take, .leave_out = leave_out, .context = &l};
    hct_status s = pile_walk(&o, &n, &err);
    char have[8000], expect[8000]; /* in whatever order the system's names come: sorted by the walk */
    snprintf(have, sizeof have, "%s", l.text);
    snprintf(expect, sizeof expect, "%s", want);
    int missing = 0;
    for (char *line = strtok(expect, "\n"); line; line = strtok(NULL, "\n")) {
        char with_end[300];
        snprintf(with_end, sizeof with_end, "%s\n", line);
        if (!strstr(have, with_end)) missing++, tap_note("missing: %s", line);
    }
    tap_ok(s == HCT_OK && missing == 0 && strlen(have) == sizeof want - 1,
           "a tree of everything: each once, under its heading %s", err.msg);
    if (strlen(have) != sizeof want - 1) tap_note("%s", have);
    tap_ok(n.of[PILE_DICOM] == 6 && n.of[PILE_UNREAD] == 3 && n.of[PILE_NIFTI] == 2 && n.of[PILE_DIRECTORY] == 2,
           "and counted");
    listing again = {0};
    o.context = &again;
    pile_walk(&o, &n, &err);
    tap_ok(strcmp(again.text, l.text) == 0, "in the same order again");
    listing c = {0};
    o.context = &c;
    o.cached = cached;
    s = pile_walk(&o, &n, &err);
    tap_ok(s == HCT_OK && c.cached == 6 && n.of[PILE_DICOM] == 6, "headers from a cache: %d files are not opened",
           c.cached);
}

static void test_inputs(void) {
    listing l = {0};
    pile_counts n;
    hct_err err = {0};
    const char *inputs[] = {in_root("cd/DICOMDIR"), in_root("scan.nii.gz"), in_root("cd/S1/")};
    pile_options o = {.inputs = inputs, .n_inputs = 3, .take = take, .context = &l};
    hct_status s = pile_walk(&o, &n, &err);
    tap_ok(s == HCT_OK && n.of[PILE_DICOM] == 6 && strstr(l.text, "nifti scan.nii.gz\n") &&
               strstr(l.text, "dicom S1/I10\n") && strstr(l.text, "again \n"),
           "a DICOMDIR stands for its folder, a file for itself, a folder given twice is searched once %s", err.msg);
    const char *lost = in_root("lost");
    o.inputs = &lost;
    o.n_inputs = 1;
    tap_ok(pile_walk(&o, &n, &err) == HCT_ENOTFOUND && strstr(err.msg, "lost"), "an input that is not there: %s",
           err.msg);
}

static void test_archives(void) {
    char command[1600];
    listing l = {0};
    pile_counts n;
    hct_err err = {0};
    mkdir(in_root("packed"), 0700);
    snprintf(command, sizeof command,
             "cd %s && tar cf packed/a.tar cd/S1 scan.nii.gz && tar czf packed/b.tgz cd/S2/deep && tar czf "
             "packed/nested.tgz packed/a.tar && "
             "head -c 400 packed/b.tgz > packed/cut.tgz && cp packed/a.tar packed/no-ending && printf "
             "'PK\\003\\004garbage' > packed/bad.zip && "
             "cp packed/bad.zip packed/office.docx",
             root);
    if (system(command) != 0) {
        tap_skip("archives", "tar is not there");
        return;
    }
    const char *input = in_root("packed");
    pile_options o = {.inputs = &input, .n_inputs = 1, .take = take, .context = &l};
    hct_status s = pile_walk(&o, &n, &err);
    int right = s == HCT_OK && strstr(l.text, "dicom a.tar!/cd/S1/I10\n") &&
                strstr(l.text, "nifti a.tar!/scan.nii.gz\n") && strstr(l.text, "directory a.tar!/cd/S1/DIRFILE\n") &&
                strstr(l.text, "dicom b.tgz!/cd/S2/deep/deeper/I30\n") &&
                strstr(l.text, "dicom no-ending!/cd/S1/I20\n") && strstr(l.text, "unread cut.tgz\n") &&
                strstr(l.text, "unread bad.zip\n") && strstr(l.text, "other office.docx\n") &&
                strstr(l.text, "other nested.tgz!/packed/a.tar\n");
    tap_ok(right, "members of archives, cut ones, archives without an ending, archives in archives %s", err.msg);
    if (!right) tap_note("%s", l.text);
    pile p;
    s = pile_read(&input, 1, &p, &err);
    const pile_file *some[3];
    size_t found = 0;
    for (size_t i = 0; i < p.n && s == HCT_OK; i++)
        if (p.files[i].kind == PILE_DICOM && strstr(p.files[i].path, "a.tar!") && found < 3)
            some[found++] = &p.files[i];
    pile_open_file opened;
    s = found == 3 ? pile_open(some[2], &opened, &err) : HCT_ENOTFOUND;
    tap_ok(s == HCT_OK && dicom_bytes_size(opened.bytes) == some[2]->size, "a member is opened %s", err.msg);
    if (s == HCT_OK) pile_close(&opened);
    pile_free(&p);
}

int main(void) {
    make_tree();
    test_tree();
    test_inputs();
    test_archives();
    return tap_done();
}
