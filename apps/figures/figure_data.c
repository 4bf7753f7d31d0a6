/* CSV files beside figures. */
#include "figures/figure_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void figure_number(hct_outfile *f, double v) {
    if (isnan(v)) csv_put(f, 1, "");
    else csv_put_double(f, 1, v);
}

hct_status figure_data(void (*write)(hct_outfile *f, const void *context), const void *context, const char *figure,
                       hct_err *err) {
    const char *ending = strrchr(figure, '.');
    char *path = NULL;
    if (asprintf(&path, "%.*s.csv", ending ? (int)(ending - figure) : (int)strlen(figure), figure) < 0)
        return hct_fail(err, HCT_ENOMEM, "%s: out of memory", figure);
    hct_outfile *f = hct_outfile_open(path, err);
    if (f) write(f, context);
    free(path);
    return hct_outfile_close(f, err);
}
