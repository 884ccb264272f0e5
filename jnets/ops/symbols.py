"""Backpropagation through time, explicit: the Elman recurrence over symbols.

    z_t = W_x[x_t] + h_t W_h + b,   h_{t+1} = f(z_t),   h_0 = 0

A symbol's one-hot product with W_x is a row of it. As on the lecture's slides the
network is unfolded, the weights copied (W -> W^(t)), the copies' gradients computed
and summed. With delta_t = dE/dz_t and n steps:

    delta_{n-1} = f'(z_{n-1}) dE/dh_n,     delta_{t-1} = f'(z_{t-1}) W_h delta_t
    dW_h = sum_t h_t delta_t^T,    dW_x[x_t] += delta_t,    db = sum_t delta_t

The backward loop emits delta alone. Autodiff of a scan would carry all of dW through
every step instead, and both loops here run n times, not as often as padding is long.

Axes: T symbols (padded), V vocabulary, H hidden.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int

from jnets.typing import Array

Scalar = Int[Array, ""] | int

# f, and dE/dz from h = f(z) and dE/dh
RECURRENCES = {
    "identity": (lambda z: z, lambda h, dh: dh),
    "tanh": (jnp.tanh, lambda h, dh: dh * (1 - h * h)),
}

BLOCK = 4  # outer products that share one pass over dW_h; 2 to 4 measured alike


def last_state(
    w_x: Float[Array, "v h"],
    w_h: Float[Array, "h h"],
    b: Float[Array, " h"],
    symbols: Int[Array, " t"],
    steps: Scalar,
    activation: str,
) -> Float[Array, " h"]:
    """h_n after the first n = `steps` symbols of one sequence; h_0 = 0 for n = 0.

    `activation` is "identity" or "tanh". Gradients are by explicit BPTT (reverse mode,
    once); `jnets.ops.unroll` is the readable form, for batches and higher derivatives.
    """
    return _last_state(w_x, w_h, b, symbols, steps, activation)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _last_state(w_x, w_h, b, symbols, steps, activation) -> Any:
    return _row(_states(w_x, w_h, b, symbols, steps, activation), steps)


def _forward(w_x, w_h, b, symbols, steps, activation):
    h = _states(w_x, w_h, b, symbols, steps, activation)
    return _row(h, steps), (w_x, w_h, b, symbols, steps, h)


def _backward(activation, saved, dh):
    w_x, w_h, b, symbols, steps, h = saved
    delta = _deltas(w_h, h, dh, steps, activation)
    return *_sum_of_copies(w_x, w_h, b, symbols, h, delta, steps), None, None


_last_state.defvjp(_forward, _backward)


def _states(w_x, w_h, b, symbols, steps, activation) -> Array:
    """h_0 .. h_n in the first rows of [T + BLOCK, H]; the other rows are not used."""
    f, _ = RECURRENCES[activation]

    def step(t: Array, h: Array) -> Array:
        z = _row(w_x, _row(symbols, t)) + b + _row(h, t) @ w_h
        return _set_row(h, f(z), t + 1)

    h = jnp.zeros((symbols.shape[0] + BLOCK, b.shape[0]), b.dtype)
    # h_0 = 0: the first step needs no product.
    h = _set_row(h, f(_row(w_x, symbols[0]) + b), 1)
    return lax.fori_loop(1, steps, step, h)


def _deltas(w_h, h, dh, steps, activation) -> Array:
    """delta_0 .. delta_{n-1} in the first rows of [T + BLOCK, H]; then zeros."""
    _, backward = RECURRENCES[activation]

    def step(i: Array, delta: Array) -> Array:
        t = steps - 1 - i
        return _set_row(delta, backward(_row(h, t), w_h @ _row(delta, t)), t - 1)

    last = jnp.where(steps > 0, backward(_row(h, steps), dh), 0)
    delta = _set_row(jnp.zeros_like(h), last, jnp.maximum(steps - 1, 0))
    return lax.fori_loop(0, steps - 1, step, delta)


def _sum_of_copies(w_x, w_h, b, symbols, h, delta, steps) -> tuple[Array, Array, Array]:
    """(dW_x, dW_h, db): the gradients of the copies W^(t), summed over t < n.

    dW_h takes BLOCK outer products per pass; delta is zero past the last step.
    """

    def symbol(t, sums):
        dw_x, db = sums
        x, d = _row(symbols, t), _row(delta, t)
        return _set_row(dw_x, _row(dw_x, x) + d, x), db + d

    def block(j, dw_h):
        start = 1 + j * BLOCK  # h_0 = 0 adds nothing
        left = lax.dynamic_slice_in_dim(h, start, BLOCK)
        right = lax.dynamic_slice_in_dim(delta, start, BLOCK)
        for i in range(BLOCK):
            dw_h = dw_h + left[i][:, None] * right[i][None, :]
        return dw_h

    zeros = jnp.zeros_like(w_x), jnp.zeros_like(b)
    dw_x, db = lax.fori_loop(0, steps, symbol, zeros)
    blocks = (steps + BLOCK - 2) // BLOCK
    return dw_x, lax.fori_loop(0, blocks, block, jnp.zeros_like(w_h)), db


def _row(x: Array, t) -> Array:
    return lax.dynamic_index_in_dim(x, t, keepdims=False)


def _set_row(x: Array, row: Array, t) -> Array:
    return lax.dynamic_update_index_in_dim(x, row, t, axis=0)


def final_state(
    cell: Any,
    z: Float[Array, "t b h"],
    h0: Float[Array, "b h"],
    steps: Int[Array, " b"],
) -> Float[Array, "b h"]:
    """h after `steps` applications of h_t = cell(z_t, h_{t-1}), per sequence.

    z holds the inputs' contribution W_x x_t + b for all t, computed beforehand by one
    product; the cell adds W_h h_{t-1}. A sequence keeps its state once its own `steps`
    are done, so padding after them has no effect on value or gradient.
    """

    def step(h: Array, at: tuple[Array, Array]) -> tuple[Array, None]:
        t, z_t = at
        return jnp.where((t < steps)[:, None], cell(z_t, h), h), None

    return jax.lax.scan(step, h0, (jnp.arange(z.shape[0]), z))[0]
