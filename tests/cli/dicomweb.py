#!/usr/bin/env python3
"""headct predict --dicomweb: a study from a DICOMweb server made here, honest and not, and from Orthanc where it is installed. $1: headct."""
import csv
import glob
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from doors import Program, dicom_slices, done, has, ok, skip, write_series  # noqa: E402

headct = Program(sys.argv[1])
STUDY, TOKEN, B = "1.2.826.0.1.3680043.8.498.9", "secret-token-of-the-pacs", "a=b:c"
SERIES = {f"{STUDY}.2": ("CT", list(dicom_slices(series=2))), f"{STUDY}.3": ("CT", list(dicom_slices(series=3, bleed=25))), f"{STUDY}.4": ("SR", [])}


def parts(files, boundary=B, kind="application/dicom", length=0):
    out = b""
    for data in files:
        out += f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Length: {len(data) + length}\r\n\r\n".encode() + data + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """/HOW/studies/...: HOW says what is wrong with the server."""
    asked = []
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def answer(self, status, kind, body, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k, v)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass

    def do_GET(self):
        how, _, rest = self.path[1:].partition("/")
        Handler.asked.append((how, rest, dict(self.headers)))
        related = f'multipart/related; type="application/dicom"; boundary="{B}"'
        if how == "token" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, "text/plain", b"who are you")
        if how == "moved":
            return self.answer(302, "text/plain", b"", Location="/good/" + rest)
        if rest.startswith(f"studies/{STUDY}/series?"):
            listed = [{"0020000E": {"vr": "UI", "Value": [uid]}, "00080060": {"vr": "CS", "Value": [m]}} for uid, (m, _) in SERIES.items()]
            if how == "empty":
                listed = listed[2:]
            if how == "uid":
                listed[0]["0020000E"]["Value"] = ["../../etc"]
            body = b"<html>log in</html>" if how == "html" else json.dumps(listed).encode()
            return self.answer(200, "application/dicom+json", body)
        uid = rest.rsplit("/", 1)[-1]
        if not rest.startswith(f"studies/{STUDY}/series/") or uid not in SERIES:
            return self.answer(404, "text/plain", b"no")
        files = SERIES[uid][1]
        body = parts(files)
        if how == "cut":
            body = body[:-len(B) - 6]
        if how == "middle":
            body = body[:len(body) // 2]
        if how == "more":
            body += b"and more"
        if how == "before":
            body = b"preamble\r\n" + body
        if how == "type":
            return self.answer(200, "application/dicom", files[0])
        if how == "json":
            body = parts([b"{}"], kind="application/json")
        if how == "length":
            body = parts(files, length=1)
        if how == "boundary":
            return self.answer(200, "multipart/related; type=application/dicom", body)
        if how == "header":
            body = f"--{B}\r\nX: {'x' * 9000}\r\n\r\n".encode()
        if how == "token-type":
            return self.answer(200, f"Multipart/Related;boundary={'xyz'};type=application/dicom", parts(files, boundary="xyz"))
        if how == "none":
            return self.answer(200, related, f"--{B}--\r\n".encode())
        self.answer(200, related, body)


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up is what is tested."""


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"


def rows(path):
    return list(csv.DictReader(open(path)))


