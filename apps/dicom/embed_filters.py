#!/usr/bin/env python3
"""embed_filters.py OUT.c FILE...: the filters of recipes/filters as C text, by name without ending."""
import os
import sys

out, files = sys.argv[1], sys.argv[2:]
with open(out + '.tmp', 'w') as f:
    f.write('#include "dicom/filters_builtin.h"\n\n')
    for i, path in enumerate(files):
        with open(path, 'rb') as source:
            f.write(f'static const unsigned char text_{i}[] = {{{",".join(str(byte) for byte in source.read())},0}};\n')
    f.write('const filters_builtin filters_builtins[] = {\n')
    for i, path in enumerate(files):
        f.write(f'    {{"{os.path.basename(path).rsplit(".", 1)[0]}", (const char *)text_{i}, sizeof text_{i} - 1}},\n')
    f.write('    {0, 0, 0},\n};\n')
os.rename(out + '.tmp', out)
