/* The emulated device as a profiler: NVTX_INJECTION64_PATH names it, and ranges are written down, with how deep they
 * lie. */
#include "device.h"

#include <nvtx3/nvToolsExt.h>

static int depth;

static int NVTX_API push(const char *name) { return emu_note("range %d %s", depth, name), depth++; }
static int NVTX_API pop(void) { return emu_note("range end %d", --depth), depth; }

EXPORT int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get);
int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get) {
    const NvtxExportTableCallbacks *tables = get(NVTX_ETID_CALLBACKS);
    NvtxFunctionTable table = NULL;
    unsigned n = 0;
    if (!tables || !tables->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &n) || n <= NVTX_CBID_CORE_RangePushA ||
        n <= NVTX_CBID_CORE_RangePop)
        return 0;
    *table[NVTX_CBID_CORE_RangePushA] = (NvtxFunctionPointer)push;
    *table[NVTX_CBID_CORE_RangePop] = (NvtxFunctionPointer)pop;
    return 1;
}
