/* Finding hct_dicom_codecs.so and hct_dicom_writer.so, once each. */
#include "dicom/component.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "hct/hct.h"

typedef struct wanted {
    const char *file, *symbol;
    const char *to_build, *to_use; /* Debian packages */
} wanted;

typedef struct place {
    const char *file;
    char path[PATH_MAX];
} place;

static int has_file(void *context, const char *folder) {
    place *p = context;
    snprintf(p->path, sizeof p->path, "%s/%s", folder, p->file);
    return access(p->path, R_OK) == 0;
}

/* The address of its symbol, which begins with magic, major, minor and size; NULL and why. */
static const void *open_component(const wanted *w, uint32_t magic, uint32_t major, uint32_t size, hct_err *why) {
    place p = {.file = w->file};
    if (!hct_each_plugin_folder(has_file, &p)) {
        hct_fail(why, HCT_EDEVICE, "needs %s, which is in no plugin folder: apt-get install %s and build headct again",
                 w->file, w->to_build);
        return NULL;
    }
    if (hct_trust_file(p.path, why) < 0) return NULL;
    void *lib = dlopen(p.path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        hct_fail(why, HCT_EDEVICE, "needs a library that cannot be loaded (apt-get install %s): %s", w->to_use,
                 dlerror());
        return NULL;
    }
    const uint32_t *head = dlsym(lib, w->symbol);
    if (head && head[0] == magic && head[1] == major && head[3] >= size) return head;
    hct_fail(why, HCT_EDEVICE, "needs a DICOM component of interface %u, which %s is not: build it again", major,
             p.path);
    return NULL;
}

static pthread_once_t codecs_once = PTHREAD_ONCE_INIT, writer_once = PTHREAD_ONCE_INIT;
static const hct_dicom_plugin *codecs;
static const hct_dicom_writer *writer;
static hct_err codecs_why, writer_why;

static void look_for_codecs(void) {
    static const wanted w = {"hct_dicom_codecs.so", "hct_dicom_v1", "libgdcm-dev libopenjp2-7-dev libcharls-dev",
                             "libgdcm3.0 libopenjp2-7 libcharls2"};
    codecs = open_component(&w, HCT_DICOM_MAGIC, HCT_DICOM_MAJOR, sizeof *codecs, &codecs_why);
}

static void look_for_writer(void) {
    static const wanted w = {"hct_dicom_writer.so", "hct_dicom_writer_v1", "libgdcm-dev g++", "libgdcm3.0"};
    writer = open_component(&w, HCT_DICOM_WRITER_MAGIC, HCT_DICOM_WRITER_MAJOR, sizeof *writer, &writer_why);
}

hct_status dicom_component(const hct_dicom_plugin **ret, hct_err *err) {
    pthread_once(&codecs_once, look_for_codecs);
    *ret = codecs;
    return codecs ? HCT_OK : hct_fail(err, codecs_why.code, "%s", codecs_why.msg);
}

hct_status dicom_writer_component(const hct_dicom_writer **ret, hct_err *err) {
    pthread_once(&writer_once, look_for_writer);
    *ret = writer;
    return writer ? HCT_OK : hct_fail(err, writer_why.code, "%s", writer_why.msg);
}
