"""Running averages of a model's variables, for use inside a step."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.typing import Array, PyTree

# (average, variables, step) -> average; step counts the updates before this one.
Average = Callable[[PyTree, PyTree, Array], PyTree]


def ema(decay: float, *, debias: bool = True) -> Average:
    """The exponential moving average a <- decay a + (1 - decay) x.

    With `debias` the weight of x is (1 - decay) / (1 - decay^t) at the t-th update:
    the average is a weighted mean of what was seen, of weights that sum to 1, and
    where it starts is forgotten at once. Without, it starts as the value it has at
    step 0, the initial variables, whose weight is decay^t after t updates.

    Errors: InputError unless 0 <= decay < 1.
    """
    if not 0 <= decay < 1:
        raise InputError(f"ema={decay} is not usable; expected 0 <= ema < 1")

    def average(old: PyTree, new: PyTree, step: Array) -> PyTree:
        if not debias or decay == 0:
            return _towards(old, new, 1 - decay)
        # 1 - decay^t without the cancellation, decay being close to 1.
        seen = -jnp.expm1((step + 1) * math.log(decay))
        return _towards(old, new, (1 - decay) / seen)

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
