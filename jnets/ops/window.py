"""Sizes, padding and reach of windows: the arithmetic that conv and pool share."""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from jnets.errors import InputError
from jnets.typing import Array

PerAxis: TypeAlias = int | Sequence[int]
Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = str | int | Sequence[int | Pair]


class Window(NamedTuple):
    """One layer as the receptive field sees it, along one axis."""

    kernel: int
    stride: int = 1
    dilation: int = 1


class ReceptiveField(NamedTuple):
    """What one output position sees along one axis, in input positions."""

    size: int  # input positions seen by one output position
    jump: int  # input positions between two neighbouring output positions


def per_axis(name: str, value: PerAxis, axes: int, *, low: int = 1) -> tuple[int, ...]:
    """Spread an option over the spatial axes: `per_axis("stride", 2, 2) == (2, 2)`.

    Errors: InputError if a tuple has another length, or a value is below `low`.
    """
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes:
        raise InputError(
            f"{name} {value} has {len(values)} entries for {axes} spatial axes: "
            f"give one integer or one per axis"
        )
    if min(values) < low:
        raise InputError(
            f"{name} {value} is too small: give integers of at least {low}"
        )
    return values


def explicit_padding(padding: int | Sequence[int | Pair], axes: int) -> list[Pair]:
    """One (low, high) pair per axis from integers or pairs; InputError if unusable."""
    entries = (padding,) * axes if isinstance(padding, int) else tuple(padding)
    if len(entries) != axes:
        raise InputError(
            f"padding {padding} has {len(entries)} entries for {axes} spatial axes: "
            f"give one integer, or one integer or (low, high) pair per axis"
        )
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in entries]
    if any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise InputError(
            f"padding {padding} is not usable: give integers of at least 0 "
            f"or (low, high) pairs of them"
        )
    return [(low, high) for low, high in pairs]


def resolve_padding(
    sizes: Sequence[int],
    kernel: Sequence[int],
    *,
    stride: PerAxis = 1,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> tuple[Pair, ...]:
    """Turn any way of naming the padding into one (low, high) pair per axis.

    "VALID" pads nothing. "SAME" is XLA's and TensorFlow's rule: the output has
    ceil(n / s) positions, which takes max((ceil(n / s) - 1) s + K - n, 0) padded
    positions with K = d (k - 1) + 1; half of them (rounded down) go to the low side,
    so an odd one goes to the high side. At stride 2 this differs from PyTorch's
    symmetric padding, so models with a stride give integers. An integer pads both
    sides of every axis; a sequence holds an integer or a (low, high) pair per axis.

    Errors: InputError for an unknown word, a wrong length or a negative padding.

    >>> resolve_padding((224,), (7,), stride=2, padding="SAME")
    ((2, 3),)
    """
    axes = len(sizes)
    if not isinstance(padding, str):
        return tuple(explicit_padding(padding, axes))
    if padding == "VALID":
        return ((0, 0),) * axes
    if padding != "SAME":
        raise InputError(
            f"padding {padding!r} is not known: give 'VALID', 'SAME' or integers"
        )
    pairs = []
    strides = per_axis("stride", stride, axes)
    dilations = per_axis("dilation", dilation, axes)
    for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)


def output_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: str | int | Pair = "VALID",
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """The number of output positions along one axis of a convolution or a pooling.

    With K = d (k - 1) + 1 and the padding (lo, hi):
    out = floor((n + lo + hi - K) / s) + 1. With `ceil_mode` the quotient is rounded up
    and, as in PyTorch, a last window that would start in the high padding is dropped.

    Errors: InputError for a size, kernel, stride or dilation below 1, an unusable
    padding, or a kernel larger than the padded input.

    >>> output_size(227, 11, stride=4)
    55
    >>> output_size(26, 3, stride=2), output_size(26, 3, stride=2, ceil_mode=True)
    (12, 13)
    """
    for name, value in (("size", size), ("kernel", kernel)):
        per_axis(name, value, 1)
    per_axis("stride", stride, 1)
    per_axis("dilation", dilation, 1)
    one_axis = padding if isinstance(padding, str | int) else (padding,)
    ((low, high),) = resolve_padding(
        (size,), (kernel,), stride=stride, padding=one_axis, dilation=dilation
    )
    room = size + low + high - dilation * (kernel - 1) - 1
    out = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= size + low:
        out -= 1
    if out < 1:
        raise InputError(
            f"kernel {kernel} with dilation {dilation} is larger than the input of "
            f"size {size} with padding {(low, high)}"
        )
    return out


def receptive_field(layers: Sequence[Window]) -> ReceptiveField:
    """The input positions that one output position of a stack of layers depends on.

    r_l = r_{l-1} + d (k - 1) j_{l-1} and j_l = j_{l-1} s_l, from r_0 = j_0 = 1.

    >>> receptive_field([Window(7, stride=2), Window(3, stride=2), Window(3)])
    ReceptiveField(size=19, jump=4)
    """
    size, jump = 1, 1
    for kernel, stride, dilation in layers:
        per_axis("layers", (kernel, stride, dilation), 3)
        size += dilation * (kernel - 1) * jump
        jump *= stride
    return ReceptiveField(size, jump)


def check_rank(x: Array, name: str = "x") -> int:
    """The number of spatial axes of [b, *n, c]; InputError unless it is 1, 2 or 3."""
    if not 3 <= x.ndim <= 5:
        raise InputError(
            f"{name} has shape {x.shape}: expected [b, 1 to 3 spatial axes, c]"
        )
    return x.ndim - 2
