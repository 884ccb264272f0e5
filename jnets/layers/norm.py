"""Normalisation layers: by the batch's statistics, and by neighbouring channels."""

import flax.linen as nn
import jax.numpy as jnp

from jnets.layers.cost import Cost, Shape
from jnets.layers.policy import Policy
from jnets.ops.norm import local_response_norm
from jnets.typing import Array


class BatchNorm(nn.Module):
    """y = scale (x - mean) / sqrt(var + eps) + bias per channel of x [B, *S, C].

    In training mean and (biased) variance are the batch's, over B and S; in use they
    are running averages, `batch_stats` `mean` and `var`, which training moves by
    running = momentum running + (1 - momentum) batch. `momentum` is the weight of the
    old value: 0.9 is PyTorch's 0.1. The running variance is of the unbiased kind, with
    m - 1 for m = B |S|, as in PyTorch; `unbiased=False` keeps the biased one, as Flax
    and Caffe do. `start` is where `scale` starts: 0 in the last norm of a residual
    block makes the block start as the identity. Statistics are computed in float32
    whatever the policy. (Ioffe & Szegedy 2015, algorithm 1.)
    """

    momentum: float = 0.9
    eps: float = 1e-5
    unbiased: bool = True
    start: float = 1.0
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        channels, dtype = x.shape[-1:], self.policy.param_dtype
        scale = self.param(
            "scale", nn.initializers.constant(self.start), channels, dtype
        )
        bias = self.param("bias", nn.initializers.zeros, channels, dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, dtype)
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if train:
            axes = tuple(range(x.ndim - 1))
            mean = jnp.mean(wide, axes)
            # Two passes: E[x^2] - E[x]^2 loses digits where the mean is large.
            var = jnp.mean(jnp.square(wide - _over(mean, wide)), axes)
            if not self.is_initializing():
                m = x.size // x.shape[-1]
                spread = var * (m / max(m - 1, 1)) if self.unbiased else var
                self._move(running_mean, mean)
                self._move(running_var, spread)
        else:
            mean, var = running_mean.value, running_var.value
        factor = scale.astype(wide.dtype) / jnp.sqrt(var.astype(wide.dtype) + self.eps)
        offset = bias.astype(wide.dtype) - mean.astype(wide.dtype) * factor
        (y,) = self.policy.cast(wide * _over(factor, wide) + _over(offset, wide))
        return y

    def _move(self, running: nn.Variable, batch: Array) -> None:
        new = self.momentum * running.value + (1 - self.momentum) * batch
        running.value = new.astype(running.value.dtype)

    def cost(self, x: Shape, y: Shape) -> Cost:
        del x, y  # in use it is folded into the convolution before it
        return Cost(0, 0)


class LocalResponseNorm(nn.Module):
    """`jnets.ops.local_response_norm` as a layer, so that a model's table shows it."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    divide_by_size: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return local_response_norm(
            x,
            size=self.size,
            alpha=self.alpha,
            beta=self.beta,
            k=self.k,
            divide_by_size=self.divide_by_size,
        )

    def cost(self, x: Shape, y: Shape) -> Cost:
        del x, y  # by convention not counted
        return Cost(0, 0)


def _over(values: Array, x: Array) -> Array:
    """[C] as [1, ..., 1, C]: implicit rank promotion is an error in tests."""
    return jnp.expand_dims(values, range(x.ndim - 1))
