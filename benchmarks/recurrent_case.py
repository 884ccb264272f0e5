"""What `benchmarks.recurrence` computes, whichever library does: one recurrent layer.

Axes: T steps, B batch, I inputs, H hidden, G gates, S states.
"""

from typing import NamedTuple

import numpy as np

from jnets.ops.cells import elman, gru
from jnets.ops.cells_lstm import lstm

CELLS = {
    "lstm": lstm(),
    "gru": gru(),  # reset after the product, as most libraries have it
    "gru_before": gru(False),
    "rnn": elman(),
    "rnn_relu": elman("relu"),
}


class Case(NamedTuple):
    """What is computed, whoever does."""

    cell: str
    steps: int
    batch: int
    inputs: int
    hidden: int
    dtype: str = "float32"  # of the products' factors; weights and x are float32

    @property
    def half(self) -> bool:
        return self.dtype == "bfloat16"


class Weights(NamedTuple):
    """In jnets' layout, see `jnets.ops.recurrence.Weights`."""

    input: np.ndarray
    bias: np.ndarray
    recurrent: tuple[np.ndarray, ...]
    pointwise: tuple[np.ndarray, ...]


class Problem(NamedTuple):
    """x, weights and E = sum(factor h), with h from zero states."""

    weights: Weights
    x: np.ndarray  # T x B x I
    factor: np.ndarray  # T x B x H


def problem(case: Case) -> Problem:
    """Normal x and factors; weights as PyTorch draws them, U(+-1/sqrt(H))."""
    rng, cell, h = np.random.default_rng(0), CELLS[case.cell], case.hidden

    def uniform(*shape: int):
        return rng.uniform(-(h**-0.5), h**-0.5, shape).astype(np.float32)

    weights = Weights(
        uniform(case.inputs, cell.gates * h),
        uniform(cell.gates * h),
        tuple(uniform(int(m.rows) * h, int(m.columns) * h) for m in cell.matrices),
        tuple(uniform(n * h) for _, n in cell.vectors),
    )
    shapes = ((case.steps, case.batch, n) for n in (case.inputs, h))
    return Problem(weights, *(rng.standard_normal(s, np.float32) for s in shapes))


def gflop(case: Case) -> dict[str, float]:
    """10^9 operations of the products, two for each multiplication and addition.

    Forward T B (I + H) G H multiplications; backward twice that, for the weights' and
    the inputs' gradient.
    """
    wide = CELLS[case.cell].gates * case.hidden
    macs = case.steps * case.batch * (case.inputs + case.hidden) * wide
    return {"forward": 2 * macs / 1e9, "both": 6 * macs / 1e9}


def mib(case: Case) -> dict[str, float]:
    """MiB that are read and written at least, in float32, where gates are saved.

    Of each step forward: the recurrent matrix and x are read, zx is written and read,
    the states are written. Backward: the matrix, x, the states, h again and dE/dh are
    read, the gates were written and are read (Elman's has none to save), delta is
    written and read by three products, for W_h, W_x and x, and dE/dx is written. The
    input matrix and the weights' gradients are touched once in all: left out.
    """
    cell, h = CELLS[case.cell], case.hidden
    wide = cell.gates * h
    saved = wide if cell.gates > 1 else 0
    forward = case.inputs + 2 * wide + cell.states * h
    backward = 2 * case.inputs + (cell.states + 2) * h + 2 * saved + 4 * wide
    scale = 4 * case.steps / 2**20
    one, two = (wide * h + case.batch * n for n in (forward, backward))
    return {"forward": scale * one, "both": scale * (one + two)}
