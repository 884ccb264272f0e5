"""Convolutional layers: full, and with LeNet-5's table of connections."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.layers.cost import Cost, Shape, affine_cost
from jnets.layers.init import fans, initialisation
from jnets.layers.policy import Policy
from jnets.ops.conv import conv
from jnets.ops.window import Padding
from jnets.typing import Array, PRNGKey


class Conv(nn.Module):
    """Convolution of x [B, *S, C] with as many spatial axes as `kernel_size` has.

    Parameters: `kernel` [*kernel_size, C/groups, features], `bias` [features].
    Padding is explicit; see `jnets.ops.conv`.
    """

    features: int
    kernel_size: tuple[int, ...]
    stride: int = 1
    padding: Padding = "VALID"
    dilation: int = 1
    groups: int = 1
    use_bias: bool = True
    scheme: str = "lecun_normal"
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        init, dtype = initialisation(self.scheme), self.policy.param_dtype
        shape = (*self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", init.kernel(*fans(shape)), shape, dtype)
        x, kernel = self.policy.cast(x, kernel)
        bias = None
        if self.use_bias:
            bias = self.param(
                "bias", init.bias(fans(shape)[0]), (self.features,), dtype
            )
            (bias,) = self.policy.cast(bias)
        return conv(
            x,
            kernel,
            bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def cost(self, x: Shape, y: Shape) -> Cost:
        fan_in = math.prod(self.kernel_size) * x[-1] // self.groups
        return affine_cost(y, fan_in, self.use_bias)


class TableConv(nn.Module):
    """Convolution in which output map o reads only the input maps `table[o]`.

    Only weights that exist are parameters: `kernel` [*kernel_size, n] where n is the
    number of (input map, output map) pairs in the table, in table order, and `bias`
    [maps]. An absent connection is a zero of the dense kernel that is scattered from
    them, and gets no gradient. LeCun et al. 1998, table I.
    """

    table: tuple[tuple[int, ...], ...]
    kernel_size: tuple[int, ...]
    scheme: str = "lecun_uniform_1998"
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        dtype, maps = self.policy.param_dtype, len(self.table)
        source = np.concatenate([np.asarray(row) for row in self.table])
        target = np.repeat(np.arange(maps), [len(row) for row in self.table])
        shape = (*self.kernel_size, len(source))
        kernel = self.param("kernel", self._init_kernel, shape, dtype)
        bias = self.param("bias", self._init_bias, (maps,), dtype)
        x, kernel, bias = self.policy.cast(x, kernel, bias)
        dense = jnp.zeros((*self.kernel_size, x.shape[-1], maps), kernel.dtype)
        dense = dense.at[..., source, target].set(kernel)
        return conv(x, dense, bias)

    def _fan_ins(self) -> list[int]:
        return [len(row) * math.prod(self.kernel_size) for row in self.table]

    def _init_kernel(self, key: PRNGKey, shape: Shape, dtype: jnp.dtype) -> Array:
        init, keys = initialisation(self.scheme), jax.random.split(key, len(self.table))
        maps = zip(keys, self.table, self._fan_ins(), strict=True)
        # An input map reaches pairs / inputs output maps, on average.
        inputs = len(set().union(*self.table))
        fan_out = math.prod(self.kernel_size) * shape[-1] // inputs
        parts = [
            init.kernel(fan_in, fan_out)(k, (*shape[:-1], len(row)), dtype)
            for k, row, fan_in in maps
        ]
        return jnp.concatenate(parts, axis=-1)

    def _init_bias(self, key: PRNGKey, shape: Shape, dtype: jnp.dtype) -> Array:
        init, keys = initialisation(self.scheme), jax.random.split(key, *shape)
        units = zip(keys, self._fan_ins(), strict=True)
        return jnp.concatenate([init.bias(n)(k, (1,), dtype) for k, n in units])

    def cost(self, x: Shape, y: Shape) -> Cost:
        pairs, maps = sum(map(len, self.table)), len(self.table)
        positions = math.prod(y[:-1])
        macs = positions * pairs * math.prod(self.kernel_size)
        return Cost(macs, macs + positions * maps)
