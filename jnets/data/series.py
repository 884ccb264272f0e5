"""Time series in the .ts format of the UEA and UCR archives.

    # what there is to say of them
    @problemName JapaneseVowels
    @univariate false
    @classLabel true 1 2 3
    @data
    0.1,0.2,0.3:1.5,1.4,1.2:2

A line is a case: its channels, separated by colons, the values of each, by commas, and
its class. All channels of a case are of one length, cases may be of many. Lines that
begin with # say something, those with @ the rest (Bagnall et al., "The UEA multivariate
time series classification archive, 2018"; the sktime and aeon documentation).

Axes: N cases, T steps, F channels.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jnets.data.text import read_lines
from jnets.errors import InputError

TRAIN, TEST = "_TRAIN.ts", "_TEST.ts"


class Series(NamedTuple):
    """N cases, each float32 [T, F] with a T of its own.

    `labels` is int32 [N], an index into `classes`; both are empty where the file says
    `@classLabel false`.
    """

    cases: tuple[np.ndarray, ...]
    labels: np.ndarray
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """F."""
        return self.cases[0].shape[1]


class _Line(NamedTuple):
    """A line, and where it is."""

    place: str
    text: str

    def refuse(self, what: str) -> InputError:
        return InputError(f"{self.place}: {what}")


def read(path: str | os.PathLike[str]) -> Series:
    """The cases of a .ts file.

    Raises InputError, with the line, for a file without `@data` or cases, for missing
    values (`?`) and whatever else is no finite number, channels of different lengths,
    cases of different numbers of channels, a class that `@classLabel` does not list,
    and files with time stamps or with numbers to predict (`@targetLabel`).
    """
    lines = _lines(Path(path))
    header = _header(lines, path)
    classes = _classes(header)
    cases, labels = [], []
    for line in lines:
        *channels, label = line.text.split(":") + [""] * (not classes)
        cases.append(_case(line, channels))
        if cases[-1].shape[1] != cases[0].shape[1]:
            raise line.refuse(
                f"{cases[-1].shape[1]} channels; expected {cases[0].shape[1]} as in "
                f"the first case"
            )
        if classes and label.strip() not in classes:
            known = ", ".join(classes)
            raise line.refuse(f"class {label.strip()!r}; expected one of {known}")
        labels += [classes.index(label.strip())] if classes else []
    if not cases:
        raise InputError(f"{path}: no cases; expected lines of numbers after @data")
    return Series(tuple(cases), np.array(labels, np.int32), classes)


def read_pair(path: str | os.PathLike[str]) -> tuple[Series, Series]:
    """The series of X_TRAIN.ts and those of X_TEST.ts beside it.

    Raises InputError as `read` does, and where the two do not belong together.
    """
    path = Path(path)
    if not path.name.endswith(TRAIN):
        raise InputError(f"{path}: expected a file whose name ends in {TRAIN}")
    other = path.with_name(path.name.removesuffix(TRAIN) + TEST)
    train, test = read(path), read(other)
    if not train.classes:
        raise InputError(f"{path}: no classes to learn; expected @classLabel true ...")
    if (train.classes, train.channels) != (test.classes, test.channels):
        raise InputError(
            f"{other}: {test.channels} channels and classes {list(test.classes)}; "
            f"expected those of {path.name}, {train.channels} and {list(train.classes)}"
        )
    return train, test


def stacked(cases: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Cases [T, F] as one array, filled up with zeros, float32 [N, longest T, F], and
    their lengths, int32 [N]."""
    lengths = np.array([len(case) for case in cases], np.int32)
    x = np.zeros((len(cases), lengths.max(), cases[0].shape[1]), np.float32)
    for row, case in zip(x, cases, strict=True):
        row[: len(case)] = case
    return x, lengths


def statistics(cases: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, float64 [F], over all steps of all
    cases; 1 for the deviation of a channel that is constant."""
    steps = np.concatenate(list(cases)).astype(np.float64)
    deviation = steps.std(axis=0)
    return steps.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def _lines(path: Path) -> Iterator[_Line]:
    """Those that say anything."""
    for number, text in enumerate(read_lines(path), start=1):
        if text.strip() and not text.lstrip().startswith("#"):
            yield _Line(f"{path}: line {number}", text.strip())


def _header(lines: Iterator[_Line], path) -> dict[str, tuple[_Line, list[str]]]:
    """The words after each @name up to @data, names in lower case."""
    header = {}
    for line in lines:
        if not line.text.startswith("@"):
            raise line.refuse(f"{line.text[:40]!r} before @data; expected @name value")
        name, *words = line.text[1:].split() or [""]
        if name.lower() == "data":
            return header
        header[name.lower()] = line, words
    raise InputError(f"{path}: no line @data; expected a file in the .ts format")


def _classes(header: dict[str, tuple[_Line, list[str]]]) -> tuple[str, ...]:
    for name, what in (("timestamps", "time stamps"), ("targetlabel", "target values")):
        line, words = header.get(name, (None, []))
        if line is not None and words[:1] and words[0].lower() == "true":
            raise line.refuse(f"a file with {what}; expected values and classes alone")
    line, words = header.get("classlabel", (None, ["false"]))
    if line is None or not words or words[0].lower() != "true":
        return ()
    if len(set(words[1:])) < 2:
        raise line.refuse(f"classes {words[1:]}; expected at least 2 after true")
    return tuple(dict.fromkeys(words[1:]))


def _case(line: _Line, channels: Sequence[str]) -> np.ndarray:
    """Channels as text to float32 [T, F]."""
    rows = [_values(line, channel) for channel in channels]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1:
        found = ", ".join(map(str, sorted(lengths))) or "none"
        raise line.refuse(f"channels of lengths {found}; expected one for all")
    return np.array(rows, np.float32).T


def _values(line: _Line, channel: str) -> list[float]:
    values = []
    for text in channel.split(","):
        if text.strip() == "?":
            raise line.refuse("a missing value, '?'; expected whole series")
        try:
            values.append(float(text))
        except ValueError:
            raise line.refuse(f"{text.strip()[:40]!r} is not a number") from None
        if not math.isfinite(values[-1]):
            raise line.refuse(f"{text.strip()!r}; expected finite numbers")
    return values
