"""What the tests of the doors to a hospital share: TAP, a tiny classifier, a made-up head as a DICOM series, and a reader of the files that headct
writes (explicit VR little endian), in plain Python."""
import array
import functools
import os
import shutil
import struct
import subprocess

count, failed = 0, False


def ok(good, name):
    global count, failed
    count += 1
    failed = failed or not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    return good


def skip(name, why):
    global count
    count += 1
    print(f"ok {count} - {name} # SKIP {why}", flush=True)


def done():
    print(f"1..{count}")
    return failed


class Program:
    def __init__(self, headct):
        self.headct = headct

    def __call__(self, *words, **options):
        return subprocess.run([self.headct, *map(str, words)], capture_output=True, text=True, **options)

    def tiny_run(self, work, name="run"):
        """Phantoms in WORK/ph, their dataset WORK/data, a linear probe WORK/NAME of the tasks SDH and IPH with thresholds chosen on validation."""
        with open(f"{work}/probe.yaml", "w") as f:
            f.write("method: probe\nmodel: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}\n"
                    "optim: {epochs: 3, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\n"
                    "data: {tasks: [SDH, IPH], image: 24}\nprobe: {features: random}\n")
        for words in (("phantom", "--out", f"{work}/ph", "--plain", "--patients", 12, "--scans-per-patient", 1, "--prevalence", 0.5, "--size", "tiny", "--seed", 3, "--quiet"),
                      ("prepare", "--in", f"{work}/ph", "--out", f"{work}/data", "--labels", f"{work}/ph/labels.csv", "--quiet"),
                      ("split", f"{work}/data", "--ratios", "6:3:3", "--seed", 1),
                      ("probe", "--recipe", f"{work}/probe.yaml", "--data", f"{work}/data", "--run", f"{work}/{name}", "--quiet"),
                      ("evaluate", "--run", f"{work}/{name}", "--operating", "youden")):
            r = self(*words)
            if r.returncode:
                print("#", *words, r.stderr)
                return False
        return True


def has(program):
    return shutil.which(program) is not None


# ---- a head ----

def _element(tag, vr, value):
    if isinstance(value, str):
        value = value.encode("latin-1")
    value += (b"\0" if vr in ("UI", "OB", "OW") else b" ") * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xffff) + vr.encode()
    return head + (b"\0\0" + struct.pack("<I", len(value)) if vr in ("OB", "OW", "SQ", "UT", "UN") else struct.pack("<H", len(value))) + value


def _head_hu(x, y, z, bleed):
    if (x + 35) ** 2 + (y + 20) ** 2 + (z - 15) ** 2 < bleed ** 2:
        return 75
    inside = x * x / 4761 + y * y / 7921 + z * z / 6241
    return 35 if inside < 1 else 1000 if x * x / 5625 + y * y / 9025 + z * z / 7225 < 1 else -1000


@functools.lru_cache(maxsize=None)
def _slice(side, mm, z, bleed):
    half = (side - 1) / 2
    return array.array("H", (min(max(_head_hu((c - half) * mm, (r - half) * mm, z, bleed) + 1024, 0), 4095) for r in range(side) for c in range(side))).tobytes()


