#!/usr/bin/env python3
"""Predictions as DICOM structured reports, and the columns of the table: what is said is what was found, by our own reader, by DCMTK and dicom3tools where
they are installed. $1: headct; "all": also by highdicom, in a virtual environment below $2 (pip)."""
import csv
import glob
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from doors import Program, done, has, items_of, ok, read_dicom, scores_of, skip, write_series  # noqa: E402

headct = Program(sys.argv[1])
everything = len(sys.argv) > 2


def rows(path):
    return list(csv.DictReader(open(path)))


def highdicom_python(build):
    python = f"{build}/dicom-venv/bin/python"
    test = [python, "-c", "import highdicom"]
    if not os.path.exists(python) or subprocess.run(test, capture_output=True).returncode:
        subprocess.run([sys.executable, "-m", "venv", f"{build}/dicom-venv"], capture_output=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "pydicom", "highdicom"], capture_output=True)
    return python if os.path.exists(python) and subprocess.run(test, capture_output=True).returncode == 0 else None


INDEPENDENT = """
import json, sys
from highdicom.sr import srread
found = {}
for path in sys.argv[1:]:
    sr = srread(path)
    for g in sr.content.get_image_measurement_groups():
        numbers = {m.name.meaning: m.value for m in g.get_measurements()}
        found[f"{sr.StudyInstanceUID} {g.tracking_identifier}"] = [g.finding_type.meaning, numbers["Probability of the finding"], numbers.get("Threshold chosen on validation")]
print(json.dumps(found))
"""

