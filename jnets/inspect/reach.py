"""How each primitive of a convolutional net moves what a position sees.

Along one spatial axis of the input, position i of an array sees the input positions
i * jump + low to i * jump + high; a rule turns the reach of an operand into that of
the result. What has no rule, or would need more than this map, sees everything: a
number, where there is one, is right.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax.extend.core import JaxprEqn


class Reach(NamedTuple):
    """Position i along `axis` sees the input from i * jump + low to i * jump + high.

    Numbers are those of an image without borders: padding counts as input. With no
    axis, every position sees low to high. `merged` marks an axis into which positions
    have been reshaped along with others: (number of those before them, their own).
    """

    axis: int | None
    jump: int = 1
    low: int = 0
    high: int = 0
    merged: tuple[int, int] | None = None


def shape_of(atom: Any) -> tuple[int, ...]:
    """The shape of a variable or literal of a jaxpr."""
    return atom.aval.shape


def hull(a: Reach | None, b: Reach | None) -> Reach | None:
    """What a result of two operands sees; None is everything."""
    if a is None or b is None:
        return None
    if (a.axis, a.jump, a.merged) != (b.axis, b.jump, b.merged):
        return None
    return a._replace(low=min(a.low, b.low), high=max(a.high, b.high))


def shifted(reach: Reach, by: int) -> Reach | None:
    """With `by` leading axes more, or less; None if the reach's axis is among those."""
    if reach.axis is None:
        return reach
    return reach._replace(axis=reach.axis + by) if reach.axis + by >= 0 else None


# Rules: (equation, number of the operand, its reach) -> reach of the result.


def _same(eqn: JaxprEqn, k: int, reach: Reach) -> Reach:
    return reach


def _windows(reach: Reach, windows: Sequence[tuple[int, int, int]]) -> Reach | None:
    """Position i reads i * stride + start and the `span` positions after it.

    `windows` has (start, stride, span) for every axis of the array.
    """
    axis = reach.axis
    if axis is None or reach.merged:  # a position that is lost cannot be moved
        moved = windows if axis is None else [windows[axis]]
        return reach if all(window == (0, 1, 0) for window in moved) else None
    start, stride, span = windows[axis]
    low, high = reach.low + start * reach.jump, reach.high + (start + span) * reach.jump
    return Reach(axis, reach.jump * stride, low, high)


def _conv(eqn: JaxprEqn, k: int, reach: Reach) -> Reach | None:
    p, kernel = eqn.params, shape_of(eqn.invars[1])
    lhs, rhs, out = p["dimension_numbers"]
    if k != 0 or p["batch_group_count"] != 1 or reach.axis == lhs[1]:
        return None  # filters made from the input, or positions that became channels
    windows = [(0, 1, 0)] * len(lhs)
    for i, axis in enumerate(lhs[2:]):
        if p["lhs_dilation"][i] != 1 and reach.axis in (None, axis):
            return None  # a transposed convolution: neighbours differ in what they see
        span = p["rhs_dilation"][i] * (kernel[rhs[2 + i]] - 1)
        windows[axis] = (-p["padding"][i][0], p["window_strides"][i], span)
    moved = _windows(reach, windows)
    if moved is None or moved.axis is None:
        return moved
    return moved._replace(axis=out[lhs.index(moved.axis)])


def _reduce_window(eqn: JaxprEqn, k: int, reach: Reach) -> Reach | None:
    p = eqn.params
    if any(d != 1 for d in p["base_dilation"]):
        return None
    sizes, dilations = p["window_dimensions"], p["window_dilation"]
    rows = zip(p["padding"], p["window_strides"], sizes, dilations, strict=True)
    return _windows(reach, [(-low, s, d * (n - 1)) for (low, _), s, n, d in rows])


def _pad(eqn: JaxprEqn, k: int, reach: Reach) -> Reach | None:
    config = eqn.params["padding_config"]
    if any(between for _, _, between in config):
        return None
    return _windows(reach, [(-int(low), 1, 0) for low, _, _ in config])


def _slice(eqn: JaxprEqn, k: int, reach: Reach) -> Reach | None:
    starts = eqn.params["start_indices"]
    strides = eqn.params["strides"] or (1,) * len(starts)
    return _windows(reach, [(a, s, 0) for a, s in zip(starts, strides, strict=True)])


