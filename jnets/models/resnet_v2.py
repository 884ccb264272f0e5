"""Residual networks with the activation before the weights.

K. He, X. Zhang, S. Ren, J. Sun. Identity mappings in deep residual networks. ECCV
2016 (arXiv 1603.05027), section 4.1 and appendix.

Axes: B batch, then height, width, channels.
"""

from typing import NamedTuple

import flax.linen as nn

from jnets.layers import BatchNorm, Conv, Dense, GlobalPool, Policy, Pool
from jnets.models.resnet import EXPANSION, check_fields
from jnets.models.stacking import chain
from jnets.typing import Array

CHOICES = {
    "block": tuple(EXPANSION),
    "stem": ("imagenet", "cifar"),
    "version": ("v1", "v1.5"),
}


class Parts(NamedTuple):
    """What a block is made of, with what the whole net shares bound to it."""

    train: bool
    scheme: str
    policy: Policy

    def conv(self, x: Array, features: int, k: int, stride: int, name: str) -> Array:
        """k x k convolution without bias; of odd k, padded to x's size / stride."""
        return Conv(
            features,
            (k, k),
            stride,
            k // 2,
            use_bias=False,
            scheme=self.scheme,
            policy=self.policy,
            name=name,
        )(x)

    def norm(self, x: Array, name: str) -> Array:
        """relu(batch norm)."""
        return nn.relu(BatchNorm(policy=self.policy, name=name)(x, train=self.train))


class PreActBlock(nn.Module):
    """y = x + F(x): x [B, H, W, C] -> [B, H/stride, W/stride, E width].

    F is norm, relu, convolution, twice 3x3 ("basic", E = 1), or 1x1, 3x3, 1x1
    ("bottleneck", E = 4). Where the shape changes, x is taken after the first relu and
    through a 1x1 convolution. Nothing follows the sum, so that dL/dx has dL/dy in it
    whole. Without `norm_first` F starts with its convolution.
    """

    kind: str
    width: int
    stride: int
    version: str
    norm_first: bool
    parts: Parts

    @nn.compact
    def __call__(self, x: Array) -> Array:
        parts, width, stride = self.parts, self.width, self.stride
        out = width * EXPANSION[self.kind]
        h = parts.norm(x, "norm1") if self.norm_first else x
        if self.kind == "basic":
            y = parts.conv(h, width, 3, stride, "conv1")
            y = parts.conv(parts.norm(y, "norm2"), out, 3, 1, "conv2")
        else:
            early, late = (stride, 1) if self.version == "v1" else (1, stride)
            y = parts.conv(h, width, 1, early, "conv1")
            y = parts.conv(parts.norm(y, "norm2"), width, 3, late, "conv2")
            y = parts.conv(parts.norm(y, "norm3"), out, 1, 1, "conv3")
        if stride == 1 and x.shape[-1] == out:
            return x + y
        return parts.conv(h, out, 1, stride, "shortcut") + y


class PreActStage(nn.Module):
    """`count` blocks of one width; the first has the stride."""

    count: int
    kind: str
    width: int
    stride: int
    version: str
    norm_first: bool
    parts: Parts
    stacked: bool
    remat: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        def block(name: str, first: bool) -> PreActBlock:
            return PreActBlock(
                kind=self.kind,
                width=self.width,
                stride=self.stride if first else 1,
                version=self.version,
                norm_first=self.norm_first or not first,
                parts=self.parts,
                name=name,
            )

        return chain(block, self.count, x, stacked=self.stacked, remat=self.remat)


class PreActResNet(nn.Module):
    """A pre-activation residual net: x [B, H, W, 3] -> logits [B, classes].

    The fields are those of `jnets.models.resnet.ResNet`; the shortcut is a convolution
    where the shape changes, without batch norm.

    `stem` "imagenet" is fb.resnet.torch's form: 7x7/2, norm and relu, 3x3/2 max
    pooling, after which the first block has no norm of its own. "cifar" is a 3x3
    convolution alone. The released ImageNet code strides by the 3x3 of a bottleneck
    ("v1.5"), the CIFAR code by the first 1x1 ("v1").

    There is no `zero_last_scale`: the relu behind that norm would pass no gradient.

    Errors: InputError for an unknown choice, or not one width for each stage.
    """

    block: str = "bottleneck"
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem: str = "imagenet"
    version: str = "v1.5"
    classes: int = 1000
    scheme: str = "he_normal_fan_out"
    fc_scheme: str = "pytorch_uniform"
    policy: Policy = Policy()
    stack_blocks: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        check_fields(self, CHOICES)
        p, imagenet = self.policy, self.stem == "imagenet"
        parts = Parts(train, self.scheme, p)
        x = self._stem(x, parts)
        # B x 56 x 56 x 64; CIFAR B x 32 x 32 x 16
        for s, (count, width) in enumerate(zip(self.blocks, self.widths, strict=True)):
            x = PreActStage(
                count=count,
                kind=self.block,
                width=width,
                stride=1 if s == 0 else 2,
                version=self.version,
                norm_first=s > 0 or not imagenet,
                parts=parts,
                stacked=self.stack_blocks,
                remat=self.remat,
                name=f"stage{s + 1}",
            )(x)
        # B x 7 x 7 x 512 or 2048; CIFAR B x 8 x 8 x 256
        x = GlobalPool(name="pool")(parts.norm(x, "norm"))
        return p.finish(Dense(self.classes, self.fc_scheme, policy=p, name="fc")(x))

    def _stem(self, x: Array, parts: Parts) -> Array:
        if self.stem == "cifar":
            return parts.conv(x, self.widths[0], 3, 1, "conv1")
        x = parts.norm(parts.conv(x, self.widths[0], 7, 2, "conv1"), "conv1_norm")
        # B x 112 x 112 x 64
        return Pool("max", 3, 2, 1, name="pool1")(x)
