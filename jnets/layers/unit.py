"""Convolution, batch norm, rectifier: the unit that deep convolutional nets repeat."""

from typing import NamedTuple

import flax.linen as nn

from jnets.layers.conv import Conv
from jnets.layers.norm import BatchNorm
from jnets.layers.policy import Policy
from jnets.ops.window import Padding
from jnets.typing import Array


class Unit(NamedTuple):
    """What all units of a model share; called inside a compact module, it adds one.

    Without `norm` the unit is convolution with bias and rectifier. With it the
    convolution has no bias, which the norm's own would repeat, unless `bias` asks for
    it (as torchvision's VGG has it), and the norm is the sibling `<name>_norm`.
    """

    train: bool
    norm: bool = True
    eps: float = 1e-5
    scheme: str = "he_normal"
    policy: Policy = Policy()
    bias: bool = False
    groups: int = 1
    start: float = 1.0  # the norm's first scale

    def __call__(
        self,
        x: Array,
        features: int,
        kernel_size: tuple[int, ...],
        *,
        name: str,
        stride: int = 1,
        padding: Padding = 0,
        relu: bool = True,
    ) -> Array:
        """x [B, H, W, C] -> [B, H', W', features]."""
        x = Conv(
            features,
            kernel_size,
            stride,
            padding,
            groups=self.groups,
            use_bias=self.bias or not self.norm,
            scheme=self.scheme,
            policy=self.policy,
            name=name,
        )(x)
        if self.norm:
            norm = BatchNorm(
                eps=self.eps, start=self.start, policy=self.policy, name=f"{name}_norm"
            )
            x = norm(x, train=self.train)
        return nn.relu(x) if relu else x
