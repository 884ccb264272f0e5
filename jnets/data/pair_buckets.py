"""Batches of pairs of sequences, of few shapes: pairs of like lengths go together.

Axes: B batch, S source, T target.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from jnets.data.buckets import one_pass
from jnets.data.dataset import random_bits
from jnets.data.vocabulary import END, START, padded
from jnets.errors import InputError

Rows = Sequence[Sequence[int]]
Arrays = tuple[np.ndarray, ...]


class Shape(NamedTuple):
    """Places for the symbols of sources and of targets; END takes one of the latter's.

    A program is compiled for each shape, so there should be few.
    """

    source: int
    target: int


def arrays(sources: Rows, targets: Rows, shape: Shape) -> Arrays:
    """source [B, S], lengths [B], target [B, T], labels [B, T], weights [B].

    The target is what a decoder reads, START and all symbols but the last; the labels
    are what it should write, the symbols and END, with -1 for padding. A source longer
    than its places is cut there.
    """
    source, lengths = padded(sources, shape.source)
    target, _ = padded([[START, *row] for row in targets], shape.target)
    labels, _ = padded([[*row, END] for row in targets], shape.target, fill=-1)
    weights = np.ones(len(source), np.float32)
    return source, np.maximum(lengths, 1), target, labels, weights


def shapes_for(
    sources: Rows, targets: Rows, most: Shape, buckets: int
) -> tuple[list[Shape], np.ndarray]:
    """Up to `buckets` shapes, and which one each pair is in, int [N]; -1 for a pair
    whose target is longer than `most` has places.

    Pairs in the order of their longer side are cut where the places of all pairs
    together are fewest; a shape is as large as the longest source and target in it.
    """
    s = np.minimum([len(row) for row in sources], most.source)
    t = np.array([len(row) + 1 for row in targets])
    longer = np.where(t <= most.target, np.maximum(s, t), -1)
    lengths, counts = np.unique(longer[longer >= 0], return_counts=True)
    if not len(lengths):
        raise InputError(f"no target has at most {most.target - 1} symbols")
    cuts = _cheapest_cuts(lengths, counts, buckets)
    bucket = np.where(longer >= 0, np.searchsorted(lengths[cuts], longer), -1)
    sides = [(s[bucket == i], t[bucket == i]) for i in range(len(cuts))]
    return [Shape(max(1, int(a.max())), int(b.max())) for a, b in sides], bucket


def _cheapest_cuts(lengths: np.ndarray, counts: np.ndarray, parts: int) -> list[int]:
    """Where each of up to `parts` runs of `lengths` ends, its last one's place, so that
    the sum over runs of count times greatest length is least."""
    until = np.concatenate([[0], np.cumsum(counts)])
    # best[i]: of the first i lengths, the least sum and the ends that give it.
    best: list[tuple[float, list[int]]] = [(0, [])]
    best += [(float("inf"), [])] * len(lengths)
    for _ in range(parts):
        best = [
            min(
                [
                    (cost + (until[i] - until[j]) * lengths[i - 1], [*ends, i - 1])
                    for j, (cost, ends) in enumerate(best[:i])
                ]
                + [best[i]]
            )
            for i in range(len(lengths) + 1)
        ]
    return best[-1][1]


Own = Callable[[int], float]


class Bucketed:
    """Pairs for `jnets.training.fit`, as a stream: batch u depends on the seed and u.

    Every pass reads each pair that fits once, in batches of one bucket; a bucket's last
    batch is filled up with copies of weight 0. `own(u)`, if given, is the share of the
    target's symbols in update u that the model is to take from itself
    (`jnets.layers.feedback`): a mask of them, bool [B, T], is then the fourth input.
    """

    def __init__(
        self,
        sources: Rows,
        targets: Rows,
        *,
        batch: int,
        most: Shape,
        buckets: int,
        seed: int,
        own: Own | None = None,
    ):
        self._sources, self._targets = sources, targets
        self._batch, self._seed, self._own = batch, seed, own
        self.shapes, bucket = shapes_for(sources, targets, most, buckets)
        self._members = [np.flatnonzero(bucket == i) for i in range(len(self.shapes))]
        self.left_out = int(np.sum(bucket < 0))
        self.updates = sum(-(-len(rows) // batch) for rows in self._members)
        self._plan: tuple[int, list[tuple[int, np.ndarray]]] = (-1, [])

    def batches(self, first: int) -> Iterator[Arrays]:
        for update in count(first):
            yield self._make(update)

    def examples(self, update: int) -> list[int]:
        return self._rows(update)[1].tolist()

    def _make(self, update: int) -> Arrays:
        bucket, rows = self._rows(update)
        missing = self._batch - len(rows)
        filled = np.concatenate([rows, np.repeat(rows[:1], missing)])
        batch = arrays(
            [self._sources[i] for i in filled],
            [self._targets[i] for i in filled],
            self.shapes[bucket],
        )
        batch[-1][len(rows) :] = 0
        return _with_own(batch, self._own, self._seed, update)

    def _rows(self, update: int) -> tuple[int, np.ndarray]:
        epoch, at = divmod(update, self.updates)
        if self._plan[0] != epoch:
            self._plan = epoch, one_pass(self._members, self._batch, self._seed, epoch)
        return self._plan[1][at]


class Endless:
    """Pairs without end, of one shape: `draw(u)` gives batch u. `own` is as above."""

    def __init__(
        self,
        draw: Callable[[int], tuple[Rows, Rows]],
        shape: Shape,
        *,
        seed: int = 0,
        own: Own | None = None,
    ):
        self._draw, self._shape, self._seed, self._own = draw, shape, seed, own

    def batches(self, first: int) -> Iterator[Arrays]:
        for update in count(first):
            batch = arrays(*self._draw(update), self._shape)
            yield _with_own(batch, self._own, self._seed, update)

    def examples(self, update: int) -> list[int]:
        return list(range(len(self._draw(update)[0])))


def _with_own(batch: Arrays, own: Own | None, seed: int, update: int) -> Arrays:
    if own is None:
        return batch
    *inputs, labels, weights = batch
    bits = random_bits(labels.size, seed, 4, update)
    mask = bits.astype(np.float64) / 2.0**64 < own(update)
    return *inputs, mask.reshape(labels.shape), labels, weights
