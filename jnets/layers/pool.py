"""Pooling as layers, so that a model's table shows them; one has parameters."""

import math

import flax.linen as nn

from jnets.errors import InputError
from jnets.layers.cost import Cost, Shape
from jnets.layers.init import symmetric_uniform
from jnets.layers.policy import Policy
from jnets.ops.pool import avg_pool, global_avg_pool, max_pool, subsample
from jnets.typing import Array

POOLS = {"max": max_pool, "average": avg_pool}


class Pool(nn.Module):
    """Maximum or average over square windows of x [B, *S, C]; no parameters."""

    kind: str
    window: int
    stride: int | None = None
    padding: int = 0
    ceil_mode: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.kind not in POOLS:
            raise InputError(
                f"pool={self.kind!r} is unknown; expected one of {sorted(POOLS)}"
            )
        return POOLS[self.kind](
            x,
            self.window,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
        )

    def cost(self, x: Shape, y: Shape) -> Cost:
        del x, y  # by convention not counted
        return Cost(0, 0)


class GlobalPool(nn.Module):
    """The mean over all positions: x [B, *S, C] -> [B, C]; no parameters."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return global_avg_pool(x)

    def cost(self, x: Shape, y: Shape) -> Cost:
        del x, y  # by convention not counted
        return Cost(0, 0)


class Subsample(nn.Module):
    """LeNet-5's trainable subsampling, before its squashing function.

    y = coefficient_c * (sum of the window) + bias_c; parameters `coefficient` [C]
    and `bias` [C] (LeCun et al. 1998, section II-B). With F = window^2 inputs a unit
    starts near an average, coefficient U(0.5/F, 1.5/F), so that no map starts switched
    off; biases start as the paper's other weights do, U(-2.4/F, 2.4/F).
    """

    window: int = 2
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        fan_in, dtype = self.window ** (x.ndim - 2), self.policy.param_dtype

        def average(key, shape, dtype):
            return symmetric_uniform(0.5 / fan_in)(key, shape, dtype) + 1 / fan_in

        coefficient = self.param("coefficient", average, x.shape[-1:], dtype)
        uniform = symmetric_uniform(2.4 / fan_in)
        bias = self.param("bias", uniform, x.shape[-1:], dtype)
        x, coefficient, bias = self.policy.cast(x, coefficient, bias)
        return subsample(x, coefficient, bias, window=self.window)

    def cost(self, x: Shape, y: Shape) -> Cost:
        # The window is summed, then multiplied once: one multiplication a unit.
        units, fan_in = math.prod(y), self.window ** (len(x) - 1)
        return Cost(units, units * (fan_in + 1))
