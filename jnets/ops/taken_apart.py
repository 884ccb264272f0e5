"""Backpropagation through time taken apart: every loss, every copy of the weights.

The network unfolded has one copy W^(j) of its weights per step j, and may have one loss
E_i per step i, given here by its gradient d_hs[i] = dE_i/dh_i. The lecture's compact
form is the double sum

    dE/dW = sum_i sum_j dE_i/dW^(j),    dE_i/dW^(j) = sum over the batch of
                                        h_{j-1}^T dE_i/dz_j

and what is below are its terms: exact, by the cell's own backward part. They are for
looking at; `bptt` sums them without ever having them apart.

Steps are numbered in the order of x. Running back (`Form.reverse`), loss i reaches the
copies j >= i. Axes: T steps, B batch, F features, H hidden, P columns of h, G gates.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jnets.errors import InputError
from jnets.ops.cells import State
from jnets.ops.recurrence import (
    ALIKE,
    Form,
    Steps,
    Weights,
    cuts,
    dropped,
    inputs_share,
    product,
    where,
)
from jnets.ops.sweeps import step_back, zeros
from jnets.typing import Array


class Trace(NamedTuple):
    """All that a sweep back reads of the steps forward; leading axis T."""

    after: State  # T x B x H
    partials: Any  # the cell's own
    operands: tuple[Array, ...]  # what each recurrent matrix multiplied: T x B x H
    x: Array  # T x B x F
    valid: Array | None  # T x B
    resets: Array | None  # T x B
    ends: Array | None  # T


class Errors(NamedTuple):
    """The derivatives of a loss by what is inside of each step; leading axis T."""

    state: State  # dE/dh_j, and by the cell's other states: T x B x H
    inputs: Array  # dE/dz_j of z = x W_x + b + ...: T x B x GH
    products: tuple[Array, ...]  # by the results of the recurrent products: T x B x GH
    pointwise: tuple[Array, ...]  # by the cell's vectors: T x H


def trace(
    form: Form, weights: Weights, x: Array, start: State, steps: Steps = ALIKE
) -> Trace:
    """Run forward and keep everything."""

    def step(state: State, each):
        zx, valid, resets = each
        before = state if resets is None else where(resets, start, state)
        operands: list[Array] = [before[0]] * len(weights.recurrent)

        def dot(k: int, u: Array) -> Array:
            operands[k] = dropped(steps, k, u)
            return product(form, operands[k], weights.recurrent[k])

        after, saved = form.cell.forward(zx, before, weights.pointwise, dot)
        if valid is not None:
            after = where(valid, after, before)
        return after, (before, after, saved, tuple(operands))

    each = inputs_share(form, weights, x), steps.valid, steps.resets
    _, kept = lax.scan(step, start, each, reverse=form.reverse)
    before, after, saved, operands = kept
    partials = form.cell.partials(saved, before, after[0], weights.pointwise)
    ends = cuts(form, len(x))
    ends = None if ends is None else jnp.asarray(ends)
    return Trace(after, partials, operands, x, steps.valid, steps.resets, ends)


def back(
    form: Form, weights: Weights, steps: Steps, at: Trace, d_after: State
) -> tuple[State, Errors]:
    """One step back: from dE/dstate after it to that before it, and what is inside.

    `at` is a step of a Trace. The result is linear in d_after.
    """
    transposed = tuple(w.T for w in weights.recurrent)
    d_before, d_p, (d_zx, apart) = step_back(
        form, weights, transposed, at.partials, d_after, at.valid, steps.drop
    )
    products = tuple(d_zx if delta is None else delta for delta in apart)
    if at.resets is not None:
        d_before = where(at.resets, zeros(d_before), d_before)
    if at.ends is not None:
        d_before = tuple(jnp.where(at.ends, 0, d) for d in d_before)
    return d_before, Errors(d_after, d_zx, products, d_p)


def sweep(
    form: Form, weights: Weights, run: Trace, d_hs: Array, steps: Steps = ALIKE
) -> Errors:
    """All steps back, last to first, for the sum of the losses: d_hs [T, B, P]."""

    def step(carry: State, each):
        at, d_h = each
        return back(form, weights, steps, at, (carry[0] + d_h, *carry[1:]))

    nothing = tuple(jnp.zeros(s.shape[1:], s.dtype) for s in run.after)
    return lax.scan(step, nothing, (run, d_hs), reverse=not form.reverse)[1]


def state_gradients(
    form: Form,
    weights: Weights,
    x: Array,
    start: State,
    d_hs: Array,
    steps: Steps = ALIKE,
) -> State:
    """||dE/dh_t|| of every step and example, [T, B], and likewise of the cell's other
    states, for E the sum of the losses. One run forward and one sweep back."""
    run = trace(form, weights, x, start, steps)
    state = sweep(form, weights, run, d_hs, steps).state
    return tuple(jnp.linalg.norm(d, axis=-1) for d in state)


def deltas(
    form: Form,
    weights: Weights,
    x: Array,
    start: State,
    d_hs: Array,
    steps: Steps = ALIKE,
    *,
    losses: Array | None = None,
) -> Errors:
    """delta_j^(i), the error of loss i at step j: every array of Errors with an axis
    of losses before that of steps, state[0] dE_i/dh_j [T, T, B, P].

    `losses` int [N] picks some of the losses, [N, T, B, P]. One sweep back per loss.
    """
    run = trace(form, weights, x, start, steps)
    return _apart(form, weights, run, d_hs, steps, losses)


def copies(
    form: Form,
    weights: Weights,
    x: Array,
    start: State,
    d_hs: Array,
    pairs: Array,
    steps: Steps = ALIKE,
) -> Weights:
    """dE_i/dW^(j) for each row (i, j) of `pairs` int [N, 2]: Weights of [N, ...].

    Errors: InputError for pairs of another shape.
    """
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise InputError(f"pairs has shape {pairs.shape}; expected [N, 2] of (i, j)")
    i, j = pairs.T
    run = trace(form, weights, x, start, steps)
    # Where losses are asked for more often than there are, each is swept once.
    few = len(i) <= len(x)
    errors = _apart(form, weights, run, d_hs, steps, i if few else None)
    at = (jnp.arange(len(i)) if few else i), j
    errors = jax.tree.map(lambda a: a[at], errors)

    def outer(u: Array, delta: Array) -> Array:
        return jnp.einsum("nbu,nbd->nud", u[j], delta)

    bias = None if weights.bias is None else errors.inputs.sum(1)
    pairwise = zip(run.operands, errors.products, strict=True)
    recurrent = tuple(outer(u, delta) for u, delta in pairwise)
    return Weights(outer(x, errors.inputs), bias, recurrent, errors.pointwise)


def copy_norms(
    form: Form,
    weights: Weights,
    x: Array,
    start: State,
    d_hs: Array,
    steps: Steps = ALIKE,
) -> Weights:
    """||dE_i/dW^(j)||, Frobenius, of all copies for all losses: Weights of [T, T].

    No matrix is made: of u^T delta, with rows b of the batch, the norm is the root of
    sum_{b, b'} (u_b . u_b') (delta_b . delta_b').
    """
    run = trace(form, weights, x, start, steps)
    errors = _apart(form, weights, run, d_hs, steps, None)

    def norm(u: Array, delta: Array) -> Array:
        of_u = jnp.einsum("jbu,jcu->jbc", u, u)
        of_delta = jnp.einsum("ijbd,ijcd->ijbc", delta, delta)
        # Rounding may leave a sum of zero below it.
        return jnp.sqrt(jnp.maximum(jnp.einsum("jbc,ijbc->ij", of_u, of_delta), 0))

    bias = None
    if weights.bias is not None:
        bias = jnp.linalg.norm(errors.inputs.sum(2), axis=-1)
    pairwise = zip(run.operands, errors.products, strict=True)
    vectors = tuple(jnp.linalg.norm(d, axis=-1) for d in errors.pointwise)
    recurrent = tuple(norm(u, delta) for u, delta in pairwise)
    return Weights(norm(x, errors.inputs), bias, recurrent, vectors)


def windowed_gradients(
    form: Form,
    weights: Weights,
    x: Array,
    start: State,
    d_hs: Array,
    k2: int,
    steps: Steps = ALIKE,
) -> Weights:
    """Truncated BPTT with k1 = 1: dE/dW of only the copies at most k2 - 1 steps before
    their loss, sum over i - j < k2 of dE_i/dW^(j).

    At every step each of the k2 youngest losses goes back on its own, and the oldest is
    let go: work of O(T k2). k2 >= T is all of BPTT; k2 = 1 sends no error past a step
    (Elman 1990). Truncation into chunks is `Form.window`. Errors: InputError for
    k2 < 1.
    """
    if k2 < 1:
        raise InputError(f"k2={k2} is not usable; expected at least 1")
    run, k2 = trace(form, weights, x, start, steps), min(k2, max(len(x), 1))

    def step(youngest: State, each):
        at, d_h = each
        new = d_h, *(jnp.zeros(y.shape[1:], y.dtype) for y in youngest[1:])
        d_after = tuple(
            jnp.concatenate([d[None], y]) for d, y in zip(new, youngest, strict=True)
        )
        d_before, errors = jax.vmap(lambda d: back(form, weights, steps, at, d))(
            d_after
        )
        total = jax.tree.map(lambda e: e.sum(0), errors)
        return tuple(d[: k2 - 1] for d in d_before), total

    nothing = tuple(jnp.zeros((k2 - 1, *s.shape[1:]), s.dtype) for s in run.after)
    each = run, d_hs
    errors = lax.scan(step, nothing, each, reverse=not form.reverse)[1]
    return tied(weights, run, errors)


def tied(weights: Weights, run: Trace, errors: Errors) -> Weights:
    """The sum over the copies: the gradient of the weights that all steps share."""

    def over_steps(u: Array, delta: Array) -> Array:
        return jnp.einsum("tbu,tbd->ud", u, delta)

    bias = None if weights.bias is None else errors.inputs.sum((0, 1))
    pairwise = zip(run.operands, errors.products, strict=True)
    recurrent = tuple(over_steps(u, delta) for u, delta in pairwise)
    pointwise = tuple(d.sum(0) for d in errors.pointwise)
    return Weights(over_steps(run.x, errors.inputs), bias, recurrent, pointwise)


def _apart(form, weights, run: Trace, d_hs, steps, losses: Array | None) -> Errors:
    """One sweep per loss, at once."""
    t = jnp.arange(len(d_hs))

    def alone(i: Array) -> Errors:
        only = jnp.where((t == i)[:, None, None], d_hs, 0)
        return sweep(form, weights, run, only, steps)

    return jax.vmap(alone)(t if losses is None else losses)
