"""The forms in which a convolution is computed: all the same sum, not of one speed.

Axes: b batch, c_in and c_out channels, *n input, *k kernel and *o output sizes.
"""

import itertools
import math

import jax.numpy as jnp
from jax import lax

from jnets.typing import Array

# What XLA on the CPU is slow at. Up to so many groups are convolved one by one: the
# kernel's gradient of two groups as one convolution takes 7 to 40 times as long.
APART = 8
# Up to so many positions are a matrix product: a kernel of 3x3 on a map of 2x2 takes 10
# to 50 times as long as a convolution, on one of 3x3 1.3 times.
FEW = 9


def channels_last(axes: int) -> lax.ConvDimensionNumbers:
    signal = (0, axes + 1, *range(1, axes + 1))
    return lax.ConvDimensionNumbers(signal, (axes + 1, axes, *range(axes)), signal)


def compute(x, kernel, out, strides, pads, dilations, groups: int) -> Array:
    """The fastest form of a convolution whose arguments are in order."""
    if 1 < groups <= APART:
        xs, kernels = (jnp.split(a, groups, axis=-1) for a in (x, kernel))
        parts = [
            compute(part, weights, out, strides, pads, dilations, 1)
            for part, weights in zip(xs, kernels, strict=True)
        ]
        return jnp.concatenate(parts, axis=-1)
    axes = x.ndim - 2
    window, padded = kernel.shape[:axes], any(map(any, pads))
    if groups == 1 and not padded and window == x.shape[1:-1]:
        return _whole(x, kernel)
    if groups == 1 and not padded and math.prod(window) == 1:
        return _pointwise(x, kernel, strides)
    if groups == 1 and math.prod(out) <= FEW:
        return _at_few_positions(x, kernel, out, strides, pads, dilations)
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=pads,
        rhs_dilation=dilations,
        dimension_numbers=channels_last(axes),
        feature_group_count=groups,
    )


def _whole(x: Array, kernel: Array) -> Array:
    """A kernel of the input's size has one position, where it is a matrix product.

    XLA on the CPU takes several times as long for the gradient of the convolution:
    LeNet-5's C5 was a third of an update.
    """
    features = kernel.shape[-1]
    y = jnp.dot(x.reshape(x.shape[0], -1), kernel.reshape(-1, features))
    return y.reshape(x.shape[0], *(1,) * (x.ndim - 2), features)


def _at_few_positions(x, kernel, out, strides, pads, dilations) -> Array:
    """What the kernel's taps read, side by side, times the kernel: few rows."""
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    *window, _, features = kernel.shape
    seen = []  # by each tap: b *o c_in
    for tap in itertools.product(*map(range, window)):
        along = zip(tap, out, strides, dilations, strict=True)
        at = (slice(k * d, k * d + (n - 1) * s + 1, s) for k, n, s, d in along)
        seen.append(x[:, *at])
    weights = kernel.reshape(-1, features)
    y = jnp.dot(jnp.concatenate(seen, axis=-1).reshape(-1, len(weights)), weights)
    return y.reshape(x.shape[0], *out, features)


def _pointwise(x: Array, kernel: Array, strides: tuple[int, ...]) -> Array:
    """A kernel of one position is a matrix product over the channels.

    The kernel's gradient as a convolution takes XLA on the CPU 4 to 10 times as long.
    As a product over several axes it would transpose the whole gradient of y first.
    """
    if max(strides) > 1:
        x = x[:, *(slice(None, None, s) for s in strides)]
    c_in, c_out = kernel.shape[-2:]
    y = jnp.dot(x.reshape(-1, c_in), kernel.reshape(c_in, c_out))
    return y.reshape(*x.shape[:-1], c_out)
