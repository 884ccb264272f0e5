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

        g_P = GRU(v_P, 0),  g_k = GRU(v_k, g_{k+1}),  v_k = relu(norm(W_v CNN(I_k)))
        s_k = tanh(W_s [v_k; g_k; g_1])

    s_k is where the decoder of sentence k starts: with picture k, what has been read of
    pictures P to k, and all of the album. (The paper has one decoder, from g_1, for the
    whole story, which must keep count of the pictures itself.) tokens[:, k] begin with
    the start; logits t are of token t + 1.

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
        self.picture = Dense(self.hidden, scheme, use_bias=False, policy=p)
        self.norm = BatchNorm(policy=p)
        self.album = GRU(self.hidden, reverse=True, scheme=scheme, policy=p)
        self.begin = Dense(self.hidden, scheme, policy=p)
        self.words = nn.Embed(self.vocabulary, self.hidden, p.compute, p.param)
        # Or what s_k knows is gone before the last words need it.
        self.sentence = GRU(self.hidden, forget_bias=1.0, scheme=scheme, policy=p)
        self.drop = nn.Dropout(self.dropout)
        self.output = Dense(self.vocabulary, scheme, policy=p)

    def __call__(self, images: Array, tokens: Array, *, train: bool = False) -> Array:
        words = self.words(tokens.reshape(-1, tokens.shape[-1]))
        # B P x T x H
        words = self.drop(words, deterministic=not train)
        start = RecurrentState(self._begin(images, train)[None])
        outputs, _ = self.sentence(words, initial_state=start, train=train)
        logits = self._logits(outputs, train)
        return logits.reshape(*tokens.shape, self.vocabulary)

    def start(self, images: Array) -> State:
        """s_k of every picture of every album, [B P, H]."""
        return (self._begin(images, train=False),)

    def step(self, state: State, tokens: Array) -> tuple[Array, State]:
        """One word further: tokens [N], state of N sentences -> logits [N, V]."""
        before = RecurrentState(state[0][None])
        x = self.words(tokens)[:, None]
        outputs, after = self.sentence(x, initial_state=before)
        return self._logits(outputs[:, 0], train=False), (after.h[0],)

    def _begin(self, images: Array, train: bool) -> Array:
        # All pictures as one batch: XLA convolves slower in a loop on the CPU.
        pictures = images.reshape(-1, *images.shape[2:])
        seen = read_vector(self.cnn, pictures, tune=self.tune, train=train)
        v = nn.relu(self.norm(self.picture(seen), train=train)).reshape(
            *images.shape[:2], self.hidden
        )
        read, last = self.album(v, train=train)
        whole = jnp.broadcast_to(last.h[0][:, None], read.shape)
        known = jnp.concatenate([v, read, whole], axis=-1)
        return jnp.tanh(self.begin(known)).reshape(-1, self.hidden)

    def _logits(self, outputs: Array, train: bool) -> Array:
        outputs = self.drop(outputs, deterministic=not train)
        return self.policy.finish(self.output(outputs))
