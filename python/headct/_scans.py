"""embed, predict, prepare: what the program does, with arrays in and out."""
from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import tempfile
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from . import _nifti
from ._dataset import Dataset, load_dataset
from ._labels import Labelled, LabelTable, in_split
from ._program import HeadctError, PathLike, as_options, run
from ._weights import read_weights

# A path (NIfTI file; DICOM file, folder, CD, zip or tar file), (array [x, y, z] in HU, affine [4, 4]), or an image of nibabel.
Scan = Union[PathLike, Tuple[Any, Any], Any]


LISTS = ("input_sha256", "study_uids", "series_uids", "accession_numbers")  # of the metadata: one text a row


def _is_path(scan: Any) -> bool:
    return isinstance(scan, (str, os.PathLike))


def _as_array(scan: Any) -> Tuple[np.ndarray, np.ndarray]:
    if isinstance(scan, (tuple, list)) and len(scan) == 2 and not _is_path(scan[0]):
        return np.asarray(scan[0]), np.asarray(scan[1])
    if hasattr(scan, "affine") and hasattr(scan, "dataobj"):
        return np.asarray(scan.dataobj), np.asarray(scan.affine)
    raise HeadctError(f"a scan is a path, a pair (array, affine) or an image of nibabel, not {type(scan).__name__}: an array alone does not say where its voxels lie")


def _is_one(scans: Any) -> bool:
    """One scan, and no list of them."""
    pair = isinstance(scans, tuple) and len(scans) == 2 and np.ndim(scans[1]) == 2 and np.shape(scans[1]) == (4, 4)
    return _is_path(scans) or hasattr(scans, "dataobj") or pair


@contextlib.contextmanager
def inputs(scans: Any) -> Iterator[Tuple[List[str], pathlib.Path]]:
    """Paths for the program, and a private folder for its output; both are gone at the end. Array k of the list is the scan 'arrayk'."""
    with tempfile.TemporaryDirectory(prefix="headct-") as private:
        paths = []
        for k, scan in enumerate([scans] if _is_one(scans) else [] if scans is None else list(scans)):
            if _is_path(scan):
                paths.append(os.fspath(scan))
            else:
                os.mkdir(os.path.join(private, f"array{k}"))  # one folder each: encoders over studies take a folder as one
                paths.append(os.path.join(private, f"array{k}", f"array{k}.nii"))
                _nifti.write(paths[-1], *_as_array(scan))
        yield paths, pathlib.Path(private)


def _where(scans: Any, data: Any, split: Optional[str]) -> Tuple[Any, Optional[PathLike], Optional[str], Optional[List[str]]]:
    """scans, the folder of data, split, and which scans of the folder are meant (None: all)."""
    only = None
    if isinstance(scans, Dataset):
        if data is not None:
            raise HeadctError("give scans, or data=DATASET")
        scans, data = None, scans
    if isinstance(data, Dataset):
        only = [s for s, of in zip(data.scans, data.splits) if split in (None, "all") or in_split(of, split)]
        if split is None and len(set(data.splits)) == 1 and data.splits[0]:
            split = data.splits[0]
        data = data.folder
    if (scans is None) == (data is None):
        raise HeadctError("give scans, or data=DATASET")
    if split is not None and data is None:
        raise HeadctError("split= is of a dataset: give data=DATASET")
    return scans, data, split, only


def _rows(only: Optional[List[str]], scans: List[str], refused: Dict[str, str]) -> List[int]:
    """The rows of those scans, in their order."""
    if only is None:
        return list(range(len(scans)))
    at = {s: i for i, s in enumerate(scans)}
    lost = [s for s in only if s not in at and s not in refused]
    if lost:
        raise HeadctError(f"scan '{lost[0]}' has no row: the dataset has changed since it was loaded")
    return [at[s] for s in only if s in at]


def _own_paths(paths: Sequence[str], private: pathlib.Path) -> List[str]:
    return ["" if pathlib.Path(p).is_relative_to(private) else p for p in paths]


@dataclasses.dataclass
class Embeddings(Labelled):
    """What embed gives; row i of each is one scan.

    embeddings: float32 [scans, width], class tokens after the last norm. scans, patients, splits: a list of texts. paths: where each was found ('' of
    arrays and datasets). labels: float32 [scans, labels], NaN where not known; label_names: their columns. refused: id -> reason, of scans that could
    not be read and have no row. left_out: id -> reason, of series that are no scans of a head. metadata: the model's description and the hashes
    (docs/data-formats.md). messages: the program's lines."""

    embeddings: np.ndarray
    scans: List[str]
    patients: List[str]
    splits: List[str]
    paths: List[str]
    labels: np.ndarray
    label_names: List[str]
    refused: Dict[str, str]
    left_out: Dict[str, str]
    metadata: Dict[str, Any]
    messages: List[str]

    def __len__(self) -> int:
        return len(self.scans)

    def known(self, label: str, split: Optional[str] = None) -> Tuple[np.ndarray, np.ndarray]:
        """(X, y) for a classifier: the embeddings [n, width] of scans whose label is known, and the label, int64 [n]. split: of that split alone."""
        rows, y = self._known(label, split)
        return self.embeddings[rows], y


def _labels_of(scans: List[str], patients: List[str], labels: Optional[PathLike], data: Optional[PathLike]) -> Tuple[np.ndarray, List[str], List[str]]:
    """labels, their names, patients."""
    if labels is not None:
        table = LabelTable(labels)
        return table.of(scans), table.names, patients if data is not None else [table.patients.get(s, p) for s, p in zip(scans, patients)]
    if data is None:
        return np.empty((len(scans), 0), np.float32), [], patients
    whole = load_dataset(data)
    row = {s: i for i, s in enumerate(whole.scans)}
    return whole.labels[[row[s] for s in scans]], whole.label_names, patients


