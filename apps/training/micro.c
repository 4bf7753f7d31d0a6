/* Micro-batches: how many, and their mean loss. */
#include "training/micro.h"

hct_status micro_check(int64_t n, hct_err *err) {
    if (n >= 1 && n <= MICRO_MOST) return HCT_OK;
    return hct_fail(err, HCT_EINVAL, "optim.accumulate is %lld; 1 to %d are possible", (long long)n, MICRO_MOST);
}

hct_status micro_losses(hct_tape *t, const hct_id *loss, int64_t n, double *ret_loss, hct_err *err) {
    hct_status st = HCT_OK;
    double sum = 0;
    for (int64_t m = 0; st == HCT_OK && m < n; m++) {
        float one = 0;
        st = hct_read(t, loss[m], &one, err);
        sum += (double)one;
    }
    *ret_loss = sum / (double)n;
    return st;
}
