"""Running text to model: files of it, its symbols, and the windows it is read in.

Axes: N symbols of a text, B rows, T steps, W windows of a row.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jnets.data.text import read_text
from jnets.data.vocabulary import PADDING
from jnets.errors import InputError

UNITS = ("characters", "words")
LINE_END = {"characters": "\n", "words": "<eos>"}
VALID_NAMES = ("valid", "validation", "val", "dev")


class Corpus(NamedTuple):
    """A text to train on, one to validate on, and one to test on if it came so."""

    train: str
    valid: str
    test: str | None = None


def read_corpus(
    path: Path, *, pattern: str = "*", held_out: float = 0.1, encoding: str = "utf-8"
) -> Corpus:
    """The text of a file, or of a folder.

    A folder with one file whose name has the part "train" and one with "valid" ("val",
    "dev"), as wiki.train.tokens, is taken as it is divided; one more may have "test".
    Of any other folder the files that fit `pattern`, those of folders inside too, are
    one text, in the order of their paths. One text is divided in its order: its last
    part, the share `held_out` of its characters, is to validate on. Files may end in
    .gz or .zip. Errors: InputError for what cannot be read, or has no text.
    """
    if not path.is_dir():
        return divided(read_text(path, encoding=encoding), held_out, path)
    files = sorted(f for f in path.rglob(pattern) if f.is_file() and _shown(f, path))
    parts = [
        [f for f in files if _parts(f).intersection(names)]
        for names in (("train",), VALID_NAMES, ("test",))
    ]
    counts = [len(part) for part in parts]
    if counts in ([1, 1, 0], [1, 1, 1]):
        texts = [read_text(f, encoding=encoding) for (f,) in filter(None, parts)]
        for text, (f,) in zip(texts, parts, strict=False):
            if not text:
                raise InputError(f"{f} is empty; expected a text")
        return Corpus(*texts)
    text = "".join(read_text(f, encoding=encoding) for f in files)
    if not files:
        raise InputError(f"{path} has no file that fits {pattern!r}; expected text")
    return divided(text, held_out, path)


def divided(text: str, held_out: float, origin: object) -> Corpus:
    """The first part of a text to train on, its last one to validate on."""
    at = round(len(text) * (1 - held_out))
    if not 0 < at < len(text):
        raise InputError(
            f"{origin} has {len(text)} characters, which cannot be divided with "
            f"{held_out} held out; expected more text"
        )
    return Corpus(text[:at], text[at:])


def standard_library(most: int = 1_600_000) -> str:
    """Source of Python's own library, a text that every machine has.

    The modules that are one file, in the order of their names, as long as they are no
    more than `most` characters together: the same for each version of Python.
    """
    text: list[str] = []
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        text.append(read_text(path))
        if sum(map(len, text)) > most:
            return "".join(text[:-1])
    return "".join(text)


def symbols(text: str, units: str) -> Iterable[str]:
    """A text as characters, or as words that spaces divide, a line's end an <eos>."""
    if units == "characters":
        return text
    lines = text.split("\n")
    ends = [[LINE_END[units]]] * (len(lines) - 1) + [[]]
    return [
        w for line, end in zip(lines, ends, strict=True) for w in line.split() + end
    ]


def written(parts: Iterable[str], units: str) -> str:
    """The text of symbols, the inverse of `symbols` but for spaces between words."""
    if units == "characters":
        return "".join(parts)
    words = ("\n" if w == LINE_END[units] else w for w in parts)
    return re.sub(" ?\n ?", "\n", " ".join(words))


class Windows(NamedTuple):
    """B rows of a text side by side, cut into windows that are read one by one.

    `tokens` and `labels` are int32 [W B, T], window w of row b at w B + b, a label the
    symbol after its token, -1 where there is none; `starts` bool [W B] is true in the
    first window of each row. Every symbol but the first is a label once.
    """

    tokens: np.ndarray
    labels: np.ndarray
    starts: np.ndarray
    rows: int

    @property
    def order(self) -> np.ndarray:
        """The examples of each update, int32 [W, B]: all rows, window after window."""
        return np.arange(len(self.starts), dtype=np.int32).reshape(-1, self.rows)


def windows(numbers: np.ndarray, rows: int, steps: int) -> Windows:
    """A text's numbers [N] in `rows` rows and windows of at most `steps` steps.

    Row b goes on in window w + 1 where it ended in w, as its state does (Zaremba et
    al. 2014, section 4.1). Windows are as equal as can be, so that none has only a few
    symbols for an update of its own. Raises InputError for fewer than 2 `rows` symbols.
    """
    count = len(numbers) - 1
    if count < 2 * rows - 1:
        raise InputError(
            f"a text of {len(numbers)} symbols is too short for {rows} rows; expected "
            f"at least {2 * rows}"
        )
    length = -(-count // rows)
    cuts = -(-length // steps)
    steps = -(-length // cuts)

    def laid(values: np.ndarray, fill: int) -> np.ndarray:
        grid = np.full((rows, cuts * steps), fill, np.int32)
        flat = np.full(rows * length, fill, np.int32)
        flat[:count] = values
        grid[:, :length] = flat.reshape(rows, length)
        return grid.reshape(rows, cuts, steps).swapaxes(0, 1).reshape(-1, steps)

    starts = np.arange(cuts * rows) < rows
    return Windows(laid(numbers[:-1], PADDING), laid(numbers[1:], -1), starts, rows)


def counted_costs(
    train: np.ndarray, valid: np.ndarray, size: int
) -> tuple[float, float]:
    """Nats per symbol of `valid` by counts in `train`: of symbols alone, and of pairs.

    p(b) = (n_b + 1) / (N + V) and p(b | a) = (n_ab + p(b)) / (n_a + 1), the count of
    pairs drawn towards p(b) (MacKay & Peto 1995): what a model must beat to have
    learned more than frequencies.
    """
    counts = np.bincount(train, minlength=size)
    single = (counts + 1) / (len(train) + size)
    pairs, seen = np.unique(
        train[:-1].astype(np.int64) * size + train[1:], return_counts=True
    )
    before, after = valid[:-1].astype(np.int64), valid[1:]
    at = np.minimum(np.searchsorted(pairs, before * size + after), len(pairs) - 1)
    n_pair = np.where(pairs[at] == before * size + after, seen[at], 0)
    n_before = np.bincount(train[:-1], minlength=size)[before]
    pair = (n_pair + single[after]) / (n_before + 1)
    return float(-np.log(single[after]).mean()), float(-np.log(pair).mean())


def _shown(file: Path, folder: Path) -> bool:
    """Whether nothing on the way to a file is hidden."""
    return not any(part.startswith(".") for part in file.relative_to(folder).parts)


def _parts(file: Path) -> set[str]:
    return set(re.split(r"[._-]", file.name.lower()))
