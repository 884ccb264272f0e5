"""A tag for every word, from the word itself, its letters and its neighbours.

Two recurrences, one in the other: over the letters of each word, and over the words of
the sentence. Ling et al. 2015, "Finding function in form"; Plank, Sogaard & Goldberg
2016, "Multilingual part-of-speech tagging with bidirectional LSTMs".

Axes: B batch, T words, C letters of a word, F features, H hidden, K tags.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnets.layers import LSTM, Dense, Policy
from jnets.typing import Array

PADDING, UNKNOWN = 0, 1  # as jnets.data.vocabulary numbers them


class Tagger(nn.Module):
    """x_t = [E w_t; last states of a BiLSTM over letters], logits_t = V BiLSTM(x)_t.

    words int32 [B, T], letters int32 [B, T, C] (0 after the last letter of a word),
    lengths int32 [B] -> logits [B, T, K]; those past a sentence's length mean nothing.

    With `use_words=False` a word is known by its letters alone. `word_dropout` is the
    share of words that training takes for unknown ones, so that the letters learn to
    speak for what was never seen. `dropout` is of features, of the same ones at all
    words of a sentence (Gal & Ghahramani 2016).

    Embeddings start from a normal distribution of variance 1/F.
    """

    words: int = 10_000
    letters: int = 100
    tags: int = 17
    use_words: bool = True
    word_features: int = 100
    letter_features: int = 32
    letter_hidden: int = 64
    hidden: int = 128
    num_layers: int = 1
    dropout: float = 0.0
    word_dropout: float = 0.0
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    @nn.compact
    def __call__(
        self, words: Array, letters: Array, lengths: Array, *, train: bool = False
    ) -> Array:
        words, letters, lengths = map(jnp.asarray, (words, letters, lengths))
        x = self._spelled(letters, train)
        if self.use_words:
            if train and self.word_dropout:
                key = self.make_rng("dropout")
                unknown = jax.random.bernoulli(key, self.word_dropout, words.shape)
                words = jnp.where(unknown, UNKNOWN, words)
            known = self._embed(self.words, self.word_features, "word")(words)
            x = jnp.concatenate([known, x], axis=-1)
        # B x T x F
        sentence = LSTM(
            self.hidden,
            self.num_layers,
            bidirectional=True,
            dropout=self.dropout,
            variational=True,
            scheme=self.scheme,
            policy=self.policy,
            name="sentence",
        )
        x, _ = sentence(x, lengths=lengths, train=train)
        # B x T x 2H
        x = nn.Dropout(self.dropout, (1,), deterministic=not train)(x)
        x = Dense(self.tags, self.scheme, policy=self.policy, name="tag")(x)
        return self.policy.finish(x)

    def _spelled(self, letters: Array, train: bool) -> Array:
        """letters [B, T, C] -> the last states of both directions [B, T, 2H]."""
        batch, steps, most = letters.shape
        letters = letters.reshape(batch * steps, most)
        x = self._embed(self.letters, self.letter_features, "letter")(letters)
        word = LSTM(
            self.letter_hidden,
            bidirectional=True,
            scheme=self.scheme,
            policy=self.policy,
            name="spelling",
        )
        lengths = jnp.sum(letters != PADDING, axis=1, dtype=jnp.int32)
        _, final = word(x, lengths=lengths, train=train)
        return jnp.concatenate([*final.h], axis=-1).reshape(batch, steps, -1)

    def _embed(self, symbols: int, features: int, name: str) -> nn.Embed:
        dtype = self.policy.param_dtype
        return nn.Embed(symbols, features, param_dtype=dtype, name=name)
