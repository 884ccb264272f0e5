"""Residual networks, and the plain ones that they were compared with.

K. He, X. Zhang, S. Ren, J. Sun. Deep residual learning for image recognition. CVPR
2016 (arXiv 1512.03385, 2015), sections 3.3, 3.4 and 4.2.

Axes: B batch, then height, width, channels.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers import Dense, GlobalPool, Policy, Pool, Unit
from jnets.models.stacking import chain
from jnets.typing import Array

# How many times its width a block puts out.
EXPANSION = {"basic": 1, "bottleneck": 4}
# Padding and ceil mode of the 3x3/2 pooling after the first convolution.
POOLS = {"imagenet": (1, False), "caffe": (0, True), "cifar": None}
CHOICES = {
    "block": tuple(EXPANSION),
    "stem": tuple(POOLS),
    "version": ("v1", "v1.5"),
    "shortcut": ("A", "B", "C", "none"),
}


def check_fields(model: Any, choices: dict[str, tuple[str, ...]]) -> None:
    """An InputError unless the fields are among their choices, with a width a stage."""
    for field, known in choices.items():
        if (value := getattr(model, field)) not in known:
            raise InputError(f"{field}={value!r} is unknown; expected one of {known}")
    if len(model.blocks) != len(model.widths):
        raise InputError(
            f"blocks={model.blocks} are {len(model.blocks)} stages; expected one for "
            f"each of widths={model.widths}"
        )


class Block(nn.Module):
    """y = relu(F(x) + shortcut(x)): x [B, H, W, C] -> [B, H/stride, W/stride, E width].

    F of "basic" is two 3x3 convolutions and E = 1; of "bottleneck" 1x1, 3x3, 1x1 and
    E = 4. Every convolution is followed by batch norm, all but the last by relu.
    """

    kind: str
    width: int
    stride: int
    version: str
    shortcut: str
    zero_last_scale: bool
    unit: Unit

    @nn.compact
    def __call__(self, x: Array) -> Array:
        unit, width, stride = self.unit, self.width, self.stride
        out = width * EXPANSION[self.kind]
        last = unit._replace(start=0.0 if self.zero_last_scale else 1.0)
        if self.kind == "basic":
            y = unit(x, width, (3, 3), name="conv1", stride=stride, padding=1)
            y = last(y, out, (3, 3), name="conv2", padding=1, relu=False)
        else:
            early, late = (stride, 1) if self.version == "v1" else (1, stride)
            y = unit(x, width, (1, 1), name="conv1", stride=early)
            y = unit(y, width, (3, 3), name="conv2", stride=late, padding=1)
            y = last(y, out, (1, 1), name="conv3", relu=False)
        return nn.relu(y if self.shortcut == "none" else y + self._shortcut(x, out))

    def _shortcut(self, x: Array, out: int) -> Array:
        same = self.stride == 1 and x.shape[-1] == out
        if self.shortcut == "C" or (self.shortcut == "B" and not same):
            return self.unit(
                x, out, (1, 1), name="shortcut", stride=self.stride, relu=False
            )
        return x if same else subsample_and_pad(x, self.stride, out)


def subsample_and_pad(x: Array, stride: int, channels: int) -> Array:
    """Shortcut A: every stride-th position, then zeros as the channels that lack."""
    if channels < x.shape[-1]:
        raise InputError(
            f"shortcut='A' would drop {x.shape[-1] - channels} of {x.shape[-1]} "
            "channels; expected widths that never fall"
        )
    x = x[:, ::stride, ::stride]
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])))


class Stage(nn.Module):
    """`count` blocks of one width; the first has the stride."""

    count: int
    kind: str
    width: int
    stride: int
    version: str
    shortcut: str
    zero_last_scale: bool
    unit: Unit
    stacked: bool
    remat: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        def block(name: str, first: bool) -> Block:
            return Block(
                kind=self.kind,
                width=self.width,
                stride=self.stride if first else 1,
                version=self.version,
                shortcut=self.shortcut,
                zero_last_scale=self.zero_last_scale,
                unit=self.unit,
                name=name,
            )

        return chain(block, self.count, x, stacked=self.stacked, remat=self.remat)


class ResNet(nn.Module):
    """A residual net: x [B, H, W, 3] -> logits [B, classes].

    `blocks` of each stage and their `widths` (a bottleneck puts out four times as
    much). From the second stage on, the first block halves the resolution: in a
    bottleneck by its first 1x1 convolution ("v1", the paper) or by its 3x3 ("v1.5",
    fb.resnet.torch and torchvision: more work, more exact).

    `shortcut` where the shape changes: "A" subsamples and appends channels of zeros,
    "B" is a 1x1 convolution with batch norm, "C" has that in every block; "none" is a
    plain net. `stem` "imagenet" is 7x7/2 and 3x3/2 max pooling padded by 1, "caffe" has
    the pooling without padding, in ceil mode, which reads one position further; "cifar"
    is 3x3 alone. `conv1_bias` is a quirk of the released ResNet-50.

    Convolutions start with variance 2/(k k C_out), as in fb.resnet.torch; the paper's
    own is `he_normal`. `zero_last_scale` starts every block as the identity (Goyal et
    al. 2017, section 5.1).

    `stack_blocks` keeps all blocks of a stage but the first in one stack and runs them
    by a loop, with the parameter tree of `jnets.models.stacking`. The results are the
    same; what changes is stated there. `remat` computes a block's activations again in
    the backward pass, with the same tree.

    Errors: InputError for an unknown choice, not one width for each stage, or widths
    that fall with shortcut "A".
    """

    block: str = "bottleneck"
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem: str = "imagenet"
    version: str = "v1.5"
    shortcut: str = "B"
    conv1_bias: bool = False
    zero_last_scale: bool = False
    classes: int = 1000
    scheme: str = "he_normal_fan_out"
    fc_scheme: str = "pytorch_uniform"
    policy: Policy = Policy()
    stack_blocks: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        check_fields(self, CHOICES)
        p = self.policy
        unit = Unit(train, scheme=self.scheme, policy=p)
        x = self._stem(x, unit)
        # B x 56 x 56 x 64; CIFAR B x 32 x 32 x 16
        for s, (count, width) in enumerate(zip(self.blocks, self.widths, strict=True)):
            x = Stage(
                count=count,
                kind=self.block,
                width=width,
                stride=1 if s == 0 else 2,
                version=self.version,
                shortcut=self.shortcut,
                zero_last_scale=self.zero_last_scale,
                unit=unit,
                stacked=self.stack_blocks,
                remat=self.remat,
                name=f"stage{s + 1}",
            )(x)
        # B x 7 x 7 x 512 or 2048; CIFAR B x 8 x 8 x 64
        x = GlobalPool(name="pool")(x)
        return p.finish(Dense(self.classes, self.fc_scheme, policy=p, name="fc")(x))

    def _stem(self, x: Array, unit: Unit) -> Array:
        kernel, stride, padding = (3, 1, 1) if self.stem == "cifar" else (7, 2, 3)
        unit, size = unit._replace(bias=self.conv1_bias), (kernel, kernel)
        x = unit(x, self.widths[0], size, name="conv1", stride=stride, padding=padding)
        # B x 112 x 112 x 64
        pool = POOLS[self.stem]
        return x if pool is None else Pool("max", 3, 2, *pool, name="pool1")(x)
