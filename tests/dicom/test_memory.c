/* A series of 512 x 512 x 1,000 is prepared in less than 1 GiB. Suite slow: it writes 500 MB. */
#include <stdio.h>
#include <sys/resource.h>

#include "dicom/pile.h"
#include "dicom/prepare.h"
#include "make_dicom.h"
#include "scratch.h"
#include "tap.h"

static long peak_mib(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_maxrss >> 10;
}

int main(void) {
    const char *folder = scratch_path("large");
    head_series s = {
        .folder = folder, .columns = 512, .rows = 512, .spacing = 0.4, .n = 1000, .first = -100, .step = 0.2};
    head_series_write(&s);
    long before = peak_mib();
    pile p;
    series_list l;
    series_filters f;
    verdict v;
    volume made = {0};
    prepared_series info = {0};
    prepare_series_options o = {0};
    hct_err err = {0};
    hct_status status = filters_read("none", &f, &err);
    if (status == HCT_OK) status = pile_read(&folder, 1, &p, &err);
    if (status == HCT_OK) status = series_group(p.files, p.n, &l, &err);
    if (status == HCT_OK) status = verdict_of(&l.items[0], p.files, &f, verdict_equal, p.files, &v, &err);
    if (status == HCT_OK) status = prepare_series(p.files, &l.items[0], &f, &o, &made, &info, &v, &err);
    tap_ok(status == HCT_OK && made.dim[0] == 224 && peak_mib() < 1024,
           "1,000 slices of 512 x 512: %ld MiB at the most (%ld before) %s", peak_mib(), before, err.msg);
    volume_free(&made);
    return tap_done();
}
