"""Tasks whose answer lies many steps back, and the recurrent nets that try them.

Axes: B batch, T steps, F features.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jnets.data import digits
from jnets.models.sequence_reader import CELLS
from jnets.training import Batch, TrainState
from jnets.training.step import Step
from jnets.typing import Array, PRNGKey, PyTree

NETS = dict(CELLS)  # those that are compared


class Task(NamedTuple):
    """`data` is what is trained on; of an endless task an empty one."""

    data: tuple[tuple[Array, ...], Array]
    test: tuple[Array, Array]
    loss: Callable[[Array, Array], Array]
    outputs: int
    measure: str  # what the mean test loss is called
    classes: tuple[str, ...] = ()


def squared_error(outputs: Array, targets: Array) -> Array:
    return jnp.square(outputs[:, 0] - targets)


cross_entropy = optax.softmax_cross_entropy_with_integer_labels


def adding(key: PRNGKey, examples: int, length: int) -> tuple[Array, Array]:
    """The adding problem: x [B, T, 2], y [B].

    x_t = (a number from U(0, 1), a mark); two steps are marked 1, one in each half of
    the sequence, and y is the sum of their numbers. To answer 1 always costs 1/6
    (Hochreiter & Schmidhuber 1997, section 5.4, with numbers, sum and marks as in Le,
    Jaitly & Hinton 2015).
    """
    numbers, *halves = jax.random.split(key, 3)
    values = jax.random.uniform(numbers, (examples, length))
    middle = length // 2
    marks = sum(
        jax.nn.one_hot(jax.random.randint(half, (examples,), low, high), length)
        for half, (low, high) in zip(
            halves, ((0, middle), (middle, length)), strict=True
        )
    )
    return jnp.stack([values, marks], axis=-1), jnp.sum(values * marks, axis=1)


def adding_task(length: int, seed: int) -> Task:
    """Endless; tested on 1,000 sequences that the seed decides."""
    test = jax.jit(adding, static_argnums=(1, 2))(
        jax.random.fold_in(jax.random.key(seed), 1), 1000, length
    )
    return Task(((), jnp.zeros(1)), test, squared_error, 1, "mse")


def digits_task() -> Task:
    """Digits of scikit-learn pixel by pixel: 64 steps of one number in [0, 1]."""
    train, test = digits.load()

    def pixels(images: np.ndarray) -> Array:
        return jnp.asarray(images.reshape(len(images), -1, 1) / 16, jnp.float32)

    x, y = pixels(train.inputs[0]), jnp.asarray(train.labels)
    held_out = pixels(test.inputs[0]), jnp.asarray(test.labels)
    return Task(((x,), y), held_out, cross_entropy, 10, "loss", digits.CLASSES)


def endless(step: Step, examples: int, length: int) -> Step:
    """The same update on sequences made for it: they depend on the state's key and its
    step alone, and the batch that is passed in is not read."""

    def drawn(state: TrainState, batch: Batch):
        key = jax.random.fold_in(jax.random.fold_in(state.key, 2), state.step)
        x, y = adding(key, examples, length)
        return step(state, Batch((x,), y, jnp.ones(examples)))

    return drawn


def scaled(params: PyTree, sigma_max: float) -> PyTree:
    """With the largest singular value of the recurrent matrix set to `sigma_max`."""
    kernel = params["layer"]["layer0"]["recurrent_kernel"]
    factor = sigma_max / jnp.linalg.norm(kernel, 2)
    return _changed(params, recurrent_kernel=kernel * factor)


def closed_input_gates(params: PyTree, bias: float) -> PyTree:
    """With `bias` on an LSTM's input gates: low, it keeps cells that never forget from
    filling up before they have learned what to store."""
    old = params["layer"]["layer0"]["bias"]
    hidden = params["layer"]["layer0"]["recurrent_kernel"].shape[0]
    return _changed(params, bias=old.at[:hidden].set(bias))


def _changed(params: PyTree, **arrays: Array) -> PyTree:
    return {**params, "layer": {"layer0": {**params["layer"]["layer0"], **arrays}}}
