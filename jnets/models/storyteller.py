"""A story of five pictures, a sentence each.

T. Huang, F. Ferraro, N. Mostafazadeh and others. Visual storytelling. NAACL 2016:
of its baseline, a GRU that reads the features of the pictures in reverse order and
another that tells.

Axes: B albums, P pictures, T words, V vocabulary, H hidden.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.core import FrozenDict

from jnets.layers import GRU, BatchNorm, Dense, Policy, RecurrentState
from jnets.models.features import body, read_vector
from jnets.typing import Array

State = tuple[Array, ...]


class Storyteller(nn.Module):
    """images [B, P, H, W, 3], tokens int32 [B, P, T] -> logits [B, P, T, V].

        g_P = GRU(v_P, 0),  g_k = GRU(v_k, g_{k+1}),  v_k = relu(W_v CNN(I_k))
        s_k = tanh(norm(W_s [v_k; g_k; g_1]))

    s_k is where the decoder of sentence k starts, and what it reads beside every word:
    picture k, what has been read of pictures P to k, and all of the album. (The paper
    has one decoder, from g_1, for the whole story, which must keep count of the
    pictures itself.) Without the batch norm the tanh saturates by what all albums have
    in common, before it tells them apart. tokens[:, k] begin with the start; logits t
    are of token t + 1.

    `start(images)` gives the states of all sentences, [B P, H], picture by picture;
    `step(state, tokens)` the next logits and state of any of them. `encoder`,
    `encoder_fields` and `tune` are those of `jnets.models.captioner.Captioner`; the
    paper's is fc7 of a VGG net. `dropout` acts on what the decoder reads and puts out.
    """

    vocabulary: int = 12_000
    hidden: int = 1000
    encoder: str = "vgg16"
    encoder_fields: Mapping[str, Any] = FrozenDict()
    tune: bool = True
    dropout: float = 0.5
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    def setup(self):
        p, scheme = self.policy, self.scheme
        self.cnn = body(self.encoder, self.encoder_fields, p)
        self.picture = Dense(self.hidden, scheme, policy=p)
        self.album = GRU(self.hidden, reverse=True, scheme=scheme, policy=p)
        self.begin = Dense(self.hidden, scheme, use_bias=False, policy=p)
        self.norm = BatchNorm(policy=p)
        self.words = nn.Embed(self.vocabulary, self.hidden, p.compute, p.param)
        self.sentence = GRU(self.hidden, scheme=scheme, policy=p)
        self.drop = nn.Dropout(self.dropout)
        self.output = Dense(self.vocabulary, scheme, policy=p)

    def __call__(self, images: Array, tokens: Array, *, train: bool = False) -> Array:
        words = self.words(tokens.reshape(-1, tokens.shape[-1]))
        # B P x T x H
        words = self.drop(words, deterministic=not train)
        begin = self._begin(images, train)
        start = RecurrentState(begin[None])
        x = _beside(words, begin)
        # B P x T x 2 H
        outputs, _ = self.sentence(x, initial_state=start, train=train)
        logits = self._logits(outputs, train)
        return logits.reshape(*tokens.shape, self.vocabulary)

    def start(self, images: Array) -> State:
        """s_k of every picture of every album, [B P, H], twice: what the decoder has
        in mind, and what it reads at every word."""
        begin = self._begin(images, train=False)
        return begin, begin

    def step(self, state: State, tokens: Array) -> tuple[Array, State]:
        """One word further: tokens [N], state of N sentences -> logits [N, V]."""
        h, begin = state
        x = _beside(self.words(tokens)[:, None], begin)
        outputs, after = self.sentence(x, initial_state=RecurrentState(h[None]))
        return self._logits(outputs[:, 0], train=False), (after.h[0], begin)

    def _begin(self, images: Array, train: bool) -> Array:
        # All pictures as one batch: XLA convolves slower in a loop on the CPU.
        pictures = images.reshape(-1, *images.shape[2:])
        seen = read_vector(self.cnn, pictures, tune=self.tune, train=train)
        v = nn.relu(self.picture(seen)).reshape(*images.shape[:2], self.hidden)
        read, last = self.album(v, train=train)
        whole = jnp.broadcast_to(last.h[0][:, None], read.shape)
        known = jnp.concatenate([v, read, whole], axis=-1)
        begin = self.norm(self.begin(known), train=train)
        return jnp.tanh(begin).reshape(-1, self.hidden)

    def _logits(self, outputs: Array, train: bool) -> Array:
        outputs = self.drop(outputs, deterministic=not train)
        return self.policy.finish(self.output(outputs))


def _beside(words: Array, begin: Array) -> Array:
    """[N, T, H] and [N, H] -> [N, T, 2 H]."""
    known = jnp.broadcast_to(begin[:, None].astype(words.dtype), words.shape)
    return jnp.concatenate([words, known], axis=-1)
