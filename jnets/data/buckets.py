"""Batches of sequences of about one length: little padding, and few shapes to compile.

Sequences go into buckets by their length; a bucket's batches are filled up to its
width. Widths double, so that at most half of a batch is padding, but for the widest,
which is the longest sequence: no sequence is cut.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from jnets.data.dataset import permutation
from jnets.errors import InputError

NARROWEST = 8

Arrays = tuple[np.ndarray, ...]
# (rows int [B], width) -> (inputs..., labels), each with leading axis B
Make = Callable[[np.ndarray, int], Arrays]


def widths(longest: int, narrowest: int = NARROWEST) -> tuple[int, ...]:
    """narrowest, 2 narrowest, 4 narrowest, ... and `longest`."""
    found = []
    while narrowest < longest:
        found.append(narrowest)
        narrowest *= 2
    return *found, longest


class Buckets:
    """Sequences as a stream of batches (a `jnets.training.source.Feed`).

    `lengths` int [N] are those of the sequences, `make` makes the arrays of a batch.
    Every pass reads each sequence once, in batches of a bucket each, whose order and
    members are drawn anew. A bucket's last batch is filled up with copies of its own
    sequences at weight 0. Batch u of the run depends on `seed` and u alone.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, make: Make, *, seed: int):
        if len(lengths) == 0 or batch_size < 1:
            raise InputError(
                f"{len(lengths)} sequences in batches of {batch_size}; expected at "
                f"least 1 of each"
            )
        self.batch_size, self.make, self.seed = batch_size, make, seed
        self.widths = widths(int(lengths.max()))
        place = np.searchsorted(self.widths, lengths)
        self.members = [np.flatnonzero(place == i) for i in range(len(self.widths))]
        self._epoch = lru_cache(maxsize=1)(self._ordered)

    @property
    def updates(self) -> int:
        """Batches of one pass."""
        return sum(-(-len(rows) // self.batch_size) for rows in self.members)

    def parts(self) -> Iterator[tuple[np.ndarray, int]]:
        """(rows, width) of each bucket that is not empty: all sequences, once."""
        for rows, width in zip(self.members, self.widths, strict=True):
            if len(rows):
                yield rows, width

    def batches(self, first: int) -> Iterator[Arrays]:
        """(inputs..., labels, weights float32 [B]) of update `first` and all after."""
        while True:
            rows, width = self._batch(first)
            weights = (np.arange(self.batch_size) < len(rows)).astype(np.float32)
            filled = rows[np.arange(self.batch_size) % len(rows)]
            yield *self.make(filled, width), weights
            first += 1

    def examples(self, update: int) -> list[int]:
        """The sequences that an update reads."""
        return self._batch(update)[0].tolist()

    def _batch(self, update: int) -> tuple[np.ndarray, int]:
        epoch, at = divmod(update, self.updates)
        return self._epoch(epoch)[at]

    def _ordered(self, epoch: int) -> list[tuple[np.ndarray, int]]:
        batches = []
        for bucket, (rows, width) in enumerate(self.parts()):
            rows = rows[permutation(len(rows), self.seed, epoch, bucket)]
            cuts = range(self.batch_size, len(rows), self.batch_size)
            batches += [(part, width) for part in np.split(rows, cuts)]
        order = permutation(len(batches), self.seed, epoch, len(self.widths))
        return [batches[i] for i in order]
