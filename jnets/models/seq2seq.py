"""Translation by two stacks of LSTMs (Sutskever, Vinyals & Le 2014).

The first reads the source from its last word to its first, so that the words that are
translated first were read last; its final state is where the second starts, which
writes the target. "Sequence to Sequence Learning with Neural Networks", section 3.

Axes: B batch, S source, T target, V vocabulary, E embedding, L layers, H hidden.
"""

import flax.linen as nn
import jax.numpy as jnp

from jnets.layers import LSTM, Dense, Policy, RecurrentState
from jnets.layers.feedback import with_own_symbols
from jnets.layers.init import initialisation
from jnets.typing import Array, PyTree


class Seq2Seq(nn.Module):
    """source int32 [B, S], lengths [B], target int32 [B, T] -> logits [B, T, V].

    `target` is what the decoder reads: START and the symbols before each that it is to
    write. `own` bool [B, T] lets it read its own instead (`with_own_symbols`). For
    writing by itself: `memory, state = encode(source, lengths)`, then one symbol after
    the other by `logits, state = step(memory, state, tokens [B])`.

    The defaults are the paper's: 384 million parameters beside the biases. `dropout`,
    which the paper has none of, is of embeddings, between layers and of the output's
    input, as of Zaremba et al. 2014.
    """

    source_vocabulary: int = 160_000
    target_vocabulary: int = 80_000
    embedding: int = 1000
    hidden: int = 1000
    num_layers: int = 4
    reverse_source: bool = True
    dropout: float = 0.0
    scheme: str = "uniform_0.08"
    policy: Policy = Policy()

    def setup(self):
        init = initialisation(self.scheme).kernel(self.embedding, self.embedding)
        dtype = self.policy.param_dtype
        sizes = {
            "source_embedding": self.source_vocabulary,
            "target_embedding": self.target_vocabulary,
        }
        self.source_embedding, self.target_embedding = (
            nn.Embed(
                n, self.embedding, embedding_init=init, param_dtype=dtype, name=name
            )
            for name, n in sizes.items()
        )
        shared = {
            "dropout": self.dropout,
            "scheme": self.scheme,
            "policy": self.policy,
        }
        self.encoder = LSTM(
            self.hidden, self.num_layers, reverse=self.reverse_source, **shared
        )
        self.decoder = LSTM(self.hidden, self.num_layers, **shared)
        self.output = Dense(
            self.target_vocabulary, self.scheme, policy=self.policy, name="output"
        )
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
            return self._write(target, state, train)[0]
        return with_own_symbols(self, memory, state, target, own, train)

    def encode(
        self, source: Array, lengths: Array, *, train: bool = False
    ) -> tuple[PyTree, PyTree]:
        """Nothing to look back at, and the state (h, c), each [B, L, H]."""
        x = self.drop(self.source_embedding(source), deterministic=not train)
        _, final = self.encoder(x, lengths=lengths, train=train)
        return (), _by_example(final)

    def step(
        self, memory: PyTree, state: PyTree, tokens: Array, *, train: bool = False
    ) -> tuple[Array, PyTree]:
        """Logits [B, V] of the symbol after `tokens` [B], and the state after it."""
        del memory
        logits, state = self._write(tokens[:, None], state, train)
        return logits[:, 0], state

    def _write(self, target: Array, state: PyTree, train: bool) -> tuple[Array, PyTree]:
        x = self.drop(self.target_embedding(target), deterministic=not train)
        start = RecurrentState(*(jnp.swapaxes(s, 0, 1) for s in state))
        hs, final = self.decoder(x, initial_state=start, train=train)
        hs = self.drop(hs, deterministic=not train)
        return self.policy.finish(self.output(hs)), _by_example(final)


def _by_example(state: RecurrentState) -> tuple[Array, ...]:
    """[L, B, H] as [B, L, H]: a search reorders examples."""
    return tuple(jnp.swapaxes(s, 0, 1) for s in state if s is not None)
