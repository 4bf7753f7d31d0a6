/* Matrix products by CLBlast: F32; plain products take their temporary memory from the workspace, batched ones
 * allocate inside CLBlast. */
#include "opencl.h"

#ifdef HAVE_CLBLAST
#include <clblast_c.h>

int ocl_has_clblast(void) { return 1; }

static CLBlastTranspose way(int transposed) { return transposed ? CLBlastTransposeYes : CLBlastTransposeNo; }

uint64_t ocl_product_temp(void *device, const hk_product *g) {
    hct_device *d = device;
    size_t bytes = 0;
    if (g->batch != 1) return 0;
    /* Offsets are not known yet; 1 stands for "not at the start", which may need a copy more. */
    if (CLBlastSGemmTempBufferSize(CLBlastLayoutRowMajor, way(g->t_a), way(g->t_b), (size_t)g->m, (size_t)g->n,
                                   (size_t)g->k, 1, (size_t)g->ld_a, 1, (size_t)g->ld_b, 1, (size_t)g->ld_c, &d->queue,
                                   &bytes) != CLBlastSuccess)
        return 0;
    return bytes;
}

hct_status ocl_product(hct_stream *s, const hk_product *g, cl_mem a, uint64_t a_off, cl_mem b, uint64_t b_off, cl_mem c,
                       uint64_t c_off, cl_mem temp, hct_err *err) {
    size_t m = (size_t)g->m, n = (size_t)g->n, k = (size_t)g->k, ao = a_off / 4, bo = b_off / 4, co = c_off / 4;
    CLBlastStatusCode code;
    if (g->batch == 1)
        code = CLBlastSgemmWithTempBuffer(CLBlastLayoutRowMajor, way(g->t_a), way(g->t_b), m, n, k, 1, a, ao,
                                          (size_t)g->ld_a, b, bo, (size_t)g->ld_b, g->beta, c, co, (size_t)g->ld_c,
                                          &s->queue, ocl_sample_of(s, "clblast:gemm"), temp);
    else {
        s->batched++;
        code = CLBlastSgemmStridedBatched(CLBlastLayoutRowMajor, way(g->t_a), way(g->t_b), m, n, k, 1, a, ao,
                                          (size_t)g->ld_a, (size_t)g->step_a, b, bo, (size_t)g->ld_b, (size_t)g->step_b,
                                          g->beta, c, co, (size_t)g->ld_c, (size_t)g->step_c, (size_t)g->batch,
                                          &s->queue, ocl_sample_of(s, "clblast:gemm_batched"));
    }
    if (code == CLBlastSuccess) return HCT_OK;
    if (code <= 0 && code > -100) return ocl_fail(err, (cl_int)code, "CLBlast's product");
    return hct_plugin_fail(
        err, HCT_EDEVICE,
        "CLBlast's product of %zu x %zu x %zu fails with %d; HCT_KERNEL=linear=cl:linear,matmul=cl:matmul avoids it", m,
        n, k, (int)code);
}
#else
int ocl_has_clblast(void) { return 0; }
uint64_t ocl_product_temp(void *device, const hk_product *g) { return (void)device, (void)g, 0; }
hct_status ocl_product(hct_stream *s, const hk_product *g, cl_mem a, uint64_t a_off, cl_mem b, uint64_t b_off, cl_mem c,
                       uint64_t c_off, cl_mem temp, hct_err *err) {
    (void)s, (void)g, (void)a, (void)a_off, (void)b, (void)b_off, (void)c, (void)c_off, (void)temp;
    return hct_plugin_fail(err, HCT_EDEVICE, "this build has no CLBlast");
}
#endif
