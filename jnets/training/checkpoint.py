"""Checkpoints on disk: Orbax, written in the background, visible only when whole."""

import gc
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as ocp

from jnets.errors import InputError
from jnets.training.state import TrainState
from jnets.typing import PyTree

Totals = dict[str, float]


class Saved(NamedTuple):
    """A restored state and the sums of the epoch it was saved in."""

    state: TrainState
    totals: Totals


class _Metadata(NamedTuple):
    """What a checkpoint says of itself: shapes, and the totals."""

    variables: PyTree
    opt_state: PyTree
    totals: Totals


class Checkpoints:
    """The checkpoints of one run, the newest `keep` of them.

    `directory` holds one folder per saved step. A folder appears under its name only
    once it is complete: a kill at any moment leaves the previous checkpoint to go on
    from. `due` after `seconds` without a save: a kill costs that much work at most.
    Use as a context manager, or call `close`, which waits for the last write. Unless
    `read_only`, what a kill left half-written is removed: no other process may be
    writing here.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep: int = 2,
        seconds: float = 10.0,
        read_only: bool = False,
    ):
        self._seconds, self._saved = seconds, time.monotonic()
        self.directory = Path(directory).absolute()
        policy: Any = ocp.training.preservation_policies.LatestN(keep)
        with _quiet():
            self._checkpointer = ocp.training.Checkpointer(
                str(self.directory),
                preservation_policy=policy,
                cleanup_tmp_directories=not read_only,
            )

    def due(self) -> bool:
        """Whether the last save, or the start, is `seconds` ago."""
        return time.monotonic() - self._saved >= self._seconds

    def save(self, state: TrainState, totals: Totals | None = None) -> None:
        """Write a state in the background; training may donate it at once.

        A step that is there already is left alone: a run has one state at a step.
        """
        self._checkpointer.wait()
        self._saved = time.monotonic()
        step = int(state.step)
        if any(saved.step == step for saved in self._checkpointer.checkpoints):
            return
        # A copy: on the CPU the writer would read the very buffer that the next
        # update, which donates its state, overwrites.
        state = jax.tree.map(jnp.copy, state)
        self._checkpointer.save_checkpointables_async(
            step,
            _stored(state),
            custom_metadata={"totals": json.dumps(totals or {})},
            force=True,
        )

    def restore(self, like: TrainState) -> Saved | None:
        """The newest state, or None before the first save.

        `like` gives the structure. Errors: InputError if the checkpoint is of another
        model or cannot be read.
        """
        latest = self._checkpointer.latest
        if latest is None:
            return None
        saved = self._metadata(latest)
        self._check(saved.variables, like.variables, "model")
        self._check(saved.opt_state, like.opt_state, "optimizer")
        return Saved(_state(self._load(latest, _stored(_abstract(like)))), saved.totals)

    def variables(self, like: PyTree) -> PyTree:
        """The newest parameters and batch statistics only, shaped as `like`."""
        latest = self._checkpointer.latest
        if latest is None:
            raise InputError(
                f"run directory {self.directory.parent} has no complete checkpoint; "
                f"resume its training first"
            )
        self._check(self._metadata(latest).variables, like, "model")
        return self._load(latest, {"variables": _abstract(like)})["variables"]

    def close(self) -> None:
        """Wait for the last write to be complete."""
        self._checkpointer.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check(self, saved: PyTree, expected: PyTree, what: str) -> None:
        """Raise an InputError unless two trees have the same names and shapes."""
        found, wanted = _shapes(saved), _shapes(expected)
        if found == wanted:
            return
        every = found | wanted
        differing = sorted(k for k in every if found.get(k) != wanted.get(k))
        name = differing[0]
        raise InputError(
            f"checkpoint {self.directory} is of another {what}: {name} is "
            f"{found.get(name, 'absent')} there, {wanted.get(name, 'absent')} in this "
            f"{what} ({len(differing)} of {len(every)} arrays differ)"
        )

    def _metadata(self, latest: Any) -> "_Metadata":
        try:
            with _quiet():
                found: Any = self._checkpointer.checkpointables_metadata(latest)
                variables = found.metadata["variables"]
                training = found.metadata["training"]
                if variables is None or training is None:
                    raise ValueError("the list of its arrays is missing")
            totals = json.loads(found.custom_metadata["totals"])
            return _Metadata(variables, training["opt_state"], totals)
        except Exception as error:
            raise self._unreadable(latest.step, error) from error

    def _load(self, latest: Any, abstract: PyTree) -> PyTree:
        try:
            with _quiet():
                return self._checkpointer.load_checkpointables(latest, abstract)
        except Exception as error:
            raise self._unreadable(latest.step, error) from error

    def _unreadable(self, step: int, error: Exception) -> InputError:
        reason = str(error).strip().split("\n")[0][:160]
        return InputError(
            f"checkpoint {self.directory / str(step)} cannot be read "
            f"({type(error).__name__}: {reason}); remove that folder to go on from "
            f"the one before it"
        )


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in leaves
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Orbax from printing what our own error says in one line.

    A load that fails leaves tasks behind, which complain when they are collected, or
    when they end: that is made to happen here, or else is not heard.
    """
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels, hook = [logger.level for logger in loggers], sys.unraisablehook
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    sys.unraisablehook = lambda unraisable: None
    try:
        yield
    except Exception:
        gc.collect()
        logging.getLogger("asyncio").addFilter(_is_no_orphan)
        if getattr(hook, "func", None) is not _unless_orphan:
            hook = partial(_unless_orphan, hook)
        raise
    finally:
        sys.unraisablehook = hook
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_no_orphan(record: logging.LogRecord) -> bool:
    return "exception was never retrieved" not in record.getMessage()


def _unless_orphan(hook: Callable[[Any], Any], unraisable: Any) -> None:
    if "Event loop is closed" not in str(unraisable.exc_value):
        hook(unraisable)


def _abstract(tree: PyTree) -> PyTree:
    """Shapes and dtypes of a tree, to be restored where its arrays are, or else on the
    default device."""
    default = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def describe(leaf) -> jax.ShapeDtypeStruct:
        sharding = getattr(leaf, "sharding", None) or default
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(describe, tree)


def _stored(state: TrainState) -> PyTree:
    """What a checkpoint holds: first what a trained model needs, then the rest.

    Where training keeps an average, the average is what is used later, and the
    variables it is taken of belong to the rest.
    """
    training = {"step": state.step, "opt_state": state.opt_state, "key": state.key}
    latest = None if state.ema is None else state.variables
    training |= {"latest": latest, "carry": state.carry}
    return {"variables": state.averaged, "training": training}


def _state(stored: PyTree) -> TrainState:
    """The inverse of `_stored`."""
    used, training = stored["variables"], dict(stored["training"])
    latest = training.pop("latest")
    if latest is None:
        return TrainState(**used, **training)
    return TrainState(**latest, **training, ema=used)
