"""Batches of sequences of about one length: little padding, and few shapes to compile.

Sequences go into buckets by their length; a bucket's batches are filled up to its
width. Widths double, so that at most half of a batch is padding, but for the widest,
which is the longest sequence: no sequence is cut.
"""

from collections.abc import Callable, Iterator, Sequence
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
        order = one_pass(self.members, self.batch_size, self.seed, epoch)
        return [(rows, self.widths[bucket]) for bucket, rows in order]


def one_pass(
    members: Sequence[np.ndarray], batch_size: int, seed: int, epoch: int
) -> list[tuple[int, np.ndarray]]:
    """(bucket, rows) of every batch of a pass: the members of each bucket once, at most
    `batch_size` together, batches and members in an order of this pass alone."""
    batches = []
    for bucket, rows in enumerate(members):
        rows = rows[permutation(len(rows), seed, epoch, bucket)]
        cuts = range(batch_size, len(rows), batch_size)
        parts = np.split(rows, list(cuts)) if len(rows) else []
        batches += [(bucket, part) for part in parts]
    order = permutation(len(batches), seed, epoch, len(members))
    return [batches[i] for i in order]
