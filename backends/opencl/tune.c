/* CLBlast's parameters for one device: what its tuners (Debian: clblast-utils) wrote as JSON, kept in
 * CACHE/clblast-DEVICE/, where DEVICE is a hash of device and driver. HEADCT_TUNE=auto|N (headct bench --tune[=N])
 * runs the tuners when the device is opened. */
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

enum {
    PARAMETERS = 32,
    BIGGEST = 1 << 20,
    SMALL = 4 /* the copying tuners have 36 to 144 configurations: a smaller part of them is none */
};

/* A tuner's family of results, and the kernel of CLBlast whose parameters they are. Families of one kernel (parts of
 * one tuner's search, of the same matrices) compete: the fastest counts. */
static const struct {
    const char *family, *kernel;
} families[] = {
    {"xgemm_1", "Xgemm"},
    {"xgemm_2", "Xgemm"},
    {"xgemm_11", "Xgemm"},
    {"xgemm_12", "Xgemm"},
    {"xgemm_direct_1", "XgemmDirect"},
    {"xgemm_direct_2", "XgemmDirect"},
    {"copy", "Copy"},
    {"pad", "Pad"},
    {"transpose", "Transpose"},
    {"padtranspose", "Padtranspose"},
};
enum { KERNELS = 6 };
static const char *const tuners[] = {"xgemm",    "xgemm_direct",   "copy_fast",
                                     "copy_pad", "transpose_fast", "transpose_pad"};

static int folder_of(const hct_device *d, char *out, size_t n) {
    char cache[PATH_MAX - 64];
    uint64_t hash[2] = HK_HASH_START;
    const char *const parts[] = {d->name, d->driver, d->platform};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) hk_hash(hash, parts[i], strlen(parts[i]) + 1);
    return hk_cache_folder(cache, sizeof cache) &&
           snprintf(out, n, "%s/clblast-%016llx", cache, (unsigned long long)hash[0]) < (int)n;
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

typedef struct result {
    char path[PATH_MAX];
    cJSON *json;
    const char *kernel, *time, *parameters; /* kernel: NULL: none; time: milliseconds of the best parameters */
} result;

static const char *text_at(const cJSON *json, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItem(json, name));
}

/* What is wrong with the file, or NULL. */
static const char *read_result(result *r) {
    char *text = read_whole(r->path);
    r->json = text ? cJSON_Parse(text) : NULL;
    free(text);
    const char *family = text_at(r->json, "kernel_family"), *precision = text_at(r->json, "precision");
    r->time = text_at(r->json, "best_time");
    r->parameters = text_at(r->json, "best_parameters");
    if (!family || !precision || !r->time || !r->parameters) return "it is no result of a CLBlast tuner";
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (!strcmp(families[i].family, family)) r->kernel = families[i].kernel;
    return r->kernel && !strcmp(precision, "32") ? NULL : "it is for kernels that headct does not use";
}

/* What is wrong with the parameters, or NULL where they are CLBlast's now. */
static const char *apply(hct_device *d, result *r) {
    const char *name[PARAMETERS];
    size_t value[PARAMETERS];
    char *list = cJSON_GetStringValue(cJSON_GetObjectItem(r->json, "best_parameters"));
    size_t n = parse(list, name, value);
    if (!n) return "its best_parameters are no NAME=NUMBER list";
    return CLBlastOverrideParameters(d->id, r->kernel, CLBlastPrecisionSingle, n, name, value) == CLBlastSuccess
               ? NULL
               : "this CLBlast does not take its parameters";
}

static void complain(const result *r, const char *wrong) {
    fprintf(stderr, "headct: %s: %s; it is left out (delete it)\n", r->path, wrong);
}

/* Keeps r where no result of its kernel is faster. */
static void keep(result best[KERNELS], result *r) {
    size_t i = 0;
    while (best[i].kernel && strcmp(best[i].kernel, r->kernel) != 0) i++;
    int faster = !best[i].kernel || strtod(r->time, NULL) < strtod(best[i].time, NULL);
    cJSON_Delete(faster ? best[i].json : r->json);
    if (faster) best[i] = *r;
}

