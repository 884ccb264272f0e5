"""The training loop: programs over epochs, with a log, checkpoints and a bar."""

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple, cast

import jax
import numpy as np

from jnets.training.checkpoint import Checkpoints, Totals
from jnets.training.interrupt import Interrupt
from jnets.training.program import Data
from jnets.training.progress import ProgressBar
from jnets.training.source import Examples, Feed, Resident, Streamed
from jnets.training.state import TrainState
from jnets.training.step import Step
from jnets.typing import Array

Row = dict[str, float]

SHOW_SECONDS = 0.2  # the host waits for the device, and the bar moves, this often


class Plan(NamedTuple):
    """What `fit` repeats: `epochs` epochs of `updates` updates each.

    `order(state, epoch)` gives an epoch's examples as int32 [updates, examples] (see
    `program`); None for a stream, which has its own. Each call of the device does
    `per_call` updates, as one function if `merge` (see `make_program`); of a stream
    it does one. The model is evaluated every `evaluate_every` epochs and at the end,
    after `finish` has had the last state.
    """

    order: Callable[[TrainState, int], Array] | None
    updates: int
    epochs: int
    per_call: int = 1
    merge: bool = False
    evaluate_every: int = 1
    finish: Callable[[TrainState], TrainState] | None = None

    def due(self, epoch: int) -> bool:
        """Whether the end of this epoch (counted from 0) is an evaluation."""
        done = epoch + 1
        return done % self.evaluate_every == 0 or done == self.epochs


class NonFiniteLoss(ArithmeticError):
    """Training stopped because a loss or gradient was not finite.

    `step` is the update that failed, `examples` the indices, or names, that it read.
    The state before it has been saved if the run keeps checkpoints.
    """

    def __init__(self, step: int, epoch: int, loss: float, examples: Examples):
        self.step, self.epoch, self.examples = step, epoch, examples
        shown = ", ".join(map(str, examples[:8])) + (
            ", ..." if len(examples) > 8 else ""
        )
        super().__init__(
            f"update {step} (epoch {epoch + 1}) is not finite: loss {loss} on "
            f"{len(examples)} examples [{shown}]; the state before it is kept. Lower "
            f"the learning rate or look at these examples"
        )


def fit(
    state: TrainState,
    step: Step,
    data: Data | Feed,
    plan: Plan,
    *,
    evaluate: Callable[[TrainState], Row] = lambda state: {},
    record: Callable[[Row], None] = lambda row: None,
    checkpoints: Checkpoints | None = None,
    totals: Totals | None = None,
) -> TrainState:
    """Train from wherever `state` is to the end of `plan`; return the last state.

    After each epoch `record` gets a row: `step`, `epoch`, training `loss` and
    `accuracy` over the epoch, the norms of its last update, `seconds` of the epoch,
    `ms_per_update` (the median; not where all that there was to time had to be
    compiled first), and what `evaluate` returns where it is due. States are saved at
    the ends of epochs, when `checkpoints` says it is time, and at the very end.
    `totals` are the sums of an epoch that a checkpoint was taken in the middle of (see
    `Checkpoints.restore`).

    Ctrl-C or SIGTERM saves the state and raises KeyboardInterrupt. Errors:
    NonFiniteLoss, after saving the last finite state.
    """
    if plan.order is None:
        source = Streamed(step, cast(Feed, data))
    else:
        source = Resident(step, cast(Data, data), plan.order, merge=plan.merge)
    with closing(source):
        return _run(state, source, plan, evaluate, record, checkpoints, totals or {})


def _run(state, source, plan, evaluate, record, checkpoints, totals) -> TrainState:
    epoch = int(state.step) // plan.updates
    loop = _Loop(source, plan, checkpoints, totals)
    bar = ProgressBar(plan.updates * plan.epochs, done=int(state.step))
    with bar, Interrupt() as interrupt:
        while epoch < plan.epochs:
            started = time.perf_counter()
            state, row = loop.epoch(state, epoch, bar, interrupt)
            row["seconds"] = round(time.perf_counter() - started, 3)
            if plan.finish is not None and epoch + 1 == plan.epochs:
                state = plan.finish(state)
            if plan.due(epoch):
                row |= evaluate(state)
                bar.line(describe(row, plan.epochs))
            record(row)
            epoch += 1
            stop = interrupt.requested or epoch == plan.epochs
            if checkpoints and (checkpoints.due() or stop):
                checkpoints.save(state)
            if interrupt.requested:
                raise KeyboardInterrupt
    return state


def describe(row: Row, epochs: int) -> str:
    """An epoch's row as one line of text."""
    figures = [
        f"{name} {value:.4f}"
        for name, value in row.items()
        if name.endswith(("loss", "accuracy"))
    ]
    return f"epoch {row['epoch']:>3}/{epochs}  " + "  ".join(figures)


class _Loop:
    """The calls of one epoch, and the sums over it."""

    def __init__(self, source, plan, checkpoints, totals):
        self.source, self.plan = source, plan
        self.checkpoints, self.totals = checkpoints, dict(totals)
        self.per_call = plan.per_call if plan.order else 1
        self.compiled = False

    def epoch(
        self, state: TrainState, epoch: int, bar: ProgressBar, interrupt: Interrupt
    ) -> tuple[TrainState, Row]:
        plan = self.plan
        self.source.start(state, epoch)
        at, pending = int(state.step) % plan.updates, []
        shown, timed = time.perf_counter(), []
        last: Row = {}
        while at < plan.updates:
            updates = min(self.per_call, plan.updates - at)
            state, metrics = self.source.advance(state, updates)
            pending.append(metrics)
            at += updates
            late = time.perf_counter() - shown > SHOW_SECONDS
            whole = at == plan.updates
            if late or whole or interrupt.requested:
                last = self._collect(pending, state, epoch)
                done, now = sum(len(m["loss"]) for m in pending), time.perf_counter()
                if self.compiled:
                    timed.append(1000 * (now - shown) / done)
                self.compiled, pending, shown = True, [], now
                bar.advance(done, epoch + 1, self._mean("loss"))
            if interrupt.requested and not whole:
                self._save(state)
                raise KeyboardInterrupt
        row = {
            "step": int(state.step),
            "epoch": epoch + 1,
            "loss": self._mean("loss"),
            "accuracy": self._mean("correct"),
        }
        if timed:
            row["ms_per_update"] = round(statistics.median(timed), 3)
        self.totals = {}
        return state, row | last

    def _save(self, state: TrainState) -> None:
        if self.checkpoints:
            self.checkpoints.save(state, self.totals)

    def _mean(self, name: str) -> float:
        return self.totals[name] / max(self.totals["examples"], 1.0)

    def _collect(self, pending, state, epoch) -> dict[str, float]:
        """Add finished updates to the totals; return the norms of the last one."""
        fetched = jax.device_get(pending)
        metrics = {k: np.concatenate([m[k] for m in fetched]) for k in fetched[0]}
        finite = metrics["finite"]
        sums = {
            "loss": metrics["loss"] * metrics["examples"],
            "correct": metrics["correct"],
            "examples": metrics["examples"],
        }
        for name, values in sums.items():
            # One after the other, so that how updates are grouped changes no bit.
            terms = np.append(self.totals.get(name, 0.0), values[finite])
            self.totals[name] = float(np.cumsum(terms, dtype=np.float64)[-1])
        if not finite.all():
            step = int(state.step)
            self._save(state)
            loss = float(metrics["loss"][~finite][0])
            raise NonFiniteLoss(step, epoch, loss, self.source.examples(step))
        return {k: float(v[-1]) for k, v in metrics.items() if k.endswith("_norm")}
