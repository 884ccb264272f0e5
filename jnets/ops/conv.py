"""Convolution and correlation over one, two or three spatial axes.

Axes: b batch, c_in and c_out channels, *n input, *k kernel and *o output sizes.
Channels are last in signals (NHWC); kernels are [*k, c_in / groups, c_out] (HWIO).
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Num

from jnets.errors import InputError
from jnets.ops.conv_forms import channels_last, compute
from jnets.ops.window import (
    Padding,
    Pair,
    PerAxis,
    ReceptiveField,
    Window,
    check_rank,
    explicit_padding,
    output_size,
    per_axis,
    receptive_field,
    resolve_padding,
)
from jnets.typing import Array

__all__ = [
    "ReceptiveField",
    "Window",
    "conv",
    "conv_transpose",
    "convolve",
    "correlate",
    "output_size",
    "receptive_field",
    "resolve_padding",
]


def _check_channels(x: Array, kernel: Array, bias: Array | None, groups: int) -> None:
    if kernel.ndim != x.ndim:
        raise InputError(
            f"kernel has shape {kernel.shape} for x of shape {x.shape}: expected "
            f"[{x.ndim - 2} kernel sizes, c_in / groups, c_out]"
        )
    c_in, (per_group, c_out) = x.shape[-1], kernel.shape[-2:]
    if groups < 1 or c_in % groups or c_out % groups:
        raise InputError(
            f"groups {groups} must be positive and divide the {c_in} channels of x "
            f"and the {c_out} output channels of the kernel"
        )
    if per_group * groups != c_in:
        raise InputError(
            f"kernel has shape {kernel.shape}, which reads {per_group} channels: "
            f"x has {c_in} channels in {groups} group(s), expected {c_in // groups}"
        )
    if bias is not None and bias.shape != (c_out,):
        raise InputError(f"bias has shape {bias.shape}: expected ({c_out},)")


def _add_bias(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


def conv(
    x: Num[Array, "b *n c_in"],
    kernel: Num[Array, "*k c_per_group c_out"],
    bias: Num[Array, " c_bias"] | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Num[Array, "b *o c_out"]:
    """The convolution of CNNs: a correlation, the kernel is not flipped.

    y[b, i, f] = bias[f] + sum_{k, c} x[b, i s + k d - lo, c] kernel[k, c, f]

    x [b, *n, c_in] has 1, 2 or 3 spatial axes, kernel is [*k, c_in / groups, c_out],
    bias [c_out]. Options are integers, or tuples with one entry per spatial axis.
    `padding` is "VALID" (none), "SAME" (output ceil(n / s), an odd padded position on
    the high side), an integer, or per axis an integer or a (low, high) pair of zeros;
    `resolve_padding` states the rule and `output_size` the size of the result.
    With `groups`, block j of the output channels reads block j of the input channels.
    The result has the promoted dtype of the arguments: bfloat16 gives bfloat16.

    Errors: InputError for a wrong rank, channels or groups that do not fit, a stride
    or dilation below 1, an unusable padding, a kernel larger than the padded input.

    >>> import jax.numpy as jnp
    >>> conv(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 4)), stride=2).shape
    (1, 2, 2, 4)
    """
    axes = check_rank(x)
    _check_channels(x, kernel, bias, groups)
    sizes, window = x.shape[1:-1], kernel.shape[:axes]
    strides = per_axis("stride", stride, axes)
    dilations = per_axis("dilation", dilation, axes)
    pads = resolve_padding(
        sizes, window, stride=strides, padding=padding, dilation=dilations
    )
    along = zip(sizes, window, strides, pads, dilations, strict=True)
    out = tuple(
        output_size(n, k, stride=s, padding=p, dilation=d) for n, k, s, p, d in along
    )
    dtype = jnp.result_type(x, kernel)
    x, kernel = x.astype(dtype), kernel.astype(dtype)
    return _add_bias(compute(x, kernel, out, strides, pads, dilations, groups), bias)


def conv_transpose(
    x: Num[Array, "b *n c_in"],
    kernel: Num[Array, "*k c_per_group c_out"],
    bias: Num[Array, " c_bias"] | None = None,
    *,
    stride: PerAxis = 1,
    padding: int | Sequence[int | Pair] = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Num[Array, "b *o c_out"]:
    """Transposed convolution: the adjoint of `conv`, in PyTorch's convention.

    y[b, i s + k d - lo, f] += sum_c x[b, i, c] kernel[k, c, f], plus bias[f], so
    out = (n - 1) s - lo - hi + d (k - 1) + output_padding + 1.

    Without bias it is the transpose of the linear map x -> conv(x, w) with the same
    stride, padding and dilation: <conv(x, w), y> = <x, conv_transpose(y, w')>, where
    w' exchanges the channel axes of w inside each group and keeps the spatial order.
    `padding` is that of the convolution it transposes; it removes border positions.
    `output_padding` picks among the input sizes that `conv` maps to n positions: it
    extends the result on the high side and must be below the stride or the dilation.

    Errors: InputError as `conv`, for an output_padding that is too large and for a
    padding that leaves no output.

    >>> import jax.numpy as jnp
    >>> x, kernel = jnp.ones((1, 7, 7, 2)), jnp.ones((3, 3, 2, 4))
    >>> conv_transpose(x, kernel, stride=2, padding=1, output_padding=1).shape
    (1, 14, 14, 4)
    """
    axes = check_rank(x)
    _check_channels(x, kernel, bias, groups)
    strides = per_axis("stride", stride, axes)
    dilations = per_axis("dilation", dilation, axes)
    extra = per_axis("output_padding", output_padding, axes, low=0)
    if isinstance(padding, str):
        raise InputError(f"padding {padding!r} is a word: give integers or pairs")
    pads = []
    removed = explicit_padding(padding, axes)
    sizes, window = x.shape[1:-1], kernel.shape[:axes]
    rows = zip(sizes, window, strides, dilations, removed, extra, strict=True)
    for n, k, s, d, (low, high), more in rows:
        reach = d * (k - 1)
        if more >= max(s, d):
            raise InputError(
                f"output_padding {more} must be below the stride {s} or dilation {d}"
            )
        if (n - 1) * s + reach + 1 + more - low - high < 1:
            raise InputError(f"padding {(low, high)} removes the whole output")
        pads.append((reach - low, reach - high + more))
    dtype = jnp.result_type(x, kernel)
    y = lax.conv_general_dilated(
        x.astype(dtype),
        jnp.flip(kernel, range(axes)).astype(dtype),
        window_strides=(1,) * axes,
        padding=pads,
        lhs_dilation=strides,
        rhs_dilation=dilations,
        dimension_numbers=channels_last(axes),
        feature_group_count=groups,
    )
    return _add_bias(y, bias)


def correlate(
    x: Num[Array, "*n"],
    y: Num[Array, "*k"],
    *,
    stride: PerAxis = 1,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Num[Array, "*o"]:
    """The sliding dot product (x * y)[i] = sum_k x[i + k] y[k] of two real signals.

    x and y have the same 1, 2 or 3 axes, no batch and no channels. Output i starts at
    i s - lo with stride s and low padding lo, and `dilation` d reads x[i + k d];
    by default every window lies inside x, which gives n - k + 1 values per axis.

    Errors: InputError for different ranks and as `conv`.

    >>> import jax.numpy as jnp
    >>> print(correlate(jnp.arange(6), jnp.array([1, 2, 3])))
    [ 8 14 20 26]
    """
    if x.ndim != y.ndim or not 1 <= x.ndim <= 3:
        raise InputError(
            f"x and y have shapes {x.shape} and {y.shape}: expected the same number "
            f"of axes, 1 to 3"
        )
    z = conv(
        x[None, ..., None],
        y[..., None, None],
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    return z[0, ..., 0]


def convolve(
    x: Num[Array, "*n"],
    y: Num[Array, "*k"],
    *,
    stride: PerAxis = 1,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Num[Array, "*o"]:
    """The convolution of mathematics: `correlate` with y reversed along every axis.

    out[i] = sum_k x[i - k] y[k], counted from the first i whose window lies inside x;
    it is symmetric in x and y once padded by k - 1 ("full"). Errors as `correlate`.

    >>> import jax.numpy as jnp
    >>> print(convolve(jnp.arange(6), jnp.array([1, 2, 3])))
    [ 4 10 16 22]
    """
    return correlate(x, jnp.flip(y), stride=stride, padding=padding, dilation=dilation)
