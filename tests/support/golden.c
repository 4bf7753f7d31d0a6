/* Golden cases: read, compared, reported. */
#include "golden.h"

#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hct/io.h"
#include "tap.h"

const golden_tol GOLDEN_FORWARD = {2e-5, 1e-4, 1e-5};
const golden_tol GOLDEN_GRADIENT = {-1, -1, 1e-4};
const golden_tol GOLDEN_FORMULA = {0, 1e-12, -1};

static size_t cases; /* with a compared tensor, each once */
static struct {
    char family[64], name[128];
    size_t tensors;
} * ran;

static void count_tensor(const golden_case *c) {
    size_t i = 0;
    while (i < cases && (strcmp(ran[i].family, c->family) != 0 || strcmp(ran[i].name, c->name) != 0)) i++;
    if (i == cases) {
        void *more = realloc(ran, (cases + 1) * sizeof *ran);
        if (!more) return;
        ran = more;
        memset(&ran[i], 0, sizeof *ran);
        memcpy(ran[i].family, c->family, sizeof ran[i].family);
        memcpy(ran[i].name, c->name, sizeof ran[i].name);
        cases++;
    }
    ran[i].tensors++;
}

/* Where the golden numbers are looked for, from the root folder on. */
static const char *wanted_folder(void) {
    static char path[PATH_MAX + 512];
    const char *set = getenv("HEADCT_GOLDEN");
    char here[PATH_MAX];
    if (!set || !*set) return GOLDEN_DEFAULT;
    if (*set == '/' || !getcwd(here, sizeof here)) return set;
    snprintf(path, sizeof path, "%s/%s", here, set);
    return path;
}

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *golden_folder(void) {
    const char *folder = wanted_folder();
    return is_folder(folder) ? folder : NULL;
}

const char *golden_data(const char *name) {
    static char path[2 * PATH_MAX];
    const char *set = getenv("HEADCT_DATA");
    for (int i = 0; i < 2; i++) {
        if (i == 0 && !golden_folder()) continue;
        if (i == 0) snprintf(path, sizeof path, "%s/../data/%s", golden_folder(), name);
        else snprintf(path, sizeof path, "%s/%s", set && *set ? set : DATA_DEFAULT, name);
        if (access(path, R_OK) == 0) return path;
    }
    return NULL;
}

bool golden_begin(void) {
    if (golden_folder()) {
        tap_note("golden folder: %s", golden_folder());
        return true;
    }
    tap_skip("golden folder", "%s is absent; set HEADCT_GOLDEN", wanted_folder());
    return false;
}

int golden_done(void) {
    for (size_t i = 0; i < cases; i++) { /* one line a family, at its first case */
        size_t n = 0, tensors = 0, before = 0;
        for (size_t k = 0; k < cases; k++) {
            if (strcmp(ran[k].family, ran[i].family) != 0) continue;
            before += k < i;
            tensors += ran[k].tensors;
            n++;
        }
        if (!before) tap_note("ran %zu tensors in %zu cases of %s", tensors, n, ran[i].family);
    }
    free(ran);
    ran = NULL;
    cases = 0;
    return tap_done();
}

static int is_json(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return n > 5 && strcmp(e->d_name + n - 5, ".json") == 0 && e->d_name[0] != '.';
}

/* Byte order, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

/* Name of case i without ".json"; false after the last one. */
static bool case_name(const char *folder, size_t i, char *name, size_t size) {
    struct dirent **list = NULL;
    int n = scandir(folder, &list, is_json, by_name);
    bool found = n > 0 && i < (size_t)n;
    if (found) snprintf(name, size, "%.*s", (int)strlen(list[i]->d_name) - 5, list[i]->d_name);
    for (int k = 0; k < n; k++) free(list[k]);
    free(list);
    return found;
}

golden_case *golden_open(const char *family, size_t i) {
    if (!golden_folder()) return NULL;
    golden_case *c = calloc(1, sizeof *c);
    c->before = tap_count();
    snprintf(c->family, sizeof c->family, "%s", family);
    snprintf(c->folder, sizeof c->folder, "%s/%s", golden_folder(), family);
    if (!case_name(c->folder, i, c->name, sizeof c->name)) {
        if (i == 0 && is_folder(c->folder)) tap_ok(0, "%s holds a case", c->folder);
        else if (i == 0) tap_skip(family, "this golden set has no such family");
        free(c);
        return NULL;
    }
    char path[1024], *text = NULL;
    hct_err err = {0};
    snprintf(path, sizeof path, "%s/%s.json", c->folder, c->name);
    if (hct_read_file(path, &text, NULL, &err) == HCT_OK) c->json = cJSON_Parse(text);
    free(text);
    if (!c->json) {
        tap_ok(0, "%s/%s: JSON can be read (%s)", c->family, c->name, err.msg);
        c->json = cJSON_CreateObject();
    }
    return c;
}

void golden_close(golden_case *c) {
    if (tap_count() == c->before && !c->elsewhere) tap_ok(0, "%s/%s: something is compared", c->family, c->name);
    cJSON_Delete(c->json);
    free(c);
}

hct_st_file *golden_tensors(const golden_case *c, const char *suffix) {
    char path[1024];
    hct_err err = {0};
    snprintf(path, sizeof path, "%s/%s%s.safetensors", c->folder, c->name, suffix);
    hct_st_file *f = hct_st_open(path, &err);
    if (!f && err.code != HCT_ENOTFOUND) tap_ok(0, "%s", err.msg);
    return f;
}

