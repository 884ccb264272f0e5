"""Filters taken apart: one n x n convolution as several cheaper ones.

With C maps in and out, n n C^2 weights become
- asymmetric: 1 x n, then n x 1, 2 n C^2 (Szegedy et al., Rethinking the Inception
  architecture, 2016, section 3.2); a filter of rank 1 exactly, if nothing is between;
- stacked: (n - 1) / 2 times 3 x 3, which see as far as n x n, 9 C^2 each (Simonyan &
  Zisserman 2015, section 2.3);
- bottleneck: 1 x 1 to C / 4 maps, n x n on those, 1 x 1 back, (8 + n n) C^2 / 16 (He
  et al. 2016, section 4.1).
"""

from collections.abc import Callable
from string import ascii_lowercase
from typing import NamedTuple

from jnets.errors import InputError
from jnets.layers.unit import Unit
from jnets.ops.window import Padding
from jnets.typing import Array


class Part(NamedTuple):
    """One convolution: its kernel, its maps, its stride, its padding."""

    kernel_size: tuple[int, int]
    features: int
    stride: int = 1
    padding: Padding = 0


class Square(NamedTuple):
    """An n x n convolution that is taken apart, with `inputs` maps to read."""

    n: int
    inputs: int
    features: int
    stride: int = 1
    padding: int = 0


# The stride is the last part's that is wider than 1 x 1, so that the parts together
# read the positions that the whole filter reads, and no more.


def _asymmetric(s: Square) -> tuple[Part, ...]:
    return (
        Part((1, s.n), min(s.inputs, s.features), 1, (0, s.padding)),
        Part((s.n, 1), s.features, s.stride, (s.padding, 0)),
    )


def _stacked(s: Square) -> tuple[Part, ...]:
    count = s.n // 2
    parts = []
    for i in range(count):
        p = s.padding // count + (i < s.padding % count)
        stride = s.stride if i == count - 1 else 1
        parts.append(Part((3, 3), s.features, stride, p))
    return tuple(parts)


def _bottleneck(s: Square) -> tuple[Part, ...]:
    few = max(s.features // 4, 1)
    return (
        Part((1, 1), few),
        Part((s.n, s.n), few, s.stride, s.padding),
        Part((1, 1), s.features),
    )


FILTERS: dict[str, Callable[[Square], tuple[Part, ...]]] = {
    "asymmetric": _asymmetric,
    "stacked": _stacked,
    "bottleneck": _bottleneck,
}


def parts(filters: str, square: Square) -> tuple[Part, ...]:
    """The convolutions that stand for `square` in the form `filters`.

    Errors: InputError for an unknown name, or an even kernel in stacked form.
    """
    if filters not in FILTERS:
        names = ["full", *FILTERS]
        raise InputError(f"filters={filters!r} is unknown; expected one of {names}")
    if filters == "stacked" and square.n % 2 == 0:
        raise InputError(f"kernel {square.n} is even; 3 x 3 kernels make an odd one")
    return FILTERS[filters](square)


class Factorised(NamedTuple):
    """A convolution in the form that `filters` names, each part a `unit`.

    Called inside a compact module, it adds the convolution `name` if the form is
    "full", otherwise the parts `name_a`, `name_b`, ... A 1 x 1 kernel stays whole. With
    `between` every part has the unit's rectifier; without, only the last, so that the
    parts together are linear.
    """

    unit: Unit
    filters: str = "full"
    between: bool = True

    def __call__(
        self,
        x: Array,
        features: int,
        kernel: int,
        *,
        name: str,
        stride: int = 1,
        padding: Padding = 0,
        relu: bool = True,
    ) -> Array:
        """x [B, H, W, C] -> [B, H', W', features], sizes as of the whole filter.

        Errors: those of `parts`; InputError for padding that is not one integer where
        the filter is taken apart.
        """
        if self.filters == "full" or kernel == 1:
            rows = (Part((kernel, kernel), features, stride, padding),)
        elif not isinstance(padding, int):
            raise InputError(
                f"padding={padding!r} fits the full filter only; expected one integer"
            )
        else:
            square = Square(kernel, x.shape[-1], features, stride, padding)
            rows = parts(self.filters, square)
        last = len(rows) - 1
        for i, part in enumerate(rows):
            x = self.unit(
                x,
                part.features,
                part.kernel_size,
                name=f"{name}_{ascii_lowercase[i]}" if last else name,
                stride=part.stride,
                padding=part.padding,
                relu=relu if i == last else self.between,
            )
        return x
