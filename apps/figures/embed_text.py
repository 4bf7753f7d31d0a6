#!/usr/bin/env python3
"""embed_text.py OUT.c HEADER NAME FILE: a page's text or script as the C text NAME that HEADER declares; of a script (.js) without its comments and indentation."""
import os
import re
import sys

out, header, name, path = sys.argv[1:]
with open(path, encoding='ascii') as f:
    text = f.read()
if path.endswith('.js'):
    lines = (re.sub(r'(^|\s)//.*', '', line).strip() for line in text.splitlines())
    text = '\n'.join(line for line in lines if line) + '\n'
with open(out + '.tmp', 'w') as f:
    f.write(f'#include "{header}"\n\n')
    f.write(f'const char {name}[] = {{{",".join(str(ord(c)) for c in text)},0}};\n')
os.rename(out + '.tmp', out)
