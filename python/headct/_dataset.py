"""Datasets that headct prepare made: ids, patients, splits, labels; voxels when they are asked for."""
from __future__ import annotations

import csv
import functools
import io
import os
import pathlib
import sqlite3
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Union

import numpy as np

from . import _nifti
from ._labels import Labelled, in_split, labels_array, values
from ._program import HeadctError, PathLike, run

FIRST = ["scan", "patient", "split", "file", "source", "warnings"]  # of headct dataset list; then labels, then tags
SPLITS = ("train", "val", "test")


def _label_names(folder: pathlib.Path) -> List[str]:
    index = (folder / "index.sqlite").resolve().as_uri() + "?mode=ro"
    try:
        connection = sqlite3.connect(index, uri=True)
        try:
            return [name for (name,) in connection.execute("SELECT name FROM label_names ORDER BY id")]
        finally:
            connection.close()
    except sqlite3.Error as e:
        raise HeadctError(f"{folder}: index.sqlite is not read: {e}") from None


class Dataset(Labelled):
    """A prepared dataset, lazy: ds[i] reads one volume.

    scans, patients, splits: a list of texts a scan (split: train, val, test, fold1 ..., or empty). labels: float32 [scans, labels], NaN where not known.
    label_names: their columns. tags: name -> text a scan (kind, size and spacing of the source, and what its header told)."""

    def __init__(self, folder: PathLike, rows: Sequence[Dict[str, Any]], label_names: Sequence[str]):
        self.folder, self._rows, self.label_names = pathlib.Path(folder), list(rows), list(label_names)
        self.scans, self.patients, self.splits = ([r[c] for r in rows] for c in FIRST[:3])
        self.labels = labels_array([r["labels"] for r in rows], len(self.label_names))
        self.tags: Dict[str, List[str]] = {c: [r["tags"][c] for r in rows] for c in (rows[0]["tags"] if rows else ())}

    @functools.cached_property
    def refused(self) -> Dict[str, str]:
        """id -> reason, of all that was found beside the scans and is none, or could not be used."""
        rows = csv.DictReader(io.StringIO(run("dataset", "refused", self.folder).stdout, newline=""))
        return {r["scan"] or r["place"]: r["sentence"] or r["reason"] for r in rows}

    def __len__(self) -> int:
        return len(self._rows)

    def _row(self, i: Union[int, str]) -> Dict[str, Any]:
        if isinstance(i, str):
            if i not in self.scans:
                raise KeyError(f"{self.folder}: no scan '{i}'")
            i = self.scans.index(i)
        return self._rows[i]

    def __getitem__(self, i: Union[int, str, slice]) -> Any:
        """A scan by number or id: int16 HU [x, y, z], 1 mm, x to the patient's right, y to the front, z to the top (float32 of --exact).
        A slice gives a Dataset."""
        if isinstance(i, slice):
            return Dataset(self.folder, self._rows[i], self.label_names)
        return _nifti.read(self.folder / self._row(i)["file"])[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def affine(self, i: Union[int, str]) -> np.ndarray:
        """[4, 4]: voxel indices -> mm, RAS+."""
        return _nifti.read(self.folder / self._row(i)["file"])[1]

    def subset(self, split: str) -> "Dataset":
        """The scans of one split ("train", "val", "test", "fold1" ...) or of several, with + between them."""
        known = {*SPLITS, *self.splits} - {""}
        for part in split.split("+"):
            if part not in known:
                raise HeadctError(f"no split '{part}': there are {', '.join(sorted(known))}")
        return Dataset(self.folder, [r for r in self._rows if in_split(r["split"], split)], self.label_names)

    def torch(self, transform: Optional[Callable[[Any], Any]] = None) -> Any:
        """A torch.utils.data.Dataset of (int16 HU [x, y, z], float32 labels [labels]); transform is called with each volume."""
        import torch  # noqa: PLC0415: only here is it needed

        scans = self

        class View(torch.utils.data.Dataset):
            def __len__(self) -> int:
                return len(scans)

            def __getitem__(self, i: int) -> Any:
                volume = torch.from_numpy(np.ascontiguousarray(scans[i]))
                return (transform(volume) if transform else volume), torch.from_numpy(scans.labels[i].copy())

        return View()

    def __repr__(self) -> str:
        return f"<headct.Dataset {os.fspath(self.folder)}: {len(self)} scans, labels {', '.join(self.label_names) or 'none'}>"


def load_dataset(folder: PathLike, split: Optional[str] = None) -> Dataset:
    """Opens a dataset of headct prepare. split: those scans alone, as of Dataset.subset."""
    header, *table = csv.reader(io.StringIO(run("dataset", "list", folder).stdout, newline=""))
    names = _label_names(pathlib.Path(folder))
    n, last = len(FIRST), len(FIRST) + len(names)
    if header[:last] != FIRST + names:
        raise HeadctError(f"{folder}: the program and this package do not belong together: 'headct dataset list' has other columns")
    rows: List[Dict[str, Any]] = []
    for cells in table:
        rows.append({**dict(zip(FIRST, cells)), "labels": values(cells[n:last], f"{folder}: scan '{cells[0]}'"), "tags": dict(zip(header[last:], cells[last:]))})
    found = Dataset(folder, rows, names)
    return found if split is None else found.subset(split)
