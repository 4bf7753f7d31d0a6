"""The program headct: where it lies, how it is run, what its lines and its exit status say."""
from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
from typing import Dict, List, Optional, Sequence, Union

PathLike = Union[str, "os.PathLike[str]"]
BUNDLED = pathlib.Path(__file__).resolve().parent / "_bundled"
SOME_REFUSED = 3  # exit status: all is well but for scans that were listed with their reason


class HeadctError(RuntimeError):
    """What headct says is wrong, in one line. `status`: the program's exit status (-N: ended by signal N), or the library's negative code."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status

    def __reduce__(self):
        return type(self), (str(self), self.status)


def find_program() -> str:
    """The program's path: $HEADCT, else the copy inside the package, else the first `headct` of $PATH."""
    named = os.environ.get("HEADCT")
    if named:
        if os.path.isfile(named) and os.access(named, os.X_OK):
            return os.path.abspath(named)
        raise HeadctError(f"HEADCT={named}: no program that can be run; name the file 'headct', or unset HEADCT")
    bundled = BUNDLED / "bin" / "headct"
    if bundled.is_file():
        return str(bundled)
    found = shutil.which("headct")
    if found:
        return os.path.abspath(found)
    raise HeadctError("the program headct is not found: install it (make install), or name it in the variable HEADCT")


@dataclasses.dataclass
class Outcome:
    """What one run of the program left.

    stdout: all it wrote there. messages: the lines of stderr. refused: scan id -> reason, of scans that could not be read or used.
    left_out: id -> reason, of series that are no scans of a head (scouts, dose pages). status: 0, or 3 where something was refused."""

    stdout: str
    messages: List[str]
    refused: Dict[str, str]
    left_out: Dict[str, str]
    status: int


def _named(word: str, lines: Sequence[str]) -> Dict[str, str]:
    found = (re.match(rf"{word} '(.*?)': (.*)", line) for line in lines)
    return {m.group(1): m.group(2) for m in found if m}


def _complaint(command: str, lines: Sequence[str]) -> str:
    """The one line that says what went wrong."""
    ours = [line for line in lines if line.startswith(f"headct {command}:") and ": warning: " not in line]
    said = ours[-1:] or [line for line in lines if line.startswith("headct")][-1:] or list(lines[-1:])
    return said[0] if said else f"headct {command}: failed without a word"


def run(command: str, *args: PathLike, environment: Optional[Dict[str, str]] = None) -> Outcome:
    """Runs `headct COMMAND ARGS...` and waits for it. Raises HeadctError where its exit status is neither 0 nor 3.

    environment: variables on top of this process's, such as {"OMP_NUM_THREADS": "4"}."""
    words = [find_program(), command, *(os.fspath(a) for a in args)]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", errors="surrogateescape",
        env={**os.environ, **(environment or {})}, check=False)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0:
        raise HeadctError(f"headct {command}: ended by signal {-done.returncode}", done.returncode)
    if done.returncode not in (0, SOME_REFUSED):
        raise HeadctError(_complaint(command, lines), done.returncode)
    return Outcome(done.stdout, lines, _named("refused scan", lines), _named("left out", lines), done.returncode)


def as_options(**options: object) -> List[str]:
    """Keywords as the program's long options: jobs=2 -> --jobs=2, strict=True -> --strict, label=["IPH", "SDH"] -> one --label each.
    None and False are left away."""
    words: List[str] = []
    for name, value in options.items():
        option = "--" + name.strip("_").replace("_", "-")
        values = value if isinstance(value, (list, tuple)) else [value]
        for one in values:
            if one is True:
                words.append(option)
            elif one is not None and one is not False:
                words.append(f"{option}={os.fspath(one) if isinstance(one, os.PathLike) else one}")
    return words