def dicom_slices(study="1.2.826.0.1.3680043.8.498.9", series=2, slices=34, bleed=15, more=()):
    """The files of a series, one bytes object a slice: 128 x 128 pixels of 1.6 mm, 5 mm apart. more: further (tag, vr, value)."""
    class_uid, side, mm = "1.2.840.10008.5.1.4.1.1.2", 128, 1.6
    for k in range(slices):
        z, uid = -80 + 5.0 * k, f"{study}.{series}.{k + 1}"
        pixels = _slice(side, mm, z, bleed)
        us = lambda v: struct.pack("<H", v)
        elements = [
            (0x00080005, "CS", "ISO_IR 100"), (0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"), (0x00080016, "UI", class_uid), (0x00080018, "UI", uid), (0x00080020, "DA", "20200101"),
            (0x00080030, "TM", "101112"), (0x00080050, "SH", "ACC4711"), (0x00080060, "CS", "CT"), (0x00080070, "LO", "SIEMENS"), (0x00080090, "PN", "Who^Sent"),
            (0x00081030, "LO", "HEAD"), (0x0008103e, "LO", "HEAD"), (0x00100010, "PN", "M\xfcller^Made up"), (0x00100020, "LO", "PAT 0815"), (0x00100030, "DA", "19500102"),
            (0x00100040, "CS", "F"), (0x00180050, "DS", "5"), (0x00180060, "DS", "120"), (0x0020000d, "UI", study), (0x0020000e, "UI", f"{study}.{series}"),
            (0x00200010, "SH", "7"), (0x00200011, "IS", str(series)), (0x00200012, "IS", "1"), (0x00200013, "IS", str(k + 1)),
            (0x00200032, "DS", f"{-63.5 * mm}\\{-63.5 * mm}\\{z}"), (0x00200037, "DS", "1\\0\\0\\0\\1\\0"), (0x00200052, "UI", f"{study}.8"), (0x00280002, "US", us(1)),
            (0x00280004, "CS", "MONOCHROME2"), (0x00280010, "US", us(side)), (0x00280011, "US", us(side)), (0x00280030, "DS", f"{mm}\\{mm}"), (0x00280100, "US", us(16)),
            (0x00280101, "US", us(12)), (0x00280102, "US", us(11)), (0x00280103, "US", us(0)), (0x00281052, "DS", "-1024"), (0x00281053, "DS", "1"),
            (0x7fe00010, "OW", pixels)]
        replaced = {t for t, _, _ in more}
        data = b"".join(_element(*e) for e in sorted([e for e in elements if e[0] not in replaced] + list(more)))
        meta = b"".join(_element(*e) for e in ((0x00020001, "OB", b"\0\1"), (0x00020002, "UI", class_uid), (0x00020003, "UI", uid), (0x00020010, "UI", "1.2.840.10008.1.2.1"),
                                              (0x00020012, "UI", "1.2.826.0.1.3680043.8.498.1")))
        yield b"\0" * 128 + b"DICM" + _element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta + data


def write_series(folder, **options):
    os.makedirs(folder, exist_ok=True)
    for k, data in enumerate(dicom_slices(**options)):
        with open(f"{folder}/IM{k + 1:04d}.dcm", "wb") as f:
            f.write(data)


# ---- what headct wrote ----

def _read_set(data, at, end, in_item=False):
    found = {}
    while at < end:
        group, element = struct.unpack_from("<HH", data, at)
        tag = group << 16 | element
        if tag == 0xfffee00d:
            return found, at + 8
        vr = data[at + 4:at + 6].decode()
        long = vr in ("OB", "OW", "OF", "SQ", "UT", "UN", "UC", "UR")
        n = struct.unpack_from("<I" if long else "<H", data, at + (8 if long else 6))[0]
        at += 12 if long else 8
        if vr == "SQ":
            items, stop = [], end if n == 0xffffffff else at + n
            while at < stop:
                mark, length = struct.unpack_from("<II", data, at)
                at += 8
                if mark == 0xe0ddfffe:
                    break
                assert mark == 0xe000fffe, hex(mark)
                item, at = _read_set(data, at, end if length == 0xffffffff else at + length, True)
                items.append(item)
            found[tag] = items
        else:
            value = data[at:at + n]
            found[tag] = struct.unpack(f"<{n // 8}d", value)[0] if vr == "FD" else struct.unpack("<H", value[:2])[0] if vr == "US" and n else value if vr in ("OB", "OW") else value.rstrip(b"\0 ").decode("latin-1")
            at += n
    return found, at


def read_dicom(path):
    """{tag: text, number, bytes or list of items} of a file in explicit VR little endian."""
    data = open(path, "rb").read()
    assert data[128:132] == b"DICM", path
    return _read_set(data, 132, len(data))[0]


def items_of(sr, path=()):
    """All content items of a structured report: (names of the containers around it, value type, name, item)."""
    for item in sr.get(0x0040a730, []):
        name = item[0x0040a043][0][0x00080104]
        yield path, item[0x0040a040], name, item
        yield from items_of(item, path + (name,))


def scores_of(sr):
    """{(series UID, task): {"probability", "threshold", "above"}} of headct's report."""
    found = {}

    def walk(node):
        for item in node.get(0x0040a730, []):
            if item[0x0040a043][0][0x00080104] != "Measurement Group":
                walk(item)
                continue
            told = {i[0x0040a043][0][0x00080104]: i for i in item[0x0040a730]}
            number = lambda name: told[name][0x0040a300][0][0x0040a161] if name in told else None
            above = told.get("Probability reaches the threshold")
            found[told["Series Instance UID"][0x0040a124], told["Finding"][0x0040a168][0][0x00080104]] = {
                "probability": number("Probability of the finding"), "threshold": number("Threshold chosen on validation"),
                "above": above and above[0x0040a168][0][0x00080104] == "Yes"}
    walk(sr)
    return found
