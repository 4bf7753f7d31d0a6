#!/usr/bin/env python3
"""embed_script.py OUT.c SCRIPT.js: a page's script as C text, without its comments and indentation."""
import os
import re
import sys

out, script = sys.argv[1:]
with open(script, encoding='ascii') as f:
    lines = (re.sub(r'(^|\s)//.*', '', line).strip() for line in f)
    text = '\n'.join(line for line in lines if line) + '\n'
with open(out + '.tmp', 'w') as f:
    f.write('#include "figures/viewer_script.h"\n\n')
    f.write(f'const char viewer_script[] = {{{",".join(str(ord(c)) for c in text)},0}};\n')
os.rename(out + '.tmp', out)
