"""Local response normalisation across channels."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from jnets.errors import InputError
from jnets.typing import Array


def local_response_norm(
    x: Float[Array, "*n c"],
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    divide_by_size: bool = False,
) -> Float[Array, "*n c"]:
    """Divide each channel by a power of the energy of its `size` neighbours.

    y_c = x_c / (k + alpha' sum_j x_j^2)^beta, j from c - size // 2 to
    c + (size - 1) // 2, cut off at the first and the last channel. Channels are last.

    alpha' is alpha by default, which with the other defaults is the formula of the
    AlexNet paper. With `divide_by_size` alpha' is alpha / size: so Caffe and PyTorch
    (both with k = 1 by default) read it, and so does the code released with the paper,
    whose effective alpha is therefore 2e-5. bfloat16 and float16 are computed in
    float32 and rounded once.

    Errors: InputError if size is below 1 or k is not positive (a silent neighbourhood
    would be 0 / 0).
    Source: Krizhevsky, Sutskever and Hinton 2012, section 3.3.

    >>> import jax.numpy as jnp
    >>> y = local_response_norm(jnp.array([1.0, 2.0, 4.0]), size=3, alpha=1.0, beta=1.0)
    >>> [round(v, 4) for v in y.tolist()]  # 1 / (2 + 5), 2 / (2 + 21), 4 / (2 + 20)
    [0.1429, 0.087, 0.1818]
    """
    if size < 1:
        raise InputError(f"size {size} is too small: give an integer of at least 1")
    if k <= 0:
        raise InputError(f"k {k} is not usable: give a positive number")
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    ones = (1,) * (x.ndim - 1)
    # Forward and backward on a CPU, a banded matrix product takes the same time, a
    # sum of shifted slices three times as long and a cumulative sum twice.
    energy = lax.reduce_window(
        wide * wide,
        np.zeros((), wide.dtype),
        lax.add,
        (*ones, size),
        (*ones, 1),
        ((0, 0),) * (x.ndim - 1) + ((size // 2, (size - 1) // 2),),
    )
    base = k + (alpha / size if divide_by_size else alpha) * energy
    if beta == 0.75:  # square roots are several times faster than a power
        root = lax.rsqrt(base)
        return (wide * root * jnp.sqrt(root)).astype(x.dtype)
    return (wide * base**-beta).astype(x.dtype)
