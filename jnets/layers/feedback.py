"""What a decoder reads in training: the teacher's symbols, or its own.

Axes: B batch, T steps, V vocabulary.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jnets.typing import Array, PyTree


def with_own_symbols(
    decoder: Any, memory: PyTree, state: PyTree, target: Array, own: Array, train: bool
) -> Array:
    """Logits [B, T, V] where some symbols read are the decoder's own last choice.

    `target` int32 [B, T] is what a teacher gives it to read; where `own` bool [B, T]
    is set it reads its likeliest symbol of the step before instead, but for the first
    step. `decoder` is a module with `step(memory, state, tokens, train=...)`. Gradients
    do not pass through the choice. With `own` drawn with a chance that grows while
    training this is scheduled sampling (Bengio et al. 2015), of the likeliest symbol.
    """

    def one(decoder, carry, at):
        state, last = carry
        given, mine = at
        tokens = jnp.where(mine, last, given)
        logits, state = decoder.step(memory, state, tokens, train=train)
        return (state, jnp.argmax(logits, axis=-1).astype(target.dtype)), logits

    scan: Any = nn.scan(
        one,
        variable_broadcast="params",
        split_rngs={"params": False, "dropout": True},
        in_axes=1,
        out_axes=1,
    )
    _, logits = scan(decoder, (state, target[:, 0]), (target, own))
    return logits
