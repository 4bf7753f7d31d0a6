/* Finding hct_dicom_codecs.so, once. */
#include "dicom/component.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "hct/hct.h"

#define FILE_NAME "hct_dicom_codecs.so"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const hct_dicom_plugin *found;
static hct_err why;

static int has_file(void *path, const char *folder) {
    snprintf(path, PATH_MAX, "%s/" FILE_NAME, folder);
    return access(path, R_OK) == 0;
}

static void look(void) {
    char path[PATH_MAX];
    if (!hct_each_plugin_folder(has_file, path)) {
        hct_fail(&why, HCT_EDEVICE,
                 "needs " FILE_NAME ", which is in no plugin folder: apt-get install libgdcm-dev libopenjp2-7-dev "
                 "libcharls-dev and build headct again");
        return;
    }
    if (hct_trust_file(path, &why) < 0) return;
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        hct_fail(&why, HCT_EDEVICE,
                 "needs a library that cannot be loaded (apt-get install libgdcm3.0 libopenjp2-7 libcharls2): %s",
                 dlerror());
        return;
    }
    const hct_dicom_plugin *desc = dlsym(lib, "hct_dicom_v1");
    if (desc && desc->magic == HCT_DICOM_MAGIC && desc->major == HCT_DICOM_MAJOR && desc->size >= sizeof *desc) {
        found = desc;
        return;
    }
    hct_fail(&why, HCT_EDEVICE, "needs a DICOM component of interface %d, which %s is not: build it again",
             HCT_DICOM_MAJOR, path);
}

hct_status dicom_component(const hct_dicom_plugin **ret, hct_err *err) {
    pthread_once(&once, look);
    *ret = found;
    return found ? HCT_OK : hct_fail(err, why.code, "%s", why.msg);
}
