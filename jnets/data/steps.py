"""A sequence of vectors in a file: a row of numbers for each step.

Axes: T steps, F numbers each.
"""

import math
import os
from pathlib import Path

import numpy as np

from jnets.data.text import read_lines
from jnets.errors import InputError


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """A file .npy of an array [T, F] or [T], or one of text with a step a line, its
    numbers separated by commas: float32 [T, F].

    Raises InputError for a file that is neither, for rows of different lengths, and for
    what is no finite number (where: the line).
    """
    path = Path(path)
    x = _array(path) if path.suffix == ".npy" else _text(path)
    if not x.size or not np.isfinite(x).all():
        raise InputError(f"{path}: expected finite numbers, of one step or more")
    return x.astype(np.float32)


def _array(path: Path) -> np.ndarray:
    try:
        x = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise InputError(f"{path}: cannot be read; expected an array of NumPy") from (
            None
        )
    if x.ndim not in (1, 2) or x.dtype.kind not in "iufb":
        raise InputError(
            f"{path}: {x.dtype} {list(x.shape)}; expected numbers [T, F] or [T]"
        )
    return x[:, None] if x.ndim == 1 else x


def _text(path: Path) -> np.ndarray:
    rows: list[list[float]] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            rows.append([float(value) for value in line.split(",")])
        except ValueError:
            raise InputError(
                f"{path}: line {number}: {line[:40]!r}; expected numbers separated by "
                f"commas"
            ) from None
        if len(rows[-1]) != len(rows[0]) or not all(map(math.isfinite, rows[-1])):
            raise InputError(
                f"{path}: line {number}: {line[:40]!r}; expected {len(rows[0])} finite "
                f"numbers, as many as in the first"
            )
    return np.array(rows)
