"""Show and Tell: a picture in, a sentence out.

O. Vinyals, A. Toshev, S. Bengio, D. Erhan. Show and tell: a neural image caption
generator. CVPR 2015, section 3.

    x_{-1} = norm(W_i CNN(I))
    x_t = W_e S_t,  p_{t+1} = softmax(W_o LSTM(x_t)),  t = 0 .. N-1

S_0 is the mark of the start and S_N that of the end. The picture is read once, before
the start, and what the LSTM puts out there is not used.

Axes: B pictures, T words, V vocabulary, E = H embedding and hidden.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.core import FrozenDict

from jnets.layers import LSTM, BatchNorm, Dense, Policy, RecurrentState
from jnets.models.features import body, read_vector
from jnets.typing import Array

State = tuple[Array, ...]  # of a decoder; each with the pictures' axis first


class Captioner(nn.Module):
    """images [B, H, W, 3], tokens int32 [B, T] -> logits [B, T, V] of the next words.

    `tokens` begin with the start; logits t are of token t + 1. To tell what is not
    known yet: `start(images)` gives the state after the picture, `step(state, tokens
    [B])` the next logits and state, by `model.apply(..., method="step")`.

    `encoder` is a net of the zoo by name, with `encoder_fields` in place of its own;
    its features are what its classifier would read (`jnets.models.features`). Unless
    `tune`, it stays as it is, the paper's first phase: a net trained on ImageNet would
    be spoiled by what an LSTM that knows nothing yet sends back. The paper's net is
    GoogLeNet with batch norm, its LSTM has no output tanh, and 512 units as the
    embedding has. From the code released later: the LSTM's biases, 1 for the forget
    gates at the start, without which the picture fades before it is told of;
    `vocabulary`; `dropout`, on what the LSTM reads and puts out. `scheme` is the start
    of all but the encoder.
    """

    vocabulary: int = 12_000
    hidden: int = 512
    encoder: str = "googlenet_bn"
    encoder_fields: Mapping[str, Any] = FrozenDict()
    tune: bool = True
    dropout: float = 0.3
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    def setup(self):
        p, scheme = self.policy, self.scheme
        self.cnn = body(self.encoder, self.encoder_fields, p)
        self.picture = Dense(self.hidden, scheme, use_bias=False, policy=p)
        self.norm = BatchNorm(policy=p)
        self.words = nn.Embed(self.vocabulary, self.hidden, p.compute, p.param)
        self.lstm = LSTM(
            self.hidden, output_tanh=False, forget_bias=1.0, scheme=scheme, policy=p
        )
        self.drop = nn.Dropout(self.dropout)
        self.output = Dense(self.vocabulary, scheme, policy=p)

    def __call__(self, images: Array, tokens: Array, *, train: bool = False) -> Array:
        first = self._picture(images, train)
        x = jnp.concatenate([first, self.words(tokens)], axis=1)
        # B x (1 + T) x E
        x = self.drop(x, deterministic=not train)
        outputs, _ = self.lstm(x, train=train)
        return self._logits(outputs[:, 1:], train)

    def start(self, images: Array) -> State:
        """The state, h and c [B, H], of a decoder that has seen the picture."""
        _, state = self.lstm(self._picture(images, train=False))
        return _rows(state)

    def step(self, state: State, tokens: Array) -> tuple[Array, State]:
        """One word [B] further: logits [B, V] of the next one."""
        before = RecurrentState(*(s[None] for s in state))
        x = self.words(tokens)[:, None]
        outputs, after = self.lstm(x, initial_state=before)
        return self._logits(outputs[:, 0], train=False), _rows(after)

    def _picture(self, images: Array, train: bool) -> Array:
        seen = read_vector(self.cnn, images, tune=self.tune, train=train)
        return self.norm(self.picture(seen), train=train)[:, None]

    def _logits(self, outputs: Array, train: bool) -> Array:
        outputs = self.drop(outputs, deterministic=not train)
        return self.policy.finish(self.output(outputs))


def _rows(state: RecurrentState) -> State:
    """Of the one layer: [B, H] each."""
    return tuple(s[0] for s in state if s is not None)
