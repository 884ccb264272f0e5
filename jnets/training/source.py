"""Where the updates of a run get their examples from: the device, or a stream."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jnets.training.program import Batch, Data, make_program
from jnets.training.state import TrainState
from jnets.training.step import Metrics, Step, keep_if
from jnets.typing import Array

Examples = Sequence[Any]

AHEAD = 2  # batches on their way to the device while it works on another


class Feed(Protocol):
    """A data set that is read while it is trained on.

    Batch u of the run, (inputs..., labels, weights), depends on u alone, so that a
    resumed run reads what it would have read.
    """

    def batches(self, first: int) -> Iterator[tuple[np.ndarray, ...]]: ...

    def examples(self, update: int) -> Examples: ...


class Resident:
    """Examples that fit on the device, read by index inside the compiled program."""

    def __init__(
        self,
        step: Step,
        data: Data,
        order: Callable[[TrainState, int], Array],
        *,
        merge: bool,
    ):
        self._step, self._data, self._order, self._merge = step, data, order, merge
        self._programs: dict[int, Callable] = {}
        self._epoch: Array | None = None

    def start(self, state: TrainState, epoch: int) -> None:
        """Make the order of an epoch."""
        self._epoch = self._order(state, epoch)

    def advance(self, state: TrainState, updates: int) -> tuple[TrainState, Metrics]:
        """Do `updates` updates in one call; each metric is [updates]."""
        if updates not in self._programs:
            program = make_program(self._step, updates, merge=self._merge)
            self._programs[updates] = program
        return self._programs[updates](state, self._data, self._epoch)

    def examples(self, update: int) -> Examples:
        """The indices that an update of this epoch reads."""
        assert self._epoch is not None
        row = np.asarray(self._epoch[update % len(self._epoch)])
        return row[row >= 0].tolist()

    def close(self) -> None:
        """Nothing to end."""


class Streamed:
    """Batches of a `Feed`, sent to the device ahead of their update."""

    def __init__(self, step: Step, feed: Feed):
        self._feed = feed
        self._source: Iterator[tuple[np.ndarray, ...]] | None = None
        self._ready: Iterator[tuple[Array, Batch]] | None = None

        def at_its_place(state: TrainState, at: Array, batch: Batch):
            # The step stands still at an update that is not finite. The batches that
            # were sent after it must not pass it by.
            moved, metrics = step(state, batch)
            due = state.step == at
            metrics = metrics | {"finite": metrics["finite"] & due}
            metrics = jax.tree.map(lambda m: m[None], metrics)
            return keep_if(due, moved, state), metrics

        self._program = jax.jit(at_its_place, donate_argnums=0)

    def start(self, state: TrainState, epoch: int) -> None:
        """Open the stream where the run is; it goes on through all epochs."""
        del epoch
        if self._ready is None:
            first = int(state.step)
            self._source = self._feed.batches(first)
            self._ready = _sent(self._source, first)

    def advance(self, state: TrainState, updates: int) -> tuple[TrainState, Metrics]:
        """Do one update."""
        assert updates == 1 and self._ready is not None
        at, batch = next(self._ready)
        return self._program(state, at, batch)

    def examples(self, update: int) -> Examples:
        return self._feed.examples(update)

    def close(self) -> None:
        """End the stream, and what works for it."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


def _sent(
    batches: Iterator[tuple[np.ndarray, ...]], first: int
) -> Iterator[tuple[Array, Batch]]:
    """(number, batch) on the device, `AHEAD` of them on their way."""
    ready: deque[tuple[Array, Batch]] = deque()
    for at, (*inputs, labels, weights) in zip(count(first), batches, strict=False):
        sent = jax.device_put((tuple(inputs), labels, weights))
        ready.append((jnp.int32(at), Batch(*sent)))
        if len(ready) > AHEAD:
            yield ready.popleft()
    yield from ready
