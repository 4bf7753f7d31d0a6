#!/usr/bin/env python3
"""fake_libcuda.py STUB OUT.c: a libcuda with the functions of the toolkit's stub, of which those that load code succeed and all others fail as the
stub's do. cuDNN compiles a kernel when it makes a plan, and loads it; with this it can make plans on a machine without a driver."""
import subprocess
import sys

LOADS = ["cuLibraryLoadData", "cuLibraryGetKernel", "cuLibraryGetModule", "cuKernelGetFunction", "cuModuleLoadData", "cuModuleLoadDataEx", "cuModuleGetFunction"]
READS = ["cuFuncGetAttribute", "cuKernelGetAttribute"]
TAKES = ["cuFuncSetAttribute", "cuKernelSetAttribute", "cuLibraryUnload", "cuModuleUnload"]
names = [l.split()[-1] for l in subprocess.run(["nm", "-D", "--defined-only", sys.argv[1]], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines() if " T cu" in l]
with open(sys.argv[2], "w") as f:
    f.write("static char thing;\n")
    for n in sorted(set(names)):
        head, body = f"int {n}", "(void) { return 34; }" # CUDA_ERROR_STUB_LIBRARY
        if n in LOADS:
            body = "(void **ret) { return *ret = &thing, 0; }"
        elif n in READS:
            body = "(int *ret) { return *ret = 0, 0; }"
        elif n in TAKES:
            body = "(void) { return 0; }"
        f.write(f"{head}{body[:body.index(')') + 1]};\n{head}{body}\n")
