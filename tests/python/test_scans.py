"""embed, predict, prepare, load_dataset, read_weights, HeadCTEmbedder over phantoms; what they refuse."""
import contextlib
import csv
import importlib.util
import io
import json
import os
import pathlib
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import numpy as np

import headct

MAE = """method: mae
data: {crop: 192, image: 24}
model: {patch: 12, width: 24, depth: 1, heads: 2, mlp: 48, decoder: {width: 24, depth: 1, heads: 2, mlp: 48}}
optim: {lr: 1e-3, scale_lr_by_batch: false, batch: 2, accumulate: 1, epochs: 1}
"""
PROBE = "method: probe\noptim: {epochs: 1, batch: 4, accumulate: 1, scale_lr_by_batch: false, lr: 1e-2}\ndata: {tasks: [SDH]}\n"


class Nibabel:
    """What an image of nibabel looks like."""

    def __init__(self, array, affine):
        self.dataobj, self.affine = array, affine


def setUpModule():
    global work, ph, data, weights, probe, dataset
    work = pathlib.Path(tempfile.mkdtemp())
    unittest.addModuleCleanup(shutil.rmtree, work)
    ph, data, probe, weights = work / "ph", work / "data", work / "probe", work / "mae" / "weights.safetensors"
    headct.run("phantom", "--out", ph, "--plain", "--patients=10", "--scans-per-patient=1", "--prevalence=0.5", "--size=tiny", "--seed=3", "--quiet")
    dataset = headct.prepare(ph, data, labels=ph / "labels.csv", jobs=2)
    headct.run("split", data, "--ratios=2:1:1", "--seed=1")
    dataset = headct.load_dataset(data)
    (work / "mae.yaml").write_text(MAE)
    (work / "probe.yaml").write_text(PROBE)
    headct.run("pretrain", "--recipe", work / "mae.yaml", "--data", data, "--run", work / "mae", "--quiet")
    headct.run("probe", "--recipe", work / "probe.yaml", "--data", data, "--weights", weights, "--run", probe, "--quiet")
    (work / "bad.nii.gz").write_bytes(b"no scan")


def table():
    with open(ph / "labels.csv", newline="") as f:
        return {r["scan"]: r for r in csv.DictReader(f)}


@contextlib.contextmanager
def temporary_folders_in(folder):
    """What is left there afterwards is in the list."""
    folder.mkdir()
    left = []
    with mock.patch.object(tempfile, "tempdir", str(folder)):
        try:
            yield left
        finally:
            left += sorted(os.listdir(folder))


