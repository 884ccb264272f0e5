"""Show, Attend and Tell: the same with soft attention over the last map.

K. Xu, J. Ba, R. Kiros, K. Cho, A. Courville, R. Salakhutdinov, R. Zemel, Y. Bengio.
Show, attend and tell: neural image caption generation with visual attention. ICML 2015,
sections 3.1 and 4.2.

    e_ti = v . tanh(W_a a_i + W_h h_{t-1}),  alpha_t = softmax(e_t)
    z_t = beta_t sum_i alpha_ti a_i,  beta_t = sigmoid(w_b . h_{t-1})
    h_t = LSTM([W_e S_t; z_t]),  p_{t+1} = softmax(W_o (W_e S_t + L_h h_t + L_z z_t))

a_i are the positions of the map; h and c start at perceptrons of their mean.

Axes: B pictures, T words, V vocabulary, L = H W positions, C channels, E = H hidden.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from jnets.layers import Dense, Policy
from jnets.models.features import body, read_map
from jnets.ops.cells_lstm import lstm
from jnets.typing import Array

State = tuple[Array, ...]


class Seen(NamedTuple):
    """Positions of the map a [B, L, C], and W_a a [B, L, E]."""

    positions: Array
    keys: Array


class Attended(NamedTuple):
    """Of a step: h_t [B, E], z_t [B, C], alpha_t [B, L]."""

    h: Array
    context: Array
    weights: Array


class AttentionStep(nn.Module):
    """(h, c), what is seen, and the word's part of the LSTM's input z_x [B, 4 E]."""

    hidden: int
    scheme: str
    policy: Policy

    @nn.compact
    def __call__(self, state: State, seen: Seen, word: Array) -> tuple[State, Attended]:
        def dense(units: int, name: str, bias: bool = False) -> Dense:
            return Dense(units, self.scheme, bias, self.policy, name=name)

        h, _ = state
        query = dense(self.hidden, "query", bias=True)(h)[:, None]
        e = dense(1, "energy")(jnp.tanh(seen.keys + query))
        alpha = jax.nn.softmax(e, axis=1)
        # B x L x 1
        beta = jax.nn.sigmoid(dense(1, "gate", bias=True)(h))
        context = beta * jnp.sum(alpha * seen.positions, axis=1)
        # The word's part of the product is that of all steps at once, outside.
        zx = word + dense(4 * self.hidden, "context")(context)
        recurrent = dense(4 * self.hidden, "recurrent")
        state, _ = lstm().forward(zx, state, (), lambda _, h: recurrent(h))
        return state, Attended(state[0], context, alpha[..., 0])


class AttentiveCaptioner(nn.Module):
    """images [B, H, W, 3], tokens int32 [B, T] -> logits [B, T, V] of the next words.

    Used as `jnets.models.captioner.Captioner` is; `attention(images, tokens)` gives
    alpha [B, T, L], where the model looks when it tells token t + 1. The paper reads
    the map of VGG-19 before its last pool; this is the one after it, `read_map` of
    `jnets.models.features`. The paper's penalty on positions that are never looked at,
    which raised its BLEU, is left out.
    """

    vocabulary: int = 12_000
    hidden: int = 512
    encoder: str = "vgg19"
    encoder_fields: Mapping[str, Any] = FrozenDict()
    tune: bool = True
    dropout: float = 0.5
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    def setup(self):
        p, hidden = self.policy, self.hidden

        def dense(units: int, bias: bool = True) -> Dense:
            return Dense(units, self.scheme, bias, p)

        self.cnn = body(self.encoder, self.encoder_fields, p)
        self.words = nn.Embed(self.vocabulary, hidden, p.compute, p.param)
        self.begin_h, self.begin_c = dense(hidden), dense(hidden)
        self.keys = dense(hidden, bias=False)
        self.word_input = dense(4 * hidden)
        axes: Any = nn.broadcast, 1
        loop = nn.scan(
            AttentionStep,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=axes,
            out_axes=1,
        )
        self.decoder = loop(hidden, self.scheme, p)
        self.of_h, self.of_context = dense(hidden), dense(hidden, bias=False)
        self.drop = nn.Dropout(self.dropout)
        self.output = dense(self.vocabulary)

    def __call__(self, images: Array, tokens: Array, *, train: bool = False) -> Array:
        state, seen = self._look(images, train)
        logits, _, _ = self._tell(state, seen, tokens, train)
        return logits

    def attention(self, images: Array, tokens: Array) -> Array:
        """Where it looks: alpha [B, T, L], each a distribution over positions."""
        _, attended, _ = self._tell(*self._look(images, False), tokens, False)
        return attended.weights

    def start(self, images: Array) -> State:
        """The state of a decoder: h, c, the map's positions and their keys."""
        state, seen = self._look(images, train=False)
        return (*state, *seen)

    def step(self, state: State, tokens: Array) -> tuple[Array, State]:
        """One word [B] further: logits [B, V] of the next one."""
        h, c, *seen = state
        rest = Seen(*seen), tokens[:, None], False
        logits, _, after = self._tell((h, c), *rest)
        return logits[:, 0], (*after, *seen)

    def _look(self, images: Array, train: bool) -> tuple[State, Seen]:
        maps = read_map(self.cnn, images, tune=self.tune, train=train)
        positions = maps.reshape(maps.shape[0], -1, maps.shape[-1])
        mean = jnp.mean(positions, axis=1)
        state = jnp.tanh(self.begin_h(mean)), jnp.tanh(self.begin_c(mean))
        return state, Seen(positions, self.keys(positions))

    def _tell(self, state: State, seen: Seen, tokens: Array, train: bool):
        words = self.drop(self.words(tokens), deterministic=not train)
        state, attended = self.decoder(state, seen, self.word_input(words))
        h, context, _ = attended
        h = self.drop(h, deterministic=not train)
        deep = words + self.of_h(h) + self.of_context(context)
        return self.policy.finish(self.output(deep)), attended, state
