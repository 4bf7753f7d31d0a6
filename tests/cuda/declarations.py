#!/usr/bin/env python3
"""declarations.py CC KIT INCLUDE...: whether kit/nvidia/*.h say what NVIDIA's own headers in the folders INCLUDE say: every constant's value, every
function's type, the size of every struct that is passed by value or in arrays. Prints TAP; a header that is in no folder is skipped."""
import os
import re
import subprocess
import sys
import tempfile

cc, kit, folders = sys.argv[1], sys.argv[2], sys.argv[3:]
HEADERS = {"driver.h": "cuda.h", "cublaslt.h": "cublasLt.h", "cudnn.h": "cudnn.h", "nccl.h": "nccl.h"}
# Lists of functions: macro, and what a line's fields are. The driver's all return CUresult.
LISTS = {"driver.h": ["NV_DRIVER", "NV_DRIVER_OPTIONAL"], "cublaslt.h": ["NV_CUBLASLT"], "cudnn.h": ["NV_CUDNN"], "nccl.h": ["NV_NCCL"]}
STRUCTS = {"cublaslt.h": ["cublasLtMatmulAlgo_t", "cublasLtMatmulHeuristicResult_t"], "nccl.h": ["ncclUniqueId"]}


def functions(ours):
    """(symbol, type of a pointer to it) of every function in a header of ours, as the preprocessor sees its lists."""
    probe = f'#include "{os.path.join(kit, ours)}"\n'
    for name in LISTS[ours]:
        probe += ("#define X(name, symbol, args) @symbol@CUresult@args@\n" if ours == "driver.h" else "#define X(ret, name, args) @name@ret@args@\n") + name + "(X)\n#undef X\n"
    text = subprocess.run([cc, "-E", "-P", "-x", "c", "-"], input=probe, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [(s.strip(), ret.strip(), args.strip()) for s, ret, args in re.findall(r"@([^@]*)@([^@]*)@([^@]*)@", text)]


def compiles(source):
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "check.c")
        open(path, "w").write(source)
        done = subprocess.run([cc, "-std=c11", "-fsyntax-only", "-w", *[x for f in folders for x in ("-isystem", f)], path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout


number = 0
for ours, theirs in HEADERS.items():
    number += 1
    if not any(os.path.exists(os.path.join(f, theirs)) for f in folders):
        print(f"ok {number} - {ours} # SKIP no {theirs} here")
        continue
    text = open(os.path.join(kit, ours)).read()
    constants = re.findall(r"\b(\w+) = (\d+)\b", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    listed = functions(ours)
    source = f"#include <{theirs}>\n"
    source += "".join(f'_Static_assert((long long){n} == {v}, "{n}");\n' for n, v in constants)
    source += "".join(f'_Static_assert(__builtin_types_compatible_p(__typeof__(&{s}), {ret} (*){args}), "{s}");\n' for s, ret, args in listed)
    sizes = "".join(f'printf("{s} %zu\\n", sizeof({s}));' for s in STRUCTS.get(ours, []))
    code, said = compiles(source)
    if sizes and not code:
        seen = []
        for include in (f'"{os.path.join(kit, ours)}"', f"<{theirs}>"):
            with tempfile.TemporaryDirectory() as work:
                program = f"#include <stdio.h>\n#include {include}\nint main(void) {{ {sizes} return 0; }}\n"
                subprocess.run([cc, "-w", *[x for f in folders for x in ("-isystem", f)], "-x", "c", "-", "-o", work + "/sizes"], input=program, text=True, check=True)
                seen.append(subprocess.run([work + "/sizes"], stdout=subprocess.PIPE, text=True, check=True).stdout)
        if seen[0] != seen[1]:
            code, said = 1, f"sizes differ: ours {seen[0]} theirs {seen[1]}"
    print(f"{'not ok' if code or not constants or not listed else 'ok'} {number} - {ours}: {len(constants)} constants and {len(listed)} functions as {theirs} has them")
    if code:
        print("# " + "\n# ".join(l for l in said.splitlines() if "error" in l or "differ" in l))
print(f"1..{number}")
