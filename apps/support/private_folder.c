/* Folders that go with their process. */
#include "support/private_folder.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/paths.h"
#include "support/text.h"

void remove_tree(const char *folder) {
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        char *path = path_join(folder, e->d_name);
        if (path && unlink(path) != 0 && (errno == EISDIR || errno == EPERM)) remove_tree(path);
        free(path);
    }
    if (d) closedir(d);
    rmdir(folder);
}

/* Folders of this user's whose process is gone. */
static void remove_old(const char *below, const char *prefix) {
    DIR *d = opendir(below);
    for (struct dirent *e; d && (e = readdir(d));) {
        int64_t pid;
        char number[32];
        struct stat st;
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
        snprintf(number, sizeof number, "%.*s", (int)strcspn(e->d_name + strlen(prefix), "-"),
                 e->d_name + strlen(prefix));
        char *path = path_join(below, e->d_name);
        if (path && text_int64(number, &pid) && pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH &&
            lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
            remove_tree(path);
        free(path);
    }
    if (d) closedir(d);
}

char *private_folder(const char *purpose, bool in_memory, hct_err *err) {
    const char *wanted = in_memory ? NULL : getenv("TMPDIR"), *below = wanted && *wanted ? wanted : "/dev/shm";
    char prefix[64], *folder = NULL;
    snprintf(prefix, sizeof prefix, "headct-%s-", purpose);
    remove_old(below, prefix);
    if (asprintf(&folder, "%s/%s%lld-XXXXXX", below, prefix, (long long)getpid()) < 0) {
        hct_fail(err, HCT_ENOMEM, "out of memory");
        return NULL;
    }
    if (mkdtemp(folder)) return folder;
    hct_fail(err, HCT_EIO, "%s: %s; scans lie there while they are read", folder, strerror(errno));
    free(folder);
    return NULL;
}

void private_folder_remove(char *folder) {
    if (folder) remove_tree(folder);
    free(folder);
}
