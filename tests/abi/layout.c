/* The layout of every struct of the binary interface, as frozen with 1.0 on a 64-bit machine, and the values of its
 * enums. A struct that carries its size may grow at its end; the others never change. Written by make_layout.py. */
#include "hct/backend.h"

#define AT(s, f, n) _Static_assert(offsetof(s, f) == (n), #s "." #f " has moved")
#define SIZE(s, n) _Static_assert(sizeof(s) == (n), #s " has changed its size")
#define GROWS(s, n) _Static_assert(sizeof(s) >= (n), #s " has lost a field")
#define VALUE(e, n) _Static_assert((e) == (n), #e " has another value")

SIZE(hct_err, 1024);
AT(hct_err, code, 0);
AT(hct_err, msg, 4);

SIZE(hct_view, 152);
AT(hct_view, mem, 0);
AT(hct_view, off, 8);
AT(hct_view, dim, 16);
AT(hct_view, stride, 80);
AT(hct_view, ndim, 144);
AT(hct_view, dtype, 148);

SIZE(hct_attr, 88);
AT(hct_attr, name, 0);
AT(hct_attr, kind, 8);
AT(hct_attr, n, 12);
AT(hct_attr, real, 16);
AT(hct_attr, ints, 24);

GROWS(hct_problem, 56);
AT(hct_problem, size, 0);
AT(hct_problem, flags, 4);
AT(hct_problem, op, 8);
AT(hct_problem, in, 16);
AT(hct_problem, out, 24);
AT(hct_problem, attr, 32);
AT(hct_problem, n_in, 40);
AT(hct_problem, n_out, 44);
AT(hct_problem, n_attr, 48);
AT(hct_problem, reserved, 52);

GROWS(hct_plan, 32);
AT(hct_plan, size, 0);
AT(hct_plan, flags, 4);
AT(hct_plan, state, 8);
AT(hct_plan, workspace, 16);
AT(hct_plan, may_alias, 24);

GROWS(hct_kernel, 72);
AT(hct_kernel, size, 0);
AT(hct_kernel, flags, 4);
AT(hct_kernel, name, 8);
AT(hct_kernel, op, 16);
AT(hct_kernel, backend, 24);
AT(hct_kernel, dtypes, 32);
AT(hct_kernel, priority, 40);
AT(hct_kernel, reserved, 44);
AT(hct_kernel, plan, 48);
AT(hct_kernel, run, 56);
AT(hct_kernel, release, 64);

GROWS(hct_node, 48);
AT(hct_node, size, 0);
AT(hct_node, n_in, 4);
AT(hct_node, n_out, 8);
AT(hct_node, n_attr, 12);
AT(hct_node, op, 16);
AT(hct_node, in, 24);
AT(hct_node, out, 32);
AT(hct_node, attr, 40);

GROWS(hct_op, 40);
AT(hct_op, size, 0);
AT(hct_op, flags, 4);
AT(hct_op, name, 8);
AT(hct_op, infer, 16);
AT(hct_op, grad, 24);
AT(hct_op, compose, 32);

GROWS(hct_host, 88);
AT(hct_host, size, 0);
AT(hct_host, major, 4);
AT(hct_host, minor, 6);
AT(hct_host, self, 8);
AT(hct_host, add_backend, 16);
AT(hct_host, add_op, 24);
AT(hct_host, add_kernel, 32);
AT(hct_host, emit, 40);
AT(hct_host, grad_of, 48);
AT(hct_host, add_grad, 56);
AT(hct_host, needs_grad, 64);
AT(hct_host, describe, 72);
AT(hct_host, log, 80);

GROWS(hct_backend, 120);
AT(hct_backend, size, 0);
AT(hct_backend, caps, 4);
AT(hct_backend, name, 8);
AT(hct_backend, probe, 16);
AT(hct_backend, open, 24);
AT(hct_backend, close, 32);
AT(hct_backend, alloc, 40);
AT(hct_backend, free, 48);
AT(hct_backend, copy, 56);
AT(hct_backend, stream_new, 64);
AT(hct_backend, stream_sync, 72);
AT(hct_backend, stream_free, 80);
AT(hct_backend, capture_begin, 88);
AT(hct_backend, capture_end, 96);
AT(hct_backend, graph_launch, 104);
AT(hct_backend, graph_free, 112);

GROWS(hct_plugin, 48);
AT(hct_plugin, magic, 0);
AT(hct_plugin, major, 4);
AT(hct_plugin, minor, 6);
AT(hct_plugin, size, 8);
AT(hct_plugin, reserved, 12);
AT(hct_plugin, name, 16);
AT(hct_plugin, version, 24);
AT(hct_plugin, built_with, 32);
AT(hct_plugin, init, 40);

VALUE(HCT_F32, 0);
VALUE(HCT_F64, 1);
VALUE(HCT_BF16, 2);
VALUE(HCT_F16, 3);
VALUE(HCT_I64, 4);
VALUE(HCT_I32, 5);
VALUE(HCT_I16, 6);
VALUE(HCT_I8, 7);
VALUE(HCT_U8, 8);
VALUE(HCT_OK, 0);
VALUE(HCT_NOTIMPL, 1);
VALUE(HCT_EINVAL, -1);
VALUE(HCT_ESHAPE, -2);
VALUE(HCT_EDTYPE, -3);
VALUE(HCT_ENOMEM, -4);
VALUE(HCT_EIO, -5);
VALUE(HCT_EFORMAT, -6);
VALUE(HCT_ENOTFOUND, -7);
VALUE(HCT_EVERSION, -8);
VALUE(HCT_EDEVICE, -9);
VALUE(HCT_ENOKERNEL, -10);
VALUE(HCT_EINTERRUPTED, -11);
VALUE(HCT_MAX_DIMS, 8);
VALUE(HCT_ATTR_INT, 0);
VALUE(HCT_ATTR_REAL, 1);
VALUE(HCT_ATTR_INTS, 2);
VALUE(HCT_DETERMINISTIC, 1);
VALUE(HCT_CAPTURE_SAFE, 2);
VALUE(HCT_OP_VIEW, 1);
VALUE(HCT_HOST_TO_DEVICE, 0);
VALUE(HCT_DEVICE_TO_HOST, 1);
VALUE(HCT_DEVICE_TO_DEVICE, 2);
VALUE(HCT_MAGIC, 0x31544348u);
VALUE(HCT_MAJOR, 1);

int main(void) { return 0; }