def _concatenate(eqn: JaxprEqn, k: int, reach: Reach) -> Reach | None:
    return None if reach.axis == eqn.params["dimension"] else reach


def _split(eqn: JaxprEqn, k: int, reach: Reach) -> Reach | None:
    return None if reach.axis == eqn.params["axis"] else reach


def _transpose(eqn: JaxprEqn, k: int, reach: Reach) -> Reach:
    if reach.axis is None:
        return reach
    return reach._replace(axis=eqn.params["permutation"].index(reach.axis))


def _broadcast(eqn: JaxprEqn, k: int, reach: Reach) -> Reach | None:
    if reach.axis is None:
        return reach
    axis = eqn.params["broadcast_dimensions"][reach.axis]
    same = eqn.params["shape"][axis] == shape_of(eqn.invars[0])[reach.axis]
    return reach._replace(axis=axis) if same else None


def _without(reach: Reach, axes: Sequence[int]) -> Reach:
    """The axes, of which the reach's is none, are taken away."""
    if reach.axis is None:
        return reach
    return reach._replace(axis=reach.axis - sum(axis < reach.axis for axis in axes))


def _reduce(eqn: JaxprEqn, k: int, reach: Reach) -> Reach | None:
    axes = eqn.params["axes"]
    return None if reach.axis in axes else _without(reach, axes)


def _squeeze(eqn: JaxprEqn, k: int, reach: Reach) -> Reach:
    axes = eqn.params["dimensions"]
    # An axis that is taken away had one position.
    return reach._replace(axis=None) if reach.axis in axes else _without(reach, axes)


def _reshape(eqn: JaxprEqn, k: int, reach: Reach) -> Reach | None:
    old, new = shape_of(eqn.invars[0]), shape_of(eqn.outvars[0])
    if reach.axis is None or old[reach.axis] == 1:
        return reach._replace(axis=None)
    if eqn.params["dimensions"] is not None:
        return None
    inner, size = reach.merged or (1, old[reach.axis])
    before = math.prod(old[: reach.axis]) * inner
    for axis, n in enumerate(new):
        start = math.prod(new[:axis])
        if (start, n) == (before, size):
            return reach._replace(axis=axis, merged=None)
        # In row-major order the position's own axis lies within this one.
        if before % start == 0 and start * n % (before * size) == 0:
            return reach._replace(axis=axis, merged=(before // start, size))
    return None


def _together(reach: Reach, size: int) -> Reach:
    """What all positions of the reach's axis see together."""
    _, own = reach.merged or (1, size)
    return Reach(None, reach.jump, reach.low, reach.high + (own - 1) * reach.jump)


def _dot(eqn: JaxprEqn, k: int, reach: Reach) -> Reach:
    if reach.axis is None:
        return reach
    summed, batch = (pair[k] for pair in eqn.params["dimension_numbers"])
    shape = shape_of(eqn.invars[k])
    if reach.axis in summed:
        return _together(reach, shape[reach.axis])
    if reach.axis in batch:
        return reach._replace(axis=batch.index(reach.axis))
    # The result has the axes of the batch, then the others of the first operand.
    others = [axis for axis in range(len(shape)) if axis not in (*summed, *batch)]
    before = len(batch)
    if k == 1:
        before = len(shape_of(eqn.outvars[0])) - len(others)
    return reach._replace(axis=before + others.index(reach.axis))


_ELEMENTWISE = """
    abs add add_any and atan2 cbrt ceil clamp convert_element_type copy copy_p cos div
    eq erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le log log1p
    logistic lt max min mul ne neg nextafter not or pow reduce_precision rem round rsqrt
    select_n sharding_constraint sign sin sqrt square sub tan tanh xor
"""
_REDUCTIONS = """
    argmax argmin reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum
"""
_POOLS = "reduce_window reduce_window_max reduce_window_min reduce_window_sum"

RULES: dict[str, Callable[[JaxprEqn, int, Reach], Reach | None]] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _same),
    **dict.fromkeys(_REDUCTIONS.split(), _reduce),
    **dict.fromkeys(_POOLS.split(), _reduce_window),
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "conv_general_dilated": _conv,
    "dot_general": _dot,
    "pad": _pad,
    "reshape": _reshape,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "transpose": _transpose,
}
