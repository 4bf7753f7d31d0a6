#!/usr/bin/env python3
"""A hospital that was never there, with labels known from how it was made: hospital.py HEADCT FOLDER PATIENTS [--diagnoses N] [--medications N] [--seed S]

Writes FOLDER/data (a dataset of that many scans' rows, without volumes), FOLDER/key, dx.csv, rx.csv, and expected-forward.csv and expected-centered.csv: scan and a
column a label (1, 0; empty: no record in the window). Every trap is in it: codes of seven characters, lower case, no dot, I61 alone, the days at both ends of
both windows and those beyond, brand names, patients without records, records of strangers, times of day, blanks. What is expected is computed here from
sets of whole codes that were written down one by one, not from prefixes."""
import argparse, csv, datetime, hashlib, hmac, os, random, sqlite3, struct, subprocess, sys

LABELS = ["Tumor", "HCP", "Edema", "ADRD", "IPH", "IVH", "SDH", "EDH", "SAH", "ICH"]
# as written in records -> labels
POSITIVE = {
    "C71.1": {"Tumor"}, "c79.31": {"Tumor"}, "D33.0": {"Tumor"}, "G91.2": {"HCP"}, "g919": {"HCP"}, "G93.6": {"Edema"}, "G93.82": {"Edema"}, "S06.1X0A": {"Edema"},
    "G30.9": {"ADRD"}, "F03.90": {"ADRD"}, "G31.84": {"ADRD"}, "I61.0": {"IPH", "ICH"}, "i619": {"IPH", "ICH"}, " I61.8 ": {"IPH", "ICH"}, "I61.5": {"IVH", "ICH"},
    "P52.21": {"IVH", "ICH"}, "S06.5X0A": {"SDH"}, "I62.00": {"SDH"}, "S06.4X9S": {"EDH"}, "I62.1": {"EDH"}, "I60.11": {"SAH"}, "S066X1D": {"SAH"}, "I61.6": {"ICH"}, "I62.9": {"ICH"},
}
NEGATIVE = ["I61", "I10", "Z99.9", "D33.4", "R51.9", "S06.0X0A", "I62", "G93.0", "E11.9", "C79.5"]
DRUGS = [("donepezil hcl 10 mg", {"ADRD"}), ("MEMANTINE 5MG TAB", {"ADRD"}), ("Aricept", set()), ("aspirin 100 mg", set()), ("Galantamine ER", {"ADRD"})]
WINDOWS = {"forward": (0, 90), "centered": (-45, 45)}

p = argparse.ArgumentParser()
p.add_argument("headct")
p.add_argument("folder")
p.add_argument("patients", type=int)
p.add_argument("--diagnoses", type=int)
p.add_argument("--medications", type=int)
p.add_argument("--seed", type=int, default=1)
p.add_argument("--scans", action="store_true", help="writes scans.csv with true dates, for others")
a = p.parse_args()
rng = random.Random(a.seed)
os.makedirs(a.folder, exist_ok=True)
path = lambda name: os.path.join(a.folder, name)

# One volume gives the dataset and its key; the other scans are rows.
head = bytearray(352)
struct.pack_into("<i", head, 0, 348)
struct.pack_into("<8h", head, 40, 3, 4, 4, 4, 1, 1, 1, 1)
struct.pack_into("<hh", head, 70, 4, 16)
struct.pack_into("<8f", head, 76, 1, 9, 9, 9, 1, 1, 1, 1)
struct.pack_into("<f", head, 108, 352.0)
head[344:348] = b"n+1\0"
open(path("one.nii"), "wb").write(bytes(head) + bytes(128))
subprocess.run([a.headct, "prepare", "--in", path("one.nii"), "--out", path("data"), "--key", path("key"), "--quiet"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
key = bytes.fromhex(open(path("key")).read().strip())
mark = lambda what, text: hmac.new(key, what.encode() + b"\0" + text.encode(), hashlib.sha256)

db = sqlite3.connect(path("data/index.sqlite"))
db.execute("delete from scans")
db.execute("insert or replace into settings values('dates', 'shifted')")
day = datetime.date(2019, 1, 1)
events = []  # patient, true date as text, what, labels, is medication
scans = []
edges = [-46, -45, -1, 0, 45, 46, 90, 91]
n_dx, n_rx = a.diagnoses or 4 * a.patients, a.medications or a.patients
for i in range(a.patients):
    who = f"MRN{i:07d}"
    scanned = day + datetime.timedelta(days=rng.randrange(1500))
    m = mark("patient", who).hexdigest()
    shift = 1 + struct.unpack(">I", mark("days", m).digest()[:4])[0] % 3650
    scans.append((who, scanned, m, shift))
db.executemany("insert into patients(id, name) values(?, ?)", [(i + 100, "p" + s[2][:16]) for i, s in enumerate(scans)])
db.executemany("insert into scans values(?, ?, ?, ?, ?, 0, 0, ?, ?, ?)", [(i + 1, f"s{i:07d}", i + 100, f"scans/s{i:07d}.nii.gz", f"s{i}", f"{i:064d}", "0" * 64, f"{i:064d}") for i in range(a.patients)])
db.executemany("insert into tags values(?, 'study date', ?)", [(i + 1, (s[1] - datetime.timedelta(days=s[3])).isoformat()) for i, s in enumerate(scans)])
db.commit()
db.close()

if a.scans:
    with open(path("scans.csv"), "w") as f:
        f.write("scan,patient,day\n" + "".join(f"s{i:07d},{s[0]},{s[1]}\n" for i, s in enumerate(scans)))

def record(pick, spread):
    i = rng.randrange(a.patients)
    if i % 10 == 7: i -= 1  # a tenth has no record at all
    distance = rng.choice(edges) if rng.random() < 0.5 else rng.randrange(-spread, spread)
    when = scans[i][1] + datetime.timedelta(days=distance)
    text, labels = pick()
    known[i].append((distance, labels))
    return scans[i][0], when.isoformat() + rng.choice(["", "", " 23:59", "T00:01:00"]), text

known = [[] for _ in scans]
codes = list(POSITIVE.items())
diagnosis = lambda: rng.choice(codes) if rng.random() < 0.3 else (rng.choice(NEGATIVE), set())
for name, columns, n, pick in (("dx.csv", ("patient", "date", "code"), n_dx, diagnosis), ("rx.csv", ("patient", "date", "name"), n_rx, lambda: rng.choice(DRUGS))):
    with open(path(name), "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(columns)
        for k in range(n):
            if k % 50 == 49: w.writerow((f"STRANGER{k}", "2019-05-05", pick()[0]))
            else: w.writerow(record(pick, 200))
for name, (first, last) in WINDOWS.items():
    with open(path(f"expected-{name}.csv"), "w") as f:
        f.write("scan," + ",".join(LABELS) + "\n")
        for i, found in enumerate(known):
            inside = [labels for distance, labels in found if first <= distance <= last]
            there = set().union(*inside) if inside else set()
            f.write(f"s{i:07d}," + ",".join(("1" if l in there else "0") if inside else "" for l in LABELS) + "\n")
