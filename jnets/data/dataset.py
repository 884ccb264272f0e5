"""One labelled data set in memory, and random order that never changes."""

from typing import NamedTuple

import numpy as np

from jnets.errors import InputError


class Dataset(NamedTuple):
    """N labelled examples. Axes: N examples, then whatever one input has.

    `inputs` holds one array per input of the model, each with leading axis N: images
    [N, h, w], or tokens [N, T] and lengths [N]. `labels` is int32 [N], an index into
    `classes`.
    """

    inputs: tuple[np.ndarray, ...]
    labels: np.ndarray
    classes: tuple[str, ...]

    @property
    def size(self) -> int:
        """N. (`len` of a NamedTuple is its number of fields.)"""
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Dataset":
        """The examples at `indices` (int [M], may repeat), in that order."""
        inputs = tuple(array[indices] for array in self.inputs)
        return Dataset(inputs, self.labels[indices], self.classes)


def random_bits(count: int, seed: int, *stream: int) -> np.ndarray:
    """`count` uniform uint64, the same on every machine and NumPy version.

    NumPy fixes the raw stream of a bit generator but not what `Generator` derives
    from it, so splits and draws that results depend on are derived here from the
    Philox stream itself. `stream` names an independent one of the same seed. The
    first k values do not depend on `count`.
    """
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; expected 0 or more")
    sequence = np.random.SeedSequence(seed, spawn_key=stream)
    return np.random.Philox(sequence).random_raw(count)


def permutation(count: int, seed: int, *stream: int) -> np.ndarray:
    """A random order of range(count), int64 [count], fixed for ever."""
    return np.argsort(random_bits(count, seed, *stream), kind="stable")
