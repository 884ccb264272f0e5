"""Translation by learning to align (Bahdanau, Cho & Bengio 2015): RNNsearch.

A recurrent net reads the source both ways; another writes the target, and before each
word looks for where in the source to read. "Neural Machine Translation by Jointly
Learning to Align and Translate", section 3 and appendix A.

Axes: B batch, S source, T target, V vocabulary, E embedding, H hidden, K = 2 H.
"""

import flax.linen as nn
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers import GRU, LSTM, Dense, Policy
from jnets.layers.attention import AttentiveRNN
from jnets.layers.feedback import with_own_symbols
from jnets.ops.attention import Memory
from jnets.ops.cells import State
from jnets.typing import Array, PyTree

ENCODERS = {"gru": GRU, "lstm": LSTM}
READOUTS = ("before", "after")


class AttentionSeq2Seq(nn.Module):
    """source int32 [B, S], lengths [B], target int32 [B, T] -> logits [B, T, V].

        s_0 = tanh(W_s h_1 backward),   s_t = cell(E y_{t-1}, c_t, s_{t-1})
        logits_t = W_o maxout(U_o s + V_o E y_{t-1} + C_o c_t)

    with the context c_t of `jnets.ops.attention`. `target` and `own`, and writing by
    `encode` and `step`, are as of `Seq2Seq`; `align` gives the weights of attention.

    The defaults are RNNsearch-50's. `cell` is "gru" (PyTorch's form, reset after the
    product) or "lstm". `readout_state` is the s that the output reads: "before",
    s_{t-1} of appendix A.2.2, or "after", s_t of equation 4. `tied` makes W_o the
    target's embedding, transposed (Press & Wolf 2017), which needs readout = embedding.
    `dropout`, which the paper has none of, is of embeddings, of what is attended to and
    of the output's input.
    """

    source_vocabulary: int = 30_000
    target_vocabulary: int = 30_000
    embedding: int = 620
    hidden: int = 1000
    alignment: int = 1000
    readout: int = 500
    cell: str = "gru"
    readout_state: str = "before"
    tied: bool = False
    dropout: float = 0.0
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    def setup(self):
        self._check()
        e, h, kinds = self.embedding, self.hidden, (self.scheme, True, self.policy)
        init, dtype = nn.initializers.normal(e**-0.5), self.policy.param_dtype
        sizes = {
            "source_embedding": self.source_vocabulary,
            "target_embedding": self.target_vocabulary,
        }
        self.source_embedding, self.target_embedding = (
            nn.Embed(n, e, embedding_init=init, param_dtype=dtype, name=name)
            for name, n in sizes.items()
        )
        self.encoder = ENCODERS[self.cell](
            h, bidirectional=True, scheme=self.scheme, policy=self.policy
        )
        self.decoder = AttentiveRNN(
            h, self.alignment, e, 2 * h, self.cell, self.scheme, self.policy
        )
        self.start = Dense(self.decoder.inner().states * h, *kinds)
        self.before_maxout = Dense(2 * self.readout, *kinds)
        if self.tied:
            zeros = nn.initializers.zeros
            self.bias = self.param("bias", zeros, (self.target_vocabulary,), dtype)
        else:
            self.output = Dense(self.target_vocabulary, *kinds)
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self,
        source: Array,
        lengths: Array,
        target: Array,
        own: Array | None = None,
        *,
        train: bool = False,
    ) -> Array:
        memory, state = self.encode(source, lengths, train=train)
        if own is None:
            return self._write(memory, state, target, train)[0]
        return with_own_symbols(self, memory, state, target, own, train)

    def encode(
        self, source: Array, lengths: Array, *, train: bool = False
    ) -> tuple[Memory, State]:
        """What is attended to, and the state before the first symbol."""
        x = self.drop(self.source_embedding(source), deterministic=not train)
        values, final = self.encoder(x, lengths=lengths, train=train)
        values = self.drop(values, deterministic=not train)
        states = jnp.tanh(self.start(final.h[1]))
        memory = self.decoder.remember(values.astype(self.policy.param), lengths)
        return memory, self.decoder.start(states.astype(self.policy.param))

    def step(
        self, memory: Memory, state: State, tokens: Array, *, train: bool = False
    ) -> tuple[Array, PyTree]:
        """Logits [B, V] of the symbol after `tokens` [B], and the state after it."""
        logits, state = self._write(memory, state, tokens[:, None], train)
        return logits[:, 0], state

    def align(self, source: Array, lengths: Array, target: Array) -> Array:
        """The weights [B, T, S] of the source before each symbol is written."""
        memory, state = self.encode(source, lengths)
        h, _, _ = self.decoder(self.target_embedding(target), memory, state)
        return self.decoder.weights(self._before(h, state), memory)

    def _before(self, h: Array, state: State) -> Array:
        return jnp.concatenate([state[0][:, None, : self.hidden], h[:, :-1]], axis=1)

    def _write(
        self, memory: Memory, state: State, target: Array, train: bool
    ) -> tuple[Array, State]:
        x = self.drop(self.target_embedding(target), deterministic=not train)
        h, contexts, final = self.decoder(x, memory, state)
        s = self._before(h, state) if self.readout_state == "before" else h
        t = self.before_maxout(jnp.concatenate([s, x, contexts], axis=-1))
        t = jnp.max(t.reshape(*t.shape[:-1], self.readout, 2), axis=-1)
        t = self.drop(t, deterministic=not train)
        if not self.tied:
            return self.policy.finish(self.output(t)), final
        table, t = self.policy.cast(self.target_embedding.embedding, t)
        logits = self.policy.finish(t @ table.T)
        return logits + self.bias[None, None], final

    def _check(self) -> None:
        for name, known in (("cell", ENCODERS), ("readout_state", READOUTS)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name}={getattr(self, name)!r} is unknown; expected one of "
                    f"{list(known)}"
                )
        if self.tied and self.readout != self.embedding:
            raise InputError(
                f"readout={self.readout} with tied=True; expected the embedding's "
                f"size, {self.embedding}"
            )
