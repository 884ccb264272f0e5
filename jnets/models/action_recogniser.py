"""Long-term recurrent convolutional networks: a CNN for each frame, an LSTM over them.

J. Donahue, L. A. Hendricks, S. Guadarrama, M. Rohrbach, S. Venugopalan, K. Saenko,
T. Darrell. Long-term recurrent convolutional networks for visual recognition and
description. CVPR 2015, section 4; sizes and starting values are those of the authors'
released nets for activity recognition.

Axes: B clips, T frames, then height, width, channels of a frame; F features, K classes.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.core import FrozenDict

from jnets.errors import InputError
from jnets.layers import LSTM, BatchNorm, Dense, Policy
from jnets.models.alexnet import POOLED, POOLED_FIRST, RELU
from jnets.typing import Array


class ActionRecogniser(nn.Module):
    """x [B, T, H, W, C] or [B, T, F], lengths int [B] -> logits [B, T, K].

    `encoder` is a model of pictures by its name, with `encoder_fields`; its last layer
    gives `features` numbers in place of classes, and a rectifier follows it. It reads
    all frames of all clips as one batch. With encoder "" x are features: series of any
    kind. Frames past a clip's length are read (a batch norm meets them) but change no
    other's logits; their own mean nothing. `feature_norm` is a batch norm in place of
    that rectifier, without which a new net may see no motion for a thousand updates
    and more: what changes from frame to frame is little beside what stays.

    `pooled` gives one answer [B, K], from the mean of the LSTM's outputs, in place of
    one for each step. `frames_only` leaves the LSTM out: each frame by itself, the
    paper's single-frame net. `feature_dropout` acts on what the LSTM reads, `dropout`
    on its outputs and between its layers. `scheme` is the start of the LSTM and
    `fc_scheme` that of the last layer.
    """

    encoder: str = "lenet5"
    encoder_fields: Mapping[str, Any] = FrozenDict()
    features: int = 64
    feature_norm: bool = False
    hidden: int = 128
    num_layers: int = 1
    bidirectional: bool = False
    frames_only: bool = False
    pooled: bool = False
    classes: int = 10
    feature_dropout: float = 0.0
    dropout: float = 0.0
    scheme: str = "pytorch_uniform"
    fc_scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    def setup(self):
        # Here, as the table of models has this one too.
        from jnets.models import create

        if self.encoder:
            fields = {"classes": self.features, "policy": self.policy}
            self.cnn = create(self.encoder, **fields | dict(self.encoder_fields))
        if self.feature_norm:
            self.norm = BatchNorm(policy=self.policy)
        if not self.frames_only:
            self.lstm = LSTM(
                self.hidden,
                self.num_layers,
                self.bidirectional,
                dropout=self.dropout if self.num_layers > 1 else 0.0,
                scheme=self.scheme,
                policy=self.policy,
            )
        self.drop_features = nn.Dropout(self.feature_dropout)
        self.drop_outputs = nn.Dropout(self.dropout)
        self.output = Dense(self.classes, self.fc_scheme, policy=self.policy)

    def __call__(self, x: Array, lengths: Array, *, train: bool = False) -> Array:
        x, lengths = jnp.asarray(x), jnp.asarray(lengths)
        x = self._features(x, train)
        # B x T x F
        x = self.drop_features(x, deterministic=not train)
        if not self.frames_only:
            x, _ = self.lstm(x, lengths=lengths, train=train)
            # B x T x H, or 2 H; zeros past the length
            x = self.drop_outputs(x, deterministic=not train)
        if self.pooled:
            x = _mean(x, lengths)
            return self.policy.finish(self.output(x))
        # As one batch of frames, for which `jnets summary` counts, as it does above.
        y = self.output(x.reshape(-1, x.shape[-1]))
        return self.policy.finish(y.reshape(*x.shape[:2], self.classes))

    def _features(self, x: Array, train: bool) -> Array:
        if x.ndim != (5 if self.encoder else 3):
            raise InputError(
                f"x has shape {x.shape}; expected [B, T, H, W, C] with an encoder, "
                f"[B, T, F] without (encoder={self.encoder!r})"
            )
        if not self.encoder:
            return x
        # Not frame by frame in a loop: XLA convolves slower there on the CPU.
        y = self.cnn(x.reshape(-1, *x.shape[2:]), train=train)
        y = y[0] if isinstance(y, tuple) else y  # without auxiliary heads
        y = self.norm(y, train=train) if self.feature_norm else nn.relu(y)
        return y.reshape(*x.shape[:2], self.features)


def _mean(x: Array, lengths: Array) -> Array:
    """Over the steps within the lengths: [B, T, F] -> [B, F]."""
    inside = jnp.arange(x.shape[1])[None] < lengths[:, None]
    counted = jnp.where(inside[..., None], x, 0)
    return counted.sum(axis=1) / jnp.maximum(lengths, 1)[:, None].astype(x.dtype)


# The paper's "hybrid of CaffeNet and the network of Zeiler and Fergus", up to fc6. All
# biases start at 0.1.
LRCN_CNN: dict[str, Any] = {
    "stages": (  # sizes at 227 x 227 images; pools of 3 x 3, stride 2, in ceil mode
        (96, 7, 2, 0, 1, POOLED_FIRST),  # 111 x 111 x 96, pooled 55 x 55
        (384, 5, 2, 0, 2, POOLED_FIRST),  # 26 x 26 x 384, pooled 13 x 13
        (512, 3, 1, 1, 1, RELU),  # 13 x 13 x 512; reads the maps of both groups
        (512, 3, 1, 1, 2, RELU),
        (384, 3, 1, 1, 2, POOLED),  # 13 x 13 x 384, pooled 6 x 6
    ),
    "schemes": ("normal_0.01_bias_0.1",) * 6,
    "hidden": (),
    "classes": 4096,
    "alpha": 2e-5,  # Caffe's 1e-4 over a window of 5
    "k": 1.0,
}
LRCN: dict[str, Any] = {
    "encoder": "lrcn_fc6",
    "features": 4096,
    "hidden": 256,
    "classes": 101,
    "feature_dropout": 0.9,
    "dropout": 0.5,
    "scheme": "uniform_0.01",
    "fc_scheme": "normal_0.01",
}
