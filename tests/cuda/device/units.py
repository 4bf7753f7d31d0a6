#!/usr/bin/env python3
"""The device kernels as modules of the emulated device.

    units.py sources CC KERNELS INCLUDE UNIT... OUT.cpp...   a C++ file for each unit
    units.py folder  OUT LIBRARY... -- UNIT...               a plugin folder: links to LIBRARY..., and cuda/NAME.fatbin for each unit; writes OUT, a stamp

UNIT: FILE|DTYPE|ENDING|OPTIONS as backends/kernels/meson.build lists them, such as attention.cl|BF16|.head48|-DHEAD=48; KERNELS is where FILE lies,
INCLUDE where cuda_fp16.h does."""
import os
import re
import subprocess
import sys


def parse(unit):
    file, dtype, ending, options = unit.split("|")
    module = f"{file[:-3]}.{dtype.lower()}{ending}"
    return file, dtype, module, module.replace(".", "_"), options.split()


def meeting(text):
    """The functions of a preprocessed file in whose course threads may wait for each other."""
    bodies, at = {}, 0
    for m in re.finditer(r"\b(\w+)\s*\([^;{}()]*(?:\([^;{}()]*\)[^;{}()]*)*\)\s*\{", text):
        if m.start() < at:
            continue # within the body before
        depth, at = 1, m.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        bodies[m[1]] = bodies.get(m[1], "") + text[m.end():at]
    found = {"__syncthreads", "__shfl_xor_sync"}
    while True:
        more = {f for f, body in bodies.items() if f not in found and found & set(re.findall(r"\w+", body))}
        if not more:
            return found
        found |= more


def sources(cc, kernels, include, units, outs):
    for unit, out in zip(units, outs, strict=True):
        file, dtype, module, name, options = parse(unit)
        # Kernels of all modules are linked into one library: each gets the module's name, which their registration drops again.
        suffix = f"{dtype.lower()}__{name}"
        core = os.path.join(kernels, "../../core/include")
        defines = [f"REAL_{dtype}", f"SUFFIX={suffix}"] + [o[2:] for o in options]
        text = subprocess.run([cc, "-E", "-P", "-x", "c", f"-I{include}", f"-I{kernels}", f"-I{core}", *("-D" + d for d in defines), os.path.join(kernels, file)],
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        names = re.findall(r"__global__\s+void\s+(\w+)\s*\(", text)
        if not names:
            sys.exit(f"units.py: {file} has no kernel")
        meets = meeting(text)
        unit = "".join("#define " + d.replace("=", " ", 1) + "\n" for d in defines)
        unit += f'#define EMU_MODULE "{module}"\n#define EMU_SHARED shared_{name}\n#include "kernel_side.h"\n#include "{os.path.join(kernels, file)}"\n'
        unit += "".join(f'EMU_KERNEL("{n.split("__")[0]}", {n}, {int(n in meets)})\n' for n in names)
        if not os.path.exists(out) or open(out).read() != unit:  # one that stays as it is need not be compiled again (ninja's restat)
            with open(out, "w") as f:
                f.write(unit)


def folder(out, libraries, units):
    here = os.path.dirname(os.path.abspath(out))
    os.makedirs(os.path.join(here, "cuda"), exist_ok=True)
    for lib in libraries:
        link = os.path.join(here, os.path.basename(lib))
        if os.path.lexists(link):
            os.remove(link)
        os.symlink(os.path.relpath(os.path.abspath(lib), here), link)
    for unit in units:
        module = parse(unit)[2]
        with open(os.path.join(here, "cuda", module + ".fatbin"), "wb") as f:
            f.write((0xBA55ED50).to_bytes(4, "little") + b"emulated " + module.encode() + b"\0")
    open(out, "w").close()


def main():
    what, rest = sys.argv[1], sys.argv[2:]
    if what == "sources":
        cc, kernels, include, units = rest[0], rest[1], rest[2], [a for a in rest[3:] if "|" in a]
        return sources(cc, kernels, include, units, [a for a in rest[3:] if "|" not in a])
    split = rest.index("--")
    return folder(rest[0], rest[1:split], rest[split + 1:])


if __name__ == "__main__":
    main()
