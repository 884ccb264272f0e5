"""Recurrent cells: one step of each, forward and backward side by side.

A cell is the mathematics of one step. The matrix products are not in it: the inputs'
share zx = W_x x_t + b arrives ready, and a product with the state is asked for by
`dot(k, u)`, u times the k-th recurrent matrix. Backward, `back(k, delta)` gives dE/du
for delta = dE/d(u W_k): delta times the matrix transposed. So whoever drives the cell
sees every u and every delta, and makes of all steps together one product per matrix:
dW_k = sum_t u_t^T delta_t.

    forward(zx, before, p, dot) -> (after, saved)
    partials(saved, before, h, p) -> the step's own derivatives
    backward(partials, d_after, p, back) -> (d_zx, d_before, d_p)

before and after are tuples of states, h = after[0]; p are the cell's parameters that
are no matrices. The partials of all steps are computed at once, before the first step
back: what is left to do one step after the other is linear, and little. Everything else
is pointwise, on the last axis; leading axes are free: a batch, or steps and a batch.

Axes: B batch, H hidden, G gates.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.ops.activations import identity
from jnets.typing import Array

State = tuple[Array, ...]
Dot = Callable[[int, Array], Array]


class Matrix(NamedTuple):
    """A recurrent matrix: its name among parameters, rows and columns in units of H, or
    "P", the size of a projection."""

    name: str
    rows: int | str
    columns: int | str


class Cell(NamedTuple):
    """One step of a recurrence; see this file's head for its three functions.

    zx has `gates` * H columns; `states` arrays [B, H] are carried; `vectors` are the
    names of p and their sizes in units of H.

    Two are of how XLA's programs for the CPU run, and change no number. `in_place`:
    what a step puts out may be written over what it has read, see
    `jnets.ops.in_place`. `apart`: without a gradient x W_x is an array per gate, as
    parts of rows are slow to read.
    """

    forward: Callable[..., tuple[State, Any]]
    partials: Callable[..., Any]
    backward: Callable[..., tuple[Array, State, State]]
    gates: int
    states: int = 1
    matrices: tuple[Matrix, ...] = ()
    vectors: tuple[tuple[str, int], ...] = ()
    in_place: bool = False
    apart: bool = False


def square(gates: int) -> tuple[Matrix, ...]:
    """The one matrix of most cells: all gates read h."""
    return (Matrix("recurrent_kernel", 1, gates),)


# f, and f'(z) from h = f(z)
_ELMAN = {
    "tanh": (jnp.tanh, lambda h: 1 - h * h),
    "relu": (jax.nn.relu, lambda h: (h > 0).astype(h.dtype)),
    "identity": (identity, jnp.ones_like),
}


def elman(activation: str = "tanh") -> Cell:
    """h_t = f(W_x x_t + b + W_h h_{t-1}); Elman 1990, with f tanh, relu or identity.

    Errors: InputError for another activation.
    """
    if activation not in _ELMAN:
        raise InputError(
            f"activation={activation!r} is unknown; expected one of {list(_ELMAN)}"
        )
    return _elman(activation)


@cache
def _elman(activation: str) -> Cell:
    f, derivative = _ELMAN[activation]

    def forward(zx, before, p, dot):
        (h,) = before
        return (f(zx + dot(0, h)),), ()

    def partials(saved, before, h, p):
        return derivative(h)

    def backward(slope, d_after, p, back):
        delta = d_after[0] * slope
        return delta, (back(0, delta),), ()

    in_place = activation != "relu"  # of which XLA computes parts twice
    return Cell(forward, partials, backward, 1, matrices=square(1), in_place=in_place)


def row_sum(x: Array) -> Array:
    """Over all axes but the last: the gradient of what every row shares."""
    return x.reshape(-1, x.shape[-1]).sum(0)


def as_row(x: Array, like: Array) -> Array:
    """[H] as [1, ..., H], as implicit rank promotion is an error in tests."""
    return x.reshape((1,) * (like.ndim - 1) + x.shape)


def gru(reset_after: bool = True) -> Cell:
    """The gated recurrent unit: h_t = (1 - z) n + z h_{t-1}.

    r, z = sigmoid of their blocks of W_x x_t + b + W_h h_{t-1}, in the order r, z, n.
    `reset_after`: n = tanh(zx_n + r (W_n h_{t-1} + b_hn)), p = (b_hn,): PyTorch's,
    cuDNN's and Flax's. Otherwise n = tanh(zx_n + W_n (r h_{t-1})), two products one
    after the other (Cho et al. 2014).
    """
    return _RESET_AFTER if reset_after else _RESET_BEFORE


def _after_forward(zx, before, p, dot):
    (h,) = before
    x_r, x_z, x_n = jnp.split(zx, 3, axis=-1)
    z_r, z_z, u = jnp.split(dot(0, h), 3, axis=-1)
    u = u + as_row(p[0], u)
    r, z = jax.nn.sigmoid(x_r + z_r), jax.nn.sigmoid(x_z + z_z)
    n = jnp.tanh(x_n + r * u)
    return (n + z * (h - n),), (r, z, n, u)


def _after_partials(saved, before, h, p):
    """dh/dzx, dh/d(h W_h + b_hn), dh/dh_{t-1} = z."""
    (r, z, n, u), (h_prev,) = saved, before
    of_n = (1 - z) * (1 - n * n)
    of_r, of_z = of_n * u * r * (1 - r), (h_prev - n) * z * (1 - z)
    of_zx = jnp.stack([of_r, of_z, of_n], axis=-2).reshape(*h.shape[:-1], -1)
    of_zh = jnp.stack([of_r, of_z, of_n * r], axis=-2).reshape(of_zx.shape)
    return of_zx, of_zh, z


def _after_backward(partials, d_after, p, back):
    (of_zx, of_zh, z), (dh,) = partials, d_after
    dhs = jnp.concatenate([dh] * 3, axis=-1)
    d_zh = dhs * of_zh
    d_u = jnp.split(d_zh, 3, axis=-1)[-1]
    return dhs * of_zx, (dh * z + back(0, d_zh),), (row_sum(d_u),)


def _before_forward(zx, before, p, dot):
    (h,) = before
    x_r, x_z, x_n = jnp.split(zx, 3, axis=-1)
    z_r, z_z = jnp.split(dot(0, h), 2, axis=-1)
    r, z = jax.nn.sigmoid(x_r + z_r), jax.nn.sigmoid(x_z + z_z)
    n = jnp.tanh(x_n + dot(1, r * h))
    return (n + z * (h - n),), (r, z, n)


def _before_partials(saved, before, h, p):
    """dh/dz_n, dh/dz_z, d(r h_{t-1})/dz_r, r and z."""
    (r, z, n), (h_prev,) = saved, before
    of_n, of_z = (1 - z) * (1 - n * n), (h_prev - n) * z * (1 - z)
    return of_n, of_z, h_prev * r * (1 - r), r, z


def _before_backward(partials, d_after, p, back):
    (of_n, of_z, of_r, r, z), (dh,) = partials, d_after
    d_n = dh * of_n
    q = back(1, d_n)
    d_rz = jnp.concatenate([q * of_r, dh * of_z], axis=-1)
    d_zx = jnp.concatenate([d_rz, d_n], axis=-1)
    return d_zx, (dh * z + q * r + back(0, d_rz),), ()


_RESET_AFTER = Cell(
    _after_forward,
    _after_partials,
    _after_backward,
    3,
    matrices=square(3),
    vectors=(("recurrent_bias", 1),),
    in_place=True,
    apart=True,
)
_RESET_BEFORE = Cell(
    _before_forward,
    _before_partials,
    _before_backward,
    3,
    matrices=(*square(2), Matrix("candidate_kernel", 1, 1)),
    in_place=True,
    apart=True,
)


@cache
def derived(
    step: Callable[[Array, State, State, Dot], State],
    gates: int,
    states: int = 1,
    matrices: tuple[Matrix, ...] | None = None,
    vectors: tuple[tuple[str, int], ...] = (),
) -> Cell:
    """A cell from its forward part alone, step(zx, before, p, dot) -> after.

    What is saved are the results of its products; the pointwise part is computed again
    and differentiated by `jax.vjp`, from its last product back to its first. Without
    `matrices` it has one, of all gates.
    """

    matrices = square(gates) if matrices is None else matrices

    def forward(zx, before, p, dot):
        products, used = [], []

        def kept(k, u):
            used.append(k)
            products.append(dot(k, u))
            return products[-1]

        after = step(zx, before, p, kept)
        if sorted(used) != list(range(len(matrices))):
            raise InputError(
                f"step multiplies by the matrices {used}; expected each of "
                f"{list(range(len(matrices)))} once"
            )
        return after, (zx, tuple(products))

    def partials(saved, before, h, p):
        return saved, before

    def backward(partials, d_after, p, back):
        (zx, products), before = partials
        order: list[int] = []

        def opened(zx, before, p, products):
            """The step with its products given; what each is of, beside its result."""
            results, operands = iter(products), []

            def dot(k, u):
                order.append(k)
                operands.append(u)
                return next(results)

            return step(zx, before, p, dot), tuple(operands)

        (_, operands), pull = jax.vjp(opened, zx, before, p, products)
        d_operands = [jnp.zeros_like(u) for u in operands]
        for j in reversed(range(len(products))):
            # All later products' shares are known: this one's delta is complete.
            delta = pull((d_after, tuple(d_operands)))[3][j]
            d_operands[j] = back(order[j], delta)
        d_zx, d_before, d_p, _ = pull((d_after, tuple(d_operands)))
        return d_zx, d_before, d_p

    return Cell(forward, partials, backward, gates, states, matrices, vectors)
