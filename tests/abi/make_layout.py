#!/usr/bin/env python3
"""Writes layout.c from the frozen headers: make_layout.py V1.0_FOLDER > layout.c. Run once, when a major version is frozen; the
numbers in layout.c are what plugins in the field were built with, so they are never written anew for the same major."""
import re
import subprocess
import sys
import tempfile

GROWING = ["hct_problem", "hct_plan", "hct_kernel", "hct_node", "hct_op", "hct_host", "hct_backend", "hct_plugin"]
FROZEN = ["hct_err", "hct_view", "hct_attr"]


def fields(text, name):
    body = re.search(r"struct %s \{(.*?)\n\}" % name, text, re.S).group(1)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    for part in body.split(";"):
        part = part.strip()
        pointer = re.match(r".*?\(\*(\w+)\)\(", part, re.S)
        if pointer:
            yield pointer.group(1)
        elif part:
            names = re.sub(r"\[[^\]]*\]", "", part.replace("*", " * "))
            first, *rest = names.split(",")
            yield first.split()[-1]
            yield from (r.replace("*", "").strip() for r in rest)


def main():
    text = "".join(open(f"{sys.argv[1]}/hct/{h}.h").read() for h in ("types", "plugin", "backend"))
    items = [(s, f) for s in FROZEN + GROWING for f in fields(text, s)]
    asks = "".join(f'printf("%zu ", offsetof({s}, {f}));' for s, f in items)
    asks += "".join(f'printf("%zu ", sizeof({s}));' for s in FROZEN + GROWING)
    code = "#include <hct/backend.h>\n#include <stdio.h>\nint main(void){" + asks + "}"
    with tempfile.TemporaryDirectory() as d:
        open(d + "/a.c", "w").write(code)
        subprocess.run(["cc", "-I", sys.argv[1], "-o", d + "/a", d + "/a.c"], check=True)
        numbers = subprocess.run([d + "/a"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    print("/* The layout of every struct of the binary interface, as frozen with 1.0 on a 64-bit machine, and the values of its enums. A\n"
          " * struct that carries its size may grow at its end; the others never change. Written by make_layout.py. */\n"
          '#include "hct/backend.h"\n\n#define AT(s, f, n) _Static_assert(offsetof(s, f) == (n), #s "." #f " has moved")\n'
          '#define SIZE(s, n) _Static_assert(sizeof(s) == (n), #s " has changed its size")\n'
          '#define GROWS(s, n) _Static_assert(sizeof(s) >= (n), #s " has lost a field")\n'
          '#define VALUE(e, n) _Static_assert((e) == (n), #e " has another value")\n')
    last = None
    for (s, f), n in zip(items, numbers):
        if s != last:
            print(f"\n{'SIZE' if s in FROZEN else 'GROWS'}({s}, {numbers[len(items) + (FROZEN + GROWING).index(s)]});")
        last = s
        print(f"AT({s}, {f}, {n});")
    print()
    for e, v in re.findall(r"X\((HCT_\w+), (-?\d+),", text):
        print(f"VALUE({e}, {v});")
    for e, v in re.findall(r"(HCT_(?:ATTR_\w+|DETERMINISTIC|CAPTURE_SAFE|OP_VIEW|MAX_DIMS|HOST_TO_DEVICE|DEVICE_TO_HOST|DEVICE_TO_DEVICE)) = (\d+)", text):
        print(f"VALUE({e}, {v});")
    print("VALUE(HCT_MAGIC, 0x31544348u);\nVALUE(HCT_MAJOR, 1);\n\nint main(void) { return 0; }")


main()
