/* Slices of a scan for the page: the report's viewer (figures/viewer.h), with a map of what an answer rests on. */
#ifndef SERVE_SERVED_VIEW_H
#define SERVE_SERVED_VIEW_H

#include "inference/cohort.h"
#include "serve/served.h"

/* Reads scan i of c again, and prepares it. task: whose map lies over it (attention times gradient where the model has
 * attention, else gradient times input); "" none. ret_why: why there is no map after all; code HCT_OK: there is, or
 * none was asked for. */
hct_status served_view(served_model *m, cohort *c, size_t i, const char *task, text_buffer *html, hct_err *ret_why,
                       hct_err *err);

#endif
