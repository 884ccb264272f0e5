"""Losses that optax lacks, one value per example.

Axes: b batch, m classes.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import jax.numpy as jnp
from jax.nn import logsumexp
from jaxtyping import Float, Int

from jnets.errors import InputError
from jnets.typing import Array

# What a model with auxiliary heads gives in training: (logits, {name: logits}).
Outputs: TypeAlias = Array | tuple[Array, Mapping[str, Array]]


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


def smoothed_cross_entropy(
    logits: Float[Array, "b m"], labels: Int[Array, " b"], smoothing: float = 0.1
) -> Float[Array, " b"]:
    """Cross entropy against (1 - s) onehot + s / m, per example, s = `smoothing`.

    log sum_i e^z_i - (1 - s) z_label - s mean_i z_i. With s = 0 it is the plain cross
    entropy; the smallest value is the entropy of the smoothed label, above 0 else.

    Errors: InputError unless 0 <= smoothing < 1. Labels are not checked.
    Source: Szegedy et al. 2016 (Inception-v3), section 7, where s is 0.1, the default.

    >>> import jax.numpy as jnp
    >>> loss = smoothed_cross_entropy(jnp.zeros((1, 4)), jnp.array([2]), 0.1)
    >>> round(float(loss[0]), 4)  # log 4
    1.3863
    """
    if not 0 <= smoothing < 1:
        raise InputError(
            f"smoothing {smoothing} is not usable: give 0 <= smoothing < 1"
        )
    # Shifted by the label's logit, both terms are sums of what is not huge.
    relative = logits - _at_label(logits, labels)[:, None]
    plain = logsumexp(relative, axis=1)
    if smoothing == 0:  # a logit of -inf has no finite mean
        return plain
    return plain - smoothing * jnp.mean(relative, axis=1)


def with_auxiliary(
    loss: Callable[[Array, Array], Array], weight: float
) -> Callable[[Outputs, Array], Array]:
    """The loss of a model's logits plus `weight` times that of each auxiliary head.

    `loss(logits, labels)` gives one value per example, and so does the result: of
    `(logits, {name: logits})`, loss(main) + weight sum_name loss(auxiliary); of plain
    logits, loss(main) alone, so that it serves for evaluation too.

    Errors: InputError if weight is negative or not finite.
    Source: Szegedy et al. 2015 (GoogLeNet), section 5, with the weight 0.3.
    """
    if not 0 <= weight < float("inf"):
        raise InputError(f"weight {weight} is not usable: give a number of at least 0")

    def total(outputs: Outputs, labels: Array) -> Array:
        if not isinstance(outputs, tuple):
            return loss(outputs, labels)
        logits, heads = outputs
        # In the order of the names: a dict that has been through jit is sorted.
        auxiliary = [loss(heads[name], labels) for name in sorted(heads)]
        return loss(logits, labels) + weight * sum(auxiliary)

    return total
