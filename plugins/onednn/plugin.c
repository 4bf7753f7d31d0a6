/* onednn: kernels for the CPU backend over oneDNN (libdnnl), F32 and BF16, priority 100: after plugins/fastcpu's
 * own, before the reference. */
#include "onednn.h"

static hct_status init(const hct_host *host, hct_err *err) {
    static const hct_kernel *const tables[] = {onednn_conv,     onednn_pool,    onednn_norm,
                                               onednn_products, onednn_softmax, onednn_layer_norm};
    if (!onednn_open()) return HCT_OK; /* without kernels: the reference has them all */
    hct_status st = HCT_OK;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const hct_kernel *k = tables[t]; st == HCT_OK && k->name; k++) st = host->add_kernel(host, k, err);
    return st;
}

HCT_PLUGIN_DEFINE("onednn", "0.1.0", init)
