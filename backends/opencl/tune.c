/* CLBlast's parameters for one device: what its tuners (Debian: clblast-utils) wrote as JSON, kept in CACHE/clblast-DEVICE/, where DEVICE is a hash
 * of device and driver. HEADCT_TUNE=1 (headct bench --tune) runs the tuners when the device is opened. */
#include "cache.h"
#include "opencl.h"

#include <stdio.h>

#ifdef HAVE_CLBLAST
#include <cjson/cJSON.h>
#include <clblast_c.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARAMETERS = 32, BIGGEST = 1 << 20 };

/* A tuner's family of kernels, and what CLBlast calls it when parameters are given. */
static const struct { const char *family, *kernel; } families[] = {
    {"xgemm_1", "Xgemm"}, {"xgemm_2", "Xgemm"}, {"xgemm_direct_1", "XgemmDirect"}, {"xgemm_direct_2", "XgemmDirect"}, {"copy", "Copy"}, {"pad", "Pad"},
    {"transpose", "Transpose"}, {"padtranspose", "Padtranspose"}, {"gemm_kernel_selection_single_size", "GemmRoutine"}, {"gemm_routine", "GemmRoutine"}};
static const char *const tuners[] = {"xgemm", "xgemm_direct", "copy_fast", "copy_pad", "transpose_fast", "transpose_pad"};

static int folder_of(const hct_device *d, char *out, size_t n) {
    char cache[PATH_MAX - 64];
    uint64_t hash[2] = HK_HASH_START;
    const char *const parts[] = {d->name, d->driver, d->platform};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) hk_hash(hash, parts[i], strlen(parts[i]) + 1);
    return hk_cache_folder(cache, sizeof cache) && snprintf(out, n, "%s/clblast-%016llx", cache, (unsigned long long)hash[0]) < (int)n;
}

static char *read_whole(const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, BIGGEST + 1) : NULL;
    size_t n = text ? fread(text, 1, BIGGEST + 1, f) : 0;
    if (f) fclose(f);
    if (text && n <= BIGGEST) return text;
    free(text);
    return NULL;
}

/* "KWG=32 MWG=64": names and values in place; how many, 0 where it is no such list. */
static size_t parse(char *list, const char **name, size_t *value) {
    size_t n = 0;
    char *rest = NULL;
    for (char *word = strtok_r(list, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '='), *end = NULL;
        if (!equals || n == PARAMETERS) return 0;
        *equals = 0;
        if (!strcmp(word, "PRECISION")) continue;
        name[n] = word;
        value[n++] = strtoul(equals + 1, &end, 10);
        if (*end || end == equals + 1) return 0;
    }
    return n;
}

/* What is wrong with the file, or NULL where its parameters are CLBlast's now. */
static const char *apply(hct_device *d, const char *path) {
    char *text = read_whole(path);
    cJSON *json = text ? cJSON_Parse(text) : NULL;
    const char *family = cJSON_GetStringValue(cJSON_GetObjectItem(json, "kernel_family")), *precision = cJSON_GetStringValue(cJSON_GetObjectItem(json, "precision")),
               *kernel = NULL, *wrong = NULL;
    char *list = cJSON_GetStringValue(cJSON_GetObjectItem(json, "best_parameters"));
    const char *name[PARAMETERS];
    size_t value[PARAMETERS], n;
    for (size_t i = 0; family && i < sizeof families / sizeof *families; i++)
        if (!strcmp(families[i].family, family)) kernel = families[i].kernel;
    if (!family || !precision || !list) wrong = "it is no result of a CLBlast tuner";
    else if (!kernel || strcmp(precision, "32") != 0) wrong = "it is for kernels that headct does not use";
    else if (!(n = parse(list, name, value))) wrong = "its best_parameters are no NAME=NUMBER list";
    else if (CLBlastOverrideParameters(d->id, kernel, CLBlastPrecisionSingle, n, name, value) != CLBlastSuccess) wrong = "this CLBlast does not take its parameters";
    cJSON_Delete(json);
    free(text);
    return wrong;
}

void ocl_tuning_load(hct_device *d) {
    char folder[PATH_MAX - 32], path[PATH_MAX];
    DIR *dir = folder_of(d, folder, sizeof folder) ? opendir(folder) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (n < 5 || strcmp(e->d_name + n - 5, ".json") != 0 || snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path) continue;
        const char *wrong = apply(d, path);
        if (wrong) fprintf(stderr, "headct: %s: %s; it is left out (delete it)\n", path, wrong);
        else d->tuned++;
    }
    if (dir) closedir(dir);
}

/* One tuner, in `folder`, its table on stderr. */
static int run_tuner(const hct_device *d, const char *tuner, const char *folder) {
    char program[64], platform[16], device[16];
    snprintf(program, sizeof program, "clblast_tuner_%s", tuner);
    snprintf(platform, sizeof platform, "%d", d->platform_index);
    snprintf(device, sizeof device, "%d", d->device_index);
    const char *size = d->is_cpu ? "128" : "1024", *fraction = d->is_cpu ? "64" : "8"; /* all configurations take hours on a CPU */
    const char *const gemm[] = {program, "-platform", platform, "-device", device, "-precision", "32", "-m", size, "-n", size, "-k", size, "-fraction", fraction, NULL};
    const char *const plain[] = {program, "-platform", platform, "-device", device, "-precision", "32", NULL};
    pid_t child = fork();
    if (child == 0) {
        if (chdir(folder) != 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) _exit(126);
        execvp(program, (char *const *)(tuner[0] == 'x' ? gemm : plain));
        _exit(errno == ENOENT ? 127 : 126);
    }
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

hct_status ocl_tune(hct_device *d, hct_err *err) {
    char folder[PATH_MAX];
    if (!folder_of(d, folder, sizeof folder)) return hct_plugin_fail(err, HCT_EINVAL, "tuning: there is no folder for its results; set HEADCT_CACHE");
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) return hct_plugin_fail(err, HCT_EIO, "tuning: %s cannot be made: %s", folder, strerror(errno));
    for (size_t i = 0; i < sizeof tuners / sizeof *tuners; i++) {
        int status = run_tuner(d, tuners[i], folder);
        if (status == 127) return hct_plugin_fail(err, HCT_ENOTFOUND, "tuning: clblast_tuner_%s is not installed (Debian: clblast-utils)", tuners[i]);
        if (status != 0) return hct_plugin_fail(err, HCT_EDEVICE, "tuning: clblast_tuner_%s fails with status %d; its words are above", tuners[i], status);
    }
    fprintf(stderr, "headct: CLBlast's parameters for %s are in %s\n", d->name, folder);
    return HCT_OK;
}
#else
void ocl_tuning_load(hct_device *d) { (void)d; }
hct_status ocl_tune(hct_device *d, hct_err *err) { return (void)d, hct_plugin_fail(err, HCT_ENOTFOUND, "tuning: this build has no CLBlast"); }
#endif
