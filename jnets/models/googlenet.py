"""GoogLeNet: as Caffe has it, as its table counts it, with batch norm, torchvision's.

C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, V. Vanhoucke,
A. Rabinovich. Going deeper with convolutions. CVPR 2015, table 1 and section 5.

Axes: B batch, then height, width, channels. Sizes in comments are for 224 x 224 images.
"""

import flax.linen as nn
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers import Conv, Dense, GlobalPool, LocalResponseNorm, Policy, Pool, Unit
from jnets.layers.factorised import Factorised
from jnets.ops import adaptive_avg_pool
from jnets.typing import Array

# Table 1: the features of 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5, pool_proj.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),  # B x 28 x 28 x 256
    "3b": (128, 128, 192, 32, 96, 64),  # B x 28 x 28 x 480
    "4a": (192, 96, 208, 16, 48, 64),  # B x 14 x 14 x 512
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),  # B x 14 x 14 x 528
    "4e": (256, 160, 320, 32, 128, 128),  # B x 14 x 14 x 832
    "5a": (256, 160, 320, 32, 128, 128),  # B x 7 x 7 x 832
    "5b": (384, 192, 384, 48, 128, 128),  # B x 7 x 7 x 1024
}
POOLS = {"3b": "pool3", "4e": "pool4"}
HEADS = {"4a": "aux1", "4d": "aux2"}

# What stands where the paper has 5x5 filters: the kernel, and the form that it takes.
# Two 3x3 see as far, and so do 1x5 and 5x1 (Szegedy et al., Rethinking the Inception
# architecture, 2016, sections 3.1 and 3.2).
FILTERS = {
    "5x5": (5, "full"),
    "3x3": (3, "full"),  # torchvision's, and that of the weights it has
    "stacked": (5, "stacked"),
    "asymmetric": (5, "asymmetric"),
}
EPS = 1e-3  # batch norm's, in torchvision as in the TensorFlow code it was ported from


