"""VGG: the configurations A to E, with and without batch norm.

K. Simonyan, A. Zisserman. Very deep convolutional networks for large-scale image
recognition. ICLR 2015 (arXiv 1409.1556), table 1 and sections 2 and 3. Batch norm is
torchvision's addition.

Axes: B batch, then height, width, channels.
"""

from typing import Any

import flax.linen as nn

from jnets.layers import LocalResponseNorm, Policy, Pool, Unit
from jnets.layers.factorised import Factorised
from jnets.layers.fully_connected import FullyConnected
from jnets.typing import Array

# Table 1: features of the convolutions of five blocks; (features, 1) is a 1 x 1 kernel,
# all others are 3 x 3.
CONFIGURATIONS = {
    "A": ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    "B": ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    "C": (
        (64,) * 2,
        (128,) * 2,
        (256, 256, (256, 1)),
        (512, 512, (512, 1)),
        (512, 512, (512, 1)),
    ),
    "D": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    "E": ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


class VGG(nn.Module):
    """Blocks of 3x3 convolutions, each ended by 2x2 max pooling; then fc6, fc7, fc8.

    x [B, H, W, 3] -> logits [B, classes]. `blocks` is a configuration. With `lrn`
    conv1_1 is followed by local response normalisation (A-LRN; k, n, alpha and beta
    are AlexNet's, section 2.1). With `norm` every convolution, which keeps its bias,
    is followed by batch norm.

    fc6 reads a map of `map_size` x `map_size`, 7 x 7 for 224 x 224 images, which
    adaptive average pooling makes of another. With `dense` the fully connected layers
    slide over the whole map instead and their class scores are averaged, the paper's
    dense evaluation, with the same parameters; see `FullyConnected`. The paper then
    averages softmax outputs over an image and its mirror image; that is up to the
    caller.

    `dropout` is on the outputs of fc6 and fc7. `filters` and `between`, see
    `Factorised`, are the form of all convolutions but conv1_1, whose three input
    channels leave nothing to save. `scheme` is the convolutions' initialisation and
    `fc_scheme` that of the others. With `remat` each block is computed again in the
    backward pass, so that only the blocks' inputs are kept.
    """

    blocks: tuple[tuple[int | tuple[int, int], ...], ...]
    hidden: tuple[int, ...] = (4096, 4096)
    classes: int = 1000
    map_size: int = 7
    norm: bool = False
    lrn: bool = False
    dropout: float = 0.5
    dense: bool = False
    filters: str = "full"
    between: bool = True
    scheme: str = "glorot_normal"
    fc_scheme: str = "glorot_normal"
    remat: bool = False
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        block = VGG._block
        if self.remat:
            block = nn.remat(block, static_argnums=(2, 3))
        for i in range(len(self.blocks)):
            x = block(self, x, i, train)
            # 224 x 224 images: B x 112 x 112 x 64, 56 x 56 x 128, ..., 7 x 7 x 512
        units = (*self.hidden, self.classes)
        return FullyConnected(
            units,
            (self.fc_scheme,) * len(units),
            self.map_size,
            train,
            self.dropout,
            dense=self.dense,
            policy=self.policy,
        )(x)

    def _block(self, x: Array, i: int, train: bool) -> Array:
        unit = Unit(train, self.norm, scheme=self.scheme, policy=self.policy, bias=True)
        for j, entry in enumerate(self.blocks[i]):
            features, kernel = (entry, 3) if isinstance(entry, int) else entry
            first = i == j == 0
            conv = Factorised(unit, "full" if first else self.filters, self.between)
            name = f"conv{i + 1}_{j + 1}"
            x = conv(x, features, kernel, name=name, padding=kernel // 2)
            if first and self.lrn:
                x = LocalResponseNorm(name="norm1")(x)
        return Pool("max", 2, name=f"pool{i + 1}")(x)


# Glorot's initialisation, which the paper found to do as well as starting deeper nets
# from a trained A (section 3.1). The normals of variance 10^-2 that it states for A,
# `scheme="normal_0.1"` and `fc_scheme="normal_0.1"`, are not a start that trains: for
# images of unit variance they give logits of the order of 10^6. The nets with batch
# norm start as torchvision's.
_NORM = {"norm": True, "scheme": "he_normal_fan_out", "fc_scheme": "normal_0.01"}

VGGS: dict[str, dict[str, Any]] = {
    "vgg11": {"blocks": CONFIGURATIONS["A"]},
    "vgg11_lrn": {"blocks": CONFIGURATIONS["A"], "lrn": True},
    "vgg13": {"blocks": CONFIGURATIONS["B"]},
    "vgg16_c": {"blocks": CONFIGURATIONS["C"]},
    "vgg16": {"blocks": CONFIGURATIONS["D"]},
    "vgg19": {"blocks": CONFIGURATIONS["E"]},
    "vgg11_bn": {"blocks": CONFIGURATIONS["A"], **_NORM},
    "vgg13_bn": {"blocks": CONFIGURATIONS["B"], **_NORM},
    "vgg16_c_bn": {"blocks": CONFIGURATIONS["C"], **_NORM},
    "vgg16_bn": {"blocks": CONFIGURATIONS["D"], **_NORM},
    "vgg19_bn": {"blocks": CONFIGURATIONS["E"], **_NORM},
}
