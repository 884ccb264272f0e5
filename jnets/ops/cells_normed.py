"""Cells with layer normalisation (Ba, Kiros & Hinton 2016), by their forward parts.

N(a) = (a - mean(a)) / sqrt(var(a) + 1e-5), over all columns of a: those of all gates
together, as in the paper's supplement. Gains are `gain_*`, biases `shift*`; the inputs'
product has no bias of its own, which N would take away. Axes: H hidden, G gates.
"""

from functools import cache

import jax
import jax.numpy as jnp

from jnets.ops.activations import activation
from jnets.ops.cells import Cell, as_row, derived
from jnets.typing import Array

EPSILON = 1e-5


def _normed(a: Array, gain: Array, shift: Array | None = None) -> Array:
    """N(a) gain + shift."""
    centred = a - a.mean(-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + EPSILON)
    y = centred * scale * as_row(gain, a)
    return y if shift is None else y + as_row(shift, a)


@cache
def normed_elman(name: str = "tanh") -> Cell:
    """h_t = f(gain N(W_x x_t + W_h h_{t-1}) + shift), eq. 4; p = (gain, shift)."""
    f = activation(name)

    def step(zx, before, p, dot):
        return (f(_normed(zx + dot(0, before[0]), *p)),)

    return derived(step, 1, vectors=(("gain", 1), ("shift", 1)))


@cache
def normed_lstm() -> Cell:
    """i, f, g, o of z = gain_x N(W_x x_t) + gain_h N(W_h h_{t-1}) + shift, eq. 20.

    c_t = f c_{t-1} + i g,  h_t = o tanh(gain_c N(c_t) + shift_c), eq. 21 and 22.
    """

    def step(zx, before, p, dot):
        (h, c), (gain_x, gain_h, shift, gain_c, shift_c) = before, p
        z = _normed(zx, gain_x) + _normed(dot(0, h), gain_h, shift)
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(_normed(c, gain_c, shift_c)), c

    of_gates = ("gain_x", 4), ("gain_h", 4), ("shift", 4)
    return derived(step, 4, 2, vectors=(*of_gates, ("gain_c", 1), ("shift_c", 1)))


@cache
def normed_gru() -> Cell:
    """r, z of gain_x N(W_x x_t) + shift_x + gain_h N(W_h h_{t-1}) + shift_h, eq. 23.

    n = tanh(x_n + r h_n) with the third blocks of the two, h_t = (1 - z) n + z h_{t-1}.
    """

    def step(zx, before, p, dot):
        (h,), (gain_x, shift_x, gain_h, shift_h) = before, p
        x_r, x_z, x_n = jnp.split(_normed(zx, gain_x, shift_x), 3, axis=-1)
        h_r, h_z, h_n = jnp.split(_normed(dot(0, h), gain_h, shift_h), 3, axis=-1)
        r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + r * h_n)
        return (n + z * (h - n),)

    names = ("gain_x", "shift_x", "gain_h", "shift_h")
    return derived(step, 3, vectors=tuple((name, 3) for name in names))