class Inception(nn.Module):
    """x [B, H, W, C] -> [B, H, W, F]: the module's four branches side by side.

    `features` is a row of `MODULES`; F is the sum of its 1x1, 3x3, 5x5 and pool_proj.
    """

    features: tuple[int, ...]
    filters: str
    unit: Unit

    @nn.compact
    def __call__(self, x: Array) -> Array:
        point, reduce3, conv3, reduce5, conv5, project = self.features
        unit, one = self.unit, (1, 1)
        a = unit(x, point, one, name="1x1")
        b = unit(x, reduce3, one, name="3x3_reduce")
        b = unit(b, conv3, (3, 3), padding=1, name="3x3")
        c = unit(x, reduce5, one, name="5x5_reduce")
        n, form = FILTERS[self.filters]
        c = Factorised(unit, form)(c, conv5, n, padding=n // 2, name="5x5")
        d = Pool("max", 3, stride=1, padding=1, name="pool")(x)
        d = unit(d, project, one, name="pool_proj")
        return jnp.concatenate([a, b, c, d], axis=-1)


class Head(nn.Module):
    """An auxiliary classifier: x [B, H, W, C] -> logits [B, classes].

    The paper averages windows of 5x5 at stride 3; `adaptive` has windows that give
    4x4 means whatever H and W are, at 14x14 not the paper's.
    """

    classes: int
    adaptive: bool
    dropout: float
    fc_scheme: str
    unit: Unit

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.adaptive:
            x = adaptive_avg_pool(x, 4)
        elif min(x.shape[1:3]) < 5:
            raise InputError(
                f"aux=True needs maps of at least 5x5 under the heads, images of 79x79;"
                f" these are {x.shape[1]}x{x.shape[2]}: give larger ones or aux=False"
            )
        else:
            x = Pool("average", 5, stride=3, name="pool")(x)
        # B x 4 x 4 x C
        x = self.unit(x, 128, (1, 1), name="conv").reshape(x.shape[0], -1)
        # B x 2048
        scheme, p = self.unit.scheme, self.unit.policy
        x = nn.relu(Dense(1024, scheme, policy=p, name="fc1")(x))
        x = nn.Dropout(self.dropout, deterministic=not self.unit.train)(x)
        return p.finish(Dense(self.classes, self.fc_scheme, policy=p, name="fc2")(x))


class GoogLeNet(nn.Module):
    """x [B, H, W, 3] -> logits [B, classes]; in training also {"aux1", "aux2"} of them.

    `filters` is a row of `FILTERS`. `separable` makes the first convolution a depthwise
    7x7 of 8 outputs per colour and a 1x1: so the paper's table counts it (2.7K weights,
    34M operations), while Caffe's has the plain 7x7. `norm` puts a batch norm after
    every convolution in place of biases and of the two local response norms, which
    stand where Caffe has them. `pool4` is the window of the pool before 5a, 2 in
    torchvision. Dropout: `dropout` before the classifier, `aux_dropout` in the heads.

    `aux` gives the two auxiliary heads, on 4a and 4d, that training adds to the loss at
    weight 0.3; without it there are no parameters for them. `adaptive` is torchvision's
    way to pool in them. Convolutions and the heads' fc1 start from `scheme`, the
    classifiers from `fc_scheme`; Caffe's by default. torchvision's normal distribution
    of std 0.01 is cut at +-2, which no weight reaches: "normal_0.01". With `remat` the
    modules' activations are computed again for the gradient.

    Errors: InputError for an unknown `filters`, or images too small for the heads.
    """

    classes: int = 1000
    filters: str = "5x5"
    separable: bool = False
    norm: bool = False
    pool4: int = 3
    aux: bool = True
    adaptive: bool = False
    dropout: float = 0.4
    aux_dropout: float = 0.7
    scheme: str = "caffe_xavier_bias_0.2"
    fc_scheme: str = "caffe_xavier"
    policy: Policy = Policy()
    remat: bool = False

    @nn.compact
    def __call__(
        self, x: Array, *, train: bool = False
    ) -> Array | tuple[Array, dict[str, Array]]:
        if self.filters not in FILTERS:
            raise InputError(
                f"filters={self.filters!r} is unknown; expected one of {list(FILTERS)}"
            )
        unit = Unit(
            train, norm=self.norm, eps=EPS, scheme=self.scheme, policy=self.policy
        )
        x, heads = self._stem(unit, x), {}
        module = nn.remat(Inception) if self.remat else Inception
        for name, features in MODULES.items():
            x = module(features, self.filters, unit, name=f"inception_{name}")(x)
            if self.aux and name in HEADS and (train or self.is_initializing()):
                rest = self.adaptive, self.aux_dropout, self.fc_scheme, unit
                heads[HEADS[name]] = Head(self.classes, *rest, name=HEADS[name])(x)
            if name in POOLS:
                window = self.pool4 if name == "4e" else 3
                x = Pool("max", window, 2, ceil_mode=True, name=POOLS[name])(x)
        x = GlobalPool(name="pool5")(x)
        # B x 1024
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        p = self.policy
        logits = p.finish(Dense(self.classes, self.fc_scheme, policy=p, name="fc")(x))
        return (logits, heads) if self.aux and train else logits

    def _stem(self, unit: Unit, x: Array) -> Array:
        p, scheme = self.policy, self.scheme
        if self.separable:
            depthwise = Conv(
                8 * x.shape[-1],
                (7, 7),
                stride=2,
                padding=3,
                groups=x.shape[-1],
                use_bias=False,
                scheme=scheme,
                policy=p,
                name="conv1_depthwise",
            )
            # B x 112 x 112 x 24
            x = unit(depthwise(x), 64, (1, 1), name="conv1_pointwise")
        else:
            x = unit(x, 64, (7, 7), stride=2, padding=3, name="conv1")
        # B x 112 x 112 x 64
        x = self._norm("norm1", Pool("max", 3, 2, ceil_mode=True, name="pool1")(x))
        # B x 56 x 56 x 64
        x = unit(x, 64, (1, 1), name="conv2_reduce")
        x = self._norm("norm2", unit(x, 192, (3, 3), padding=1, name="conv2"))
        # B x 56 x 56 x 192
        return Pool("max", 3, 2, ceil_mode=True, name="pool2")(x)

    def _norm(self, name: str, x: Array) -> Array:
        if self.norm:
            return x
        return LocalResponseNorm(k=1.0, divide_by_size=True, name=name)(x)
