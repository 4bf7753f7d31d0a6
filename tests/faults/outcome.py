"""What a command has left in a folder, to be compared with what another run of it left."""
import glob
import hashlib
import os
import re
import sqlite3

VOLATILE = re.compile(r"events\.out\.tfevents|\.lock$|-wal$|-shm$|/key$")
SAYS = ["SELECT s.id, p.name, s.file, s.source, s.source_sha256, s.provenance FROM scans s JOIN patients p ON p.id=s.patient ORDER BY 1",
        "SELECT s.id, n.name, l.value FROM labels l JOIN scans s ON s.n=l.scan JOIN label_names n ON n.id=l.label ORDER BY 1, 2",
        "SELECT s.id, t.key, t.value FROM tags t JOIN scans s ON s.n=t.scan ORDER BY 1, 2", "SELECT p.name, x.split FROM splits x JOIN patients p ON p.id=x.patient ORDER BY 1",
        "SELECT id, reason FROM refusals ORDER BY 1"]


def dump(path):
    """An index by what it says, in words: numbers of rows depend on what came first."""
    db = sqlite3.connect(path)
    try:
        return hashlib.sha256("\n".join(str(r) for q in SAYS for r in db.execute(q)).encode()).hexdigest()
    finally:
        db.close()


def digest(path):
    """A table that grows row by row says the same in any order: a scan that could not be read for once comes later than the others. When each
    row was made is of no matter."""
    data = open(path, "rb").read()
    if path.endswith("/p.csv"):
        data = b"\n".join(sorted(re.sub(rb",20[-\d]*T[:\d]*Z,", b",then,", data).split(b"\n")))
    return hashlib.sha256(data).hexdigest()


def results(out):
    found = {}
    for path in glob.glob(out + "/**", recursive=True):
        if os.path.isdir(path) or VOLATILE.search(path):
            continue
        name = os.path.relpath(path, out)
        try:
            found[name] = dump(path) if name.endswith("index.sqlite") else digest(path)
        except sqlite3.Error as e:
            found[name] = f"damaged: {e}"
    return found
