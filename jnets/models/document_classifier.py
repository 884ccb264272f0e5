"""One class for a whole text: a recurrence over its words, or a bag of them.

Axes: B batch, T words, F features, H hidden, K classes.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers import GRU, LSTM, Dense, Policy, initialisation
from jnets.typing import Array

UNKNOWN = 1  # as jnets.data.vocabulary numbers it
SPREAD = 2_654_435_761  # Knuth's factor: 2^32 by the golden ratio, a prime
CELLS = {"lstm": LSTM, "gru": GRU}
POOLINGS = ("last", "mean", "max", "attention")


class DocumentClassifier(nn.Module):
    """logits = V pool_t BiLSTM(E w)_t: sequence to one.

    tokens int32 [B, T], lengths int32 [B] (at least 1) -> logits [B, K].

    `pooling` makes one vector of the outputs h_t at all words:
        last       those where each direction ends
        mean, max  over the words, of each unit by itself
        attention  sum_t a_t h_t, a = softmax_t(u . tanh(W h_t + b)), as the words of
                   Yang et al. 2016, "Hierarchical attention networks", section 2.2
    The shorter the way from a word to the answer the sooner it is learned: "max" is
    the default, and "last" the one whose way is longest.

    `dropout` is of a word's features, the same ones at all words, and of the pooled
    vector. `word_dropout` is the share of words that training takes for unknown ones.
    Embeddings start from a normal distribution of variance 1/F.
    """

    vocabulary: int = 10_000
    classes: int = 10
    features: int = 100
    hidden: int = 100
    num_layers: int = 1
    cell: str = "lstm"
    bidirectional: bool = True
    pooling: str = "max"
    dropout: float = 0.0
    word_dropout: float = 0.0
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, tokens: Array, lengths: Array, *, train: bool = False) -> Array:
        tokens, lengths = jnp.asarray(tokens), jnp.asarray(lengths)
        if self.cell not in CELLS:
            raise InputError(f"cell={self.cell!r} is unknown; expected {list(CELLS)}")
        if train and self.word_dropout:
            key = self.make_rng("dropout")
            unknown = jax.random.bernoulli(key, self.word_dropout, tokens.shape)
            tokens = jnp.where(unknown, UNKNOWN, tokens)
        dtype = self.policy.param_dtype
        embed = nn.Embed(self.vocabulary, self.features, param_dtype=dtype, name="word")
        layer = CELLS[self.cell](
            self.hidden,
            self.num_layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            variational=True,
            scheme=self.scheme,
            policy=self.policy,
            name="text",
        )
        outputs, final = layer(embed(tokens), lengths=lengths, train=train)
        # B x T x 2H
        x = self._pooled(outputs, final.h, lengths)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = Dense(self.classes, self.scheme, policy=self.policy, name="class")(x)
        return self.policy.finish(x)

    def _pooled(self, outputs: Array, last: Array, lengths: Array) -> Array:
        """outputs [B, T, D], last states [layers x directions, B, H] -> [B, D]."""
        real = (jnp.arange(outputs.shape[1])[None] < lengths[:, None])[..., None]
        if self.pooling == "last":
            return jnp.concatenate([*last[-1 - self.bidirectional :]], axis=-1)
        if self.pooling == "max":
            return jnp.max(outputs, axis=1, initial=-jnp.inf, where=real)
        if self.pooling == "mean":
            return jnp.mean(outputs, axis=1, where=real)
        if self.pooling != "attention":
            raise InputError(
                f"pooling={self.pooling!r} is unknown; expected one of {POOLINGS}"
            )
        size, policy = outputs.shape[-1], self.policy
        u = Dense(size, self.scheme, policy=policy, name="attention")(outputs)
        u = Dense(1, self.scheme, False, policy, name="query")(jnp.tanh(u))
        a = jax.nn.softmax(u.astype(policy.param), axis=1, where=real)
        # B x T x 1
        return jnp.sum(a * outputs, axis=1)


class BagOfWords(nn.Module):
    """logits = b + sum_t W[w_t]: linear in how often each item is in the bag.

    tokens int32 [B, T], lengths int32 [B] -> logits [B, K]. The order of the words says
    nothing, but for that in pairs: with `pairs` above 0 every two neighbours are an
    item too, counted in so many boxes by a hash of the two.

    The problem is convex: `scheme`, of W and b for as many inputs as there are words,
    does not decide what is found.
    """

    vocabulary: int = 10_000
    classes: int = 10
    pairs: int = 0
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, tokens: Array, lengths: Array, *, train: bool = False) -> Array:
        del train  # nothing here differs between training and use
        tokens, lengths = jnp.asarray(tokens), jnp.asarray(lengths)
        at = jnp.arange(tokens.shape[1])[None]
        sums = self._sums("item", self.vocabulary, tokens, at < lengths[:, None])
        if self.pairs:
            # Multiplied, so that pairs of frequent words, of small numbers, spread.
            first, second = tokens[:, :-1].astype("uint32"), tokens[:, 1:]
            boxes = (first * jnp.uint32(SPREAD) + second.astype("uint32")) % self.pairs
            real = at[:, 1:] < lengths[:, None]
            sums = sums + self._sums("pair", self.pairs, boxes, real)
        init = initialisation(self.scheme).bias(self.vocabulary)
        bias = self.param("bias", init, (self.classes,), self.policy.param_dtype)
        return self.policy.finish(sums + self.policy.cast(bias)[0][None])

    def _sums(self, name: str, items: int, numbers: Array, real: Array) -> Array:
        """The rows of a table [items, K] at numbers [B, T], summed where they count."""
        shape = items, self.classes
        init = initialisation(self.scheme).kernel(*shape)
        table = self.param(name, init, shape, self.policy.param_dtype)
        (table,) = self.policy.cast(table)
        return jnp.sum(table[numbers], axis=1, where=real[..., None])
