#!/usr/bin/env python3
"""kernels.py CC OUT FOLDER FILE.cl...: "NAME PARAMETERS" for every kernel as CUDA sees it: p a buffer (its offset follows), v a value."""
import re
import subprocess
import sys
import tempfile

cc, out, folder, files = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
with tempfile.TemporaryDirectory() as stub, open(out, "w") as f:
    open(stub + "/cuda_fp16.h", "w").close()
    for path in files:
        text = subprocess.run([cc, "-E", "-P", "-x", "c", "-I", stub, "-I", folder, "-DREAL_F32", "-DSUFFIX=f32", path], stdout=subprocess.PIPE,
                              text=True, check=True).stdout
        for name, params in re.findall(r"__global__\s+void\s+(\w+)\s*\((.*?)\)\s*\{", text, re.S):
            f.write(name + " " + "".join("p" if "*" in p else "v" for p in params.split(",")) + "\n")
