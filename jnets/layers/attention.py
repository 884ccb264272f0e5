"""A recurrent layer that attends to a memory at every step.

Axes: B batch, S source, T steps, F features, C columns of the values, H hidden,
A alignment, G gates.
"""

import flax.linen as nn
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers import recurrent_init
from jnets.layers.init import initialisation
from jnets.layers.policy import Policy
from jnets.ops.attention import (
    Memory,
    attention_weights,
    attentive,
    padding_scores,
)
from jnets.ops.bptt import bptt
from jnets.ops.cells import Cell, State, gru
from jnets.ops.cells_lstm import lstm
from jnets.ops.recurrence import Form, Weights
from jnets.typing import Array

CELLS = {"gru": gru, "lstm": lstm}


class AttentiveRNN(nn.Module):
    """A GRU or LSTM with additive attention; see `jnets.ops.attention.attentive`.

    `remember` makes a memory once. Called with x [B, T, F], the memory and the state
    before the first step it gives h [B, T, H], contexts [B, T, C] and the final state,
    by explicit backpropagation through time. `inputs` is F and `context` is C.

    Parameters: `kernel` [F, G H], `bias` [G H], the cell's own, `query_kernel` [H, A],
    `key_kernel` [C, A], `score` [A] and `context_kernel` [C, G H].
    """

    hidden: int
    alignment: int
    inputs: int
    context: int
    cell: str = "gru"
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    def setup(self):
        if self.cell not in CELLS:
            raise InputError(f"cell={self.cell!r}; expected one of {list(CELLS)}")
        inner, h, a = self.inner(), self.hidden, self.alignment
        gates, scheme = inner.gates, self.scheme
        self.kernel = self._block("kernel", self.inputs, h, gates)
        bias = recurrent_init.bias(scheme, h, inner)
        self.bias = self._param("bias", bias, gates * h)
        self.recurrent = [self._block(m.name, h, h, gates) for m in inner.matrices]
        self.vectors = [
            self._param(name, recurrent_init.vector(name, scheme, h), n * h)
            for name, n in inner.vectors
        ]
        self.query_kernel = self._block("query_kernel", h, a)
        self.key_kernel = self._block("key_kernel", self.context, a)
        self.score = self._param("score", initialisation("normal_0.1").kernel(a, 1), a)
        self.context_kernel = self._block("context_kernel", self.context, h, gates)

    def inner(self) -> Cell:
        return CELLS[self.cell]()

    def remember(self, values: Array, lengths: Array) -> Memory:
        """values [B, S, C] with their keys, and nothing past `lengths` [B]."""
        keys = jnp.matmul(*self.policy.cast(values, self.key_kernel))
        scores = padding_scores(lengths, values.shape[1])
        return Memory(values, keys.astype(values.dtype), scores)

    def start(self, states: Array) -> State:
        """The state before the first step, from all its parts [B, H] side by side."""
        h, *others = jnp.split(states, self.inner().states, axis=-1)
        none = jnp.zeros((h.shape[0], self.context), h.dtype)
        return jnp.concatenate([h, none], axis=-1), *others

    def __call__(
        self, x: Array, memory: Memory, start: State
    ) -> tuple[Array, Array, State]:
        recurrent = (*self.recurrent, self.query_kernel, self.context_kernel)
        pointwise = (*self.vectors, self.score, *memory)
        weights = Weights(self.kernel, self.bias, recurrent, pointwise)
        mixed = self.policy.compute != self.policy.param
        form = Form(
            attentive(self.inner()), compute=self.policy.compute if mixed else None
        )
        x = x.astype(self.policy.param)
        hs, final = bptt(form, weights, jnp.swapaxes(x, 0, 1), start)
        h, contexts = jnp.split(jnp.swapaxes(hs, 0, 1), [self.hidden], axis=-1)
        return h, contexts, final

    def weights(self, before: Array, memory: Memory) -> Array:
        """What each step attends to, [B, T, S], from h before it [B, T, H]."""
        queries = jnp.matmul(*self.policy.cast(before, self.query_kernel))

        def at(query: Array) -> Array:
            return attention_weights(query, self.score, memory)[0]

        each = [at(queries[:, t]) for t in range(queries.shape[1])]
        return jnp.stack(each, axis=1)

    def _block(self, name: str, rows: int, columns: int, blocks: int = 1) -> Array:
        init = recurrent_init.kernel(self.scheme, columns, blocks)
        return self._param(name, init, rows, blocks * columns)

    def _param(self, name: str, init, *shape: int) -> Array:
        return self.param(name, init, shape, self.policy.param_dtype)
