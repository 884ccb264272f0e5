"""AlexNet: the paper's, without its groups, Caffe's two, and torchvision's.

A. Krizhevsky, I. Sutskever, G. E. Hinton. ImageNet classification with deep
convolutional neural networks. NIPS 2012, sections 3 and 5. torchvision's is the single
tower of A. Krizhevsky, One weird trick for parallelizing convolutional neural networks
(2014).

Axes: B batch, then height, width, channels.
"""

from typing import Any

import flax.linen as nn

from jnets.errors import InputError
from jnets.layers import LocalResponseNorm, Policy, Pool, Unit
from jnets.layers.factorised import Factorised
from jnets.layers.fully_connected import FullyConnected
from jnets.ops.window import Padding
from jnets.typing import Array

# What follows a convolution, in order.
RELU = ("relu",)
POOLED = ("relu", "pool")
NORMALISED = ("relu", "norm", "pool")
POOLED_FIRST = ("relu", "pool", "norm")


class AlexNet(nn.Module):
    """Convolutions, each with what follows it, then three fully connected layers.

    x [B, H, W, 3] -> logits [B, classes].

    `stages` has a row for each convolution: features, kernel, stride, padding, groups,
    and the order of "relu", "norm" (local response normalisation, with the effective
    `alpha` and `k`) and "pool" (overlapping, maximum of 3 x 3, stride 2) after it. The
    padding "END" adds at the high edges the zeros that the last stride lacks: a
    224 x 224 image becomes 227 x 227, one of 227 x 227 stays, and so on.
    `schemes` are the initialisations of all layers in turn; `scheme` replaces those of
    the convolutions and `fc_scheme` those of the fully connected layers.

    fc6 reads a map of `map_size` x `map_size`, which adaptive average pooling makes if
    the image has another size than the model's own; `dense`, see `FullyConnected`.
    `dropout` is on the outputs of fc6 and fc7, or with `drop_input` on their inputs.
    `filters` and `between`, see `Factorised`, are the form of all convolutions but
    conv1, whose three input channels leave nothing to save. With `remat` each stage is
    computed again in the backward pass, so that only the stages' inputs are kept.
    """

    stages: tuple[tuple[int, int, int, Padding, int, tuple[str, ...]], ...]
    schemes: tuple[str, ...]
    hidden: tuple[int, ...] = (4096, 4096)
    classes: int = 1000
    map_size: int = 6
    alpha: float = 1e-4
    k: float = 2.0
    ceil_mode: bool = True
    dropout: float = 0.5
    drop_input: bool = False
    dense: bool = False
    filters: str = "full"
    between: bool = True
    scheme: str = ""
    fc_scheme: str = ""
    remat: bool = False
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        units = (*self.hidden, self.classes)
        if len(self.schemes) != len(self.stages) + len(units):
            raise InputError(
                f"schemes={self.schemes} are {len(self.schemes)}; expected one for "
                f"each of {len(self.stages)} convolutions and {len(units)} layers"
            )
        stage = AlexNet._stage
        if self.remat:
            stage = nn.remat(stage, static_argnums=(2,))
        for i in range(len(self.stages)):
            x = stage(self, x, i)
        # At the model's own input size: B x 6 x 6 x 256
        return FullyConnected(
            units,
            tuple(self.fc_scheme or s for s in self.schemes[len(self.stages) :]),
            self.map_size,
            train,
            self.dropout,
            self.drop_input,
            self.dense,
            self.policy,
        )(x)

    def _stage(self, x: Array, i: int) -> Array:
        features, kernel, stride, padding, groups, then = self.stages[i]
        if padding == "END":
            padding = tuple((0, (kernel - n) % stride) for n in x.shape[1:3])
        unit = Unit(
            train=False,  # which nothing in it depends on
            norm=False,
            scheme=self.scheme or self.schemes[i],
            policy=self.policy,
            groups=groups,
        )
        x = Factorised(unit, self.filters if i else "full", self.between)(
            x,
            features,
            kernel,
            name=f"conv{i + 1}",
            stride=stride,
            padding=padding,
            relu=False,
        )
        for step in then:
            x = self._after(step, i + 1)(x)
        return x

    def _after(self, step: str, i: int):
        if step == "relu":
            return nn.relu
        if step == "norm":
            return LocalResponseNorm(alpha=self.alpha, k=self.k, name=f"norm{i}")
        if step == "pool":
            return Pool("max", 3, 2, ceil_mode=self.ceil_mode, name=f"pool{i}")
        raise InputError(f"step {step!r} is unknown; expected 'relu', 'norm' or 'pool'")


def _rows(groups: int, first: Padding, then: tuple[str, ...]):
    """The five stages with 96 to 384 features that all but torchvision's have."""
    return (  # sizes at 224 x 224 images for "END", 227 x 227 for no padding
        (96, 11, 4, first, 1, then),  # 55 x 55 x 96, pooled 27 x 27
        (256, 5, 1, 2, groups, then),  # 27 x 27 x 256, pooled 13 x 13
        (384, 3, 1, 1, 1, RELU),  # 13 x 13 x 384; reads the maps of both groups
        (384, 3, 1, 1, groups, RELU),
        (256, 3, 1, 1, groups, POOLED),  # 13 x 13 x 256, pooled 6 x 6
    )


def _schemes(biased: str, fc: str) -> tuple[str, ...]:
    """conv1 .. conv5, fc6 .. fc8: layers 2, 4, 5 start with a bias, and fc6, fc7."""
    plain = "normal_0.01"
    return (plain, biased, plain, biased, biased, fc, fc, plain)


_PAPER = _schemes("normal_0.01_bias_1", "normal_0.01_bias_1")

# alpha: the paper's formula takes 1e-4 as it stands; the code released with it and
# Caffe divide it by the window of 5, so that 2e-5 acts (`alpha=2e-5` here). The paper's
# layer 1 is normalised after its rectifier, as here; the released code has convolution,
# norm, pooling, rectifier, norms within the groups and one more, over positions, in
# layer 2, and is not a variant.
ALEXNETS: dict[str, dict[str, Any]] = {
    "alexnet_2012": {"stages": _rows(2, "END", NORMALISED), "schemes": _PAPER},
    "alexnet_ungrouped": {"stages": _rows(1, "END", NORMALISED), "schemes": _PAPER},
    "alexnet_caffe": {
        "stages": _rows(2, 0, NORMALISED),
        "schemes": _schemes("normal_0.01_bias_0.1", "normal_0.005_bias_0.1"),
        "alpha": 2e-5,
        "k": 1.0,
    },
    "caffenet": {
        "stages": _rows(2, 0, POOLED_FIRST),
        "schemes": _schemes("normal_0.01_bias_1", "normal_0.005_bias_1"),
        "alpha": 2e-5,
        "k": 1.0,
    },
    "alexnet": {
        "stages": (
            (64, 11, 4, 2, 1, POOLED),  # 224 x 224 image: 55 x 55 x 64, pooled 27 x 27
            (192, 5, 1, 2, 1, POOLED),  # 27 x 27 x 192, pooled 13 x 13
            (384, 3, 1, 1, 1, RELU),
            (256, 3, 1, 1, 1, RELU),
            (256, 3, 1, 1, 1, POOLED),  # 13 x 13 x 256, pooled 6 x 6
        ),
        "schemes": ("pytorch_uniform",) * 8,
        "ceil_mode": False,
        "drop_input": True,
    },
}
