"""Symbols by number: characters, words or pieces of words, and sequences of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jnets.errors import InputError

PADDING, UNKNOWN, START, END = range(4)
MARKS = ("<pad>", "<unk>", "<start>", "<end>")


class Vocabulary(NamedTuple):
    """`symbols[i]` has the number i; the first four are marks, no symbol of a text.

    Padding fills rows up, START and END are the ends of a sequence, and UNKNOWN stands
    for what is not among the symbols.
    """

    symbols: tuple[str, ...]

    @staticmethod
    def of(
        sequences: Iterable[Iterable[str]], *, least: int = 1, most: int | None = None
    ) -> "Vocabulary":
        """The symbols that come at least `least` times, frequent ones first, `most` of
        them with the marks; ties in the order of code points."""
        counts = Counter(symbol for sequence in sequences for symbol in sequence)
        for mark in MARKS:
            counts.pop(mark, None)
        ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        kept = [symbol for symbol in ranked if counts[symbol] >= least]
        return Vocabulary((*MARKS, *kept)[:most])

    @property
    def size(self) -> int:
        """How many there are, the marks among them."""
        return len(self.symbols)

    def numbers(self) -> dict[str, int]:
        """The number of each symbol."""
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    def encode(
        self, sequences: Iterable[Iterable[str]], *, ends: bool = False
    ) -> list[list[int]]:
        """The numbers of sequences; with `ends`, between START and END."""
        numbers = self.numbers()
        rows = [[numbers.get(s, UNKNOWN) for s in sequence] for sequence in sequences]
        return [[START, *row, END] for row in rows] if ends else rows

    def decode(self, tokens: Iterable[int]) -> list[str]:
        """The symbols up to END, without padding and START."""
        symbols = []
        for token in map(int, tokens):
            if token == END:
                break
            if token not in (PADDING, START):
                symbols.append(self.symbols[token])
        return symbols

    def to_json(self) -> list[str]:
        """The symbols without the marks; `from_json` is the inverse."""
        return list(self.symbols[len(MARKS) :])

    @staticmethod
    def from_json(symbols: Any) -> "Vocabulary":
        """Raises InputError for what is no list of different strings."""
        good = isinstance(symbols, list) and all(isinstance(s, str) for s in symbols)
        if not good or len(set(symbols) | set(MARKS)) != len(symbols) + len(MARKS):
            raise InputError("vocabulary: expected a list of symbols, each once")
        return Vocabulary((*MARKS, *symbols))


def padded(
    rows: Sequence[Sequence[int]], steps: int | None = None, fill: int = PADDING
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of different lengths as int32 [N, T], and lengths [N].

    T is `steps`, or the longest row's length; rows are cut there, and filled with
    `fill` (-1 for labels, which a training step then passes by).
    """
    steps = max(map(len, rows), default=0) if steps is None else steps
    tokens = np.full((len(rows), steps), fill, np.int32)
    lengths = np.array([min(len(row), steps) for row in rows], np.int32)
    for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        tokens[place, :length] = row[:length]
    return tokens, lengths


def fields_of(raw: Mapping[str, Any], kinds: Mapping[str, type], what: str) -> None:
    """Raise an InputError unless `raw` has exactly these fields, of these types."""
    found = {name: type(value) for name, value in raw.items()}
    if found != dict(kinds):
        wanted = ", ".join(f"{name}: {kind.__name__}" for name, kind in kinds.items())
        raise InputError(f"{what}: fields {sorted(raw)}; expected {wanted}")
