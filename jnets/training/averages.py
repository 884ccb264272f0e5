"""Running averages of a model's variables, for use inside a step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.typing import Array, PyTree

# (average, variables, step) -> average; step counts the updates before this one.
Average = Callable[[PyTree, PyTree, Array], PyTree]


def ema(decay: float) -> Average:
    """The exponential moving average a <- d a + (1 - d) x.

    d = min(decay, (1 + t) / (10 + t)), after t updates. While t is small the average
    spans the last tenth of what was seen and forgets where it started; later,
    1 / (1 - decay) updates.
    So one decay serves a run of any length. TensorFlow's ExponentialMovingAverage with
    `num_updates`, which the released Inception is trained with.

    Errors: InputError unless 0 <= decay < 1.
    """
    if not 0 <= decay < 1:
        raise InputError(f"ema={decay} is not usable; expected 0 <= ema < 1")

    def average(old: PyTree, new: PyTree, step: Array) -> PyTree:
        # 1 - (1 + t) / (10 + t), without the cancellation.
        weight = jnp.maximum(1 - decay, 9 / (step.astype(float) + 10))
        return _towards(old, new, weight)

    return average


def polyak(*, start: int = 0) -> Average:
    """The mean of all variables after update `start`; up to then the variables.

    Polyak and Juditsky 1992: a <- a + (x - a) / (t - start) at the t-th update.
    """
    if start < 0:
        raise InputError(f"start={start} is not usable; expected at least 0")

    def average(old: PyTree, new: PyTree, step: Array) -> PyTree:
        count = jnp.maximum(step + 1 - start, 1)
        return _towards(old, new, 1 / count.astype(float))

    return average


def _towards(old: PyTree, new: PyTree, weight: Array | float) -> PyTree:
    def move(a: Array, x: Array) -> Array:
        return a + jnp.asarray(weight, a.dtype) * (x.astype(a.dtype) - a)

    return jax.tree.map(move, old, new)
