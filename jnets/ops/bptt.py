"""Explicit backpropagation through time: the gradient of any recurrence, as a program.

The lecture unfolds the network, copies its weights (W -> W^(t)), computes the gradients
of the copies and sums them. With z_t = x_t W_x + b + h_{t-1} W_h and delta_t = dE/dz_t:

    backward, t = T .. 1:  delta_t from dE/dh_t and the cell's own backward part,
                           dE/dh_{t-1} = delta_t W_h^T + ...
    after it, all at once: dW_h = sum_t h_{t-1}^T delta_t,  dW_x = sum_t x_t^T delta_t,
                           db = sum_t delta_t,  dx_t = delta_t W_x^T

The loop emits delta and nothing else: each sum over t is one product of [T B] rows.
Autodiff of a scan carries all of dW through every step instead.

Axes: T steps, B batch, F features, H hidden, G gates, S segments, K steps of each.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jnets.ops.cells import State, row_sum
from jnets.ops.recurrence import (
    ALIKE,
    Form,
    Steps,
    Weights,
    cuts,
    dropped,
    inputs_share,
    product,
    products,
    where,
)
from jnets.typing import Array

Save = str | int


class Shared(NamedTuple):
    """What all steps have in common."""

    weights: Weights
    start: State  # B x H
    drop: Array | None


class At(NamedTuple):
    """What differs from step to step."""

    x: Array  # T x B x F
    valid: Array | None  # T x B
    resets: Array | None  # T x B
    ends: Array | None  # T


class Kept(NamedTuple):
    """What the backward sweep reads of the forward one."""

    after: State  # T x B x H
    saved: Any  # the cell's own
    operands: tuple[Array | None, ...]  # of products; None for h itself


def bptt(
    form: Form,
    weights: Weights,
    x: Array,
    start: State,
    steps: Steps = ALIKE,
    *,
    save: Save = "gates",
    unroll: int = 1,
) -> tuple[Array, State]:
    """h of all steps [T, B, H] and the final state; gradients by explicit BPTT.

    `save` says what the backward sweep finds and what it computes again: "gates", all
    it needs; "states", h and the cell's other states, the gates anew by one product
    over all steps; K, the state at every K-th step and the K steps between anew, one
    stretch at a time; "sqrt", the K next to the root of T: memory of O(sqrt T).
    """
    shared = Shared(weights, start, steps.drop)
    if not len(x):
        return jnp.zeros((0, *start[0].shape), start[0].dtype), start
    ends = cuts(form, len(x))
    ends = None if ends is None else jnp.asarray(ends)
    at = At(x, steps.valid, steps.resets, ends)
    save = _nearest_root(len(x)) if save == "sqrt" else save
    if not isinstance(save, int):
        return _bptt((form, save, unroll), shared, at)
    hs, final = _bptt((form, save, unroll), shared, _stretches(at, save))
    # S x K x B x H
    return hs.reshape(-1, *hs.shape[2:])[: len(x)], final


def _nearest_root(length: int) -> int:
    """The divisor of T nearest its root, if one is within a factor of 2; else that."""
    root = max(1, math.isqrt(length))
    near = [k for k in range(-(-root // 2), 2 * root + 1) if length % k == 0]
    return min(near, key=lambda k: abs(k - root), default=root)


def _stretches(at: At, k: int) -> At:
    """[T, ...] as [S, K, ...]; what fills the last stretch up is not valid."""
    missing = -len(at.x) % k
    if missing and at.valid is None:
        at = at._replace(valid=jnp.ones(at.x.shape[:2], bool))

    def split(a: Array) -> Array:
        if missing:
            a = jnp.pad(a, ((0, missing), *((0, 0),) * (a.ndim - 1)))
        return a.reshape(-1, k, *a.shape[1:])

    return jax.tree.map(split, at)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _bptt(static, shared: Shared, at: At) -> Any:
    return _forward(static, shared, at)[0]


def _forward(static, shared, at):
    form, save, unroll = static
    if isinstance(save, int):

        def stretch(state, at):
            kept, final = _run(static, shared, state, at, keep=False)
            return final, (state, kept.after[0])

        final, (states, hs) = lax.scan(stretch, shared.start, at, reverse=form.reverse)
        return (hs, final), (shared, at, states)
    kept, final = _run(static, shared, shared.start, at, keep=save == "gates")
    return (kept.after[0], final), (shared, at, kept)


def _backward(static, residuals, d_results):
    form, save, unroll = static
    shared, at, kept = residuals
    d_hs, d_state = d_results
    if isinstance(save, int):

        def stretch(carry, each):
            d_state, d_shared = carry
            at, state, d_hs = each
            kept, _ = _run(static, shared, state, at, keep=True)
            d_state, d_more, d_x = _pull(static, shared, state, at, kept, d_hs, d_state)
            return (d_state, _add(d_shared, d_more)), d_x

        zero = jax.tree.map(jnp.zeros_like, (shared.weights, shared.start))
        (d_state, d_shared), d_x = lax.scan(
            stretch, (d_state, zero), (at, kept, d_hs), reverse=not form.reverse
        )
    else:
        if save == "states":
            kept = _again(form, shared, at, kept)
        d_state, d_shared, d_x = _pull(
            static, shared, shared.start, at, kept, d_hs, d_state
        )
    d_weights, d_start = d_shared
    return Shared(d_weights, _add(d_start, d_state), None), At(d_x, None, None, None)


_bptt.defvjp(_forward, _backward)


def _run(static, shared: Shared, state: State, at: At, *, keep: bool):
    """The forward sweep: (Kept, final state). What is saved only if `keep`."""
    form, _, unroll = static
    weights = shared.weights

    def step(state: State, each):
        zx, valid, resets = each
        before = state if resets is None else where(resets, shared.start, state)
        seen = _Products(form, shared, before[0])
        after, saved = form.cell.forward(zx, before, weights.pointwise, seen.dot)
        if valid is not None:
            after = where(valid, after, before)
        return after, (after, (saved, tuple(seen.operands)) if keep else ((), ()))

    each = inputs_share(form, weights, at.x), at.valid, at.resets
    final, (after, (saved, operands)) = lax.scan(
        step, state, each, reverse=form.reverse, unroll=unroll
    )
    return Kept(after, saved, operands), final


class _Products:
    """A `dot` that keeps what each matrix is multiplied by, unless that is h itself."""

    def __init__(self, form: Form, shared: Shared, h: Array):
        self._dot = products(form, shared.weights, Steps(drop=shared.drop))
        self._h = h
        self.operands: list[Array | None] = [None] * len(shared.weights.recurrent)

    def dot(self, k: int, u: Array) -> Array:
        if u is not self._h:
            self.operands[k] = u
        return self._dot(k, u)


def _before(form: Form, shared: Shared, state: State, at: At, after: State) -> State:
    """The state that each step began with: T x B x H."""

    def shifted(first: Array, after: Array) -> Array:
        parts = [after[1:], first[None]] if form.reverse else [first[None], after[:-1]]
        return jnp.concatenate(parts)

    before = tuple(map(shifted, state, after))
    if at.resets is None:
        return before
    return where(at.resets, tuple(first[None] for first in shared.start), before)


def _again(form: Form, shared: Shared, at: At, kept: Kept) -> Kept:
    """What the forward sweep did not save, for all steps at once."""
    before = _before(form, shared, shared.start, at, kept.after)
    zx = inputs_share(form, shared.weights, at.x)
    seen = _Products(form, shared, before[0])
    _, saved = form.cell.forward(zx, before, shared.weights.pointwise, seen.dot)
    return Kept(kept.after, saved, tuple(seen.operands))


def _pull(static, shared: Shared, state: State, at: At, kept: Kept, d_hs, d_state):
    """The backward sweep, and after it the sums over the copies of the weights.

    Gives (d_state before the first step, (d_weights, d_start), d_x).
    """
    form, _, unroll = static
    weights = shared.weights
    before = _before(form, shared, state, at, kept.after)

    def step(carry, each):
        d_after, d_start, d_p = carry
        partials, d_h, at = each
        d_after = (d_after[0] + d_h, *d_after[1:])
        d_cell = d_after
        if at.valid is not None:
            d_cell = where(at.valid, d_after, _zeros(d_after))
        deltas: list[Array] = [d_h] * len(weights.recurrent)

        def back(k: int, delta: Array) -> Array:
            deltas[k] = delta
            return dropped(
                Steps(drop=shared.drop), k, product(form, delta, weights.recurrent[k].T)
            )

        d_zx, d_before, d_more = form.cell.backward(
            partials, d_cell, weights.pointwise, back
        )
        if at.valid is not None:
            d_before = where(at.valid, d_before, d_after)
        if at.resets is not None:
            d_start = _add(d_start, where(at.resets, d_before, _zeros(d_before)))
            d_before = where(at.resets, _zeros(d_before), d_before)
        if at.ends is not None:
            d_before = tuple(jnp.where(at.ends, 0, d) for d in d_before)
        same = tuple(None if delta is d_zx else delta for delta in deltas)
        return (d_before, d_start, _add(d_p, d_more)), (d_zx, same)

    d_start = _zeros(shared.start)
    d_p = tuple(map(jnp.zeros_like, weights.pointwise))
    partials = form.cell.partials(kept.saved, before, kept.after, weights.pointwise)
    each = partials, d_hs, at._replace(x=None)
    (d_state, d_start, d_p), (d_zx, deltas) = lax.scan(
        step,
        (d_state, d_start, d_p),
        each,
        reverse=not form.reverse,
        unroll=unroll,
    )
    d_weights = _sums(form, shared, at.x, before[0], kept.operands, d_zx, deltas)
    d_x = product(form, d_zx, weights.input.T)
    return d_state, (d_weights._replace(pointwise=d_p), d_start), d_x


def _sums(form, shared: Shared, x, h, operands, d_zx, deltas) -> Weights:
    """dW = sum over the copies W^(t): one product of all steps per matrix."""

    def over_steps(u: Array, delta: Array) -> Array:
        rows = u.reshape(-1, u.shape[-1]), delta.reshape(-1, delta.shape[-1])
        return product(form, rows[0].T, rows[1])

    recurrent = []
    for k, (operand, delta) in enumerate(zip(operands, deltas, strict=True)):
        u = dropped(Steps(drop=shared.drop), k, h if operand is None else operand)
        recurrent.append(over_steps(u, d_zx if delta is None else delta))
    bias = None if shared.weights.bias is None else row_sum(d_zx)
    return Weights(over_steps(x, d_zx), bias, tuple(recurrent))


def _zeros(state: State) -> State:
    return tuple(map(jnp.zeros_like, state))


def _add(a, b):
    return jax.tree.map(jnp.add, a, b)
