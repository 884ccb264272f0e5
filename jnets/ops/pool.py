"""Pooling over one, two or three spatial axes of [b, *n, c], as PyTorch defines it.

Axes: b batch, c channels, *n input sizes, *o output sizes.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Num

from jnets.errors import InputError
from jnets.ops.window import (
    Pair,
    PerAxis,
    check_rank,
    explicit_padding,
    output_size,
    per_axis,
)
from jnets.typing import Array


class _Windows(NamedTuple):
    """Options with one entry per spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: list[Pair]  # as asked for
    reach: list[Pair]  # the padded positions that some window reads
    out: list[int]


def _windows(
    x: Array,
    window: PerAxis,
    stride: PerAxis | None,
    padding: int | Sequence[int | Pair],
    ceil_mode: bool,
) -> _Windows:
    axes = check_rank(x)
    kernel = per_axis("window", window, axes)
    strides = kernel if stride is None else per_axis("stride", stride, axes)
    if isinstance(padding, str):
        raise InputError(f"padding {padding!r} is a word: give integers or pairs")
    w = _Windows(kernel, strides, explicit_padding(padding, axes), [], [])
    rows = zip(x.shape[1:-1], kernel, strides, w.padding, strict=True)
    for n, k, s, (low, high) in rows:
        if max(low, high) >= k:
            raise InputError(
                f"padding {(low, high)} must be smaller than the window {k}: "
                f"a window would see padding only"
            )
        out = output_size(n, k, stride=s, padding=(low, high), ceil_mode=ceil_mode)
        w.out.append(out)
        # In ceil mode the last window may reach beyond the padding; otherwise it may
        # stop before the end of the input.
        w.reach.append((low, max((out - 1) * s + k - n - low, 0)))
    return w


def _first_max(a: Array, b: Array) -> Array:
    # A tie keeps a, and so sends the gradient to a alone; b != b where b is NaN.
    return jnp.where((b > a) | (b != b), b, a)


def _max_along(y: Array, k: int, s: int, axis: int) -> Array:
    """The maximum of each window of k, stride s, along one axis.

    From slices, because the gradient of lax.reduce_window is 3 to 13 times slower on a
    CPU. A maximum may count a position twice, so for k >= 4 windows of 1, 2, 4, ...
    are built first, and the program stays short however large k is.
    """
    ready = 1
    while 4 * ready <= k:
        n = y.shape[axis] - ready
        a, b = (lax.slice_in_dim(y, i, i + n, axis=axis) for i in (0, ready))
        y, ready = _first_max(a, b), 2 * ready
    span = (y.shape[axis] + ready - 1 - k) // s * s + 1
    starts = (*range(0, k - ready, ready), k - ready)
    return functools.reduce(
        _first_max, (lax.slice_in_dim(y, i, i + span, s, axis) for i in starts)
    )


def max_pool(
    x: Num[Array, "b *n c"],
    window: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: int | Sequence[int | Pair] = 0,
    ceil_mode: bool = False,
) -> Num[Array, "b *o c"]:
    """The largest value of each window, per channel.

    `window` and `stride` (None: the window, so that windows do not overlap) are
    integers or one per axis. `padding` is an integer, or per axis an integer or a
    (low, high) pair; padded positions are minus infinity and never win. With
    `ceil_mode` a last window may hang over the high edge, provided that it starts
    inside the input or the low padding; `output_size` gives the sizes. The gradient
    goes to the first of equal values, in row-major order, as in PyTorch, and
    NaN is passed on.

    Errors: InputError for a wrong rank, a window or stride below 1, padding that is
    not smaller than the window, a window larger than the padded input.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([1.0, 5.0, 2.0, 4.0, 3.0]).reshape(1, 5, 1)
    >>> max_pool(x, 2).ravel().tolist()
    [5.0, 4.0]
    >>> max_pool(x, 2, ceil_mode=True).ravel().tolist()
    [5.0, 4.0, 3.0]
    """
    w = _windows(x, window, stride, padding, ceil_mode)
    floating = jnp.issubdtype(x.dtype, jnp.inexact)
    lowest = -jnp.inf if floating else jnp.iinfo(x.dtype).min
    y = jnp.pad(x, ((0, 0), *w.reach, (0, 0)), constant_values=lowest)
    # The last axis first: then the first of equal values in row-major order wins.
    for axis in range(x.ndim - 2, 0, -1):
        y = _max_along(y, w.kernel[axis - 1], w.stride[axis - 1], axis)
    return y


