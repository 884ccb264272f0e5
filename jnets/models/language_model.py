"""A language model: a recurrent net that tells the next symbol of a text, at each.

Mikolov et al. 2010 with the layers of Zaremba, Sutskever & Vinyals 2014, "Recurrent
neural network regularization", whose windows of one long text it is trained on. By
choice, tied embeddings (Press & Wolf 2017; Inan et al. 2017) and variational dropout
(Gal & Ghahramani 2016).

Axes: B rows of a text, T steps, V vocabulary, E embedding, H hidden.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers import GRU, LSTM, RNN, Dense, Policy, RecurrentState
from jnets.ops.bptt import Save
from jnets.typing import Array

CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class LanguageModel(nn.Module):
    """logits_t = W h_t + b of the symbol that follows tokens x_0 ... x_t.

    tokens int32 [B, T] -> logits [B, T, V]. The states of all layers are in the
    collection "carry": where it is given, reading goes on from there, and where it is
    mutable, as in training, the states after the last step are written to it; without
    it a text is at its beginning. `starts` bool [B] says which rows are at theirs
    whatever is carried. No gradient passes from window to window: the carry is no
    parameter, so that windows of T steps are truncated BPTT with k1 = k2 = T.

    `dropout` is of what each layer reads and of what the readout reads (Zaremba et al.
    2014, eq. 7); with `variational`, of the same units at all steps of a window.
    `recurrent_dropout` is of the same units of h. `tied` reads out by the embeddings,
    W = their table, which must then have as many columns as there are hidden units.
    The forget gates of an LSTM start at a bias of 1.
    """

    vocabulary: int = 100
    embedding: int = 64
    hidden: int = 256
    layers: int = 2
    cell: str = "lstm"
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    variational: bool = False
    tied: bool = False
    save: Save = "gates"
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    @nn.compact
    def __call__(
        self, tokens: Array, starts: Array | None = None, *, train: bool = False
    ) -> Array:
        writes = self.is_mutable_collection("carry")
        names = ("h", "c") if self.cell == "lstm" else ("h",)
        carry, start = [], None
        if writes or self.has_variable("carry", "h"):
            shape = self.layers, tokens.shape[0], self.hidden
            zeros = partial(jnp.zeros, shape, self.policy.param_dtype)
            carry = [self.variable("carry", name, zeros) for name in names]
            start = RecurrentState(*(_begun(one.value, starts) for one in carry))
        # B x T x E
        embed = nn.Embed(
            self.vocabulary,
            self.embedding,
            param_dtype=self.policy.param_dtype,
            dtype=self.policy.compute,
            name="embed",
        )
        x = embed(tokens)
        if not self.variational:  # else the layers do it
            x = self._drop(x, train)
        # B x T x H
        x, last = self._layers()(x, initial_state=start, train=train)
        x = self._drop(x, train)
        if writes and not self.is_initializing():
            for one, name in zip(carry, names, strict=True):
                one.value = getattr(last, name)
        return self.policy.finish(self._readout(embed, x))

    def _layers(self) -> LSTM | GRU | RNN:
        if self.cell not in CELLS:
            raise InputError(
                f"cell={self.cell!r} is unknown; expected one of {list(CELLS)}"
            )
        between = self.layers > 1 or self.variational
        return CELLS[self.cell](
            self.hidden,
            self.layers,
            dropout=self.dropout if between else 0.0,
            variational=self.variational,
            recurrent_dropout=self.recurrent_dropout,
            save=self.save,
            scheme=self.scheme,
            policy=self.policy,
            name="layers",
            **({"forget_bias": 1.0} if self.cell == "lstm" else {}),
        )

    def _drop(self, x: Array, train: bool) -> Array:
        shared = (1,) if self.variational else ()  # one mask for all steps
        return nn.Dropout(self.dropout, shared, deterministic=not train)(x)

    def _readout(self, embed: nn.Embed, x: Array) -> Array:
        if not self.tied:
            readout = Dense(
                self.vocabulary, self.scheme, policy=self.policy, name="readout"
            )
            return readout(x)
        if self.embedding != self.hidden:
            raise InputError(
                f"embedding={self.embedding} is not usable with tied=True; expected "
                f"hidden, {self.hidden}"
            )
        shape, dtype = (self.vocabulary,), self.policy.param_dtype
        bias = self.param("readout_bias", nn.initializers.zeros, shape, dtype)
        (bias,) = self.policy.cast(bias)
        return embed.attend(x) + bias[None, None]


def _begun(state: Array, starts: Array | None) -> Array:
    """The state [L, B, H] with the rows that start at zero."""
    if starts is None:
        return state
    return jnp.where(jnp.asarray(starts)[None, :, None], 0, state)
