"""LeNet-5 in the paper's form, in its modern simplification, and as Caffe has it.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to
document recognition. Proc. IEEE 86(11), 1998, sections II-B and III.

Axes: B batch, then height, width, channels (maps).
"""

import flax.linen as nn

from jnets.errors import InputError
from jnets.layers import RBF, Conv, Dense, Policy, Pool, Subsample, TableConv
from jnets.models.bitmaps import BITMAPS
from jnets.ops import activation, scaled_tanh
from jnets.typing import Array

# Table I of the paper: the S2 maps that each C3 map reads.
C3_TABLE = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


class LeNet1998(nn.Module):
    """LeNet-5 as published: 60,000 parameters, 340,908 connections.

    x [B, 32, 32, 1] -> logits [B, 10]. The logits are the negated RBF penalties,
    -y_i = -||F6 - w_i||^2, so that the predicted class is the largest, as with every
    other model; `jnets.ops.lenet_map_loss` takes the penalties. Units up to F6 are
    squashed by 1.7159 tanh(2a/3). The +-1 bitmaps w_i are this project's own glyphs:
    the paper shows its ASCII set only as a picture.
    """

    scheme: str = "lecun_uniform_1998"
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        del train  # nothing here differs between training and use
        p, scheme = self.policy, self.scheme
        x = scaled_tanh(Conv(6, (5, 5), scheme=scheme, policy=p, name="C1")(x))
        # B x 28 x 28 x 6
        x = scaled_tanh(Subsample(policy=p, name="S2")(x))
        # B x 14 x 14 x 6
        x = scaled_tanh(TableConv(C3_TABLE, (5, 5), scheme, policy=p, name="C3")(x))
        # B x 10 x 10 x 16
        x = scaled_tanh(Subsample(policy=p, name="S4")(x))
        # B x 5 x 5 x 16
        x = scaled_tanh(Conv(120, (5, 5), scheme=scheme, policy=p, name="C5")(x))
        # B x 1 x 1 x 120
        x = scaled_tanh(
            Dense(84, scheme, policy=p, name="F6")(x.reshape(x.shape[0], -1))
        )
        # B x 84
        return p.finish(-RBF(BITMAPS, name="RBF")(x))


class LeNet(nn.Module):
    """The two-convolution network that the paper's became.

    x [B, H, W, 1] -> logits [B, classes]: 5x5 convolutions with `maps` maps, each
    followed by 2x2 pooling, then fully connected layers of `hidden` units. `names`
    are the layers' names in order, as their source has them. Dropout at `dropout`
    acts on the inputs of the fully connected layers.
    """

    names: tuple[str, ...]
    maps: tuple[int, ...] = (6, 16)
    hidden: tuple[int, ...] = (120, 84)
    classes: int = 10
    pool: str = "max"
    activation: str = "relu"
    squash_maps: bool = True
    dropout: float = 0.0
    scheme: str = "he_normal"
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        p, act, name = self.policy, activation(self.activation), iter(self.names)
        layers = 2 * len(self.maps) + len(self.hidden) + 1
        if len(self.names) != layers:
            raise InputError(
                f"names={self.names} are {len(self.names)}; expected one for each of "
                f"the {layers} layers that maps={self.maps}, hidden={self.hidden} make"
            )
        for maps in self.maps:
            x = Conv(maps, (5, 5), scheme=self.scheme, policy=p, name=next(name))(x)
            x = act(x) if self.squash_maps else x
            x = Pool(self.pool, 2, name=next(name))(x)
        x = x.reshape(x.shape[0], -1)
        # 32 x 32 input, lenet5: B x 400.  28 x 28 input, lenet_caffe: B x 800.
        for units in self.hidden:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x = act(Dense(units, self.scheme, policy=p, name=next(name))(x))
        logits = Dense(self.classes, self.scheme, policy=p, name=next(name))(x)
        return p.finish(logits)
