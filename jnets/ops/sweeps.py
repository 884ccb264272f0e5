"""One stretch of steps, forward and back: the two sweeps of `bptt`, and its sums.

Axes: T steps, B batch, F features, H hidden, G gates.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jnets.ops.cells import Cell, State, row_sum
from jnets.ops.in_place import scan_in_place
from jnets.ops.recurrence import (
    Form,
    Steps,
    Weights,
    cut,
    dropped,
    inputs_share,
    product,
    products,
    shares,
    where,
)
from jnets.typing import Array


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

    h: Array  # T x B x H, after each step
    others: State  # the other states before it, after resets
    saved: Any  # the cell's own
    operands: tuple[Array | None, ...]  # of products; None for h itself


def run(
    form: Form, shared: Shared, state: State, at: At, unroll: int, *, keep: bool
) -> tuple[Kept, State]:
    """The forward sweep, and the final state. What is saved only if `keep`."""
    weights = shared.weights

    def step(state: State, each):
        zx, (valid, resets, ends) = each
        zx = jnp.concatenate(zx, axis=-1)
        before = _cut(ends, state)
        before = before if resets is None else where(resets, shared.start, before)
        seen = _Products(form, shared, before[0])
        after, saved = form.cell.forward(zx, before, weights.pointwise, seen.dot)
        if valid is not None:
            after = where(valid, after, before)
        rest = (saved, tuple(seen.operands)) if keep else ((), ())
        return after, (after[0], before[1:], *rest)

    # What is kept is written over zx, which is in one piece for that.
    apart, in_place = form.cell.apart and not keep, form.cell.in_place and keep
    cell = form.cell._replace(apart=apart, in_place=in_place)
    zx = shares(form._replace(cell=cell), weights, at.x)
    each = at.valid, at.resets, at.ends
    how = {"reverse": form.reverse, "unroll": unroll}
    final, kept = _scan(cell, step, state, zx, each, **how)
    return Kept(*kept), final


def _scan(cell: Cell, step, carry, lent, each, *, reverse: bool, unroll: int):
    """`lax.scan` over (lent, each), in place where the cell allows it."""
    if cell.in_place:
        return scan_in_place(step, carry, lent, each, reverse=reverse, unroll=unroll)
    return lax.scan(step, carry, (lent, each), reverse=reverse, unroll=unroll)


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


def _before(form: Form, shared: Shared, state: State, at: At, kept: Kept) -> State:
    """The state that each step began with: T x B x H."""
    first = state[0][None]
    parts = [kept.h[1:], first] if form.reverse else [first, kept.h[:-1]]
    (h,) = _cut(at.ends, (jnp.concatenate(parts),))
    if at.resets is not None:
        h = jnp.where(at.resets[..., None], shared.start[0][None], h)
    return h, *kept.others


def run_at_once(form: Form, shared: Shared, state: State, at: At, kept: Kept) -> Kept:
    """What the forward sweep did not save, for all steps at once."""
    before = _before(form, shared, state, at, kept)
    zx = inputs_share(form, shared.weights, at.x)
    seen = _Products(form, shared, before[0])
    _, saved = form.cell.forward(zx, before, shared.weights.pointwise, seen.dot)
    return kept._replace(saved=saved, operands=tuple(seen.operands))


def pull(form: Form, shared: Shared, state: State, at: At, kept: Kept, d, unroll: int):
    """The backward sweep, and after it the sums over the copies of the weights.

    d = (dE/dh of all steps, dE/d the final state). Gives ((d_weights, d_start), dE/d
    the state before the first step, d_x).
    """
    d_hs, d_state = d
    weights = shared.weights
    before = _before(form, shared, state, at, kept)
    partials = form.cell.partials(kept.saved, before, kept.h, weights.pointwise)
    # Once: transposed inside of the loop, a product takes up to twice as long.
    transposed = tuple(w.T for w in weights.recurrent)

    def step(carry, each):
        (d_h, *d_others), d_start, d_p = carry
        partials, (d_y, at) = each
        d_after = (d_h + d_y, *d_others)
        d_before, d_more, deltas = step_back(
            form, weights, transposed, partials, d_after, at.valid, shared.drop
        )
        if at.resets is not None:
            none = zeros(d_before)
            d_start = add(d_start, where(at.resets, d_before, none))
            d_before = where(at.resets, none, d_before)
        if at.ends is not None:
            d_before = tuple(jnp.where(at.ends, 0, d) for d in d_before)
        return (d_before, d_start, add(d_p, d_more)), deltas

    sums = zeros(shared.start), zeros(weights.pointwise)
    (d_state, d_start, d_p), (d_zx, deltas) = _scan(
        form.cell,
        step,
        (d_state, *sums),
        partials,
        (d_hs, at._replace(x=None)),
        reverse=not form.reverse,
        unroll=unroll,
    )
    d_weights = _sums(form, shared, at.x, before[0], kept.operands, d_zx, deltas)
    d_x = product(form, d_zx, weights.input.T)
    return (d_weights._replace(pointwise=d_p), d_start), d_state, d_x


def step_back(
    form: Form,
    weights: Weights,
    transposed: tuple[Array, ...],
    partials: Any,
    d_after: State,
    valid: Array | None,
    drop: Array | None,
):
    """(dE/d before, dE/dp, (dE/dzx, delta of each product, None where it is that)).

    `transposed` are the recurrent matrices W^T.
    """
    deltas: list[Array | None] = [None] * len(weights.recurrent)

    def back(k: int, delta: Array) -> Array:
        deltas[k] = delta
        d_u = product(form, delta, transposed[k])
        return dropped(Steps(drop=drop), k, d_u)

    d_cell = d_after if valid is None else where(valid, d_after, zeros(d_after))
    d_zx, d_before, d_p = form.cell.backward(partials, d_cell, weights.pointwise, back)
    if valid is not None:
        d_before = where(valid, d_before, d_after)
    apart = tuple(None if delta is d_zx else delta for delta in deltas)
    return d_before, d_p, (d_zx, apart)


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


def _cut(ends: Array | None, state: State) -> State:
    """Derivatives of gradients end where gradients do."""
    if ends is None:
        return state
    ends = jnp.broadcast_to(ends[..., None], state[0].shape[:-1])
    return where(ends, cut(state), state)


def zeros(state: State) -> State:
    return tuple(map(jnp.zeros_like, state))


def add(a, b):
    return jax.tree.map(jnp.add, a, b)