void ocl_tuning_load(hct_device *d) {
    char folder[PATH_MAX - 32];
    result *best = calloc(KERNELS + 1, sizeof *best), *r = best ? best + KERNELS : NULL;
    DIR *dir = best && folder_of(d, folder, sizeof folder) ? opendir(folder) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        *r = (result){.kernel = NULL};
        if (n < 5 || strcmp(e->d_name + n - 5, ".json") != 0 ||
            snprintf(r->path, sizeof r->path, "%s/%s", folder, e->d_name) >= (int)sizeof r->path)
            continue;
        const char *wrong = read_result(r);
        if (!wrong) keep(best, r);
        else complain(r, wrong), cJSON_Delete(r->json);
    }
    if (dir) closedir(dir);
    for (size_t i = 0; best && i < KERNELS && best[i].kernel; i++) {
        const char *wrong = apply(d, &best[i]);
        if (wrong) complain(&best[i], wrong);
        else d->tuned++;
        cJSON_Delete(best[i].json);
    }
    free(best);
}

/* One tuner, in `folder`, its table on stderr. fraction: it tries one in so many of its configurations, NULL: as
 * many as CLBlast's authors chose. */
static int run_tuner(const hct_device *d, const char *tuner, const char *fraction, const char *folder) {
    char program[64], platform[16], device[16];
    snprintf(program, sizeof program, "clblast_tuner_%s", tuner);
    snprintf(platform, sizeof platform, "%d", d->platform_index);
    snprintf(device, sizeof device, "%d", d->device_index);
    const char *args[24] = {program, "-platform", platform, "-device", device, "-precision", "32"};
    size_t n = 7;
    if (tuner[0] == 'x') {
        for (const char *const *size = (const char *const[]){"-m", "-n", "-k", NULL}; *size; size++) {
            args[n++] = *size;
            args[n++] = d->is_cpu ? "256" : "1024";
        }
    } else if (fraction && strtod(fraction, NULL) > SMALL) {
        fraction = "4";
    }
    if (fraction) {
        args[n++] = "-fraction";
        args[n++] = fraction;
    }
    pid_t child = fork();
    if (child == 0) {
        if (chdir(folder) != 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) _exit(126);
        execvp(program, (char *const *)args);
        _exit(errno == ENOENT ? 127 : 126);
    }
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

hct_status ocl_tune(hct_device *d, const char *how, hct_err *err) {
    /* a CPU takes half a second a configuration */
    const char *fraction = strcmp(how, "auto") != 0 ? how : d->is_cpu ? "512" : NULL;
    char folder[PATH_MAX];
    if (!folder_of(d, folder, sizeof folder))
        return hct_plugin_fail(err, HCT_EINVAL, "tuning: there is no folder for its results; set HEADCT_CACHE");
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return hct_plugin_fail(err, HCT_EIO, "tuning: %s cannot be made: %s", folder, strerror(errno));
    for (size_t i = 0; i < sizeof tuners / sizeof *tuners; i++) {
        int status = run_tuner(d, tuners[i], fraction, folder);
        if (status == 127)
            return hct_plugin_fail(err, HCT_ENOTFOUND,
                                   "tuning: clblast_tuner_%s is not installed (Debian: clblast-utils)", tuners[i]);
        if (status != 0)
            return hct_plugin_fail(err, HCT_EDEVICE,
                                   "tuning: clblast_tuner_%s fails with status %d; its words are above", tuners[i],
                                   status);
    }
    fprintf(stderr, "headct: CLBlast's parameters for %s are in %s\n", d->name, folder);
    return HCT_OK;
}
#else
void ocl_tuning_load(hct_device *d) { (void)d; }
hct_status ocl_tune(hct_device *d, const char *how, hct_err *err) {
    return (void)d, (void)how, hct_plugin_fail(err, HCT_ENOTFOUND, "tuning: this build has no CLBlast");
}
#endif