with tempfile.TemporaryDirectory() as work:
    ok(headct.tiny_run(work), "a model")
    study = "1.2.826.0.1.3680043.8.498.9"
    write_series(f"{work}/cd/a", study=study, series=2)
    write_series(f"{work}/cd/b", study=study, series=3, bleed=25)
    write_series(f"{work}/cd/c", study=study + "1", series=5, more=[(0x00120062, "CS", "YES"), (0x00120063, "LO", "by hand")])
    write_series(f"{work}/cd/mr", study=study + "2", series=6, more=[(0x00080060, "CS", "MR")])
    out, reports = f"{work}/t.csv", f"{work}/sr"
    r = headct("predict", "--run", f"{work}/run", f"{work}/cd", f"{work}/ph/p0001_s1.nii.gz", "--out", out, "--dicom-sr", reports, "--quiet")
    table = rows(out)
    ok(r.returncode == 3 and "2 reports new, 0 there before, 1 scans are no DICOM series" in r.stdout, "two studies, two reports; a NIfTI file has none; an MR is refused: status 3")
    ok(len(table) == 5 and [bool(t["refused"]) for t in table] == [False] * 4 + [True] and table[4]["SDH"] == "" and table[4]["above"] == "",
       "the refused series stands in the table, with its reason and without probabilities")
    chosen = {t["task"]: float(t["threshold"]) for t in rows(f"{work}/run/evaluate-test/operating_points.csv")}
    ok(all(t["time"].endswith("Z") and len(t["time"]) == 20 and t["version"] for t in table), "each row has its time and version")
    ok(all(float(t[f"threshold_{k}"]) == chosen[k] for t in table for k in chosen) and
       all(t["above"] == ";".join(k for k in ("SDH", "IPH") if float(t[k]) >= chosen[k]) for t in table[:4]), "the thresholds that validation chose, and what reaches them")
    ok(all(t["study_uid"] and t["series_uid"] and t["path"] for t in table if "cd" in t["path"]), "study, series and path")

    files = sorted(glob.glob(f"{reports}/*.dcm"))
    said = {f: read_dicom(f) for f in files}
    by_study = {s[0x0020000d]: s for s in said.values()}
    ok(set(by_study) == {study, study + "1"}, "a report a study")
    found = {k: v for s in said.values() for k, v in scores_of(s).items()}
    want = {(t["series_uid"], k): {"probability": float(t[k]), "threshold": chosen[k], "above": float(t[k]) >= chosen[k]} for t in table[:3] for k in chosen}
    ok(len(want) == 6 and found == want, "its numbers are the table's to the last bit")
    first = by_study[study]
    ok((first[0x00100010], first[0x00100020], first[0x00100030], first[0x00100040], first[0x00080050], first[0x00080020], first[0x00200010]) ==
       ("M\xfcller^Made up", "PAT 0815", "19500102", "F", "ACC4711", "20200101", "7") and first[0x00080005] == "ISO_IR 100", "patient and study are those of the images")
    ok(first[0x00020010] == "1.2.840.10008.1.2.1" and first[0x00080016] == first[0x00020002] == "1.2.840.10008.5.1.4.1.1.88.34" and first[0x0040a493] == "UNVERIFIED",
       "a Comprehensive 3D SR that nobody has verified")
    ok(by_study[study + "1"][0x00120062] == "YES" and 0x00120062 not in first, "what says that a patient's identity was removed stays said")
    evidence = {(s[0x0020000e], i[0x00081155]) for s in first[0x0040a375][0][0x00081115] for i in s[0x00081199]}
    library = {i[0x00081199][0][0x00081155] for _, kind, _, i in items_of(first) if kind == "IMAGE"}
    images = {(f"{study}.{k}", f"{study}.{k}.{n + 1}") for k in (2, 3) for n in range(34)}
    ok(evidence == images and library == {i for _, i in images}, "it refers to every image that was read, and to no other")
    origin = json.load(open(out + ".json"))
    texts = {i[0x0040a160] for _, kind, _, i in items_of(first) if kind == "TEXT"}
    ok({f"weights_sha256={origin['weights_sha256']}", f"preprocessing_sha256={origin['preprocessing_sha256']}", f"input_sha256={table[0]['input_sha256']}"} <= texts, "and names what made it")
    ok(len({s[0x00080018] for s in said.values()}) == len({s[0x0020000e] for s in said.values()}) == 2 and all(os.path.basename(f) == s[0x00080018] + ".dcm" for f, s in said.items()),
       "each has UIDs of its own")

    # Again: nothing is written twice; what is lost is written anew from the table, and is the same object.
    before = open(files[0], "rb").read()
    again = ("predict", "--run", f"{work}/run", f"{work}/cd", f"{work}/ph/p0001_s1.nii.gz", "--out", out, "--dicom-sr", reports, "--quiet")
    r = headct(*again)
    ok("0 new" in r.stdout and "0 reports new, 2 there before" in r.stdout and open(files[0], "rb").read() == before, "a second run writes none of them again")
    os.remove(files[0])
    r = headct(*again)
    after = read_dicom(files[0]) if os.path.exists(files[0]) else {}
    same = dict(said[files[0]])
    for tag in (0x00080021, 0x00080023, 0x00080031, 0x00080033):
        after.pop(tag, None), same.pop(tag, None)
    ok("1 reports new, 1 there before" in r.stdout and after == same, "one that was lost is written anew from the table's row, the same but for its time")
    headct("predict", "--run", f"{work}/run", f"{work}/cd/c", "--dicom-sr", f"{work}/alone", "--quiet")
    ok({os.path.basename(f) for f in glob.glob(f"{work}/alone/*")} <= {os.path.basename(f) for f in files}, "a study alone makes the same object as among others")
    write_series(f"{work}/cd/c", study=study + "1", series=5, bleed=20)
    r = headct(*again)
    ok(r.returncode == 1 and "was another input" in r.stderr, "images that changed since their row was written are an error")

    # evaluate leaves the new columns alone
    r = headct("evaluate", out, "--labels", f"{work}/ph/labels.csv", "--quiet")
    ok("SDH" in r.stdout and "threshold_SDH" not in r.stdout and "1 scans were left out" in r.stdout + r.stderr, "evaluate takes the table, and counts the refused row")
    r = headct("predict", "--run", f"{work}/run", f"{work}/cd/a", "--json", "--quiet")
    line = json.loads(r.stdout)
    ok(line["thresholds"] == chosen and line["above"] == [k for k in ("SDH", "IPH") if line["probabilities"][k] >= chosen[k]] and line["time"] and line["version"], "the same as JSON")

    # What cannot be
    def refused(status, text, name, *words):
        r = headct("predict", "--run", f"{work}/run", *words)
        if not ok(r.returncode == status and text in r.stderr, name):
            print("#", r.returncode, r.stderr)
    refused(2, "--dicom-sr needs the DICOM files themselves", "reports of a dataset", "--data", f"{work}/data", "--dicom-sr", reports)
    refused(1, "No such file", "thresholds that are not there", f"{work}/cd/a", "--thresholds", f"{work}/none.csv")
    open(f"{work}/other.csv", "w").write("task,chosen_by,threshold\nTumor,youden,0.5\n")
    refused(1, "holds no threshold of 'SDH'", "thresholds of other tasks", f"{work}/cd/a", "--thresholds", f"{work}/other.csv")
    open(f"{work}/other.csv", "w").write("task,chosen_by,threshold\nSDH,youden,half\n")
    refused(1, "is no number", "a threshold that is no number", f"{work}/cd/a", "--thresholds", f"{work}/other.csv")
    open(f"{work}/file", "w").close()
    refused(1, f"{work}/file", "a folder that cannot be made", f"{work}/cd/a", "--dicom-sr", f"{work}/file/sr")
    write_series(f"{work}/bare", more=[(0x00080018, "UI", "")])
    refused(1, "has no valid UID", "images that cannot be referred to", f"{work}/bare", "--dicom-sr", reports)

    # Maps as secondary captures
    if has("dcm2niix"):
        maps = ("explain", "--run", f"{work}/run", "--task", "SDH", "--method", "input", f"{work}/cd/a", "--out", f"{work}/maps", "--dicom-sc", f"{work}/sc", "--quiet")
        r = headct(*maps)
        captures = glob.glob(f"{work}/sc/*.dcm")
        c = read_dicom(captures[0]) if captures else {}
        picture = open(glob.glob(f"{work}/maps/*.png")[0], "rb").read() if r.returncode == 0 else b""
        size = tuple(int.from_bytes(picture[k:k + 4], "big") for k in (16, 20))
        if not ok(r.returncode == 0 and len(captures) == 1 and (c[0x00280011], c[0x00280010]) == size and len(c[0x7fe00010]) == (size[0] * size[1] * 3 + 1) // 2 * 2 and
                  len(set(c[0x7fe00010])) > 20, "explain: the picture of a map as a secondary capture"):
            print("#", r.returncode, r.stderr, captures)
        ok(c.get(0x0020000d) == study and c.get(0x00100020) == "PAT 0815" and len(c.get(0x00082112, [])) == 34 and c[0x00080016] == "1.2.840.10008.5.1.4.1.1.7",
           "in the scan's study, with the images that it was made of")
        written = open(captures[0], "rb").read()
        ok(headct(*maps).returncode == 0 and [open(f, "rb").read() for f in glob.glob(f"{work}/sc/*.dcm")] == [written], "a second time it is left as it is")
        files += captures
    else:
        skip("explain: the picture of a map as a secondary capture", "dcm2niix is not installed")

    # Other readers
    if has("dcmdump") and has("dsrdump"):
        dumps = [subprocess.run(["dcmdump", "-q", f], capture_output=True).returncode for f in files]
        trees = [subprocess.run(["dsrdump", f], capture_output=True, text=True, errors="replace") for f in said]
        ok(not any(dumps) and all(t.returncode == 0 and not t.stderr and t.stdout.startswith("Comprehensive 3D SR Document") for t in trees), "DCMTK reads them without a complaint")
    else:
        skip("DCMTK reads them", "dcmtk is not installed (apt-get install dcmtk)")
    if has("dciodvfy"):
        errors = [line for f in files for line in subprocess.run(["dciodvfy", f], capture_output=True, text=True, errors="replace").stderr.splitlines() if line.startswith("Error")]
        if not ok(not errors, "dciodvfy finds no error"):
            print("#", *errors, sep="\n# ")
    else:
        skip("dciodvfy finds no error", "dicom3tools is not installed (apt-get install dicom3tools)")
    if everything:
        python = highdicom_python(sys.argv[2])
        if python:
            r = subprocess.run([python, "-c", INDEPENDENT, *said], capture_output=True, text=True)
            theirs = json.loads(r.stdout) if r.returncode == 0 else {}
            ours = {f"{t['study_uid']} {k}, series {t['series_uid'].rsplit('.', 1)[-1]}": [k, float(t[k]), chosen[k]] for t in table[:3] for k in chosen}
            if not ok(theirs == ours, "highdicom reads the same numbers"):
                print("#", r.stderr, theirs, ours)
        else:
            skip("highdicom reads the same numbers", "highdicom is not installed and pip cannot get it")
sys.exit(done())
