"""What one call of a layer costs: the numbers that papers print in their tables."""

import math
from typing import NamedTuple

Shape = tuple[int, ...]


class Cost(NamedTuple):
    """Work of one layer on one example.

    `macs` counts multiply-accumulates (padded positions counted, biases not).
    `connections` counts what LeCun et al. 1998 call connections: every use of a
    weight or a bias.
    """

    macs: int
    connections: int


def affine_cost(out: Shape, fan_in: int, use_bias: bool) -> Cost:
    """Cost of `out` units that each sum `fan_in` weighted inputs (and a bias)."""
    units = math.prod(out)
    return Cost(units * fan_in, units * (fan_in + use_bias))
