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
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jnets.errors import InputError
from jnets.ops.cells import State
from jnets.ops.recurrence import ALIKE, Form, Steps, Weights, cuts
from jnets.ops.sweeps import At, Shared, add, pull, run, run_at_once
from jnets.typing import Array

Save = str | int
CACHED = 2**22  # numbers of x W_x that are better made at once than by parts


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
    if save not in ("gates", "states", "sqrt") and not (
        isinstance(save, int) and save > 0
    ):
        raise InputError(
            f"save={save!r} is unknown; expected 'gates', 'states', 'sqrt' or a "
            f"number of steps"
        )
    if not len(x):
        return jnp.zeros((0, *start[0].shape), start[0].dtype), start
    ends = cuts(form, len(x))
    ends = None if ends is None else jnp.asarray(ends)
    kept, k = "state", len(x)
    if save == "sqrt":
        k = _nearest_root(len(x))
    elif isinstance(save, int):
        k = min(save, len(x))
    else:
        kept = save  # of one stretch: shorter ones are slower
    at = _stretches(At(x, steps.valid, steps.resets, ends), k)
    shared = Shared(weights, start, steps.drop)
    result: Any = _bptt((form, kept, unroll), shared, at)
    hs, final = result
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
    """Where no gradient is asked for: x W_x of one long stretch, which caches do not
    hold, is made and used up by parts."""
    form, _, unroll = static
    shape: Any = at.x.shape[:3]
    size = math.prod(shape) * shared.weights.input.shape[1]
    # Where the batch is a symbol, in programs to be exported, so is the size.
    if shape[0] == 1 and isinstance(size, int) and size > CACHED:
        at = jax.tree.map(lambda a: a[0], at)
        at = _stretches(at, _nearest_root(shape[1]))
    (hs, final), _ = _forward((form, "state", unroll), shared, at)
    # S x K x B x H
    hs = hs.reshape(-1, *hs.shape[2:])[: shape[0] * shape[1]]
    return hs.reshape(*shape, hs.shape[-1]), final


def _forward(static, shared: Shared, at: At):
    form, save, unroll = static

    def stretch(state, at):
        kept, final = run(form, shared, state, at, unroll, keep=save == "gates")
        return final, (state, kept.h, None if save == "state" else kept)

    final, (states, hs, kept) = lax.scan(
        stretch, shared.start, at, reverse=form.reverse
    )
    return (hs, final), (shared, at, states, kept)


def _backward(static, residuals, d_results):
    """The last stretch first: what was not kept of it forward again, then back."""
    form, save, unroll = static
    (shared, at, states, kept), (d_hs, d_state) = residuals, d_results

    def stretch(carry, each):
        d_shared, d_state = carry
        at, state, kept, d_hs = each
        if save == "state":
            kept, _ = run(form, shared, state, at, unroll, keep=True)
        elif save == "states":
            kept = run_at_once(form, shared, state, at, kept)
        back = pull(form, shared, state, at, kept, (d_hs, d_state), unroll)
        d_more, d_state, d_x = back
        return (add(d_shared, d_more), d_state), d_x

    none = jax.tree.map(jnp.zeros_like, (shared.weights, shared.start))
    ((d_weights, d_start), d_state), d_x = lax.scan(
        stretch, (none, d_state), (at, states, kept, d_hs), reverse=not form.reverse
    )
    d_shared = Shared(d_weights, add(d_start, d_state), None)
    return d_shared, At(d_x, None, None, None)


_bptt.defvjp(_forward, _backward)
