"""What every area of gpu-check shares: commands with a limit whose whole output is kept, the time that is left, and one file at the end in which no name of
a machine or a person stands."""
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOST_BYTES = 1_900_000  # of the file at the end
MOST_LOG = 400_000  # of one command's output


class Red(Exception):
    """An area in which something does not hold; the text is its sentence."""


class Skipped(Exception):
    """An area that cannot be looked at here; the text says why."""


class Result:
    def __init__(self, status, text, seconds, late):
        self.status, self.text, self.seconds, self.late = status, text, seconds, late

    @property
    def ok(self):
        return self.status == 0

    def last(self, n=200):
        """The last line that says something, for a sentence."""
        lines = [l.strip() for l in self.text.splitlines() if l.strip()]
        return "not done in time" if self.late else (lines[-1][-n:] if lines else f"status {self.status}")


class Report:
    def __init__(self, args, shares):
        self.args, self.shares, self.began = args, shares, time.time()
        self.folder = tempfile.mkdtemp(prefix="gpu-check-")
        self.work = tempfile.mkdtemp(prefix="gpu-check-work-")
        self.build = os.path.join(ROOT, args.build)
        self.areas, self.env, self.device, self.card, self.peak = {}, {}, "cuda", "unknown", None
        self.cuts, self.ends = [], self.began + args.budget

    # ---- time ----

    def left(self):
        return self.args.budget - (time.time() - self.began)

    def begin(self, area):
        """The share of what is left that belongs to this area, of those that are still to come."""
        names = list(self.shares)
        rest = sum(self.shares[n] for n in names[names.index(area):])
        self.ends = time.time() + self.left() * self.shares[area] / rest
        self.cuts = []

    def time(self):
        """Seconds that the area has left."""
        return self.ends - time.time()

    def cut(self, what):
        self.cuts.append(what)

    # ---- commands ----

    def run(self, area, name, command, limit=None, env=None):
        """Runs a command within the area's time (and its own limit); everything it prints goes to a log. Never raises."""
        limit = max(min(limit or 1e9, self.time()), 1)
        full = dict(os.environ, **self.env, **(env or {}))
        began, late = time.time(), False
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env=full, start_new_session=True)
        except OSError as e:
            self.log(area, name, f"$ {command[0]}\n{e}\n")
            return Result(127, f"{os.path.basename(command[0])} cannot be started: {e.strerror}", 0, False)
        try:
            out = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            late = True
            os.killpg(process.pid, 9)
            out = process.communicate()[0]
        text, seconds = out.decode(errors="replace"), time.time() - began
        shown = " ".join([f"{k}={v}" for k, v in (env or {}).items()] + [os.path.relpath(c, ROOT) if c.startswith(ROOT) else c for c in command])
        self.log(area, name, f"$ {shown}\n{text}\n[status {process.returncode}, {seconds:.1f} s{', not done in time' if late else ''}]\n")
        return Result(process.returncode, text, seconds, late)

    def headct(self, area, name, *arguments, **k):
        return self.run(area, name, [os.path.join(self.build, "apps/headct"), *arguments], **k)

    def log(self, area, name, text):
        folder = os.path.join(self.folder, "logs", area)
        os.makedirs(folder, exist_ok=True)
        if len(text) > MOST_LOG:
            text = text[:MOST_LOG // 2] + f"\n[... {len(text) - MOST_LOG} characters left out ...]\n" + text[-MOST_LOG // 2:]
        with open(os.path.join(folder, re.sub(r"[^\w.+-]+", "_", name) + ".txt"), "a", encoding="utf-8") as f:
            f.write(text)

    # ---- areas ----

    def area(self, name, function):
        """Runs one; whatever goes wrong in it, the others go on."""
        self.begin(name)
        began = time.time()
        print(f"{name} ...", flush=True)
        try:
            sentence, figures = function(self)
            status = "green"
        except Red as e:
            sentence, figures, status = str(e.args[0]), e.args[1] if len(e.args) > 1 else {}, "red"
        except Skipped as e:
            sentence, figures, status = str(e), {}, "skipped"
        except Exception as e:  # of this script: a report with a hole is better than none
            sentence, figures, status = f"gpu-check itself fails here: {type(e).__name__}: {e}", {}, "red"
        if self.cuts:
            sentence += " Cut: " + ", ".join(self.cuts) + "."
        self.areas[name] = {"status": status, "sentence": sentence, "seconds": round(time.time() - began, 1), "cut": self.cuts, "figures": figures}
        print(f"{name}: {status}, {time.time() - began:.0f} s. {sentence}"[:600], flush=True)
        self.write()
        return status != "red"

    def not_reached(self, name, why):
        self.areas[name] = {"status": "cut", "sentence": why, "seconds": 0, "cut": [name], "figures": {}}

    # ---- what is written ----

    def verdict(self):
        red = [n for n, a in self.areas.items() if a["status"] == "red"]
        cut = [n for n, a in self.areas.items() if a["cut"]]
        sentence = ("Dry run on the emulated device, no GPU was used. " if self.args.dry else "") + (
            f"Red: {', '.join(red)}." if red else "Nothing is red.") + (f" Cut: {', '.join(cut)}." if cut else "")
        return {"what": "headct gpu-check", "dry": self.args.dry, "card": self.card, "seconds": round(time.time() - self.began), "budget": self.args.budget,
                "overall": "red" if red else "green", "sentence": sentence, "areas": self.areas}

    def write(self):
        with open(os.path.join(self.folder, "verdict.json"), "w", encoding="utf-8") as f:
            json.dump(self.verdict(), f, indent=1)

    def private(self):
        """Words of this machine that no reader needs: where they stand, something else does."""
        words = {ROOT: "SOURCE", self.work: "WORK", self.folder: "REPORT", os.path.expanduser("~"): "HOME"}
        names = {socket.gethostname(), socket.getfqdn(), os.uname().nodename, socket.gethostname().split(".")[0]}
        try:
            names.add(getpass.getuser())
        except (KeyError, OSError):
            pass
        words.update({n: "NAME" for n in names if n and n not in ("localhost", "root")})
        return sorted(words.items(), key=lambda w: -len(w[0]))

    def scrub(self):
        words = self.private()
        for folder, _, files in os.walk(self.folder):
            for f in files:
                path = os.path.join(folder, f)
                text = open(path, encoding="utf-8", errors="replace").read()
                for word, instead in words:
                    text = re.sub(r"(?<![A-Za-z0-9])" + re.escape(word) + r"(?![A-Za-z0-9])", instead, text)
                open(path, "w", encoding="utf-8").write(text)

    def pack(self):
        """The one file: small enough to be sent, the longest logs shortened where it is not."""
        self.write()
        self.scrub()
        card = re.sub(r"[^\w]+", "-", self.card).strip("-")
        path = os.path.join(self.args.out, f"gpu-check-{card}.tar.gz")
        os.makedirs(self.args.out, exist_ok=True)
        for most in (MOST_LOG, 100_000, 30_000, 8_000, 2_000):
            for folder, _, files in os.walk(os.path.join(self.folder, "logs")):
                for f in files:
                    text = open(os.path.join(folder, f), encoding="utf-8").read()
                    if len(text) > most:
                        open(os.path.join(folder, f), "w", encoding="utf-8").write(text[:most // 2] + "\n[... shortened ...]\n" + text[-most // 2:])
            with tarfile.open(path + ".tmp", "w:gz") as t:
                t.add(self.folder, arcname=f"gpu-check-{card}", filter=lambda i: self.nameless(i))
            if os.path.getsize(path + ".tmp") < MOST_BYTES:
                break
        os.replace(path + ".tmp", path)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)
        return path

    @staticmethod
    def nameless(info):
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return info