with tempfile.TemporaryDirectory() as work:
    ok(headct.tiny_run(work), "a model")
    run = ("predict", "--run", f"{work}/run", "--quiet")
    want = {}
    for n in (2, 3):
        write_series(f"{work}/{n}", series=n, bleed=15 if n == 2 else 25)
        headct(*run, f"{work}/{n}", "--out", f"{work}/{n}.csv")
        want[f"{STUDY}.{n}"] = {k: rows(f"{work}/{n}.csv")[0][k] for k in ("SDH", "IPH")}
    fetch = lambda how, *more: headct(*run, "--dicomweb", f"{base}/{how}", "--study", STUDY, *more)
    out = f"{work}/t.csv"
    r = fetch("good", "--out", out, "--dicom-sr", f"{work}/sr")
    table = {t["scan"]: t for t in rows(out)} if os.path.exists(out) else {}
    if not ok(r.returncode == 0 and {k: {t: v[t] for t in ("SDH", "IPH")} for k, v in table.items()} == want, "a study's CT series have the numbers of their files"):
        print("#", r.returncode, r.stderr, table)
    ok(all(t["path"] == f"{base}/good/studies/{STUDY}/series/{t['series_uid']}" for t in table.values()), "their path is their address")
    ok(len(glob.glob(f"{work}/sr/*.dcm")) == 1, "and a report of the study")
    seen = [(path, h.get("Accept", "")) for how, path, h in Handler.asked]
    ok(len(seen) == 3 and "dicom+json" in seen[0][1] and all('multipart/related; type="application/dicom"' in a for _, a in seen[1:]) and not any(f"{STUDY}.4" in p for p, _ in seen),
       "one list, one request a CT series, none of others")
    before = open(out, "rb").read()
    r = fetch("good", "--out", out)
    ok(r.returncode == 0 and open(out, "rb").read() == before and "2 there before" in r.stdout, "a second time the table stays as it is")
    ok(not glob.glob("/dev/shm/headct-fetch-*"), "no file of it is left in memory")
    r = fetch("token-type", "--json")
    ok(r.returncode == 0 and len(r.stdout.splitlines()) == 2, "another way to write the same type")
    open(f"{work}/token", "w").write(TOKEN + "\n")
    r = fetch("token", "--dicomweb-token", f"{work}/token", "--json")
    ok(r.returncode == 0 and len(r.stdout.splitlines()) == 2 and TOKEN not in r.stdout + r.stderr, "a token from a file")

    def refused(text, name, *words, status=1):
        r = headct(*run, *words)
        if not ok(r.returncode == status and text in r.stderr and not r.stdout, name):
            print("#", r.returncode, r.stdout, r.stderr)

    def bad(how, text, name, *more):
        refused(text, name, "--dicomweb", f"{base}/{how}", "--study", STUDY, *more)
    for how, text, name in (("cut", "ends before its last boundary", "without its last boundary"), ("middle", "ends before its last boundary", "cut in the middle of a part"),
                            ("more", "something follows its end", "with bytes behind its end"), ("before", "does not begin with its boundary", "with bytes before its begin"),
                            ("type", "is of another type", "no multipart at all"), ("json", "a part is of another type", "with parts of another type"),
                            ("length", "not as long as it says", "with a part that is shorter than it says"), ("boundary", "tells no boundary", "without a boundary"),
                            ("header", "header is too long", "with a header without an end")):
        bad(how, text, "an answer " + name)
    bad("none", "no scan there", "an answer without a file")
    bad("html", "is no JSON array", "a list of series that is a page to log in")
    bad("uid", "no valid UID", "a series whose UID is a path")
    bad("empty", "has no CT series", "a study without CT")
    bad("moved", "points to another address", "an address that moved")
    bad("token", "it wants a token", "no token")
    open(f"{work}/wrong", "w").write("wrong\n")
    bad("token", "its token is not taken", "a wrong one", "--dicomweb-token", f"{work}/wrong")
    bad("good", "larger than 1 MB", "a study that is too large", "--max-mb", "1")
    refused("has no such study", "a study that is not there", "--dicomweb", f"{base}/good", "--study", "1.2.3")
    refused("is no UID", "a study that is no UID", "--dicomweb", f"{base}/good", "--study", "../1.2.3")
    refused("begins with https", "an address of another kind", "--dicomweb", "file:///etc/passwd", "--study", STUDY)
    refused("not sent without encryption", "a token over plain HTTP to another machine", "--dicomweb", "http://pacs.example/web", "--study", STUDY, "--dicomweb-token", f"{work}/token")
    refused("127.0.0.1", "nobody listens", "--dicomweb", "http://127.0.0.1:9", "--study", STUDY)
    refused("go together", "an address without a study", "--dicomweb", base, status=2)
    refused("excludes SCAN", "and a scan beside it", "--dicomweb", base, "--study", STUDY, f"{work}/2", status=2)
    ok(not glob.glob("/dev/shm/headct-fetch-*"), "nothing is left of what failed")

    # Orthanc on this machine
    plugin = next((p for p in ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so", "/usr/lib/orthanc/libOrthancDicomWeb.so") if os.path.exists(p)), None)
    if has("Orthanc") and plugin:
        port = 18042 + os.getpid() % 1000
        json.dump({"Name": "trial", "StorageDirectory": f"{work}/orthanc", "IndexDirectory": f"{work}/orthanc", "HttpPort": port, "DicomPort": port + 2000, "RemoteAccessAllowed": False,
                   "AuthenticationEnabled": False, "Plugins": [plugin], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}, open(f"{work}/orthanc.json", "w"))
        os.makedirs(f"{work}/orthanc")
        pacs = subprocess.Popen(["Orthanc", f"{work}/orthanc.json"], stdout=subprocess.DEVNULL, stderr=open(f"{work}/orthanc.log", "w"))
        try:
            up = False
            for _ in range(100):
                try:
                    up = urllib.request.urlopen(f"http://127.0.0.1:{port}/system").status == 200
                    break
                except OSError:
                    time.sleep(0.3)
            store = lambda f: urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/instances", open(f, "rb").read(), {"Content-Type": "application/dicom"})).status
            stored = all(store(f) == 200 for n in (2, 3) for f in sorted(glob.glob(f"{work}/{n}/*")))
            r = headct(*run, "--dicomweb", f"http://127.0.0.1:{port}/dicom-web", "--study", STUDY, "--out", f"{work}/o.csv", "--dicom-sr", f"{work}/osr")
            got = {t["scan"]: {k: t[k] for k in ("SDH", "IPH")} for t in rows(f"{work}/o.csv")} if r.returncode == 0 else {}
            if not ok(up and stored and got == want, "Orthanc's study has the numbers of its files"):
                print("#", up, stored, r.returncode, r.stderr, got)
            report = glob.glob(f"{work}/osr/*.dcm")
            sent = bool(report) and store(report[0]) == 200
            found = json.load(urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/dicom-web/studies/{STUDY}/series?includefield=00080060", headers={"Accept": "application/dicom+json"})))
            uid = os.path.basename(report[0])[:-4] if report else ""
            kept = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/tools/lookup", uid.encode())) if sent else []
            back = urllib.request.urlopen(f"http://127.0.0.1:{port}/instances/{kept[0]['ID']}/file").read() if kept else b""
            ok(sorted(s["00080060"]["Value"][0] for s in found) == ["CT", "CT", "SR"] and back == open(report[0], "rb").read(), "and takes the report into the study, and gives it back byte for byte")
        finally:
            pacs.terminate()
            pacs.wait()
    else:
        skip("Orthanc's study has the numbers of its files", "Orthanc and its DICOMweb plugin are not installed (apt-get install orthanc orthanc-dicomweb)")
sys.exit(done())
