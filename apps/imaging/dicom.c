/* DICOM series through dcm2niix. */
#include "imaging/dicom.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "imaging/nifti.h"

extern char **environ;

enum { MAX_VOLUMES = 256 };

int dicom_folder(const char *path) {
    DIR *d = opendir(path);
    if (!d) return 0;
    int found = 0;
    for (struct dirent *e; !found && (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (strcmp(e->d_name, "DICOMDIR") == 0) continue; /* a table of contents, not an image */
        if (n > 4 && (!strcasecmp(e->d_name + n - 4, ".nii") || !strcasecmp(e->d_name + n - 3, ".gz"))) continue;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        char magic[4];
        if (fd < 0) continue;
        found = pread(fd, magic, 4, 128) == 4 && memcmp(magic, "DICM", 4) == 0;
        close(fd);
    }
    closedir(d);
    return found;
}

static void remove_folder(const char *path) {
    DIR *d = opendir(path);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(path);
}

/* What dcm2niix's exit status means, from its source's main(); "" where it is a failure of no special kind. */
static const char *exit_meaning(int code) {
    switch (code) {
    case 2: return ", no DICOM image found";
    case 4: return ", a file is corrupt";
    case 8: return ", only some files could be converted";
    case 10: return ", slices are missing";
    default: return "";
    }
}

static hct_status no_dcm2niix(const char *path, hct_err *err) {
    return hct_fail(err, HCT_EDEVICE, "%s: reading DICOM needs the program dcm2niix: apt-get install dcm2niix", path);
}

static hct_status no_room(const char *path, const char *folder, const char *why, hct_err *err) {
    return hct_fail(err, HCT_EDEVICE,
                    "%s: the volume that dcm2niix makes of it does not fit into the temporary folder %s: %s: free some "
                    "space there, or set TMPDIR to a folder on another disk",
                    path, folder, why);
}

static hct_status convert(const char *path, const char *to, hct_err *err) {
    char named[PATH_MAX + 4]; /* a name that begins with - is no option */
    snprintf(named, sizeof named, "%s%s", *path == '-' ? "./" : "", path);
    /* series UID and number as the name; no sidecar, no compression; no scouts, derived or 2D images */
    const char *argv[] = {"dcm2niix", "-b", "n", "-z", "n", "-i", "y", "-f", "%j_%s", "-o", to, named, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid;
    int failed = posix_spawnp(&pid, argv[0], &actions, NULL, (char **)argv, environ), status = 0;
    posix_spawn_file_actions_destroy(&actions);
    if (failed == ENOENT || failed == ENOTDIR || failed == EACCES) return no_dcm2niix(path, err);
    if (failed) return hct_fail(err, HCT_EDEVICE, "%s: cannot run dcm2niix: %s", path, strerror(failed));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return hct_fail(err, HCT_EDEVICE, "%s: waiting for dcm2niix: %s", path, strerror(errno));
    if (WIFSIGNALED(status))
        return hct_fail(err, HCT_EIO, "%s: dcm2niix was ended by signal %d (%s)", path, WTERMSIG(status),
                        strsignal(WTERMSIG(status)));
    int code = WEXITSTATUS(status);
    if (code == 127) return no_dcm2niix(path, err);
    if (code != 0)
        return hct_fail(err, HCT_EFORMAT,
                        "%s: dcm2niix failed with exit status %d%s: give the folder of one complete series", path, code,
                        exit_meaning(code));
    return HCT_OK;
}

/* "_Tilt..." or "_Eq..." after the name of another volume: that volume's twin. */
static int twin_of(const char *name, const char *plain) {
    size_t n = strlen(plain);
    return strncmp(name, plain, n) == 0 && (strncmp(name + n, "_Tilt", 5) == 0 || strncmp(name + n, "_Eq", 3) == 0);
}

/* The stems of all .nii files in the folder; returns how many. Each is the caller's to free. */
static int list_volumes(const char *folder, char *stems[MAX_VOLUMES]) {
    DIR *d = opendir(folder);
    int n = 0;
    if (!d) return 0;
    for (struct dirent *e; n < MAX_VOLUMES && (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len > 4 && strcmp(e->d_name + len - 4, ".nii") == 0) {
            stems[n] = strndup(e->d_name, len - 4);
            n += stems[n] != NULL;
        }
    }
    closedir(d);
    return n;
}

/* Chooses the volume to read among twins; *ret stays NULL on error. */
static hct_status choose(const char *path, char *const stems[], int n, const char **ret, hct_err *err) {
    const char *plain = NULL;
    int series = 0;
    char names[512] = "";
    for (int i = 0; i < n; i++) {
        int twin = 0;
        for (int k = 0; k < n; k++) twin |= twin_of(stems[i], stems[k]);
        if (twin) continue;
        plain = stems[i];
        series++;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", stems[i]);
    }
    if (series == 0)
        return hct_fail(err, HCT_EFORMAT, "%s: no series with a volume (scouts, derived and 2D images are left out)",
                        path);
    if (series > 1)
        return hct_fail(err, HCT_EINVAL, "%s: %d series (%s): give each its own folder", path, series, names);
    *ret = plain;
    for (int i = 0, equal = 0; i < n && !equal; i++) {
        if (!twin_of(stems[i], plain)) continue;
        *ret = stems[i];
        equal = strstr(stems[i] + strlen(plain), "_Eq") != NULL;
    }
    return HCT_OK;
}

/* dcm2niix notices no full disk: it ends with 0, and a volume is cut or lacks its twin. Asked before anything is
 * made of what it left; stems: what it says is whole. */
static hct_status check_room(const char *path, const char *folder, char *const stems[], int n, hct_err *err) {
    enum { SPARE = 1 << 16 };
    static const char zeros[SPARE];
    char file[PATH_MAX + 300];
    for (int i = 0; i < n; i++) {
        snprintf(file, sizeof file, "%s/%s.nii", folder, stems[i]);
        if (nifti_ends_early(file)) return no_room(path, folder, "a file was cut", err);
    }
    snprintf(file, sizeof file, "%s/spare", folder);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    errno = fd < 0 ? errno : ENOSPC; /* of a write cut short */
    int fits = fd >= 0 && write(fd, zeros, SPARE) == SPARE, why = errno;
    if (fd >= 0 && close(fd) < 0) fits = 0, why = errno; /* where some network file systems tell */
    return fits ? HCT_OK : no_room(path, folder, strerror(why), err);
}

hct_status dicom_read(const char *path, volume *ret, hct_err *err) {
    char folder[PATH_MAX], file[PATH_MAX + 300];
    const char *tmp = getenv("TMPDIR"), *name = NULL;
    memset(ret, 0, sizeof *ret);
    snprintf(folder, sizeof folder, "%s/headct-dicom-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return hct_fail(
            err, HCT_EDEVICE,
            "%s: cannot make a temporary folder %s to convert it in: %s: set TMPDIR to one that can be written", path,
            folder, strerror(errno));
    char *stems[MAX_VOLUMES];
    hct_status s = convert(path, folder, err);
    int n = list_volumes(folder, stems);
    if (s == HCT_OK || s == HCT_EFORMAT) {
        hct_status room = check_room(path, folder, stems, s == HCT_OK ? n : 0, err);
        s = room < 0 ? room : s;
    }
    if (s == HCT_OK) s = choose(path, stems, n, &name, err);
    if (s == HCT_OK) {
        hct_err why;
        snprintf(file, sizeof file, "%s/%s.nii", folder, name);
        s = nifti_read(file, ret, &why);
        if (s < 0) hct_fail(err, s, "%s: its converted volume: %.800s", path, why.msg);
    }
    for (int i = 0; i < n; i++) free(stems[i]);
    remove_folder(folder);
    return s;
}
