"""Additive attention, and recurrent cells that attend at every step.

    e_j = v . tanh(W_q h + k_j),   a = softmax_j(e),   c = sum_j a_j value_j

with keys k_j = W_k value_j, which are the same at every step: they are made once
(Bahdanau, Cho & Bengio 2015, section A.1.2).

Axes: B batch, S source, A alignment, C columns of the values, H hidden, G gates.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jnets.ops.cells import Cell, Matrix, as_row, row_sum
from jnets.typing import Array, Size

NOWHERE = -1e30  # the score of what is padding: its weight is 0, without 0/0


class Memory(NamedTuple):
    """What is attended to: `values` [B, S, C], their `keys` [B, S, A], and `scores`
    [B, S], which are added: 0, or NOWHERE for padding."""

    values: Array
    keys: Array
    scores: Array


def padding_scores(lengths: Array, size: Size) -> Array:
    """`Memory.scores` [B, S] of sequences of `lengths` [B] in S = `size` places."""
    return jnp.where(jnp.arange(size)[None] < lengths[:, None], 0.0, NOWHERE)


def attention_weights(query: Array, v: Array, memory: Memory) -> tuple[Array, Array]:
    """a [B, S] and tanh(query + keys) [B, S, A], of query = W_q h [B, A] and v [A].

    The weights of padding are 0 and the others sum to 1; at least one must be other.
    """
    seen = jnp.tanh(query[:, None] + memory.keys)
    return jax.nn.softmax(seen @ v + memory.scores, axis=-1), seen


@cache
def attentive(inner: Cell) -> Cell:
    """A cell that reads at every step what it attends to by the state before it.

        c_t = the context of h_{t-1},   h_t = inner(W_x x_t + b + W_c c_t, h_{t-1})

    Its first state is [h_t; c_t], H + C columns, so that both are seen of all steps.
    Beside the inner cell's, its matrices are W_q [H, A] and W_c [C, G H], and its
    vectors v [A] and the arrays of a `Memory`: gradients of these are summed over
    steps where they arise, while those of the matrices are one product of all steps.
    """
    query, context = len(inner.matrices), len(inner.matrices) + 1

    def parts(p):
        *own, v, values, keys, scores = p
        return tuple(own), v, Memory(values, keys, scores)

    def forward(zx, before, p, dot):
        own, v, memory = parts(p)
        h = before[0][..., : -memory.values.shape[-1]]
        a, seen = attention_weights(dot(query, h), v, memory)
        c = jnp.einsum("bs,bsc->bc", a, memory.values)
        z = zx + dot(context, c)
        (h, *others), saved = inner.forward(z, (h, *before[1:]), own, dot)
        return (jnp.concatenate([h, c], axis=-1), *others), (saved, a, seen)

    def partials(saved, before, h, p):
        (saved, a, seen), (own, _, memory) = saved, parts(p)
        hidden = h.shape[-1] - memory.values.shape[-1]
        state = before[0][..., :hidden], *before[1:]
        return inner.partials(saved, state, h[..., :hidden], own), a, seen

    def backward(partials, d_after, p, back):
        (partials, a, seen), (own, v, memory) = partials, parts(p)
        hidden = d_after[0].shape[-1] - memory.values.shape[-1]
        d_h, d_c = jnp.split(d_after[0], [hidden], axis=-1)
        d_after = d_h, *d_after[1:]
        d_zx, (d_h, *others), d_own = inner.backward(partials, d_after, own, back)
        d_c = d_c + back(context, d_zx)
        d_a = jnp.einsum("bc,bsc->bs", d_c, memory.values)
        d_scores = a * (d_a - jnp.sum(a * d_a, axis=-1, keepdims=True))
        d_keys = d_scores[..., None] * as_row(v, seen) * (1 - seen * seen)
        d_h = d_h + back(query, jnp.sum(d_keys, axis=1))
        d_v = row_sum(d_scores[..., None] * seen)
        d_values = a[..., None] * d_c[:, None]
        d_before = jnp.concatenate([d_h, jnp.zeros_like(d_c)], axis=-1)
        return d_zx, (d_before, *others), (*d_own, d_v, d_values, d_keys, d_scores)

    matrices = (
        *inner.matrices,
        Matrix("query_kernel", 1, "A"),
        Matrix("context_kernel", "C", inner.gates),
    )
    return inner._replace(
        forward=forward, partials=partials, backward=backward, matrices=matrices
    )
