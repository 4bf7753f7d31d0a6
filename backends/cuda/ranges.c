/* Names for NVIDIA's profilers by NVTX. Its header alone is needed: it opens what a profiler injects
 * (NVTX_INJECTION64_PATH) at the first call, and does nothing where there is none. */
#include "gpu.h"

#ifdef HAVE_NVTX
#include <nvtx3/nvToolsExt.h>

void cuda_range_push(hct_stream *s, const char *name) { (void)s, nvtxRangePushA(name); }
void cuda_range_pop(hct_stream *s) { (void)s, nvtxRangePop(); }
#endif
