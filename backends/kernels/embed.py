#!/usr/bin/env python3
"""embed.py OUT.c INCLUDE FILE...: device sources as C text, by name without ending. Of their includes, dialect.h is cut (the host puts it first); what lies
in the folder INCLUDE, such as hct/view.h, takes the place of its line."""
import os
import re
import sys

out, folder, files = sys.argv[1], sys.argv[2], sys.argv[3:]


def lines_of(path):
    with open(path, 'rb') as source:
        for line in source:
            name = re.match(rb'#include "(.*)"', line)
            if not name:
                yield line
            elif name[1] == b'dialect.h':
                yield b'\n'
            else:
                yield from lines_of(os.path.join(os.fsencode(folder), name[1]))


with open(out + '.tmp', 'w') as f:
    f.write('#include "sources.h"\n\n')
    names = []
    for path in files:
        name = os.path.basename(path).rsplit('.', 1)[0]
        names.append(name)
        f.write(f'static const char {name}[] = {{\n')
        for line in lines_of(path): # numbers: C limits the length of a string
            f.write('    ' + ''.join(f'{byte},' for byte in line) + '\n')
        f.write('    0};\n\n')
    f.write('const hk_source hk_sources[] = {\n')
    for name in names:
        f.write(f'    {{"{name}", {name}}},\n')
    f.write('    {0, 0},\n};\n')
os.rename(out + '.tmp', out)
