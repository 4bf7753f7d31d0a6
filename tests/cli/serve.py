#!/usr/bin/env python3
"""headct serve under clients good and bad: answers are those of headct predict and embed to the bit, what is wrong is said with the right status, nothing
is kept, and neither new weights nor an end lose a request. serve.py HEADCT"""
import base64
import csv
import glob
import hashlib
import http.client
import io
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import weights_file  # noqa: E402

headct, count, failed = sys.argv[1], 0, False
slow = 20 if "sanitize" in sys.argv[2:] else 1


def ok(good, name):
    global count, failed
    count += 1
    failed = failed or not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)


class Server:
    """A server of its own on a free port."""

    def __init__(self, *options, log="log"):
        self.log = open(f"{work}/{log}", "w")
        self.p = subprocess.Popen([headct, "serve", "--port", "0", *options], stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.p.stdout.readline()
        self.port = int(line.rsplit(" ", 1)[-1]) if "port" in line else 0
        self.said = line

    def ask(self, method, path, body=None, headers=None, port=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120 * slow)
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, dict(r.getheaders()), data

    def json(self, *a, **k):
        status, headers, data = self.ask(*a, **k)
        return status, json.loads(data)

    def stop(self, number=signal.SIGTERM):
        self.p.send_signal(number)
        code = self.p.wait(120 * slow)
        self.log.close()
        return code


def run(*a):
    return subprocess.run([headct, *a], capture_output=True, text=True)


def shm():
    return glob.glob(f"/dev/shm/headct-serve-{server.p.pid}-*")


def form(files):
    b = "xXxX"
    out = io.BytesIO()
    for name, data in files:
        out.write(f'--{b}\r\nContent-Disposition: form-data; name="scan"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode() + data + b"\r\n")
    out.write(f"--{b}--\r\n".encode())
    return out.getvalue(), {"Content-Type": f"multipart/form-data; boundary={b}"}


with tempfile.TemporaryDirectory() as work:
    open(f"{work}/probe.yaml", "w").write(
        "method: probe\nmodel: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}\noptim: {epochs: 3, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\n"
        "data: {tasks: [SDH, IPH], image: 24}\nprobe: {features: random}\n")
    run("phantom", "--out", f"{work}/ph", "--plain", "--patients", "12", "--scans-per-patient", "1", "--prevalence", "0.5", "--size", "tiny", "--seed", "3", "--quiet")
    run("prepare", "--in", f"{work}/ph", "--out", f"{work}/data", "--labels", f"{work}/ph/labels.csv", "--quiet")
    run("split", f"{work}/data", "--ratios", "6:3:3", "--seed", "1")
    for seed in ("1", "2"):
        made = run("probe", "--recipe", f"{work}/probe.yaml", "--data", f"{work}/data", "--run", f"{work}/run{seed}", "--quiet", "--set", f"seed={seed}", "--set", "optim.epochs=" + seed)
    ok(made.returncode == 0, "two models")
    scans = sorted(glob.glob(f"{work}/ph/*.nii.gz"))[:3]
    names = [os.path.basename(s)[:-7] for s in scans]
    bytes_of = [open(s, "rb").read() for s in scans]
    weights = f"{work}/model.safetensors"
    two = [open(f"{work}/run{k}/weights.safetensors", "rb").read() for k in (1, 2)]
    open(weights, "wb").write(two[0])
    alone = {}
    for s, n in zip(scans, names):
        run("predict", "--weights", weights, s, "--out", f"{work}/{n}.csv", "--quiet")
        row = next(csv.DictReader(open(f"{work}/{n}.csv")))
        alone[n] = {k: float(row[k]) for k in ("SDH", "IPH")}
    run("embed", "--weights", weights, scans[0], "--out", f"{work}/e", "--quiet")
    vector = list(weights_file.floats(f"{work}/e")["embeddings"])

    server = Server("--weights", weights, "--queue", "2", "--max-mb", "8", "--timeout", str(3 * slow), "--name", "trial")
    ok(server.port > 0 and server.said.startswith("listening on 127.0.0.1 port "), "it listens on a free port of this machine")
    ok(server.json("GET", "/healthz") == (200, {"status": "ok"}), "healthz")
    ok([server.ask("GET", p, b"bytes that nobody asked for")[0] for p in ("/healthz", "/v1/models", "/metrics")] == [200] * 3, "a body where none belongs is dropped")
    status, models = server.json("GET", "/v1/models")
    first = models["models"][0]
    ok(status == 200 and first["name"] == "trial" and first["tasks"] == ["SDH", "IPH"] and first["width"] == 24 and len(first["weights_sha256"]) == 64, "models")
    status, a = server.json("POST", f"/v1/predict?name={names[0]}.nii.gz", bytes_of[0])
    ok(status == 200 and a["model"] == "trial" and a["results"][0]["scan"] == names[0] and a["results"][0]["probabilities"] == alone[names[0]] and not a["refused"],
       "a file's probabilities are those of headct predict to the bit")
    ok(a["weights_sha256"] == first["weights_sha256"], "and name the weights")
    status, a = server.json("POST", "/v1/predict", bytes_of[0])
    ok(status == 200 and a["results"][0]["probabilities"] == alone[names[0]], "without a name too")
    status, a = server.json("POST", "/v1/embed", bytes_of[0])
    ok(status == 200 and a["results"][0]["embedding"] == vector, "an embedding is that of headct embed to the bit")
    body, headers = form(list(zip([n + ".nii.gz" for n in names], bytes_of)) + [("../../notes.txt", b"no scan at all, but some text")])
    status, a = server.json("POST", "/v1/predict", body, headers)
    ok(status == 200 and {r["scan"]: r["probabilities"] for r in a["results"]} == alone, "a form of three scans: each as alone")
    ok(all("/dev/shm" not in json.dumps(r) for r in a["refused"]), "what is refused names no path of the server's")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as z:
        for n, b in zip(names, bytes_of):
            z.writestr(n + ".nii.gz", b)
    status, a = server.json("POST", "/v1/predict", packed.getvalue())
    ok(status in (200, 422) and (status == 422 or len(a["results"]) == 3), "a zip file is looked into")

    # The page, and what it asks for (in a browser: page.py)
    status, headers, page = server.ask("GET", "/")
    policy = dict(p.strip().split(" ", 1) for p in headers["Content-Security-Policy"].split(";"))
    hashed = lambda name: "'sha256-" + base64.b64encode(hashlib.sha256(re.search(f"<{name}>(.*?)</{name}>".encode(), page, re.S).group(1)).digest()).decode() + "'"
    ok(status == 200 and headers["Content-Type"].startswith("text/html") and policy["default-src"] == "'none'" and policy["connect-src"] == "'self'" and
       policy["script-src"] == hashed("script") and policy["style-src"] == hashed("style") and "unsafe" not in str(policy), "the page's policy: its own script and style by their hashes")
    ok(not re.search(rb"https?://", page) and not re.search(rb"<[^>]*\son[a-z]+=|<[^>]*\sstyle=", page), "it names no other address, and has no script or style in an element")
    status, a = server.json("POST", f"/v1/predict?name={names[0]}.nii.gz&view=slices", bytes_of[0])
    ok(status == 200 and a["results"][0]["probabilities"] == alone[names[0]] and 'class="viewer"' in a["results"][0]["view"] and "data-map=" not in a["results"][0]["view"], "slices on demand")
    status, a = server.json("POST", f"/v1/predict?name={names[0]}.nii.gz&view=slices&map=IPH", bytes_of[0])
    ok(status == 200 and "data-map=" in a["results"][0]["view"] and "map_refused" not in a["results"][0], "with a map over them")
    status, a = server.json("POST", "/v1/predict", bytes_of[0])
    ok(a["results"][0]["probabilities"] == alone[names[0]] and "view" not in a["results"][0], "after which answers are the same as before")
    ok([server.json("POST", "/v1/predict?" + q, bytes_of[0])[0] for q in ("map=IPH", "view=slices&map=Tumor", "view=all")] == [400] * 3, "a map without slices, of no task, another view: 400")

    # What is wrong
    ok(server.json("POST", "/v1/predict", b"\0" * 1000)[0] == 422, "no scan: 422, with a reason")
    ok(server.json("POST", "/v1/predict", bytes_of[0][:-2000])[0] == 422, "a scan that is cut short: 422")
    ok(server.json("POST", "/v1/predict", b"")[0] == 400, "no body: 400")
    ok(server.json("POST", "/v1/nothing", b"x")[0] == 404 and server.json("GET", "/index.html")[0] == 404, "an unknown path: 404")
    status, headers, _ = server.ask("GET", "/v1/predict")
    ok(status == 405 and headers.get("Allow") == "POST", "another method: 405 and which is allowed")
    try:
        big = server.json("POST", "/v1/predict", b"\0" * (9 << 20))[0]
    except (ConnectionError, http.client.HTTPException):
        big = 413  # the answer came before all was sent, and the socket was closed
    ok(big == 413, "too large: 413")
    ok(server.json("POST", "/v1/predict", b"--x\r\nbroken", {"Content-Type": "multipart/form-data; boundary=x"})[0] == 400, "a damaged form: 400")
    ok(server.json("POST", "/v1/predict", b"x", {"Content-Type": "multipart/form-data"})[0] == 400, "a form without a boundary: 400")

    # The shape of Google CT Foundation
    b64 = lambda b: {"raw_bytes": {"b64": base64.b64encode(b).decode()}}
    status, a = server.json("POST", "/v1/google:predict", json.dumps({"instances": [b64(bytes_of[0]), b64(b"no scan"), {"dicom_path": {}}, {"raw_bytes": {"b64": "###"}}, b64(bytes_of[1])]}))
    p = a["predictions"]
    ok(status == 200 and p[0]["embedding_result"]["embedding"] == vector and [sorted(x)[0] for x in p[1:]] == ["error_response"] * 3 + ["embedding_result"],
       "Google's shape: five instances, each with its own result or error")
    ok(server.json("POST", "/v1/google:predict", json.dumps({"instances": [b64(b"x")] * 6}))[0] == 400, "six are refused")
    ok(server.json("POST", "/v1/google:predict", b"{")[0] == 400, "so is what is no JSON")

    # A queue of two, one of whose places a slow client holds
    def slow_client():
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc")
        return s
    held = [slow_client(), slow_client()]
    time.sleep(0.3 * slow)
    status, headers, _ = server.ask("POST", "/v1/predict", bytes_of[0])
    ok(status == 429 and int(headers["Retry-After"]) >= 1, "no place: 429, and when to try again")
    ok(server.ask("GET", "/healthz")[0] == 200, "health is answered meanwhile")
    deadline = time.time() + 60 * slow
    while time.time() < deadline and server.ask("POST", "/v1/predict", bytes_of[0])[0] == 429:
        for s in held:
            try:
                s.sendall(b"x")
            except OSError:
                pass
        time.sleep(0.5)
    ok(time.time() < deadline, "one byte at a time does not hold a place for longer than --timeout")
    for s in held:
        s.close()

    # Many at once, good and bad, while the weights are replaced
    expected = [alone]
    open(f"{work}/other.safetensors", "wb").write(two[1])
    other = {}
    for s, n in zip(scans, names):
        run("predict", "--weights", f"{work}/other.safetensors", s, "--out", f"{work}/{n}-2.csv", "--quiet")
        row = next(csv.DictReader(open(f"{work}/{n}-2.csv")))
        other[n] = {k: float(row[k]) for k in ("SDH", "IPH")}
    ok(other != alone, "the second model says other things")
    seen, wrong = set(), []

    def client(k):
        for i in range(6):
            n = (i + k) % 3
            if (i + k) % 5 == 4:
                status, a = server.json("POST", "/v1/predict", b"bad" * 100)
                if status not in (422, 429):
                    wrong.append(status)
                continue
            while True:
                status, a = server.json("POST", f"/v1/predict?name={names[n]}.nii.gz", bytes_of[n])
                if status != 429:
                    break
                time.sleep(0.05)
            got = a["results"][0]["probabilities"] if status == 200 else status
            if got == alone[names[n]] and a["weights_sha256"] == first["weights_sha256"]:
                seen.add(1)
            elif status == 200 and got == other[names[n]] and a["weights_sha256"] != first["weights_sha256"]:
                seen.add(2)
            else:
                wrong.append(got)

    threads = [threading.Thread(target=client, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    time.sleep(0.2)
    os.replace(f"{work}/other.safetensors", weights)
    server.p.send_signal(signal.SIGHUP)
    for t in threads:
        t.join()
    status, a = server.json("POST", f"/v1/predict?name={names[0]}.nii.gz", bytes_of[0])
    ok(not wrong, f"no answer is wrong or lost while weights are replaced {wrong[:3]}")
    ok(status == 200 and a["results"][0]["probabilities"] == other[names[0]], "then the new weights answer")
    open(weights, "wb").write(b"damaged")
    server.p.send_signal(signal.SIGHUP)
    deadline = time.time() + 30 * slow
    while time.time() < deadline and 'headct_reloads_total{result="bad"} 1' not in server.ask("GET", "/metrics")[2].decode():
        time.sleep(0.1)
    ok(server.json("POST", "/v1/predict", bytes_of[0])[1]["results"][0]["probabilities"] == other[names[0]], "damaged weights are refused, the ones before stay")
    text = server.ask("GET", "/metrics")[2].decode()
    ok('headct_requests_total{path="/v1/predict",status="200"}' in text and 'headct_reloads_total{result="good"} 1' in text and "headct_queue_places" in text, "metrics")
    ok(len(shm()) == 1 and not os.listdir(shm()[0]), "no file of a request is left in memory")

    # An end while a request is at work
    got = []
    t = threading.Thread(target=lambda: got.append(server.json("POST", "/v1/embed", body := form([(f"{i}.nii.gz", b) for i, b in enumerate(bytes_of * 2)])[0], form([])[1])))
    t.start()
    time.sleep(0.15)
    root, code = shm(), server.stop()
    t.join()
    ok(code == 0 and (got and got[0][0] == 200 and len(got[0][1]["results"]) == 6), "SIGTERM: what is held is finished, status 0")
    ok(not any(os.path.exists(r) for r in root), "and the folder in memory is gone")
    log = open(f"{work}/log").read()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    ok(len(lines) > 60 and all(set(x) == {"time", "path", "status", "seconds", "bytes", "scans"} for x in lines) and not any(n in log for n in names) and "127.0.0.1" not in log,
       "a JSON line a request, without names or addresses")

    # A server that was killed leaves its folder to the next one
    server = Server("--weights", f"{work}/run1/weights.safetensors", "--quiet", log="log2")
    root = shm()
    server.p.kill()
    server.p.wait()
    token = f"{work}/token"
    open(token, "w").write("0123456789abcdef-secret\n")
    os.chmod(token, 0o600)
    server = Server("--run", f"{work}/run1", "--token-file", token, "--address", "0.0.0.0", log="log3")
    ok(root and not os.path.exists(root[0]), "what a killed server left is removed by the next")
    ok(server.port > 0 and server.json("GET", "/v1/models")[0] == 401 and server.json("POST", "/v1/predict", bytes_of[0])[0] == 401, "no token: 401")
    ok(server.json("GET", "/v1/models", headers={"Authorization": "Bearer 0123456789abcdef-secreT"})[0] == 401, "a wrong one: 401")
    ok(server.json("POST", "/v1/predict", bytes_of[0], {"Authorization": "Bearer 0123456789abcdef-secret"})[0] == 200, "the right one: 200")
    ok(server.ask("GET", "/healthz")[0] == 200, "health needs none")
    ok(server.stop() == 0, "and it ends")

    # A unix socket, an encoder alone
    path = f"{work}/s"
    run("export", "--weights", weights if False else f"{work}/run1/weights.safetensors", "--out", f"{work}/x.safetensors")
    server = Server("--weights", f"{work}/run1/weights.safetensors", "--socket", path, log="log4")
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    answer = b""
    while part := s.recv(4096):
        answer += part
    ok(b" 200 " in answer.split(b"\r\n")[0] and os.stat(path).st_mode & 0o777 == 0o600, "a unix socket of its owner alone")
    ok(server.stop() == 0 and not os.path.exists(path), "is removed at the end")

    # HTTPS of its own
    cert, key = f"{work}/cert.pem", f"{work}/key.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                           "subjectAltName=IP:127.0.0.1"], capture_output=True)
    ok(made.returncode == 0, "a certificate")
    server = Server("--weights", f"{work}/run1/weights.safetensors", "--tls-cert", cert, "--tls-key", key, log="log5")
    trusted = ssl.create_default_context(cafile=cert)
    c = http.client.HTTPSConnection("127.0.0.1", server.port, context=trusted, timeout=60 * slow)
    c.request("POST", f"/v1/predict?name={names[0]}.nii.gz", bytes_of[0])
    r = c.getresponse()
    a = json.loads(r.read())
    ok(r.status == 200 and a["results"][0]["probabilities"] == alone[names[0]] and c.sock is not None and c.sock.version() in ("TLSv1.2", "TLSv1.3"), "HTTPS by --tls-cert and --tls-key")
    c.close()
    try:
        plain = server.ask("GET", "/healthz")[0]
    except (OSError, http.client.HTTPException):
        plain = 0
    ok(plain != 200, "plain HTTP gets nothing there")
    warnings.simplefilter("ignore", DeprecationWarning)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    try:
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", server.port)) as s, old.wrap_socket(s):
            spoke = True
    except (OSError, ValueError):
        spoke = False
    ok(not spoke, "TLS 1.1 is not spoken")
    ok(server.stop() == 0, "and it ends")

    def refused(text, name, *options):
        r = run("serve", *options)
        ok(r.returncode != 0 and text in r.stderr and len(r.stderr.strip().splitlines()) >= 1, name)

    w1 = f"{work}/run1/weights.safetensors"
    refused("a token is needed", "beyond this machine without a token", "--weights", w1, "--address", "0.0.0.0")
    refused("numeric address", "a name for an address", "--weights", w1, "--address", "localhost")
    open(token, "w").write("short\n")
    refused("16 characters", "a token of five characters", "--weights", w1, "--token-file", token)
    refused("No such file", "no weights", "--weights", f"{work}/none.safetensors", "--port", "0")
    refused("--tls-cert and --tls-key go together", "a certificate without its key", "--weights", w1, "--tls-cert", cert)
    refused("holds no private key", "a key that is none", "--weights", w1, "--tls-cert", cert, "--tls-key", cert, "--port", "0")
    subprocess.run(["openssl", "genrsa", "-out", f"{work}/other.pem", "2048"], capture_output=True)
    refused("no certificate and key that go together", "a key of another certificate", "--weights", w1, "--tls-cert", cert, "--tls-key", f"{work}/other.pem", "--port", "0")
    refused("excludes --tls-cert", "TLS on a unix socket", "--weights", w1, "--tls-cert", cert, "--tls-key", key, "--socket", f"{work}/t")
    refused("one of --weights", "neither weights nor a run", "--port", "0")
print(f"1..{count}")
sys.exit(failed)
