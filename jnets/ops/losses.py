"""Losses that optax lacks, one value per example.

Axes: b batch, m classes.
"""

import jax.numpy as jnp
from jax.nn import logsumexp
from jaxtyping import Float, Int

from jnets.errors import InputError
from jnets.typing import Array


def _at_label(values: Array, labels: Array) -> Array:
    return jnp.take_along_axis(values, labels[:, None], axis=1)[:, 0]


def nll_loss(
    log_probs: Float[Array, "b m"], labels: Int[Array, " b"]
) -> Float[Array, " b"]:
    """-log_probs[i, labels[i]], for a model that ends in a log-softmax.

    Labels are 0 to m - 1 and are not checked. From logits, use
    optax.softmax_cross_entropy_with_integer_labels instead.

    >>> import jax.numpy as jnp
    >>> nll_loss(jnp.array([[-0.5, -1.0]]), jnp.array([1])).tolist()
    [1.0]
    """
    return -_at_label(log_probs, labels)


def lenet_map_loss(
    penalties: Float[Array, "b m"], labels: Int[Array, " b"], *, j: float = 10.0
) -> Float[Array, " b"]:
    """LeNet-5's discriminative loss E = y_D + log(e^-j + sum_i e^-y_i), per example.

    penalties [b, m] are the RBF outputs y_i = ||F6 - w_i||^2, labels [b] the desired
    classes D. The first term pulls the output towards the code of D; the second pushes
    the other classes away, each with the weight e^-y_i / (e^-j + sum e^-y), which
    vanishes once its penalty is well above j. e^-j is the weight of a rubbish class.

    The paper asks for j > 0 and publishes no value. Two codes of +-1 that differ in h
    of their elements both have the penalty h half-way between them, so the push acts
    where classes are confused if j is near the smallest h. For 7 x 12 bitmaps of
    digits that is about 10, the default; with j = 1 hardly more than the pull is left.

    Errors: InputError if j is not positive. Labels are not checked.
    Source: LeCun, Bottou, Bengio and Haffner 1998, section II.C, equation 9.

    >>> import jax.numpy as jnp
    >>> loss = lenet_map_loss(jnp.array([[0.0, 40.0]]), jnp.array([0]))
    >>> round(float(loss[0]), 6)  # log(1 + e^-10)
    4.5e-05
    """
    if not j > 0:
        raise InputError(f"j {j} is not usable: give a positive number")
    return _at_label(penalties, labels) + jnp.logaddexp(
        -j, logsumexp(-penalties, axis=1)
    )