def _sum(x: Array, w: _Windows) -> Array:
    """Window sums, in float32 for narrower types."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return lax.reduce_window(
        wide,
        np.zeros((), wide.dtype),
        lax.add,
        (1, *w.kernel, 1),
        (1, *w.stride, 1),
        ((0, 0), *w.reach, (0, 0)),
    )


def _counts(sizes: Sequence[int], w: _Windows, count_include_pad: bool) -> np.ndarray:
    """The positions that each window counts, [1, *o, 1]."""
    counts = np.ones((1,) * (len(sizes) + 2), np.int64)
    rows = zip(sizes, w.kernel, w.stride, w.padding, w.out, strict=True)
    for axis, (n, k, s, (low, high), out) in enumerate(rows, start=1):
        start = np.arange(out) * s - low
        if count_include_pad:
            count = np.minimum(start + k, n + high) - start
        else:
            count = np.minimum(start + k, n) - np.maximum(start, 0)
        others = tuple(a for a in range(counts.ndim) if a != axis)
        counts = counts * np.expand_dims(count, others)
    return counts


def avg_pool(
    x: Float[Array, "b *n c"],
    window: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: int | Sequence[int | Pair] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Array, "b *o c"]:
    """The mean of each window, per channel; padded positions are zeros.

    The divisor is the number of positions of the window inside the padded input; with
    `count_include_pad=False` inside the input proper. Positions that a last window of
    `ceil_mode` reaches beyond the high padding are never counted. This is PyTorch's
    rule; the other options and the errors are those of `max_pool`. bfloat16 and
    float16 are summed in float32.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([2.0, 4.0, 6.0]).reshape(1, 3, 1)
    >>> avg_pool(x, 2, padding=1).ravel().tolist()
    [1.0, 5.0]
    >>> avg_pool(x, 2, padding=1, count_include_pad=False).ravel().tolist()
    [2.0, 5.0]
    """
    w = _windows(x, window, stride, padding, ceil_mode)
    total = _sum(x, w)
    counts = _counts(x.shape[1:-1], w, count_include_pad)
    return (total / counts.astype(total.dtype)).astype(x.dtype)


def global_avg_pool(x: Float[Array, "b *n c"]) -> Float[Array, "b c"]:
    """The mean over all spatial positions: [b, *n, c] to [b, c].

    Errors: InputError unless x has 1, 2 or 3 spatial axes.
    """
    return jnp.mean(x, axis=tuple(range(1, check_rank(x) + 1)))


def adaptive_avg_pool(
    x: Float[Array, "b *n c"], output_size: PerAxis
) -> Float[Array, "b *o c"]:
    """Means over windows chosen to give `output_size` positions per axis.

    Window i of o over n positions is floor(i n / o) to ceil((i + 1) n / o), its end
    excluded, which is PyTorch's rule: windows overlap if o does not divide n, and
    repeat positions if o > n. One mean per axis in turn is the mean of the rectangle.
    bfloat16 and float16 are summed in float32.

    Errors: InputError for a wrong rank or an output size below 1.

    >>> import jax.numpy as jnp
    >>> x = jnp.arange(1.0, 6.0).reshape(1, 5, 1)
    >>> adaptive_avg_pool(x, 2).ravel().tolist()
    [2.0, 4.0]
    """
    axes = check_rank(x)
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis, out in enumerate(per_axis("output_size", output_size, axes), start=1):
        n = x.shape[axis]
        if out == n:
            continue
        means = []
        for i in range(out):
            piece = lax.slice_in_dim(y, i * n // out, -(-(i + 1) * n // out), axis=axis)
            means.append(piece.mean(axis, keepdims=True))
        y = jnp.concatenate(means, axis)
    return y.astype(x.dtype)


def subsample(
    x: Float[Array, "b *n c"],
    coefficient: Float[Array, " c_coefficient"],
    bias: Float[Array, " c_bias"],
    *,
    window: PerAxis = 2,
) -> Float[Array, "b *o c"]:
    """LeNet's trainable subsampling: coefficient_c * (sum over the window) + bias_c.

    Windows do not overlap and positions left over at the high edge are dropped.
    coefficient and bias are [c], one pair per feature map. The squashing function
    that follows in the paper is left to the caller. The sum is not divided by the
    window: a coefficient of 1 / 4 with a 2 x 2 window is an average. bfloat16 and
    float16 are computed in float32 and rounded once; the result has the type of x.
    Source: LeCun, Bottou, Bengio and Haffner 1998, section II.B, layer S2.

    Errors: InputError if coefficient or bias is not [c], and as `max_pool`.

    >>> import jax.numpy as jnp
    >>> x = jnp.arange(4.0).reshape(1, 4, 1)
    >>> subsample(x, jnp.array([2.0]), jnp.array([1.0])).ravel().tolist()
    [3.0, 11.0]
    """
    c = x.shape[-1]
    for name, value in (("coefficient", coefficient), ("bias", bias)):
        if value.shape != (c,):
            raise InputError(f"{name} has shape {value.shape}: expected ({c},)")
    total = _sum(x, _windows(x, window, None, 0, False))
    shape = (1,) * (x.ndim - 1) + (c,)
    coefficient, bias = (
        v.astype(total.dtype).reshape(shape) for v in (coefficient, bias)
    )
    return (total * coefficient + bias).astype(x.dtype)
