"""What a classifier got right, per example.

Axes: b batch, m classes.
"""

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from jnets.errors import InputError
from jnets.typing import Array


def top_k_correct(
    logits: Float[Array, "b m"], labels: Int[Array, " b"], k: int
) -> Bool[Array, " b"]:
    """Whether each label is among the `k` largest of its logits.

    Of equal logits the class of the smaller number comes first, as in argmax and
    lax.top_k, so that at most k labels of an example are correct; PyTorch's topk leaves
    the order of equal values open. A NaN is larger than any number, and a label whose
    own logit is NaN is wrong. With k >= m every other label is correct.

    It counts the classes before the label, which costs no sort.

    Errors: InputError if k is below 1. Labels are 0 to m - 1 and are not checked.

    >>> import jax.numpy as jnp
    >>> logits = jnp.array([[3.0, 1.0, 2.0]] * 3)
    >>> top_k_correct(logits, jnp.array([0, 1, 2]), 2).tolist()
    [True, False, True]
    """
    if k < 1:
        raise InputError(f"k {k} is too small: give an integer of at least 1")
    label = labels.astype(jnp.int32)[:, None]
    own = jnp.take_along_axis(logits, label, axis=1)
    after = jnp.arange(logits.shape[1], dtype=jnp.int32)[None] >= label
    before = ~((logits < own) | ((logits == own) & after))
    return (jnp.sum(before, axis=1) < k) & ~jnp.isnan(own[:, 0])