void golden_skip(const golden_case *c, const char *reason) {
    char label[256];
    snprintf(label, sizeof label, "%s/%s", c->family, c->name);
    tap_skip(label, "%s", reason);
}

const cJSON *golden_item(const cJSON *json, const char *path) {
    char key[128];
    while (json && *path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        json = cJSON_IsArray(json) ? cJSON_GetArrayItem(json, atoi(key)) : cJSON_GetObjectItemCaseSensitive(json, key);
        path += n + (path[n] == '.');
    }
    return json;
}

double golden_number(const cJSON *json, const char *path) { return golden_value(golden_item(json, path)); }

double golden_value(const cJSON *item) {
    if (cJSON_IsNumber(item)) return item->valuedouble;
    if (!cJSON_IsString(item)) return NAN;
    return !strcmp(item->valuestring, "inf") ? INFINITY : !strcmp(item->valuestring, "-inf") ? -INFINITY : NAN;
}

bool golden_bool(const cJSON *json, const char *path, bool fallback) {
    const cJSON *item = golden_item(json, path);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : cJSON_IsNumber(item) ? item->valuedouble != 0 : fallback;
}

static const hct_st_entry *entry(const hct_st_file *f, const char *name) {
    const hct_st_entry *e = f ? hct_st_find(f, name) : NULL;
    if (!e) tap_ok(0, "tensor '%s' is in the golden file", name);
    return e;
}

#define READER(NAME, T, CONVERT)                                                                                       \
    T *NAME(const hct_st_file *f, const char *name, size_t *ret_n) {                                                   \
        const hct_st_entry *e = entry(f, name);                                                                        \
        if (ret_n) *ret_n = 0;                                                                                         \
        if (!e) return NULL;                                                                                           \
        hct_err err = {0};                                                                                             \
        T *out = malloc(hct_st_elements(e) * sizeof *out + 1);                                                         \
        if (CONVERT(e, out, &err) < 0) {                                                                               \
            tap_ok(0, "%s", err.msg);                                                                                  \
            free(out);                                                                                                 \
            return NULL;                                                                                               \
        }                                                                                                              \
        if (ret_n) *ret_n = hct_st_elements(e);                                                                        \
        return out;                                                                                                    \
    }
READER(golden_f64, double, hct_st_to_f64)
READER(golden_f32, float, hct_st_to_f32)
READER(golden_i64, int64_t, hct_st_to_i64)

bool golden_check_f64(const golden_case *c, const char *what, const double *got, size_t n_got, const double *want,
                      size_t n_want, golden_tol tol) {
    count_tensor(c);
    if (!got || !want || n_got != n_want)
        return tap_ok(0, "%s/%s: %s has %zu elements, should have %zu", c->family, c->name, what, got ? n_got : 0,
                      n_want);
    size_t bad = 0, worst = 0;
    double d2 = 0, w2 = 0, most = -1;
    for (size_t i = 0; i < n_got; i++) {
        if (got[i] == want[i] || (isnan(got[i]) && isnan(want[i]))) {
            if (isfinite(want[i])) w2 += want[i] * want[i];
            continue;
        }
        double d = fabs(got[i] - want[i]);
        d2 += d * d;
        w2 += want[i] * want[i];
        if ((tol.abs >= 0 || tol.rel >= 0) && !(d <= fmax(tol.abs, 0) + fmax(tol.rel, 0) * fabs(want[i]))) bad++;
        if (!(d <= most)) most = d, worst = i;
    }
    double rel_l2 = d2 == 0 ? 0 : sqrt(d2 / w2);
    bool ok = bad == 0 && (tol.rel_l2 < 0 ? !isnan(d2) : rel_l2 <= tol.rel_l2);
    if (most < 0) return tap_ok(ok, "%s/%s: %s (%zu equal)", c->family, c->name, what, n_got);
    return tap_ok(ok, "%s/%s: %s (%zu; %zu off; worst at %zu: %.9g for %.9g; rel_l2 %.2g)", c->family, c->name, what,
                  n_got, bad, worst, got[worst], want[worst], rel_l2);
}

static double *widened(const float *x, size_t n) {
    double *out = x ? malloc(n * sizeof *out + 1) : NULL;
    for (size_t i = 0; out && i < n; i++) out[i] = x[i];
    return out;
}

bool golden_check_f32(const golden_case *c, const char *what, const float *got, size_t n_got, const float *want,
                      size_t n_want, golden_tol tol) {
    double *a = widened(got, n_got), *b = widened(want, n_want);
    bool ok = golden_check_f64(c, what, a, n_got, b, n_want, tol);
    free(a);
    free(b);
    return ok;
}

bool golden_check_tensor(const golden_case *c, const hct_st_file *f, const char *name, const float *got, size_t n_got,
                         golden_tol tol) {
    size_t n = 0;
    double *want = golden_f64(f, name, &n), *a = widened(got, n_got);
    bool ok = golden_check_f64(c, name, a, n_got, want, n, tol);
    free(want);
    free(a);
    return ok;
}

bool golden_check_number(const golden_case *c, const char *what, double got, double want, golden_tol tol) {
    return golden_check_f64(c, what, &got, 1, &want, 1, tol);
}
