/* Inputs of the next step, copied to the device while this one runs. A program's tensors have fixed addresses, so
 * what arrives early lies in a second place of each tensor, until a copy on the device, in the step's own order,
 * takes it over. */
#include "internal.h"

#include <stdlib.h>

int hct_ahead_possible(const hct_dev *d) {
    const char *wish = getenv("HCT_AHEAD");
    return HCT_HAS(d->backend, stream_after) && !(wish && *wish == '0');
}

hct_status hct_ahead_begin(hct_dev *d, hct_err *err) {
    if (!hct_ahead_possible(d))
        return hct_fail(err, HCT_EINVAL, "nothing can be written ahead on %s, or HCT_AHEAD=0 forbids it",
                        d->backend->name);
    hct_status st = d->upload ? HCT_OK : d->backend->stream_new(d->device, &d->upload, err);
    d->writes_ahead = st == HCT_OK;
    return st;
}

void hct_ahead_end(hct_dev *d) { d->writes_ahead = 0; }

hct_status hct_ahead_write(hct_tensor *t, const void *host, hct_err *err) {
    hct_dev *d = t->dev;
    if (!t->second) {
        if (!HCT_PUSH(d->ahead, d->n_ahead, d->cap_ahead, t)) return hct_fail(err, HCT_ENOMEM, "out of memory");
        hct_status st = hct_dev_alloc(d, t->bytes, &t->second, err);
        if (st < 0) {
            d->n_ahead--;
            return st;
        }
    }
    t->staged = 1;
    return d->backend->copy(d->device, d->upload, HCT_HOST_TO_DEVICE, t->second, 0, host, 0, t->bytes, err);
}

hct_status hct_ahead_take(hct_dev *d, hct_err *err) {
    const hct_backend *b = d->backend;
    hct_status st = d->upload ? b->stream_after(d->stream, d->upload, err) : HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < d->n_ahead; i++) {
        hct_tensor *t = d->ahead[i];
        t->version += t->staged != 0;
        if (t->staged)
            st = b->copy(d->device, d->stream, HCT_DEVICE_TO_DEVICE, t->view.mem, 0, t->second, 0, t->bytes, err);
        t->staged = 0;
    }
    /* the second places may be written again behind these copies */
    return st == HCT_OK && d->upload ? b->stream_after(d->upload, d->stream, err) : st;
}

/* What is still on its way must arrive before its place is given to others. */
static void settle(hct_dev *d) {
    hct_err none;
    if (d->upload) (void)d->backend->stream_sync(d->upload, &none);
}

void hct_ahead_release(hct_dev *d) {
    settle(d);
    for (size_t i = 0; i < d->n_ahead; i++) {
        hct_dev_free(d, d->ahead[i]->second, d->ahead[i]->bytes);
        d->ahead[i]->second = NULL;
        d->ahead[i]->staged = 0;
    }
    d->n_ahead = 0;
}

void hct_ahead_forget(hct_tensor *t) {
    hct_dev *d = t->dev;
    if (t->second) settle(d);
    for (size_t i = 0; t->second && i < d->n_ahead; i++)
        if (d->ahead[i] == t) d->ahead[i] = d->ahead[--d->n_ahead];
    hct_dev_free(d, t->second, t->bytes);
}
