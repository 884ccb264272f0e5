"""Several updates as one XLA program, on data that lives on the device.

An epoch is an order: indices into the data, [updates, examples], -1 where the last
update has fewer. Update t of the run reads row t mod updates, so the number of
updates done is the position in the data, and nothing else needs saving.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata

from jnets.training.descent import Descent
from jnets.training.state import TrainState
from jnets.typing import Array, PRNGKey

Data = tuple[tuple[Array, ...], Array]  # inputs, each [N, ...], and labels [N]


class Batch(NamedTuple):
    """Examples of one update; `weights` is 1 for an example, 0 for padding."""

    inputs: tuple[Array, ...]
    labels: Array
    weights: Array


def take(data: Data, indices: Array) -> Batch:
    """The examples at `indices` [examples]; -1, only at the end, is padding.

    Padding repeats the batch's own examples at weight 0: they have no part in the loss,
    and batch statistics see nothing that is not in the batch.
    """
    inputs, labels = data
    real = jnp.sum(indices >= 0)
    at = indices[jnp.arange(len(indices)) % jnp.maximum(real, 1)]
    weights = (indices >= 0).astype(jnp.float32)
    return Batch(tuple(x[at] for x in inputs), labels[at], weights)


@partial(jax.jit, static_argnums=(1, 2))
def epoch_order(key: PRNGKey, size: int, descent: Descent) -> Array:
    """A permutation of 0..size-1 as [updates, examples], padded with -1."""
    updates = descent.updates(size)
    order = jax.random.permutation(key, size).astype(jnp.int32)
    padding = updates * descent.examples - size
    order = jnp.pad(order, (0, padding), constant_values=-1)
    return order.reshape(updates, descent.examples)


def make_program(step: Callable, updates: int, *, merge: bool = False) -> Callable:
    """`updates` updates in one compiled, donating call.

    Returns run(state, data, order) -> (state, metrics), each metric [updates]. One
    program for many updates saves the dispatch of each; on the CPU a convolution
    inside such a loop may run slower than alone, so the number is measured per
    experiment and stated there.

    `merge` asks XLA on the CPU to compile the loop as one function. An update made of
    many tiny operations, such as a recurrent net's on one name, otherwise spends most
    of its time in starting them. Convolutions and scatters cannot be merged.
    """

    def body(state: TrainState, data: Data, order: Array):
        row = state.step % order.shape[0]
        indices = jax.lax.dynamic_index_in_dim(order, row, keepdims=False)
        return step(state, take(data, indices))

    def run(state: TrainState, data: Data, order: Array):
        if updates == 1:
            state, metrics = body(state, data, order)
            return state, jax.tree.map(lambda m: m[None], metrics)
        return loop(state, data, order)

    def loop(state: TrainState, data: Data, order: Array):
        return jax.lax.scan(
            lambda state, _: body(state, data, order), state, length=updates
        )

    if merge and jax.default_backend() == "cpu":
        loop = _as_one_function(loop)
    return jax.jit(run, donate_argnums=0)


def _as_one_function(function: Callable) -> Callable:
    """Mark a call for XLA:CPU to merge.

    Newer XLA merges a loop this small by itself. The call must not be inlined before
    the mark is read; an XLA that does not know it computes the same, slower.
    """

    def call(*arguments):
        with set_xla_metadata(xla_cpu_small_call="true", inlineable="false"):
            return jax.jit(function)(*arguments)

    return call
