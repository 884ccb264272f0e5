"""Inception-v3: factorised filters and parallel ones, in torchvision's form.

C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna. Rethinking the Inception
architecture for computer vision. CVPR 2016, sections 3 to 6.

Axes: B batch, then height, width, channels. Sizes in comments are for 299 x 299 images.
"""

import flax.linen as nn
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers import Dense, GlobalPool, Policy, Pool, Unit
from jnets.models.inception_v3_blocks import MIXED, STEM, Branch, Pooling, Row, Table
from jnets.typing import Array


def _run(unit: Unit, steps: Branch, x: Array) -> Array:
    for step in steps:
        if isinstance(step, Row):
            name, features, kernel, stride, padding = step
            x = unit(x, features, kernel, name=name, stride=stride, padding=padding)
        elif isinstance(step, Pooling):
            name, kind, stride, padding = step
            x = Pool(kind, 3, stride, padding, name=name)(x)
        else:
            x = jnp.concatenate([_run(unit, branch, x) for branch in step], axis=-1)
    return x


class Mixed(nn.Module):
    """x [B, H, W, C] -> [B, H', W', F]: the branches of `table` side by side."""

    table: Table
    unit: Unit

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return _run(self.unit, (self.table,), x)


class Head(nn.Module):
    """The auxiliary classifier: x [B, H, W, 768] -> logits [B, classes]."""

    classes: int
    conv_scheme: str
    fc_scheme: str
    unit: Unit

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if min(x.shape[1:3]) < 17:
            raise InputError(
                f"aux=True needs maps of at least 17x17 under the head, images of"
                f" 299x299; these are {x.shape[1]}x{x.shape[2]}: give larger ones or"
                f" aux=False"
            )
        x = Pool("average", 5, stride=3, name="pool")(x)
        # B x 5 x 5 x 768
        x = self.unit(x, 128, (1, 1), name="conv0")
        x = self.unit._replace(scheme=self.conv_scheme)(x, 768, (5, 5), name="conv1")
        # B x 1 x 1 x 768
        x, p = GlobalPool()(x), self.unit.policy
        return p.finish(Dense(self.classes, self.fc_scheme, policy=p, name="fc")(x))


class InceptionV3(nn.Module):
    """x [B, H, W, 3] -> logits [B, classes]; in training also {"aux1"} of them.

    A batch norm with eps 1e-3 follows every convolution. `aux` gives the auxiliary
    head on the last 17x17 maps that training adds to the loss at weight 0.4; without
    it there are no parameters for it, and images may be as small as 75x75. Dropout
    acts before the classifier. Weights start from `scheme`, those of the head's 5x5
    convolution and classifier from `aux_scheme` and `aux_fc_scheme` (torchvision's
    normal distributions; it cuts them at +-2, which no weight reaches). With `remat`
    the blocks' activations are computed again for the gradient.

    Errors: InputError for images too small for the head.
    """

    classes: int = 1000
    aux: bool = True
    dropout: float = 0.5
    scheme: str = "normal_0.1"
    aux_scheme: str = "normal_0.01"
    aux_fc_scheme: str = "normal_0.001"
    policy: Policy = Policy()
    remat: bool = False

    @nn.compact
    def __call__(
        self, x: Array, *, train: bool = False
    ) -> Array | tuple[Array, dict[str, Array]]:
        p, heads = self.policy, {}
        unit = Unit(train, norm=True, eps=1e-3, scheme=self.scheme, policy=p)
        x = _run(unit, STEM, x)
        block = nn.remat(Mixed) if self.remat else Mixed
        for name, table in MIXED.items():
            x = block(table, unit, name=f"mixed_{name}")(x)
            if name == "6e" and self.aux and (train or self.is_initializing()):
                schemes = self.aux_scheme, self.aux_fc_scheme
                heads["aux1"] = Head(self.classes, *schemes, unit, name="aux")(x)
        x = GlobalPool(name="pool")(x)
        # B x 2048
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        logits = p.finish(Dense(self.classes, self.scheme, policy=p, name="fc")(x))
        return (logits, heads) if self.aux and train else logits
