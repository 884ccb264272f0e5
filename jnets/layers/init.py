"""Initialisations, each named after its source.

A scheme gives one initialiser for kernels and one for biases, both functions of the
fan-in: the number of inputs that one unit sums. Kernels have their output axis last,
so a kernel's fan-in is the product of its other axes.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.typing import Array, PRNGKey

Initializer = Callable[[PRNGKey, tuple[int, ...], jnp.dtype], Array]


class Init(NamedTuple):
    """Initialisers of a kernel and of a bias, given the fan-in of a unit."""

    kernel: Callable[[int], Initializer]
    bias: Callable[[int], Initializer]


def symmetric_uniform(bound: float) -> Initializer:
    """U(-bound, bound)."""

    def init(key: PRNGKey, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def _zeros(fan_in: int) -> Initializer:
    del fan_in
    return jax.nn.initializers.zeros


def _normal(std: float) -> Initializer:
    return jax.nn.initializers.normal(std)


INITS: dict[str, Init] = {
    # U(-2.4/F, 2.4/F), biases too: a bias is one more input (LeCun et al. 1998).
    "lecun_uniform_1998": Init(
        lambda fan_in: symmetric_uniform(2.4 / fan_in),
        lambda fan_in: symmetric_uniform(2.4 / fan_in),
    ),
    # Variance 1/F: keeps the variance of a linear unit (LeCun et al., Efficient
    # BackProp, 1998, eq. 16).
    "lecun_normal": Init(lambda fan_in: _normal(fan_in**-0.5), _zeros),
    # Variance 2/F: a rectifier halves the second moment (He et al. 2015, eq. 10).
    "he_normal": Init(lambda fan_in: _normal((2 / fan_in) ** 0.5), _zeros),
    # Caffe's "xavier" filler in its default mode: variance 1/F, uniform.
    "caffe_xavier": Init(
        lambda fan_in: symmetric_uniform(math.sqrt(3 / fan_in)), _zeros
    ),
    # What nn.Linear and nn.Conv2d of PyTorch start from: U(+-1/sqrt(F)), biases too.
    "pytorch_uniform": Init(
        lambda fan_in: symmetric_uniform(fan_in**-0.5),
        lambda fan_in: symmetric_uniform(fan_in**-0.5),
    ),
}


def initialisation(name: str) -> Init:
    """The scheme called `name`; an InputError lists the names there are."""
    if name not in INITS:
        raise InputError(f"scheme={name!r} is unknown; expected one of {sorted(INITS)}")
    return INITS[name]
