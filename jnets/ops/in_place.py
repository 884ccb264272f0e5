"""A scan whose results take the place of inputs that it has read.

`lax.scan` fills the arrays of its results with zeros before it writes them. Where an
input is not needed again, its memory will do: a large recurrence, which is bound by
memory, takes 0.93 of the time and 0.7 of the memory.

It does where XLA's program has read from an array for the last time before it writes
there. Of steps whose parts it computes twice it copies the whole array at every step,
which can take 14 times as long. So a cell says whether it is of the first kind
(`Cell.in_place`), and a test looks for copies in the programs.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jnets.typing import Array, PyTree


def scan_in_place(
    step: Callable[[Any, tuple[Any, Any]], tuple[Any, Any]],
    carry: PyTree,
    lent: PyTree,
    each: PyTree,
    *,
    reverse: bool,
    unroll: int,
) -> tuple[Any, Any]:
    """`lax.scan(step, carry, (lent, each))`, without gradients of its own.

    A result is written over the first array of `lent` of its shape that no other result
    is written over, if there is one: `lent` must not be read after this call, or XLA
    copies it first.
    """

    def read(buffers: list[Array], t: Array) -> PyTree:
        at = [lax.dynamic_index_in_dim(a, t, keepdims=False) for a in buffers]
        return jax.tree.unflatten(lent_structure, at)

    def first(carry: PyTree, buffers: list[Array], each: PyTree) -> PyTree:
        each = jax.tree.map(lambda a: a[0], each)
        return step(carry, (read(buffers, jnp.int32(0)), each))[1]

    buffers, lent_structure = jax.tree.flatten(lent)
    lenders, length, places = len(buffers), len(buffers[0]), []
    results, structure = jax.tree.flatten(jax.eval_shape(first, carry, buffers, each))
    for result in results:
        place = _place(result, buffers[:lenders], places)
        if place is None:
            place = len(buffers)
            buffers.append(jnp.zeros((length, *result.shape), result.dtype))
        places.append(place)

    def body(loop: Any, at: Any):
        (carry, buffers), (t, each) = loop, at
        carry, found = step(carry, (read(buffers[:lenders], t), each))
        for place, value in zip(places, jax.tree.leaves(found), strict=True):
            buffer = lax.dynamic_update_index_in_dim(buffers[place], value, t, 0)
            buffers = [*buffers[:place], buffer, *buffers[place + 1 :]]
        return (carry, buffers), None

    (carry, buffers), _ = lax.scan(
        body,
        (carry, buffers),
        (jnp.arange(length), each),
        reverse=reverse,
        unroll=unroll,
    )
    return carry, jax.tree.unflatten(structure, [buffers[place] for place in places])


def _place(result: Any, lent: list[Array], taken: list[int]) -> int | None:
    """Which array the result may be written over.

    Of a batch of one XLA on the CPU copies the whole array at every step.
    """
    if result.shape[:1] == (1,):
        return None
    same = (
        k
        for k, a in enumerate(lent)
        if (a.shape[1:], a.dtype) == (result.shape, result.dtype) and k not in taken
    )
    return next(same, None)
