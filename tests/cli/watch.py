#!/usr/bin/env python3
"""headct watch: each series once, when it is whole; ended, killed and started again; late files; what it logs and counts. $1: headct."""
import csv
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from doors import Program, dicom_slices, done, has, ok, read_dicom, scores_of, skip, write_series  # noqa: E402

headct = Program(sys.argv[1])


def rows(path):
    return list(csv.DictReader(open(path))) if os.path.exists(path) else []


def until(good, seconds=120):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if good():
            return True
        time.sleep(0.1)
    return False


with tempfile.TemporaryDirectory() as work:
    ok(headct.tiny_run(work), "a model")
    inbox, out, reports, metrics = f"{work}/in", f"{work}/t.csv", f"{work}/sr", f"{work}/watch.prom"
    os.makedirs(inbox)
    options = ("--run", f"{work}/run", "--out", out, "--dicom-sr", reports, "--metrics", metrics)
    study = "1.2.826.0.1.3680043.8.498.9"

    # All in one folder, as storescp leaves it: two series of a study, a scout, an MR, a NIfTI file, and what is no image.
    for series, more in ((2, []), (3, []), (4, [(0x00080008, "CS", "ORIGINAL\\PRIMARY\\LOCALIZER")]), (5, [(0x00080060, "CS", "MR")])):
        for k, data in enumerate(dicom_slices(study=study, series=series, bleed=10 + series, more=more)):
            open(f"{inbox}/CT.{series}.{k}", "wb").write(data)
    os.link(f"{work}/ph/p0001_s1.nii.gz", f"{inbox}/scan.nii.gz")
    open(f"{inbox}/notes.txt", "w").write("no image")
    open(f"{inbox}/.hidden", "w").write("not yet")
    r = headct("watch", inbox, *options, "--once", "--settle", 0)
    table = {t["scan"]: t for t in rows(out)}
    if not ok(r.returncode == 3 and set(table) == {f"{study}.2", f"{study}.3", f"{study}.5", "scan.nii.gz"} and table[f"{study}.5"]["refused"].startswith("modality"),
              "each series of the folder is a row, a scout is none, an MR is refused"):
        print("#", r.returncode, r.stderr, list(table))
    alone = headct("predict", "--run", f"{work}/run", *(f"{inbox}/CT.2.{k}" for k in range(34)), "--out", f"{work}/alone.csv", "--dicom-sr", f"{work}/alone", "--quiet")
    lone = rows(f"{work}/alone.csv")[0]
    ok(all(table[f"{study}.2"][k] == lone[k] for k in ("SDH", "IPH", "input_sha256", "study_uid", "series_uid", "above")), "with the numbers of headct predict")
    said = {os.path.basename(f): read_dicom(f) for f in glob.glob(f"{reports}/*.dcm")}
    ok(len(said) == 2 and set(os.listdir(f"{work}/alone")) <= set(said), "a report a series, the same objects as headct predict's")
    found = {k: v["probability"] for s in said.values() for k, v in scores_of(s).items()}
    ok(found == {(f"{study}.{n}", k): float(table[f"{study}.{n}"][k]) for n in (2, 3) for k in ("SDH", "IPH")}, "with the numbers of the table")
    lines = [json.loads(line) for line in r.stdout.splitlines()]
    events = sorted(x["event"] for x in lines)
    ok(events == ["began", "ended", "left out", "predicted", "predicted", "predicted", "refused"] and all(set(x) <= {"time", "event", "reason", "files", "seconds"} for x in lines),
       "a JSON line an event")
    ok(not any(s in r.stdout + r.stderr for s in (study, "PAT", "ACC4711", inbox, "scan.nii")), "which name no scan, UID, patient or path")
    text = open(metrics).read()
    ok('headct_watch_series_total{result="predicted"} 3' in text and 'result="refused"} 1' in text and 'result="left_out"} 1' in text and "headct_watch_reports_total 2" in text and
       "headct_watch_waiting 0" in text, "metrics")
    before = open(out, "rb").read()
    r = headct("watch", inbox, *options, "--once", "--settle", 0)
    ok(r.returncode == 0 and open(out, "rb").read() == before and "predicted" not in r.stdout, "the same command again does nothing again")
    r = headct("watch", f"{work}/in/../in", *options, "--once", "--settle", 0)
    ok(r.returncode == 0 and open(out, "rb").read() == before, "however the folder is called")

    # While it runs: a series that comes slowly is read when it is whole
    w = subprocess.Popen([headct.headct, "watch", inbox, *options, "--settle", "3", "--poll", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    slices = list(dicom_slices(study=study, series=7, bleed=22))
    for k, data in enumerate(slices):
        open(f"{inbox}/CT.7.{k}", "wb").write(data)
        time.sleep(0.12)
    early = any(t["scan"] == f"{study}.7" for t in rows(out))
    ok(not early and until(lambda: any(t["scan"] == f"{study}.7" for t in rows(out))), "a series is read when nothing of it has changed for a while, not before")
    whole = headct("predict", "--run", f"{work}/run", *(f"{inbox}/CT.7.{k}" for k in range(34)), "--out", f"{work}/whole.csv", "--quiet")
    ok([t["input_sha256"] for t in rows(out) if t["scan"] == f"{study}.7"] == [rows(f"{work}/whole.csv")[0]["input_sha256"]], "and is all there")
    other = headct("watch", inbox, *options, "--once")
    ok(other.returncode == 1 and "another headct is writing to it" in other.stderr, "a second watcher of the same table is refused")
    extra = list(dicom_slices(study=study, series=7, slices=35))[34]
    open(f"{inbox}/CT.7.34", "wb").write(extra)
    ok(until(lambda: "headct_watch_late 1" in open(metrics).read()), "a file that comes to a series that was done is told of")
    w.send_signal(signal.SIGTERM)
    said, errors = w.communicate(timeout=120)
    ok(w.returncode == 0 and '"late"' in said and '"ended"' in said and len([t for t in rows(out) if t["scan"] == f"{study}.7"]) == 1, "SIGTERM: status 0; the series stands there once")

    # Killed at any moment, and started again
    for series in range(10, 16):
        write_series(f"{inbox}/{series}", study=study + "2", series=series, bleed=series)
    want = {f"{study}2.{s}" for s in range(10, 16)}
    kills = 0
    for delay in (0.35, 0.5, 0.6, 0.7, 0.9):
        w = subprocess.Popen([headct.headct, "watch", inbox, *options, "--settle", "0", "--poll", "1", "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        w.kill()
        w.wait()
        kills += 1
    r = headct("watch", inbox, *options, "--once", "--settle", 0)
    table = rows(out)
    got = [t["scan"] for t in table]
    if not ok(r.returncode == 0 and want <= set(got) and len(got) == len(set(got)), f"killed {kills} times and started again: each series once"):
        print("#", r.returncode, r.stderr, got)
    said = [read_dicom(f) for f in glob.glob(f"{reports}/*.dcm")]
    found = {k: v["probability"] for s in said for k, v in scores_of(s).items() if k[0] in want}
    ok(len(said) == 2 + 1 + 6 and found == {(t["series_uid"], k): float(t[k]) for t in table if t["scan"] in want for k in ("SDH", "IPH")}, "and each report once")
    with open(out, "w") as f:
        lines = before.decode().splitlines(True)
        f.writelines(line for line in lines if f"{study}.3," not in line)
    r = headct("watch", inbox, *options, "--once", "--settle", 0)
    ok(f"{study}.3" in {t["scan"] for t in rows(out)}, "a row that was taken out is done again")

    def refused(status, text, name, *words):
        r = headct("watch", *words)
        if not ok(r.returncode == status and text in r.stderr, name):
            print("#", r.returncode, r.stderr)
    refused(2, "FOLDER is missing", "no folder", *options)
    refused(2, "--out FILE.csv is missing", "no table", inbox, "--run", f"{work}/run")
    refused(1, "No such file", "a folder that is not there", f"{work}/none", *options, "--once")
    refused(1, "no-such-filter", "filters that are not there", inbox, *options[:2], "--out", f"{work}/f.csv", "--filters", "no-such-filter", "--once", "--settle", "0")

    # The receiver of the example
    if has("storescp") and has("storescu"):
        box, port = f"{work}/box", 11112 + os.getpid() % 2000
        os.makedirs(box)
        receiver = subprocess.Popen(["storescp", "--fork", "--output-directory", box, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            write_series(f"{work}/send", study=study + "3", series=2)
            sent = until(lambda: subprocess.run(["storescu", "127.0.0.1", str(port), *sorted(glob.glob(f"{work}/send/*"))], capture_output=True).returncode == 0, 30)
            r = headct("watch", box, "--run", f"{work}/run", "--out", f"{work}/box.csv", "--once", "--settle", 0)
            ok(sent and [t["scan"] for t in rows(f"{work}/box.csv")] == [f"{study}3.2"], "what DCMTK's storescp receives is predicted")
        finally:
            receiver.terminate()
            receiver.wait()
    else:
        skip("what DCMTK's storescp receives is predicted", "dcmtk is not installed (apt-get install dcmtk)")
sys.exit(done())
