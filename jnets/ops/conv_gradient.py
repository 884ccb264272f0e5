"""The convolution primitive, with gradients that are fast inside loops too.

Axes: b batch, c input channels, f output channels, *n input, *k kernel and *o output
sizes.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jnets.ops.window import Pair
from jnets.typing import Array


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def convolution(
    x: Array,
    kernel: Array,
    strides: tuple[int, ...],
    padding: tuple[Pair, ...],
    dilations: tuple[int, ...],
) -> Array:
    """`lax.conv_general_dilated` of x [b, *n, c] with kernel [*k, c, f]: [b, *o, f].

    A derivative of a convolution is one whose axes play other parts: in that of the
    kernel, c is the batch and b the channels. XLA for the CPU has a fast convolution
    for axes in the order of x and kernel here, and brings others into that order, but
    not inside a loop, where it falls back to one that was 4 to 10 times slower. So the
    derivative is written as convolutions of transposed arrays such that those that
    they turn into when JAX transposes them, backwards, have their axes in that order.
    Forward and repeated derivatives are derived from the same rule.
    """
    axes = x.ndim - 2
    last, inner = axes + 1, tuple(range(1, axes + 1))
    signal = (0, last, *inner)
    spec = (signal, (last, axes, *range(axes)), signal)
    return _convolve(x, kernel, spec, strides, padding, dilations)


@convolution.defjvp
def _derivative(strides, padding, dilations, primals, tangents):
    (x, kernel), (dx, dkernel) = primals, tangents
    axes, options = x.ndim - 2, (strides, padding, dilations)
    last, inner, outer = axes + 1, tuple(range(1, axes + 1)), tuple(range(axes))
    signal = (0, last, *inner)
    # Transposed: the cotangent [b, *o, f] with a kernel [*k, f, c].
    spec = (signal, (axes, last, *outer), signal)
    by_x = _convolve(dx, jnp.swapaxes(kernel, axes, last), spec, *options)
    # Transposed: [c, *n, b] with the cotangent [*o, b, f], which gives [c, *k, f].
    spec = ((last, 0, *inner), (last, 0, *inner), (axes, last, *outer))
    by_kernel = _convolve(
        jnp.swapaxes(x, 0, last), jnp.moveaxis(dkernel, axes, 0), spec, *options
    )
    y = convolution(x, kernel, *options)
    return y, by_x + jnp.moveaxis(by_kernel, axes, 0)


def _convolve(x, kernel, spec, strides, padding, dilations) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilations,
        dimension_numbers=lax.ConvDimensionNumbers(*spec),
    )
