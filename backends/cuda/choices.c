/* CACHE/cublaslt-HASH.txt, a file for each card, driver and cuBLASLt: a line that names them; the number of products
 * and the hash of what follows; a product a line: its key, and the words of cuBLASLt's algorithm, which may be kept
 * for the same version of the library (its manual says so). */
#include "cache.h"
#include "gpu.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 1024 };
_Static_assert(sizeof(cublasLtMatmulAlgo_t) == CUDA_CHOICE_WORDS * sizeof(uint64_t), "an algorithm's words");

static int path_of(const hct_device *d, char *title, size_t n_title, char *path, size_t n_path) {
    int driver = 0;
    uint64_t hash[2] = HK_HASH_START;
    char folder[PATH_MAX - 64];
    cu->cuDriverGetVersion(&driver);
    snprintf(title, n_title, "headct cublaslt 2; %s, compute capability %d, driver %d, cuBLASLt %zu", d->name,
             d->capability, driver, lt.cublasLtGetVersion());
    hk_hash(hash, title, strlen(title));
    return hk_cache_folder(folder, sizeof folder) &&
           snprintf(path, n_path, "%s/cublaslt-%016" PRIx64 ".txt", folder, hash[0]) < (int)n_path;
}

static int add(hct_device *d, const cuda_choice *c) {
    if (d->n_choice == d->cap_choice) {
        size_t cap = 2 * d->cap_choice + 64;
        cuda_choice *more = realloc(d->choice, cap * sizeof *more);
        if (!more) return 0;
        d->choice = more;
        d->cap_choice = cap;
    }
    d->choice[d->n_choice++] = *c;
    return 1;
}

static void write_line(char line[LINE], const cuda_choice *c) {
    size_t at = 0;
    for (int i = 0; i < CUDA_CHOICE_KEY; i++) at += (size_t)snprintf(line + at, LINE - at, "%" PRId64 " ", c->key[i]);
    for (int i = 0; i < CUDA_CHOICE_WORDS; i++)
        at += (size_t)snprintf(line + at, LINE - at, "%016" PRIx64 "%c", c->algo[i],
                               i + 1 < CUDA_CHOICE_WORDS ? ' ' : '\n');
}

static int read_line(char *line, cuda_choice *ret) {
    char *at = line, *end;
    for (int i = 0; i < CUDA_CHOICE_KEY; i++, at = end) {
        ret->key[i] = strtoll(at, &end, 10);
        if (end == at) return 0;
    }
    for (int i = 0; i < CUDA_CHOICE_WORDS; i++, at = end) {
        ret->algo[i] = strtoull(at, &end, 16);
        if (end == at) return 0;
    }
    return *at == '\n';
}

/* Whether the file is as it was written. */
static int read_all(hct_device *d, FILE *f, const char *title) {
    char line[LINE];
    size_t n = 0;
    uint64_t want = 0, hash[2] = HK_HASH_START;
    cuda_choice c;
    if (!fgets(line, sizeof line, f) || strncmp(line, title, strlen(title)) != 0 ||
        strcmp(line + strlen(title), "\n") != 0)
        return 0;
    if (!fgets(line, sizeof line, f) || sscanf(line, "%zu %" SCNx64, &n, &want) != 2) return 0;
    for (size_t i = 0; i < n; i++) {
        if (!fgets(line, sizeof line, f)) return 0;
        hk_hash(hash, line, strlen(line));
        if (!read_line(line, &c) || !add(d, &c)) return 0;
    }
    return hash[0] == want && !fgets(line, sizeof line, f);
}

static void read_choices(hct_device *d) {
    char title[256], path[PATH_MAX];
    if (d->choices_read++ || !path_of(d, title, sizeof title, path, sizeof path)) return;
    FILE *f = fopen(path, "r");
    if (!f) return;
    if (!read_all(d, f, title)) {
        d->n_choice = 0;
        fprintf(stderr,
                "headct: %s: the algorithms kept for cuBLASLt are damaged; its heuristic's are taken (headct bench "
                "--tune finds them anew)\n",
                path);
    }
    fclose(f);
}

static void write_choices(const hct_device *d) {
    char title[256], path[PATH_MAX], line[LINE];
    uint64_t hash[2] = HK_HASH_START;
    if (!path_of(d, title, sizeof title, path, sizeof path)) return;
    FILE *f = hk_cache_begin(path);
    if (!f) return;
    for (size_t i = 0; i < d->n_choice; i++) {
        write_line(line, &d->choice[i]);
        hk_hash(hash, line, strlen(line));
    }
    fprintf(f, "%s\n%zu %016" PRIx64 "\n", title, d->n_choice, hash[0]);
    for (size_t i = 0; i < d->n_choice; i++) {
        write_line(line, &d->choice[i]);
        fputs(line, f);
    }
    hk_cache_finish(f, path, 1);
}

int cuda_choice_find(hct_device *d, const int64_t key[CUDA_CHOICE_KEY], cublasLtMatmulAlgo_t *ret) {
    int found = 0;
    pthread_mutex_lock(&cuda_lock);
    read_choices(d);
    for (size_t i = 0; i < d->n_choice && !found; i++) {
        if (memcmp(d->choice[i].key, key, sizeof d->choice[i].key) != 0) continue;
        memcpy(ret, d->choice[i].algo, sizeof *ret);
        found = 1;
    }
    pthread_mutex_unlock(&cuda_lock);
    return found;
}

void cuda_choice_keep(hct_device *d, const int64_t key[CUDA_CHOICE_KEY], const cublasLtMatmulAlgo_t *algo) {
    cuda_choice c;
    memcpy(c.key, key, sizeof c.key);
    memcpy(c.algo, algo, sizeof c.algo);
    pthread_mutex_lock(&cuda_lock);
    if (add(d, &c)) write_choices(d);
    pthread_mutex_unlock(&cuda_lock);
}

void cuda_choices_close(hct_device *d) {
    char title[256], path[PATH_MAX];
    if (d->n_timed && path_of(d, title, sizeof title, path, sizeof path))
        fprintf(stderr, "headct: cuBLASLt: %d products timed on %s; their fastest algorithms are in %s\n", d->n_timed,
                d->name, path);
    free(d->choice);
    d->choice = NULL;
    d->n_choice = d->cap_choice = 0;
}
