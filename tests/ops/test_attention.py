"""Attention against sums in NumPy, and the cell that attends against autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.ops.attention import Memory, attention_weights, attentive, padding_scores
from jnets.ops.bptt import bptt
from jnets.ops.cells import gru
from jnets.ops.cells_lstm import lstm
from jnets.ops.recurrence import Form, Weights
from jnets.ops.unroll import loop

T, B, S, F, H, A, C = 3, 2, 4, 3, 4, 6, 5


def test_weights_by_hand():
    """Two places with scores tanh(0) = 0 and log 3: 1/4 and 3/4; the third is none."""
    v = jnp.array([2 * np.log(3.0)])
    keys = jnp.array([[[0.0], [np.arctanh(0.5)], [9.0]]])
    memory = Memory(keys, keys, padding_scores(jnp.array([2]), 3))
    a, _ = attention_weights(jnp.zeros((1, 1)), v, memory)
    np.testing.assert_allclose(a, [[0.25, 0.75, 0.0]], atol=1e-6)
    assert a[0, 2] == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, S), min_size=B, max_size=B))
def test_weights_are_a_softmax_over_what_is_there(seed, lengths):
    rng = np.random.default_rng(seed)
    query, keys, v = (
        rng.normal(scale=3, size=shape).astype(np.float32)
        for shape in ((B, A), (B, S, A), (A,))
    )
    scores = padding_scores(jnp.array(lengths), S)
    memory = Memory(jnp.zeros((B, S, C)), jnp.asarray(keys), scores)
    a, _ = attention_weights(jnp.asarray(query), jnp.asarray(v), memory)
    for b, length in enumerate(lengths):
        e = np.tanh(query[b] + keys[b, :length]) @ v
        expected = np.exp(e - e.max()) / np.exp(e - e.max()).sum()
        np.testing.assert_allclose(a[b, :length], expected, rtol=2e-5, atol=1e-7)
        assert not np.any(a[b, length:])


def problem(inner, seed=0):
    """Arguments of a recurrence that attends, in double precision."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return jnp.asarray(rng.normal(scale=0.7, size=shape))

    gates = inner.gates * H
    recurrent = draw(H, gates), draw(H, A), draw(C, gates)
    own = tuple(draw(n * H) for _, n in inner.vectors)
    scores = padding_scores(jnp.array([3, S]), S).astype(jnp.float64)
    memory = Memory(draw(B, S, C), draw(B, S, A), scores)
    weights = Weights(draw(F, gates), draw(gates), recurrent, (*own, draw(A), *memory))
    others = [draw(B, H) for _ in range(inner.states - 1)]
    return weights, draw(T, B, F), (draw(B, H + C), *others)


@pytest.mark.parametrize("inner", [gru(), gru(reset_after=False), lstm()])
def test_gradients_are_those_of_autodiff(x64, inner):
    """Of all arguments, by explicit BPTT, against the readable loop."""
    weights, x, start = problem(inner)
    if len(inner.matrices) > 1:  # the GRU of 2014 has two
        rng = np.random.default_rng(1)
        shapes = (H, 2 * H), (H, H)
        two = tuple(jnp.asarray(rng.normal(size=shape)) for shape in shapes)
        weights = weights._replace(recurrent=(*two, *weights.recurrent[1:]))
    form = Form(attentive(inner))
    mix = jnp.asarray(np.random.default_rng(2).normal(size=(T, B, H + C)))

    def total(run):
        def objective(arguments):
            hs, final = run(form, *arguments)
            return jnp.sum(mix * hs) + sum(jnp.sum(jnp.sin(s)) for s in final)

        return jax.value_and_grad(objective)

    arguments = weights, x, start
    value, found = jax.jit(total(bptt))(arguments)
    expected_value, expected = total(loop)(arguments)  # as it is read: no program

    np.testing.assert_allclose(value, expected_value, rtol=1e-12)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def test_the_first_state_holds_what_was_read(x64):
    """[h; c]: c is the weighted sum of the values by the h before."""
    weights, x, start = problem(gru())
    hs, _ = bptt(Form(attentive(gru())), weights, x, start)
    *_, v, values, keys, scores = weights.pointwise
    memory = Memory(values, keys, scores)
    before = jnp.concatenate([start[0][None], hs[:-1]])[..., :H]
    for t in range(T):
        a, _ = attention_weights(before[t] @ weights.recurrent[1], v, memory)
        c = np.einsum("bs,bsc->bc", a, values)
        np.testing.assert_allclose(hs[t, :, H:], c, rtol=1e-10)
