/* Calls libhct with a plugin's op: silu of four numbers, and the gradient of their sum.   ./use hct_kernel_example.so
 */
#include <hct/hct.h>
#include <hct/ops.h>

#include <stdio.h>

int main(int argc, char **argv) {
    hct_err err = {0, "name the plugin's file"};
    hct_ctx *ctx = argc > 1 ? hct_open(&(hct_options){(const char *const *)argv + 1, 1}, &err) : NULL;
    hct_dev *dev = ctx ? hct_device_open(ctx, "cpu", &err) : NULL;
    hct_tensor *x = dev ? hct_tensor_new(dev, HCT_F32, 1, (int64_t[]){4}, &err) : NULL;
    hct_status st = x ? hct_tensor_write(x, (float[]){-1, 0, 1, 2}, &err) : HCT_EINVAL;
    float y[4], dx[4];
    if (st == HCT_OK) {
        hct_tape *t = hct_tape_new(dev, HCT_EAGER); /* each call runs as it comes */
        hct_id in = hct_param(t, x), out = 0;       /* a value that gradients flow to */
        hct_emit(t, "silu", &in, 1, NULL, 0, &out, 1);
        hct_backward(t, hct_sum(t, out, HCT_AXIS(0), 0), 0); /* appends the calls of the gradient */
        st = hct_read(t, out, y, &err);                      /* an error of any call above is told here */
        if (st == HCT_OK) st = hct_read(t, hct_grad(t, in), dx, &err);
        hct_tape_free(t);
    }
    if (st < 0) fprintf(stderr, "use: %s\n", err.msg);
    for (int i = 0; st == HCT_OK && i < 4; i++) printf("silu %g, gradient %g\n", (double)y[i], (double)dx[i]);
    hct_tensor_free(x);
    hct_device_close(dev);
    hct_close(ctx);
    return st < 0;
}
