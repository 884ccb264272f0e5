"""Fully connected layers on top of a map, which can also slide over a larger one."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jnets.layers.cost import Cost, Shape, affine_cost
from jnets.layers.init import initialisation
from jnets.layers.linear import Dense
from jnets.layers.policy import Policy
from jnets.ops.conv import conv
from jnets.ops.pool import adaptive_avg_pool
from jnets.typing import Array


class SlidingDense(nn.Module):
    """A fully connected layer that reads every `size` x `size` piece of a map.

    x [B, H, W, C] -> [B, H - size + 1, W - size + 1, features]. The parameters are
    those of `Dense` on one piece, `kernel` [size size C, features] and `bias`
    [features], with the same starting values; the kernel is used as a convolution's.
    """

    features: int
    size: int
    scheme: str = "lecun_normal"
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        init, dtype = initialisation(self.scheme), self.policy.param_dtype
        window = (self.size, self.size, x.shape[-1])
        shape = (self.size**2 * x.shape[-1], self.features)
        kernel = self.param("kernel", init.kernel(*shape), shape, dtype)
        bias = self.param("bias", init.bias(shape[0]), shape[1:], dtype)
        x, kernel, bias = self.policy.cast(x, kernel, bias)
        return conv(x, kernel.reshape(*window, self.features), bias)

    def cost(self, x: Shape, y: Shape) -> Cost:
        return affine_cost(y, self.size**2 * x[-1], use_bias=True)


class FullyConnected(NamedTuple):
    """fc6, fc7, ..., the end of AlexNet, ZFNet and VGG; adds them to a compact module.

    The map [B, H, W, C] is brought to `size` x `size` by adaptive average pooling,
    the identity at a model's own input size, flattened, and read by layers of `units`
    (the last are the classes), with a rectifier and `dropout` after each but the last;
    with `drop_input` dropout precedes each but the last instead. `schemes` are their
    initialisations, one each.

    With `dense` the same parameters are convolutions, size x size, 1 x 1, ..., on the
    whole map, and the result is the mean of the class scores over positions: dense
    evaluation (Simonyan & Zisserman 2015, section 3.2; Sermanet et al. 2014). Scores
    are averaged, before any softmax, as the first paper says of its class score map.
    """

    units: tuple[int, ...]
    schemes: tuple[str, ...]
    size: int
    train: bool
    dropout: float = 0.5
    drop_input: bool = False
    dense: bool = False
    policy: Policy = Policy()

    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] -> [B, units[-1]] in the output dtype."""
        if not self.dense:
            x = adaptive_avg_pool(x, self.size).reshape(x.shape[0], -1)
        last = len(self.units) - 1
        for i, scheme in enumerate(self.schemes):
            if self.drop_input and i < last:
                x = nn.Dropout(self.dropout, deterministic=not self.train)(x)
            x = self._layer(i, scheme)(x)
            if i < last:
                x = nn.relu(x)
            if not self.drop_input and i < last:
                x = nn.Dropout(self.dropout, deterministic=not self.train)(x)
        x = self.policy.finish(x)
        return jnp.mean(x, axis=(1, 2)) if self.dense else x

    def _layer(self, i: int, scheme: str) -> nn.Module:
        name, units, p = f"fc{6 + i}", self.units[i], self.policy
        if self.dense and i == 0:
            return SlidingDense(units, self.size, scheme, policy=p, name=name)
        return Dense(units, scheme, policy=p, name=name)
