"""Tables of labels: float32 [scans, labels], 1 present, 0 absent, NaN not known."""
from __future__ import annotations

import csv
import os
import re
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ._program import HeadctError, PathLike

VALUES = {"": np.nan, "0": 0.0, "1": 1.0}


def values(cells: Sequence[str], where: str) -> List[float]:
    try:
        return [VALUES[c.strip()] for c in cells]
    except KeyError as e:
        raise HeadctError(f"{where}: {e.args[0]!r} is no label: 1, 0, or empty for not known") from None


class LabelTable:
    """A CSV as headct prepare --labels takes it: columns scan, patient (may be missing), and one a label."""

    def __init__(self, path: PathLike):
        self.path, self.rows, self.patients = os.fspath(path), {}, {}  # type: str, Dict[str, List[float]], Dict[str, str]
        try:
            with open(path, newline="", encoding="utf-8-sig") as f:
                reader = csv.DictReader(f, strict=True)
                columns = list(reader.fieldnames or ())
                if "scan" not in columns or len(set(columns)) != len(columns):
                    raise HeadctError(f"{self.path}: no column 'scan', or a column twice; the columns are scan, patient, and one a label")
                self.names = [c for c in columns if c not in ("scan", "patient")]
                for row in reader:
                    self._take(row, f"{self.path}, line {reader.line_num}")
        except (OSError, UnicodeDecodeError, csv.Error) as e:
            raise HeadctError(f"{self.path}: not read: {e}") from None

    def _take(self, row: Dict[str, str], where: str) -> None:
        if None in row or None in row.values():
            raise HeadctError(f"{where}: more or fewer cells than the header has")
        scan = re.sub(r"\.nii(\.gz)?$", "", row["scan"])
        if scan in self.rows:
            raise HeadctError(f"{where}: scan '{scan}' stands there twice")
        self.rows[scan] = values([row[n] for n in self.names], where)
        if row.get("patient"):
            self.patients[scan] = row["patient"]

    def of(self, scans: Sequence[str]) -> np.ndarray:
        """[scans, labels]. Refuses a table that knows none of them."""
        if scans and not any(s in self.rows for s in scans):
            raise HeadctError(f"{self.path}: has no row of any scan, such as '{scans[0]}'; the column 'scan' holds their ids")
        return labels_array([self.rows.get(s) for s in scans], len(self.names))


def labels_array(rows: Sequence[Optional[Sequence[float]]], n: int) -> np.ndarray:
    out = np.full((len(rows), n), np.nan, np.float32)
    for i, row in enumerate(rows):
        if row is not None:
            out[i] = row
    return out


def in_split(part: str, wanted: str) -> bool:
    """Whether a scan's part is asked for: one ("train", "fold1"), or several with + between them."""
    return part != "" and part in wanted.split("+")


class Labelled:
    """What has scans, splits and labels."""

    scans: List[str]
    splits: List[str]
    labels: np.ndarray
    label_names: List[str]

    def label(self, name: str) -> np.ndarray:
        """One label: float32 [scans], NaN where it is not known."""
        if name not in self.label_names:
            raise HeadctError(f"no label '{name}': there are {', '.join(self.label_names) or 'none; give labels=CSV'}")
        return self.labels[:, self.label_names.index(name)]

    def _known(self, name: str, split: Optional[str]) -> Tuple[np.ndarray, np.ndarray]:
        """Rows whose label is known [n], and the label there [n], int64."""
        y = self.label(name)
        rows = ~np.isnan(y)
        if split is not None:
            rows &= np.array([in_split(s, split) for s in self.splits], bool)
        if not rows.any():
            raise HeadctError(f"label '{name}' is known of no scan" + (f" of split '{split}'" if split else ""))
        return np.flatnonzero(rows), y[rows].astype(np.int64)
