"""A recurrence over time, forward: a loop to read and to test against, and a scan.

Gradients of both are autodiff's. Axes: T steps, B batch, F features, H hidden, G gates.
"""

from typing import Any

import jax.numpy as jnp
from jax import lax

from jnets.ops.cells import State
from jnets.ops.recurrence import (
    ALIKE,
    Form,
    Steps,
    Weights,
    cut,
    cuts,
    inputs_share,
    products,
    shares,
    where,
)
from jnets.typing import Array


def loop(
    form: Form, weights: Weights, x: Array, start: State, steps: Steps = ALIKE
) -> tuple[Array, State]:
    """One step after the other, as written on paper: what all else is tested against.

    x [T, B, F], start [B, H] each -> h of all steps [T, B, H], and the final state.
    """
    dot = products(form, weights, steps)
    zx = inputs_share(form, weights, x)
    ends = cuts(form, len(x))
    state, hs = start, [start[0]] * len(x)
    order = range(len(x))
    for t in reversed(order) if form.reverse else order:
        before = state
        if ends is not None and ends[t]:
            before = cut(before)
        if steps.resets is not None:
            before = where(steps.resets[t], start, before)
        state, _ = form.cell.forward(zx[t], before, weights.pointwise, dot)
        if steps.valid is not None:
            state = where(steps.valid[t], state, before)
        hs[t] = state[0]
    empty = jnp.zeros((0, *start[0].shape), start[0].dtype)
    return jnp.stack(hs) if hs else empty, state


def scan(
    form: Form,
    weights: Weights,
    x: Array,
    start: State,
    steps: Steps = ALIKE,
    *,
    unroll: int = 1,
    taps: State | None = None,
) -> tuple[Array, State]:
    """The same by `lax.scan`: any transformation of JAX takes it, any times over.

    `taps` [T, B, H] are added to the states after each step: where they are zeros,
    their gradients are those of the states.
    """
    dot = products(form, weights, steps)

    def step(state: State, at: tuple[Any, ...]) -> tuple[State, Array]:
        zx, valid, resets, ends, tap = at
        zx = jnp.concatenate(zx, axis=-1)
        before = state
        if ends is not None:
            held = jnp.broadcast_to(ends, before[0].shape[:1])
            before = where(held, cut(before), before)
        if resets is not None:
            before = where(resets, start, before)
        after, _ = form.cell.forward(zx, before, weights.pointwise, dot)
        if valid is not None:
            after = where(valid, after, before)
        if tap is not None:
            after = tuple(a + b for a, b in zip(after, tap, strict=True))
        return after, after[0]

    zx, ends = shares(form, weights, x), cuts(form, x.shape[0])
    at = zx, steps.valid, steps.resets, ends, taps
    final, hs = lax.scan(step, start, at, reverse=form.reverse, unroll=unroll)
    return hs, final