class Scans(unittest.TestCase):
    def test_a_dataset_holds_what_prepare_made(self):
        rows = table()
        self.assertEqual(sorted(rows), dataset.scans)
        self.assertEqual([rows[s]["patient"] for s in dataset.scans], dataset.patients)
        self.assertEqual(set(dataset.splits), {"train", "val", "test"})
        self.assertEqual([c for c in next(iter(rows.values())) if c not in ("scan", "patient")], dataset.label_names)
        np.testing.assert_array_equal(dataset.label("ICH"), [float(rows[s]["ICH"]) for s in dataset.scans])
        self.assertEqual(dataset.tags["source kind"], ["NIfTI"] * len(dataset))
        self.assertEqual(dataset.refused, {})

    def test_a_volume_is_int16_hu(self):
        volume = dataset[-1]
        self.assertEqual((volume.shape, volume.dtype), ((224, 224, 224), np.int16))
        self.assertEqual(volume[0, 0, 0], -1024)  # padding
        self.assertTrue(0 < np.median(volume[100:124, 100:124, 100:124]) < 80)  # brain
        np.testing.assert_array_equal(volume, dataset[dataset.scans[-1]])
        np.testing.assert_array_equal(np.diag(dataset.affine(0)), np.ones(4))
        self.assertEqual(sum(1 for _ in dataset[2:4]), 2)
        self.assertEqual(dataset[2:4].scans, dataset.scans[2:4])
        self.assertRaises(IndexError, lambda: dataset[len(dataset)])
        self.assertRaises(KeyError, lambda: dataset["nobody"])

    def test_prepare_lists_what_it_refused(self):
        made = headct.prepare([ph / f"{dataset.scans[0]}.nii.gz", work / "bad.nii.gz"], work / "two")
        self.assertEqual(made.scans, dataset.scans[:1])
        self.assertIn("not a NIfTI file", made.refused["bad"])
        self.assertEqual((made.label_names, made.labels.shape), ([], (1, 0)))

    def test_labels_that_are_not_known_are_nan(self):
        (work / "some.csv").write_text("scan,patient,SDH\n{0}.nii.gz,ann,1\n{1},bob,\n".format(*dataset.scans))
        paths = [ph / f"{s}.nii.gz" for s in dataset.scans[:3]]
        e = headct.embed(paths, weights=weights, labels=work / "some.csv")
        np.testing.assert_array_equal(e.labels, np.array([[1], [np.nan], [np.nan]], np.float32))
        self.assertEqual(e.patients, ["ann", "bob", dataset.scans[2]])
        x, y = e.known("SDH")
        np.testing.assert_array_equal(x, e.embeddings[:1])
        self.assertEqual(y.tolist(), [1])

    def test_embeddings_are_those_of_the_program(self):
        out = work / "own.safetensors"
        subprocess.run([headct.find_program(), "embed", "--weights", weights, "--data", data, "--out", out, "--quiet"], check=True, capture_output=True)
        e = headct.embed(dataset, weights=weights)
        np.testing.assert_array_equal(e.embeddings, headct.read_weights(out)["embeddings"])
        self.assertEqual((e.scans, e.patients, e.splits), (dataset.scans, dataset.patients, dataset.splits))
        np.testing.assert_array_equal(e.labels, dataset.labels)
        part = headct.embed(data=data, weights=weights, split="test")
        self.assertEqual(set(part.splits), {"test"})
        both = headct.embed(dataset, weights=weights, split="train+val")
        self.assertEqual(both.scans, [s for s, of in zip(dataset.scans, dataset.splits) if of != "test"])
        self.assertEqual((both.scans, len(both.known("SDH", "val+train")[1])), (dataset.subset("train+val").scans, len(both.known("SDH")[1])))
        self.assertEqual(headct.embed(dataset, weights=weights, split="all").scans, dataset.scans)
        some = headct.embed(dataset[3:5], weights=weights)
        self.assertEqual(some.scans, dataset.scans[3:5])
        np.testing.assert_array_equal(some.embeddings, e.embeddings[3:5])
        np.testing.assert_array_equal(some.labels, e.labels[3:5])

    def test_arrays_and_images_are_scans_and_leave_nothing_behind(self):
        volume, affine = dataset[0], dataset.affine(0)
        flipped = affine @ np.diag([-1, 1, 1, 1])
        flipped[0, 3] = affine[0, 3] + 223
        with temporary_folders_in(work / "tmp") as left:
            e = headct.embed([(volume, affine), ph / f"{dataset.scans[1]}.nii.gz", Nibabel(volume.astype(np.float32), affine), (volume[::-1], flipped)],
                             weights=weights)
            with self.assertRaises(headct.HeadctError):
                headct.embed((volume, affine), weights=work / "none.safetensors")
        self.assertEqual(left, [])
        self.assertEqual(e.scans, ["array0", dataset.scans[1], "array2", "array3"])
        self.assertEqual(e.paths, ["", str(ph / f"{dataset.scans[1]}.nii.gz"), "", ""])
        np.testing.assert_array_equal(e.embeddings[2], e.embeddings[0])
        np.testing.assert_array_equal(e.embeddings[3], e.embeddings[0])
        np.testing.assert_allclose(e.embeddings[0], headct.embed(dataset[:1], weights=weights).embeddings[0], rtol=1e-4, atol=1e-5)

    def test_scans_that_are_refused_have_a_reason_and_no_row(self):
        good = ph / f"{dataset.scans[0]}.nii.gz"
        for found in (headct.embed([work / "bad.nii.gz", good], weights=weights), headct.predict([work / "bad.nii.gz", good], run=probe)):
            self.assertEqual((found.scans, list(found.refused)), (dataset.scans[:1], ["bad"]))
            self.assertIn("not a NIfTI file", found.refused["bad"])
        none = headct.embed(work / "bad.nii.gz", weights=weights)
        self.assertEqual((none.embeddings.shape, len(none)), ((0, 24), 0))

    def test_predictions_are_those_of_the_program(self):
        paths = [ph / f"{s}.nii.gz" for s in dataset.scans[:2]]
        lines = subprocess.run([headct.find_program(), "predict", "--run", probe, "--json", "--quiet", *paths], check=True, capture_output=True).stdout
        p = headct.predict(paths, run=probe)
        self.assertEqual(p.tasks, ["SDH"])
        np.testing.assert_array_equal(p.probability("SDH"), [json.loads(line)["probabilities"]["SDH"] for line in lines.splitlines()])
        with open(probe / "predictions.csv", newline="") as f:
            own = {r["scan"]: float(r["SDH"]) for r in csv.DictReader(f)}
        q = headct.predict(dataset, run=probe, split="test")
        np.testing.assert_allclose(q.probability("SDH"), [own[s] for s in q.scans], atol=1e-5)
        self.assertEqual(len(q.metadata["weights_sha256"]), 64)

    def test_weights_are_read(self):
        w = headct.read_weights(weights)
        self.assertEqual((w["cls_token"].dtype, w["cls_token"].size, w.dtypes["cls_token"]), (np.float32, 24, "F32"))
        self.assertEqual(w.metadata["headct"]["encoder"]["width"], 24)
        header = json.dumps({"a": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [0, 4]}, "n": {"dtype": "I16", "shape": [], "data_offsets": [4, 6]}}).encode()
        file = work / "small.safetensors"
        file.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<HHh", 0x3FC0, 0xC040, -5))
        small = headct.read_weights(file)
        np.testing.assert_array_equal(small["a"], np.array([[1.5], [-3]], np.float32))
        self.assertEqual((small["a"].dtype, int(small["n"]), small.dtypes["a"]), (np.float32, -5, "BF16"))
        file.write_bytes(file.read_bytes()[:-1])
        with self.assertRaisesRegex(headct.HeadctError, "small.safetensors"):
            headct.read_weights(file)

    def test_errors_are_the_programs_one_line(self):
        scan = ph / f"{dataset.scans[0]}.nii.gz"
        (work / "wrong.csv").write_text(f"scan,SDH\n{dataset.scans[0]},2\n")
        (work / "other.csv").write_text("scan,SDH\nsomebody,1\n")
        cases = [
            (1, "none.safetensors", lambda: headct.embed(scan, weights=work / "none.safetensors")),
            (2, "--colour", lambda: headct.embed(scan, weights=weights, colour="red")),
            (1, "nowhere", lambda: headct.load_dataset(work / "nowhere")),
            (1, "nowhere", lambda: headct.predict(scan, run=work / "nowhere")),
            (1, "'2' is no label", lambda: headct.embed(scan, weights=weights, labels=work / "wrong.csv")),
            (1, "no row of any scan", lambda: headct.embed(scan, weights=weights, labels=work / "other.csv")),
            (1, "affine", lambda: headct.embed([np.zeros((3, 3, 3))], weights=weights)),
            (1, "int16 or float32", lambda: headct.embed([(np.zeros((3, 3, 3), bool), np.eye(4))], weights=weights)),
            (1, "data=DATASET", lambda: headct.embed(weights=weights)),
            (1, "no label 'SHD'", lambda: dataset.label("SHD")),
            (1, "no split", lambda: dataset.subset("trian")),
        ]
        for status, text, call in cases:
            with self.subTest(text), self.assertRaises(headct.HeadctError) as e:
                call()
            self.assertIn(text, str(e.exception))
            self.assertEqual(e.exception.status, status, str(e.exception))
            self.assertEqual(str(e.exception).count("\n"), 0)
            self.assertEqual(pickle.loads(pickle.dumps(e.exception)).status, status)
        with mock.patch.dict(os.environ, HEADCT=str(work / "no-program")), self.assertRaisesRegex(headct.HeadctError, "no-program"):
            headct.find_program()

    def test_a_prepared_file_that_was_cut_short_is_refused(self):
        made = headct.prepare(ph / f"{dataset.scans[0]}.nii.gz", work / "cut")
        file = next((work / "cut" / "scans").glob("*.nii.gz"))
        file.write_bytes(file.read_bytes()[:20000])
        with self.assertRaisesRegex(headct.HeadctError, file.name):
            made[0]

    def test_the_package_runs_the_program(self):
        told = subprocess.run([sys.executable, "-m", "headct", "--version"], capture_output=True, text=True, check=True).stdout
        self.assertIn(headct.__version__, told)
        self.assertEqual(headct.__version__, os.environ.get("HEADCT_VERSION", headct.__version__))

    def test_the_transformer_keeps_rows_beside_labels(self):
        paths = [str(ph / f"{s}.nii.gz") for s in dataset.scans[:3]]
        whole = headct.embed(paths, weights=weights)
        t = headct.HeadCTEmbedder(weights=weights)
        rows = t.fit(paths).transform([paths[2], (dataset[0], dataset.affine(0)), paths[0], paths[2]])
        np.testing.assert_array_equal(rows[[0, 2, 3]], whole.embeddings[[2, 0, 2]])
        np.testing.assert_allclose(rows[1], rows[2], rtol=1e-4, atol=1e-5)
        self.assertEqual(len(t.get_feature_names_out()), rows.shape[1])
        bad = [paths[0], str(work / "bad.nii.gz")]
        with self.assertRaisesRegex(headct.HeadctError, "not a NIfTI file"):
            t.transform(bad)
        self.assertEqual(np.isnan(t.set_params(refused="nan").transform(bad)).any(axis=1).tolist(), [False, True])
        with self.assertRaisesRegex(headct.HeadctError, "holds 10 scans"):
            t.transform([ph])
        self.assertRaises(ValueError, lambda: t.set_params(colour="red"))
        self.assertNotIn("sklearn", subprocess.run([sys.executable, "-c", "import headct, sys; print(*sys.modules)"], capture_output=True, text=True, check=True).stdout.split())

    @unittest.skipUnless(importlib.util.find_spec("sklearn"), "no scikit-learn here")
    def test_five_lines_to_a_logistic_regression(self):
        page = (pathlib.Path(os.environ["HEADCT_TREE"]) / "docs" / "python.md").read_text()
        lines = page.split("```python\n")[1].split("```")[0]
        self.assertEqual(len(lines.splitlines()), 5)
        y = dataset.label("SDH")
        for old, new in (("scans/p0001_s1.nii.gz", ph / f"{dataset.scans[y.argmin()]}.nii.gz"), ("scans/p0002_s1.nii.gz", ph / f"{dataset.scans[y.argmax()]}.nii.gz"),
                         ("weights.safetensors", weights), ("labels.csv", ph / "labels.csv")):
            self.assertIn(old, lines)
            lines = lines.replace(old, str(new))
        known, told = {}, io.StringIO()
        with contextlib.redirect_stdout(told):
            exec(lines, known)  # noqa: S102
        self.assertEqual(known["e"].known("SDH")[1].tolist(), [0, 1])
        self.assertEqual(known["model"].predict_proba(known["e"].embeddings).shape, (2, 2))
        self.assertIn("[[", told.getvalue())

    @unittest.skipUnless(importlib.util.find_spec("sklearn"), "no scikit-learn here")
    def test_a_pipeline_of_scikit_learn(self):
        from sklearn.base import clone
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        paths = [str(ph / f"{s}.nii.gz") for s in dataset.scans]
        model = clone(make_pipeline(headct.HeadCTEmbedder(weights=weights), LogisticRegression()))
        self.assertEqual(model.fit(paths, dataset.label("SDH")).predict(paths[:2]).shape, (2,))

    @unittest.skipUnless(importlib.util.find_spec("torch"), "no PyTorch here")
    def test_a_view_for_pytorch(self):
        volume, labels = dataset.torch()[1]
        np.testing.assert_array_equal(volume.numpy(), dataset[1])
        np.testing.assert_array_equal(labels.numpy(), dataset.labels[1])


if __name__ == "__main__":
    unittest.main()
