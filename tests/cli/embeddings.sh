#!/bin/sh
# Embeddings made elsewhere through the program: each kind of file gives a probe's, a few-shot run's and a projection's figures, those of headct embed
# the very bytes of a probe of the encoder; who is left out is listed; what is wrong with a file is one line. $1: headct.
. "$(dirname "$0")/../support/tap.sh"
headct=$1
q="--quiet"
printf 'method: probe\nmodel: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48}\noptim: {epochs: 3, batch: 8, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\ndata: {tasks: [SDH], image: 24}\n' >"$work/probe.yaml"
"$headct" phantom --out "$work/ph" --plain --patients 24 --scans-per-patient 1 --prevalence 0.5 --size tiny --seed 3 $q >/dev/null
check "prepare" "$headct" prepare --in "$work/ph" --out "$work/data" --labels "$work/ph/labels.csv" $q
check "split" "$headct" split "$work/data" --ratios 5:2:3 --seed 1
# Weights of any encoder: those of a classifier of a random one.
check "weights" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --set probe.features=random --run "$work/random" $q
w=$work/random/weights.safetensors
check "embed" "$headct" embed --weights "$w" --data "$work/data" --out "$work/own.safetensors" $q
run=0
probe() { rm -rf "$work/run"; "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --run "$work/run" $q "$@"; }
check "a probe of the encoder" probe --weights "$w"
mv "$work/run" "$work/encoder"
check "by logistic regression" probe --weights "$w" --protocol logistic --set probe.standardize=true --set probe.c=0.5
grep -q "^protocol logistic: .*C as set$" "$work/out" && grep -q "^chosen   SDH C 0.5$" "$work/out"
ok $? "the protocol and its choice are said"
"$headct" predict --run "$work/run" --data "$work/data" --split test $q --out "$work/predicted.csv" >/dev/null
python3 - "$work" <<'P'
import csv, sys
read = lambda p: {r["scan"]: r for r in csv.DictReader(l for l in open(p) if not l.startswith("#"))}
a, b = read(sys.argv[1] + "/run/predictions.csv"), read(sys.argv[1] + "/predicted.csv")
key = next(k for k in next(iter(b.values())) if "SDH" in k and "label" not in k)
sys.exit(not b or any(abs(float(a[s][key]) - float(r[key])) > 1e-5 for s, r in b.items()))
P
ok $? "predict runs that head"

# The same numbers in every kind of file; each bad file differs from a good one in one thing. Written by hand: numpy need not be there.
cat >"$work/files.py" <<'P'
import io, json, pickle, struct, sys, zipfile
w = sys.argv[1] + "/"
b = open(w + "own.safetensors", "rb").read()
h = struct.unpack("<Q", b[:8])[0]
head = json.loads(b[8:8 + h])
n, width = head["embeddings"]["shape"]
at = 8 + h + head["embeddings"]["data_offsets"][0]
raw = b[at:at + 4 * n * width]
rows = [list(struct.unpack("<%df" % width, raw[4 * width * i:4 * width * (i + 1)])) for i in range(n)]
ids = json.loads(head["__metadata__"]["scans"])
flat = lambda rows: [v for r in rows for v in r]
def put(name, data): open(w + name, "wb" if isinstance(data, bytes) else "w").write(data)
def tensors(entries, meta=None):
    head, data = ({"__metadata__": meta} if meta else {}), b""
    for name, shape, values in entries:
        bytes = struct.pack("<%df" % len(values), *values)
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(bytes)]}
        data += bytes
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data
def npy(descr, shape, data, order=False, version=1):
    text = ("{'descr': %s, 'fortran_order': %s, 'shape': %s, }" % (descr if descr[0] in "[(" else "'%s'" % descr, order, shape)).encode()
    wide = 2 if version == 1 else 4
    text += b" " * (-(len(text) + 7 + 1 + wide) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data
def npz(members, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in members.items():
            with z.open(name + ".npy", "w", force_zip64=True) as f: f.write(data)
    return out.getvalue()
f4 = npy("<f4", (n, width), raw)
def texts(ids, big=False):
    m = max(map(len, ids))
    return npy((">U%d" if big else "<U%d") % m, "(%d,)" % len(ids), b"".join(i.ljust(m, "\0").encode("utf-32-be" if big else "utf-32-le") for i in ids))
class Reconstructed:  # what numpy pickles an array of objects as
    def __init__(self, items): self.items = items
    def __reduce__(self): return ndarray_of, (ndarray_type, (0,), b"b"), (1, (len(self.items),), dtype_of("O8"), False, self.items)
import types
multi, np = types.ModuleType("numpy.core.multiarray"), types.ModuleType("numpy")
exec("def _reconstruct(a, b, c): pass", multi.__dict__); exec("class ndarray: pass\nclass dtype:\n def __init__(self, *a): pass\n def __reduce__(self): return dtype, ('O8', False, True), (3, '|', None, None, None, -1, -1, 63)", np.__dict__)
multi._reconstruct.__module__, np.ndarray.__module__, np.dtype.__module__ = "numpy.core.multiarray", "numpy", "numpy"
sys.modules.update({"numpy": np, "numpy.core": types.ModuleType("numpy.core"), "numpy.core.multiarray": multi})
ndarray_of, ndarray_type, dtype_of = multi._reconstruct, np.ndarray, np.dtype
def objects(value, shape, protocol=4): return npy("|O", shape, pickle.dumps(value, protocol))
table = lambda ids, rows, d=",": d.join(["scan"] + ["e%d" % k for k in range(len(rows[0]))]) + "\n" + "".join(d.join([i] + [repr(v) for v in r]) + "\n" for i, r in zip(ids, rows))
lines = lambda ids, rows: "".join(json.dumps({"scan": i, "embedding": r}) + "\n" for i, r in zip(ids, rows))
# good
put("plain.safetensors", tensors([("embeddings", [n, width], flat(rows))], {"scans": json.dumps([i + ".nii.gz" for i in ids])}))
put("each.safetensors", tensors([(i, [width], r) for i, r in zip(ids, rows)]))
put("a.npy", f4); put("a.npy.ids", "\n".join(ids) + "\n")
put("b.npy", npy(">f8", (n, width), struct.pack(">%dd" % (n * width), *[rows[i][k] for k in range(width) for i in range(n)]), True, 3)); put("b.json", json.dumps(ids))
put("c.npy", f4); put("c.csv", "site,scan\n" + "".join("x,%s.nii\n" % i for i in ids))
put("a.npz", npz({"embeddings": f4, "scans": texts(ids)}))
put("big.npz", npz({"embeddings": f4, "scans": texts(ids, True)}))
put("object.npz", npz({"embeddings": f4, "scans": objects(Reconstructed(ids), "(%d,)" % n)}))
put("each.npz", npz({i: npy("<f4", (width,), struct.pack("<%df" % width, *r)) for i, r in zip(ids, rows)}))
put("a.csv", table(ids, rows)); put("semicolon.csv", table(ids, rows, ";"))
put("a.jsonl", lines(ids, rows)); put("list.json", json.dumps([{"scan": i, "embedding": r} for i, r in zip(ids, rows)]))
put("google.jsonl", "".join(json.dumps({"scan": i, "embedding_result": {"embedding": r, "contents_hash": "x"}}) + "\n" for i, r in zip(ids, rows)))
# two vectors a scan: the row and another, whose mean is the row to the bit (powers of two apart)
pairs = [[[v * 1.5 for v in r], [v * 0.5 for v in r]] for r in rows]
put("two.safetensors", tensors([("embeddings", [n, 2, width], flat(flat(pairs)))], {"scans": json.dumps(ids)}))
put("two-each.safetensors", tensors([(i, [2, width], flat(p)) for i, p in zip(ids, pairs)]))
put("two.npy", npy("<f4", (n, 2, width), struct.pack("<%df" % (2 * n * width), *flat(flat(pairs))))); put("two.npy.ids", "\n".join(ids) + "\n")
put("two-fortran.npy", npy("<f4", (n, 2, width), struct.pack("<%df" % (2 * n * width), *[pairs[i][v][k] for k in range(width) for v in range(2) for i in range(n)]), True)); put("two-fortran.npy.ids", "\n".join(ids) + "\n")
put("two.jsonl", lines(ids, pairs)); put("uneven.jsonl", lines(ids, [p if i != 3 else p + p for i, p in enumerate(pairs)])); put("ragged.jsonl", lines(ids, [p if i != 3 else [p[0], p[1][:-1]] for i, p in enumerate(pairs)]))
# some missing, some unknown
put("some.csv", table(ids[2:] + ["elsewhere/1", "elsewhere2"], rows[2:] + rows[:2]))
put("strangers.jsonl", lines(["x%d" % i for i in range(n)], rows))
labels = [l.split(",") for l in open(w + "ph/labels.csv").read().split()]
sdh = labels[0].index("SDH"); positive = {l[0].replace(".nii.gz", "") for l in labels[1:] if l[sdh] == "1"}
keep = [k for k in range(n) if ids[k] not in positive]
put("one-class.jsonl", lines([ids[k] for k in keep], [rows[k] for k in keep]))
# bad
wide = [r[:] for r in rows]; wide[3] = wide[3][:-1]
nan = [r[:] for r in rows]; nan[3] = [float("nan")] * width
huge = [r[:] for r in rows]; huge[3] = [1e300] * width
twice = ids[:]; twice[5] = ids[1]
same = ids[:]; same[5] = ids[1] + ".nii.gz"
put("empty.csv", ""); put("header.csv", table(ids, rows).split("\n")[0] + "\n"); put("no-scan.csv", table(ids, rows).replace("scan", "id", 1))
put("text.csv", table(ids, rows).replace(repr(rows[3][2]), "n/a", 1)); put("nan.csv", table(ids, nan)); put("huge.csv", table(ids, huge)); put("twice.csv", table(twice, rows)); put("same.csv", table(same, rows))
put("cut.csv", table(ids, rows)[:-4]); put("short.csv", table(ids, rows)[:-len(table(ids, rows)) // 3].rsplit(",", 2)[0])
put("wide.jsonl", lines(ids, wide)); put("nan.jsonl", lines(ids, nan)); put("huge.jsonl", lines(ids, huge)); put("short.jsonl", lines(ids, rows)[:-40]); put("no-scan.jsonl", lines(ids, rows).replace('"scan"', '"id"'))
put("word.jsonl", '{"scan": "a", "embedding": [1, "2"]}\n'); put("none.jsonl", '{"scan": "a"}\n')
put("short.safetensors", b[:-7]); put("wide.safetensors", tensors([(i, [len(r)], r) for i, r in zip(ids, wide)])); put("deep.safetensors", tensors([("embeddings", [n, 2, 2, width // 4], flat(rows))]))
put("list.safetensors", tensors([("embeddings", [n, width], flat(rows))], {"scans": json.dumps(ids[1:])})); put("no-list.safetensors", tensors([("embeddings", [n, width], flat(rows))]))
put("nan.safetensors", tensors([("embeddings", [n, width], flat(nan))], {"scans": json.dumps(ids)})); put("twice.safetensors", tensors([("embeddings", [n, width], flat(rows))], {"scans": json.dumps(twice)}))
put("no-ids.npy", f4); put("short.npy", f4[:-9]); put("head.npy", f4[:20]); put("start.npy", f4[:4]); put("few.npy", f4); put("few.npy.ids", "\n".join(ids[1:])); put("whole.npy", npy("<i8", (n, width), raw * 2)); put("deep.npy", npy("<f4", (n, 2, 2, width // 4), raw)); put("struct.npy", npy("[('a', '<f4')]", (n, width), raw))
put("object.npy", objects({i: 1 for i in ids}, "()")); put("packed.npz", npz({"embeddings": f4, "scans": texts(ids)}, zipfile.ZIP_DEFLATED)); put("short.npz", npz({"embeddings": f4, "scans": texts(ids)})[:-30])
damaged = bytearray(npz({"embeddings": f4, "scans": texts(ids)})); damaged[400] ^= 1; put("damaged.npz", bytes(damaged))
class Run:
    def __reduce__(self): import os; return os.system, ("touch " + w + "ran",)
put("evil.npz", npz({"embeddings": f4, "scans": objects(Run(), "(%d,)" % n)})); put("numbers.npz", npz({"embeddings": f4, "scans": objects(Reconstructed(list(range(n))), "(%d,)" % n)}))
put("a.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 64); put("a.csv.gz", b"\x1f\x8b\x08" + b"\0" * 20)
P
check "files" python3 "$work/files.py" "$work"

# The scores are the encoder's to the bit, whatever the file.
same() {
    name=$1
    shift
    check "$name" probe "$@"
    cmp -s "$work/run/predictions.csv" "$work/encoder/predictions.csv" && cmp -s "$work/run/metrics.json" "$work/encoder/metrics.json" && [ ! -e "$work/run/left_out.csv" ]
    ok $? "gives the scores of a probe of the encoder"
}
same "the file of headct embed" --embeddings "$work/own.safetensors"
grep -q "\"weights_sha256\":\"$(sha256sum "$work/own.safetensors" | cut -c1-64)\"" "$work/run/predictions.csv.json"
ok $? "the run's origin is the file's hash"
[ ! -e "$work/run/weights.safetensors" ] && [ -s "$work/run/checkpoints/task-1-best.safetensors" ]
ok $? "the heads are kept, and no whole classifier"
refuses 1 "made elsewhere has no encoder" "predict by such a run" "$headct" predict --run "$work/run" --data "$work/data" --out "$work/p.csv"
refuses 1 "already" "nothing is run over it" "$headct" probe --recipe "$work/probe.yaml" --data "$work/data" --embeddings "$work/own.safetensors" --run "$work/run" $q
for f in plain.safetensors each.safetensors a.npy a.npz big.npz object.npz each.npz a.csv semicolon.csv a.jsonl list.json google.jsonl; do same "$f" --embeddings "$work/$f"; done
same "b.npy, ids in a JSON list" --embeddings "$work/b.npy" --embedding-ids "$work/b.json"
same "c.npy, ids in a CSV, by keys" --set probe.features=embeddings --set "probe.embeddings=$work/c.npy" --set "probe.embedding_ids=$work/c.csv"


# Several vectors a scan: a linear probe takes their mean, attention and AB-MIL all of them; alike whatever the file.
about() { # figures beside the encoder's, to float32's rounding of the mean
    python3 - "$work" "$@" <<'P'
import csv, sys
w = sys.argv[1]
a, b = ({r["scan"]: float(r["SDH"]) for r in csv.DictReader(open(f"{w}/{d}/predictions.csv"))} for d in ("encoder", "run"))
sys.exit(a.keys() != b.keys() or max(abs(a[k] - b[k]) for k in a) > 1e-4)
P
}
for f in two.safetensors two-each.safetensors two.npy two-fortran.npy two.jsonl; do
    check "$f: two vectors a scan" probe --embeddings "$work/$f"
    about
    ok $? "a linear probe takes their mean"
done
for kind in mil attentive; do
    check "kind $kind on two vectors" probe --embeddings "$work/two.npy" --kind $kind --set probe.heads=2
    mv "$work/run" "$work/$kind"
    check "the same in JSON" probe --embeddings "$work/two.jsonl" --kind $kind --set probe.heads=2
    cmp -s "$work/run/predictions.csv" "$work/$kind/predictions.csv" && ! cmp -s "$work/run/predictions.csv" "$work/encoder/predictions.csv"
    ok $? "gives the same scores, and not the linear ones"
done
check "kind mil on an encoder's tokens" probe --weights "$w" --kind mil
"$headct" predict --run "$work/run" --data "$work/data" --split test $q --out "$work/mil.csv" >/dev/null
python3 - "$work" <<'P'
import csv, sys
read = lambda p: {r["scan"]: float(r["SDH"]) for r in csv.DictReader(open(p))}
a, b = read(sys.argv[1] + "/run/predictions.csv"), read(sys.argv[1] + "/mil.csv")
sys.exit(not b or any(abs(a[s] - v) > 1e-5 for s, v in b.items()))
P
ok $? "predict runs such a head"
refuses 1 "several vectors a scan" "mil on a histogram" probe --set probe.features=histogram --kind mil

# What headct embed writes besides safetensors.
forms="--format npy --format csv"
"$headct" embed --weights "$w" --data "$work/data" --out "$work/forms.safetensors" $forms --format h5 $q >"$work/out" 2>"$work/err"
if grep -q "built with libhdf5" "$work/err"; then skip "embed in every form, h5 too" "no libhdf5 here"; else
    [ "$(wc -l <"$work/out")" -ge 3 ] && [ "$(ls "$work/forms-h5" | wc -l)" -eq 24 ]
    ok $? "embed in every form, h5 too"
    same "a folder of HDF5" --embeddings "$work/forms-h5"
    head -c 900 "$work/forms-h5/$(ls "$work/forms-h5" | head -n 1)" >"$work/forms-h5/zz.h5"
    refuses 1 "zz.h5: is no HDF5 file, or is damaged or truncated" "one of them cut short" probe --embeddings "$work/forms-h5"
    mkdir "$work/no-h5"
    refuses 1 "no file CASE.h5 is in it" "a folder without any" probe --embeddings "$work/no-h5"
fi
for f in forms.npy forms.csv; do same "$f" --embeddings "$work/$f"; done
refuses 2 "npy, csv or h5" "embed in an unknown form" "$headct" embed --weights "$w" --data "$work/data" --out "$work/forms.safetensors" --format mat

# Few-shot, and a picture.
few() { rm -rf "$work/few"; "$headct" fewshot --recipe "$work/probe.yaml" --data "$work/data" --k 2 --draws 2 --run "$work/few" $q "$@"; }
check "few-shot of the encoder" few --weights "$w"
mv "$work/few" "$work/few-encoder"
check "few-shot of embeddings" few --embeddings "$work/google.jsonl"
cmp -s "$work/few/fewshot_draws.csv" "$work/few-encoder/fewshot_draws.csv"
ok $? "gives the same figures"
sed -i '1s/0\./1./' "$work/google.jsonl"
refuses 1 "another" "resumed with another file" "$headct" fewshot --resume --k 2 --draws 3 --run "$work/few" $q
for f in own.safetensors b.npy google.jsonl; do
    [ $f = b.npy ] && set -- --embedding-ids "$work/b.json" || set --
    check "project $f" "$headct" project "$work/$f" --method pca --labels "$work/data" --out "$work/plane-$f" $q "$@"
    [ "$(wc -l <"$work/plane-$f/projection.csv")" -eq 25 ]
    ok $? "has every scan"
done

# Who is left out.
probe --embeddings "$work/some.csv" >"$work/out" 2>"$work/err"
ok $? "a file of some of the scans, and of others"
grep -q "2 of 24 scans have no embedding in .*some.csv and are left out: '" "$work/err" && grep -q "2 of 24 embeddings in .* are of no scan of .*: 'elsewhere/1', 'elsewhere2'" "$work/err"
ok $? "both are counted and named"
[ "$(grep -c 'has none of it' "$work/run/left_out.csv")" -eq 2 ] && [ "$(grep -c 'no scan of the dataset' "$work/run/left_out.csv")" -eq 2 ] && [ "$(wc -l <"$work/run/predictions.csv")" -eq 23 ]
ok $? "listed, and in no table of the run"
refuses 1 "both are needed" "a training split left with one class" probe --embeddings "$work/one-class.jsonl"
refuses 1 "none of its 24 embeddings is of a scan" "a file of other scans" probe --embeddings "$work/strangers.jsonl"

# What is wrong with a file, or with a command.
while IFS='|' read -r file text; do
    refuses 1 "$text" "$file: $text" probe --embeddings "$work/$file"
    [ "$(grep -c . "$work/err")" -eq 1 ] && grep -qF "${file%%|*}" "$work/err" && [ ! -e "$work/run" ]
    ok $? "$file: one line that names it, and no run is begun"
done <<'T'
empty.csv|is empty
header.csv|holds no embeddings
no-scan.csv|scan
text.csv|'n/a' in column 'e2' is no number
nan.csv|is not finite
huge.csv|is not finite
twice.csv|is there twice, in rows 2 and 6
same.csv|are both of scan
short.csv|cells
cut.csv|its last line has no end
wide.jsonl|has 23 numbers
uneven.jsonl|has 96 numbers
ragged.jsonl|are not all lists of 24 numbers
nan.jsonl|NaN and Infinity are no JSON
huge.jsonl|is not finite
short.jsonl|damaged or truncated
no-scan.jsonl|line 1 has no text "scan"
word.jsonl|number 2 of the embedding of scan 'a' is no number
none.jsonl|has no list of numbers
short.safetensors|short.safetensors
wide.safetensors|has 23 numbers
deep.safetensors|has 4 dimensions
list.safetensors|is no list of 24 texts
no-list.safetensors|does not list its scans
nan.safetensors|is not finite
twice.safetensors|is there twice
no-ids.npy|does not list its scans
short.npy|damaged or truncated
head.npy|damaged or truncated
start.npy|damaged or truncated
few.npy|names 23 scans
whole.npy|float16, float32 or float64 is needed
deep.npy|more than three dimensions
struct.npy|is no array of numbers
object.npy|pickled Python objects
packed.npz|numpy.savez_compressed
short.npz|damaged or truncated
damaged.npz|damaged
evil.npz|is a pickled object of another form
numbers.npz|is no text
a.h5|is one HDF5 file
a.csv.gz|gunzip
nowhere.npy|nowhere.npy
T
[ ! -e "$work/ran" ]
ok $? "nothing that was pickled has run"
refuses 1 "names its scans itself" "ids for a file that has its own" probe --embeddings "$work/a.csv" --embedding-ids "$work/b.json"
refuses 1 "both set" "embeddings and an encoder" probe --embeddings "$work/a.csv" --weights "$w"
refuses 1 "attentive" "an attentive probe of one vector a scan" probe --embeddings "$work/a.csv" --kind attentive
refuses 1 "go together" "features without a file" probe --set probe.features=embeddings
refuses 1 "is not set" "ids without embeddings" probe --embedding-ids "$work/b.json"
done_testing
