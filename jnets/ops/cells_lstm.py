"""Long short-term memory in its published forms, forward and backward side by side.

    i, f, o = sigmoid, g = tanh of their blocks of z = W_x x_t + b + W_h h_{t-1}
    c_t = f c_{t-1} + i g
    h_t = o tanh(c_t)

States (h, c); the blocks are in the order i, f, g, o. Axes: B batch, H hidden, G gates.
"""

from functools import cache, partial
from typing import NamedTuple

import jax.numpy as jnp

from jnets.ops.cells import Cell, Dot, Matrix, State, as_row, row_sum, square
from jnets.typing import Array


class Kind(NamedTuple):
    """Which form; see `lstm`."""

    forget: bool
    peepholes: bool
    output_tanh: bool
    projection: bool


def lstm(
    *,
    forget: bool = True,
    peepholes: bool = False,
    output_tanh: bool = True,
    projection: bool = False,
) -> Cell:
    """The cell at this file's head, or one of its forms.

    `forget=False`: f = 1, the constant error carousel (Hochreiter & Schmidhuber 1997);
    with it Gers, Schmidhuber & Cummins 2000, and PyTorch, cuDNN and Flax. `peepholes`:
    i and f also read p_i c_{t-1} and p_f c_{t-1}, o reads p_o c_t (Gers & Schmidhuber
    2000); p = (p_i, p_f, p_o), or (p_i, p_o). `output_tanh=False`: h_t = o c_t (Show
    and Tell, Vinyals et al. 2015). `projection`: h_t = W_r (o tanh(c_t)), of size P
    (Sak, Senior & Beaufays 2014).
    """
    return _cell(Kind(forget, peepholes, output_tanh, projection))


@cache
def _cell(kind: Kind) -> Cell:
    """The same cell for the same kind, so that what it was compiled for is found."""
    gates = 3 + kind.forget
    matrices, vectors = square(gates), ()
    if kind.projection:
        matrices = (
            Matrix("recurrent_kernel", "P", gates),
            Matrix("projection_kernel", 1, "P"),
        )
    if kind.peepholes:
        vectors = tuple((f"peephole_{g}", 1) for g in ("i", *"f" * kind.forget, "o"))
    return Cell(
        partial(_forward, kind),
        partial(_partials, kind),
        partial(_backward, kind),
        gates,
        2,
        matrices,
        vectors,
        in_place=not (kind.peepholes and kind.forget),  # XLA would copy
    )


def _forward(kind: Kind, zx: Array, before: State, p: State, dot: Dot):
    h, c = before
    z = zx + dot(0, h)
    a = _peeping(kind, z, c, p) if kind.peepholes else _tanh(kind, z)
    i, f, g, o = _gates(kind, a)
    c = f * c + i * g
    m = o * (jnp.tanh(c) if kind.output_tanh else c)
    return (dot(1, m) if kind.projection else m, c), a


def _partials(kind: Kind, a: Array, before: State, h: Array, p: State):
    """dc/dz of i, f, g beside dh/dz of o; dh/dc; f = dc/dc_{t-1}; and both c."""
    _, c_prev = before
    i, f, g, o = _gates(kind, a)
    c = f * c_prev + i * g
    s = jnp.tanh(c) if kind.output_tanh else c
    slope = 1 - s * s if kind.output_tanh else jnp.ones_like(s)
    times = jnp.stack([g, *[c_prev] * kind.forget, i, s], axis=-2)
    # (1 - tanh(z/2)^2) / 4 is the sigmoid's derivative.
    scale = jnp.square(_scale(kind, a))
    of_z = (1 - a * a) * scale * times.reshape(a.shape)
    return of_z, o * slope, f, (c_prev, c) if kind.peepholes else ()


def _backward(kind: Kind, partials, d_after: State, p: State, back: Dot):
    of_z, of_c, f, cs = partials
    dm, dc = d_after
    if kind.projection:
        dm = back(1, dm)
    dc = dc + dm * of_c
    if kind.peepholes:
        p_i, p_f, p_o = _vectors(kind, p, dc)
        dc = dc + p_o * dm * jnp.split(of_z, 3 + kind.forget, axis=-1)[-1]
    delta = jnp.concatenate([dc] * (2 + kind.forget) + [dm], axis=-1) * of_z
    dc_prev, d_p = dc * f, ()
    if kind.peepholes:
        d_i, d_f, _, d_o = _blocks(kind, delta)
        dc_prev = dc_prev + p_i * d_i + p_f * d_f
        d_p = d_i * cs[0], *[d_f * cs[0]] * kind.forget, d_o * cs[1]
    return delta, (back(0, delta), dc_prev), tuple(map(row_sum, d_p))


def _scale(kind: Kind, z: Array) -> Array:
    """1/2 for gates, 1 for g, as a row: sigmoid(z) = (1 + tanh(z / 2)) / 2."""
    scale = jnp.asarray([0.5] * (1 + kind.forget) + [1.0, 0.5], z.dtype)
    return as_row(jnp.repeat(scale, z.shape[-1] // len(scale)), z)


def _tanh(kind: Kind, z: Array) -> Array:
    """tanh(z / 2) of the gates, of which (1 + t) / 2 is the sigmoid; tanh(z) of g.

    One tanh over all of z costs half of what sigmoids and a tanh over its parts do.
    """
    return jnp.tanh(z * _scale(kind, z))


def _peeping(kind: Kind, z: Array, c: Array, p: State) -> Array:
    """The same where gates see the cell's state: o sees the new one."""
    z_i, z_f, z_g, z_o = _blocks(kind, z)
    p_i, p_f, p_o = _vectors(kind, p, c)
    i, g = jnp.tanh((z_i + p_i * c) / 2), jnp.tanh(z_g)
    forgets = [jnp.tanh((z_f + p_f * c) / 2)] * kind.forget
    f = (1 + forgets[0]) / 2 if kind.forget else 1
    c = f * c + (1 + i) / 2 * g
    o = jnp.tanh((z_o + p_o * c) / 2)
    return jnp.concatenate([i, *forgets, g, o], axis=-1)


def _blocks(kind: Kind, a: Array) -> list[Array]:
    """The parts of i, f, g, o; where there is no f, ones."""
    parts = jnp.split(a, 3 + kind.forget, axis=-1)
    return parts if kind.forget else [parts[0], jnp.ones_like(parts[0]), *parts[1:]]


def _gates(kind: Kind, a: Array) -> tuple[Array, Array, Array, Array]:
    """i, f, g, o from the tanh of all; f = 1 where there is none."""
    i, f, g, o = _blocks(kind, a)
    return (1 + i) / 2, (1 + f) / 2, g, (1 + o) / 2


def _vectors(kind: Kind, p: State, like: Array) -> tuple[Array, Array, Array]:
    p_i, *p_f, p_o = (as_row(each, like) for each in p)
    return p_i, p_f[0] if p_f else jnp.zeros_like(p_i), p_o
