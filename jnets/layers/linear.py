"""Fully connected layer and LeNet-5's radial basis function output."""

import flax.linen as nn
import jax.numpy as jnp

from jnets.layers.cost import Cost, Shape, affine_cost
from jnets.layers.init import initialisation
from jnets.layers.policy import Policy
from jnets.typing import Array


class Dense(nn.Module):
    """y = x W + b on the last axis: [..., F] -> [..., features].

    Parameters: `kernel` [F, features], `bias` [features].
    """

    features: int
    scheme: str = "lecun_normal"
    use_bias: bool = True
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        fan_in, init = x.shape[-1], initialisation(self.scheme)
        dtype = self.policy.param_dtype
        kernel = self.param(
            "kernel",
            init.kernel(fan_in, self.features),
            (fan_in, self.features),
            dtype,
        )
        x, kernel = self.policy.cast(x, kernel)
        y = jnp.dot(x, kernel)
        if not self.use_bias:
            return y
        bias = self.param("bias", init.bias(fan_in), (self.features,), dtype)
        # The bias is widened by hand: implicit rank promotion is an error in tests.
        (bias,) = self.policy.cast(bias)
        return y + jnp.expand_dims(bias, range(y.ndim - 1))

    def cost(self, x: Shape, y: Shape) -> Cost:
        return affine_cost(y, x[-1], self.use_bias)


class Affine(nn.Module):
    """The weights of x W + b for use inside a recurrence, where W is shared over time.

    Parameters: `kernel` [inputs, features], `bias` [features]; `weights()` gives both
    in the compute dtype.
    """

    inputs: int
    features: int
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    def setup(self):
        init, dtype = initialisation(self.scheme), self.policy.param_dtype
        shape = (self.inputs, self.features)
        self.kernel = self.param("kernel", init.kernel(*shape), shape, dtype)
        self.bias = self.param("bias", init.bias(self.inputs), shape[1:], dtype)

    def weights(self) -> tuple[Array, Array]:
        kernel, bias = self.policy.cast(self.kernel, self.bias)
        return kernel, bias

    def cost(self, x: Shape, y: Shape) -> Cost:
        return affine_cost(y, x[-1], use_bias=True)


class RBF(nn.Module):
    """Euclidean radial basis functions y_i = sum_j (x_j - w_ij)^2, w fixed.

    x [B, F] -> y [B, classes], computed in float32. `centers` is a tuple of tuples
    [classes][F]; it is data of the architecture, not a parameter (LeCun et al. 1998,
    section II-B; there F = 84 and w_ij is a +-1 bitmap of the class).
    """

    centers: tuple[tuple[int, ...], ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        w = jnp.asarray(self.centers, jnp.float32)
        difference = x.astype(jnp.float32)[:, None, :] - w[None, :, :]
        return jnp.sum(jnp.square(difference), axis=-1)

    def cost(self, x: Shape, y: Shape) -> Cost:
        return affine_cost(y, x[-1], use_bias=False)
