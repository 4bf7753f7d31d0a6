/* Reading a scan both ways. */
#include "explain/scan_views.h"

#include <stdlib.h>

#include "imaging/scan.h"
#include "support/paths.h"

void scan_views_free(scan_views *v) {
    volume_free(&v->own);
    volume_free(&v->prepared);
    free(v->id);
}

hct_status scan_views_read(const char *path, scan_views *v, hct_err *err) {
    scan_info info;
    v->id = path_stem(path);
    hct_status st = v->id ? scan_read(path, &v->own, &info, err) : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (st == HCT_OK) st = scan_open(path, 0, &v->prepared, NULL, err);
    if (st == HCT_OK) st = volume_to_f32(&v->own, err);
    return st;
}
