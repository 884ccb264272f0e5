"""Initialisations, each named after its source.

A scheme gives one initialiser for kernels and one for biases. Both are functions of the
fan-in, the number of inputs that one unit sums; a kernel's also of the fan-out, the
number of units that one input of a convolution reaches. Kernels have their output axis
last: `fans` reads both from a kernel's shape.
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
    """Initialisers of a kernel, from (fan-in, fan-out), and of a bias, from fan-in."""

    kernel: Callable[[int, int], Initializer]
    bias: Callable[[int], Initializer]


def fans(kernel: tuple[int, ...]) -> tuple[int, int]:
    """(fan-in, fan-out) of a kernel [*k, inputs / groups, outputs].

    >>> fans((3, 3, 64, 128))
    (576, 1152)
    """
    return math.prod(kernel[:-1]), math.prod(kernel[:-2]) * kernel[-1]


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


def _gaussian(std: float, bias: float = 0.0) -> Init:
    """N(0, std^2) whatever the fans, and a constant bias."""
    return Init(
        lambda fan_in, fan_out: _normal(std),
        lambda fan_in: jax.nn.initializers.constant(bias),
    )


def _xavier(bias: float = 0.0) -> Init:
    """Caffe's "xavier" filler in its default mode: uniform, of variance 1/F."""
    return Init(
        lambda fan_in, fan_out: symmetric_uniform(math.sqrt(3 / fan_in)),
        lambda fan_in: jax.nn.initializers.constant(bias),
    )


INITS: dict[str, Init] = {
    # U(-2.4/F, 2.4/F), biases too: a bias is one more input (LeCun et al. 1998).
    "lecun_uniform_1998": Init(
        lambda fan_in, fan_out: symmetric_uniform(2.4 / fan_in),
        lambda fan_in: symmetric_uniform(2.4 / fan_in),
    ),
    # Variance 1/F: keeps the variance of a linear unit (LeCun et al., Efficient
    # BackProp, 1998, eq. 16).
    "lecun_normal": Init(lambda fan_in, fan_out: _normal(fan_in**-0.5), _zeros),
    # Variance 2/(F_in + F_out) (Glorot & Bengio 2010, eq. 12).
    "glorot_normal": Init(
        lambda fan_in, fan_out: _normal((2 / (fan_in + fan_out)) ** 0.5), _zeros
    ),
    # Variance 2/F: a rectifier halves the second moment (He et al. 2015, eq. 10).
    "he_normal": Init(lambda fan_in, fan_out: _normal((2 / fan_in) ** 0.5), _zeros),
    # The same for the gradients, variance 2/(k k C_out): fb.resnet.torch, torchvision.
    "he_normal_fan_out": Init(
        lambda fan_in, fan_out: _normal((2 / fan_out) ** 0.5), _zeros
    ),
    "caffe_xavier": _xavier(),
    # Caffe's GoogLeNet: convolutions start with biases of 0.2.
    "caffe_xavier_bias_0.2": _xavier(0.2),
    # What nn.Linear and nn.Conv2d of PyTorch start from: U(+-1/sqrt(F)), biases too.
    "pytorch_uniform": Init(
        lambda fan_in, fan_out: symmetric_uniform(fan_in**-0.5),
        lambda fan_in: symmetric_uniform(fan_in**-0.5),
    ),
    # Standard deviations and biases that single papers state.
    "normal_0.001": _gaussian(0.001),  # Inception-v3: the auxiliary head's classifier
    "normal_0.01": _gaussian(0.01),  # AlexNet, ZFNet, VGG's fully connected layers
    "normal_0.01_bias_1": _gaussian(0.01, 1.0),  # AlexNet: conv2, 4, 5, fc6, fc7
    "normal_0.01_bias_0.1": _gaussian(0.01, 0.1),  # Caffe's AlexNet: conv2, 4, 5
    "normal_0.005_bias_0.1": _gaussian(0.005, 0.1),  # Caffe's AlexNet: fc6, fc7
    "normal_0.005_bias_1": _gaussian(0.005, 1.0),  # CaffeNet: fc6, fc7
    "normal_0.1": _gaussian(0.1),  # Inception-v3
    "uniform_0.01": Init(  # LRCN's LSTM
        lambda fan_in, fan_out: symmetric_uniform(0.01), _zeros
    ),
    # U(+-0.08), biases too: all weights of Sutskever et al. 2014.
    "uniform_0.08": Init(
        lambda fan_in, fan_out: symmetric_uniform(0.08),
        lambda fan_in: symmetric_uniform(0.08),
    ),
}


def initialisation(name: str) -> Init:
    """The scheme called `name`; an InputError lists the names there are."""
    if name not in INITS:
        raise InputError(f"scheme={name!r} is unknown; expected one of {sorted(INITS)}")
    return INITS[name]
