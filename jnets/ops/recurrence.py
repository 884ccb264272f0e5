"""What a recurrence is made of, whichever way it is run.

`unroll.loop` and `unroll.scan` run it forward and leave gradients to autodiff;
`bptt.bptt` has its own. All three take these arguments and give (hs, final state).

Axes: T steps, B batch, F features, H hidden, G gates.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from jnets.ops.cells import Cell, Dot, State
from jnets.typing import Array, Size


class Weights(NamedTuple):
    """Of one layer in one direction, without a layer's names."""

    input: Array  # F x GH
    bias: Array | None  # GH
    recurrent: tuple[Array, ...]  # the cell's matrices: H x GH, ...
    pointwise: tuple[Array, ...] = ()  # the cell's vectors: H, ...


class Steps(NamedTuple):
    """What differs from step to step; None where nothing does.

    `valid` bool [T, B]: at other steps the state stays as it is, so that the final
    state is that of the last valid step. `resets` bool [T, B]: the state is the initial
    one again before this step, valid or not. `drop` [B, H]: a factor on what the
    recurrent products read, the same at all steps (variational dropout, Gal &
    Ghahramani 2016); a constant, without a gradient of its own.
    """

    valid: Array | None = None
    resets: Array | None = None
    drop: Array | None = None


ALIKE = Steps()  # every step is valid, none starts anew, nothing is dropped


class Form(NamedTuple):
    """The static part: the cell, and how it is run.

    `reverse`: from the last step to the first. `window`: gradients do not pass from a
    step to the one before where t is a multiple of it, t counted in running order:
    truncated backpropagation through time with the state carried on. `compute`: the
    dtype of all products' factors; sums and states keep x's.
    """

    cell: Cell
    reverse: bool = False
    window: int | None = None
    compute: str | None = None


def product(form: Form, x: Array, w: Array) -> Array:
    """x w, in the compute dtype, summed in x's."""
    if form.compute is None:
        return x @ w
    factors = x.astype(form.compute), w.astype(form.compute)
    return jnp.matmul(*factors, preferred_element_type=x.dtype)


def inputs_share(form: Form, weights: Weights, x: Array) -> Array:
    """zx = x W_x + b for all steps by one product: [T, B, F] -> [T, B, GH]."""
    zx = product(form, x, weights.input)
    return zx if weights.bias is None else zx + weights.bias[None, None]


def shares(form: Form, weights: Weights, x: Array) -> tuple[Array, ...]:
    """zx in the arrays that steps read it from: one, or with `Cell.apart` one per gate;
    `jnp.concatenate` of what a step reads is its zx."""
    if not form.cell.apart:
        return (inputs_share(form, weights, x),)
    blocks = jnp.split(weights.input, form.cell.gates, axis=1)
    bias = weights.bias
    biases = [None] * len(blocks) if bias is None else jnp.split(bias, len(blocks))
    return tuple(
        inputs_share(form, weights._replace(input=w, bias=b), x)
        for w, b in zip(blocks, biases, strict=True)
    )


def products(form: Form, weights: Weights, steps: Steps) -> Dot:
    """The cell's `dot`: u times the k-th matrix, after dropout."""

    def dot(k: int, u: Array) -> Array:
        return product(form, dropped(steps, k, u), weights.recurrent[k])

    return dot


def dropped(steps: Steps, k: int, u: Array) -> Array:
    """Dropout is of the first product's operand, the state or what is made of it."""
    if steps.drop is None or k > 0:
        return u
    return u * jnp.broadcast_to(lax.stop_gradient(steps.drop), u.shape)


def where(condition: Array, one: State, other: State) -> State:
    """Row by row: condition [..., B], states [..., B, H]."""
    return tuple(
        jnp.where(condition[..., None], *jnp.broadcast_arrays(a, b))
        for a, b in zip(one, other, strict=True)
    )


def cuts(form: Form, length: Size) -> Any:
    """bool [T]: steps before which gradients end; none at the first.

    Known while tracing, unless T itself is a symbol, in programs to be exported.
    """
    if form.window is None:
        return None
    t = np.arange(length) if isinstance(length, int) else jnp.arange(length)
    t = length - 1 - t if form.reverse else t
    return (t > 0) & (t % form.window == 0)


def cut(state: State) -> State:
    return tuple(map(lax.stop_gradient, state))
