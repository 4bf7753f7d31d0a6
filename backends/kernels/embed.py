#!/usr/bin/env python3
"""embed.py OUT.c FILE...: device sources as C text, by name without ending; their includes are cut (the host puts dialect.h first)."""
import os
import sys

out, files = sys.argv[1], sys.argv[2:]
with open(out + '.tmp', 'w') as f:
    f.write('#include "sources.h"\n\n')
    names = []
    for path in files:
        name = os.path.basename(path).rsplit('.', 1)[0]
        names.append(name)
        with open(path, 'rb') as source:
            lines = [b'\n' if line.startswith(b'#include "') else line for line in source]
        f.write(f'static const char {name}[] = {{\n')
        for line in lines: # numbers: C limits the length of a string
            f.write('    ' + ''.join(f'{byte},' for byte in line) + '\n')
        f.write('    0};\n\n')
    f.write('const hk_source hk_sources[] = {\n')
    for name in names:
        f.write(f'    {{"{name}", {name}}},\n')
    f.write('    {0, 0},\n};\n')
os.rename(out + '.tmp', out)
