"""A recurrent cell over time."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from jnets.typing import Array

# (z_t [B, H], h_prev [B, H]) -> h_t [B, H]
Cell = Callable[[Array, Array], Array]


def final_state(
    cell: Cell,
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