def embed(scans: Any = None, *, weights: PathLike, data: Union[None, PathLike, Dataset] = None, split: Optional[str] = None,
          labels: Optional[PathLike] = None, out: Optional[PathLike] = None, device: Optional[str] = None, **options: object) -> Embeddings:
    """Embeddings of scans by an encoder.

    scans: one or a list of: a path (NIfTI file; DICOM file, folder, CD, zip or tar file, in which every head CT is a scan); a pair (array, affine): HU
    [x, y, z] and voxels -> mm [4, 4], RAS+; an image of nibabel. Or a Dataset (of a part of one all that its split or
    folder holds is run, and its rows are given); or data=FOLDER of one, with split="train" (also "fold1+fold2", "all").
    weights: a safetensors file. labels: a CSV with the columns scan, patient, and one a label (1, 0, empty); a dataset brings its own.
    out: keep the safetensors file; a run that was stopped goes on from it. device: "cpu", "opencl", "cuda".
    options: the program's others (headct embed --help), such as heads=12, recipe="mae", filters="nyu".

    Scans that cannot be read raise nothing: they have no row, and stand in `refused` with the reason."""
    scans, data, split, only = _where(scans, data, split)
    with inputs(scans) as (paths, private):
        file = pathlib.Path(out) if out is not None else private / "embeddings.safetensors"
        words = as_options(weights=weights, data=data, split=split, out=file, device=device, quiet=True, **options)
        done = run("embed", *words, "--", *paths)
        found = read_weights(file)
        m = found.metadata
        where = _own_paths(m["paths"], private) if data is None and "paths" in m else [""] * len(m["scans"])
    rows = _rows(only, m["scans"], done.refused)
    ids, patients, splits, where = ([column[i] for i in rows] for column in (m["scans"], m["patients"], m["splits"], where))
    table, names, patients = _labels_of(ids, patients, labels, data)
    rest = {k: [v[i] for i in rows] if k in LISTS else v for k, v in m.items() if k not in ("scans", "patients", "splits", "paths")}
    return Embeddings(found["embeddings"][rows], ids, patients, splits, where, table, names, done.refused, done.left_out, rest, done.messages)


@dataclasses.dataclass
class Predictions:
    """What predict gives; row i is one scan.

    probabilities: float64 [scans, tasks], 0 to 1; tasks: their columns. scans, patients, splits, paths, refused, left_out, metadata, messages: as of
    Embeddings."""

    probabilities: np.ndarray
    tasks: List[str]
    scans: List[str]
    patients: List[str]
    splits: List[str]
    paths: List[str]
    refused: Dict[str, str]
    left_out: Dict[str, str]
    metadata: Dict[str, Any]
    messages: List[str]

    def __len__(self) -> int:
        return len(self.scans)

    def probability(self, task: str) -> np.ndarray:
        """float64 [scans]."""
        if task not in self.tasks:
            raise HeadctError(f"no task '{task}': there are {', '.join(self.tasks)}")
        return self.probabilities[:, self.tasks.index(task)]


def predict(scans: Any = None, *, run: Optional[PathLike] = None, weights: Optional[PathLike] = None, data: Union[None, PathLike, Dataset] = None,  # noqa: A002
            split: Optional[str] = None, out: Optional[PathLike] = None, device: Optional[str] = None, **options: object) -> Predictions:
    """Probabilities of scans. run: the folder of a run of headct probe or finetune (or weights: its file). scans, data, split, device, options: as of
    embed; out: keep the CSV. This is research software, and no medical device."""
    scans, data, split, only = _where(scans, data, split)
    with inputs(scans) as (paths, private):
        file = pathlib.Path(out) if out is not None else private / "predictions.csv"
        words = as_options(run=run, weights=weights, data=data, split=split, out=file, device=device, quiet=True, **options)
        done = _program_run("predict", *words, "--", *paths)
        with open(file, newline="", encoding="utf-8") as f:
            reader = csv.DictReader(f)
            columns, every = list(reader.fieldnames or ()), list(reader)
        metadata = json.loads(pathlib.Path(f"{file}.json").read_text(encoding="utf-8"))
        rows = [r for r in every if not r["refused"]]
        rows = [rows[i] for i in _rows(only, [r["scan"] for r in rows], {r["scan"]: "" for r in every if r["refused"]})]
        tasks = columns[3 : columns.index("input_sha256")]
        where = _own_paths([r.get("path", "") for r in rows], private) if data is None else [""] * len(rows)
    numbers = np.array([[float(r[t]) for t in tasks] for r in rows], np.float64).reshape(len(rows), len(tasks))
    refused = {**done.refused, **{r["scan"]: r["refused"] for r in every if r["refused"]}}
    return Predictions(numbers, tasks, *([r[c] for r in rows] for c in ("scan", "patient", "split")), where, refused, done.left_out, metadata, done.messages)


_program_run = run  # predict has an argument of that name


def prepare(scans: Union[PathLike, Sequence[PathLike]], out: PathLike, *, labels: Optional[PathLike] = None, jobs: Optional[int] = None,
            **options: object) -> Dataset:
    """Makes a dataset of scans in the folder `out`, or brings one up to date: RAS, 1 mm, int16 HU, 224^3.

    scans: one or several files, folders, CDs, zip or tar files. labels: a CSV with the columns scan, patient, and one a label.
    options: the program's others (headct prepare --help), such as filters="nyu", center="head", strict=True.
    Scans that could not be used raise nothing: they stand in the Dataset's `refused` with the reason."""
    names = [scans] if _is_path(scans) else list(scans)
    run("prepare", *as_options(in_=names, out=out, labels=labels, jobs=jobs, quiet=True, **options))
    return load_dataset(out)
