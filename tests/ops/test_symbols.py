"""The recurrence over symbols against hand values, a one-hot program, differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jnets.ops.symbols import RECURRENCES, final_state, last_state

ACTIVATIONS = tuple(RECURRENCES)
SYMBOLS, HIDDEN, LONGEST = 5, 7, 9


def random_weights(seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    shapes = (SYMBOLS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN,)
    return tuple(jnp.asarray(rng.normal(0, 0.5, s).astype(dtype)) for s in shapes)


def one_hot_program(w_x, w_h, b, symbols, steps, activation):
    """The recurrence as written on the slides: h = f(W [x; h] + b), a Python loop."""
    f = RECURRENCES[activation][0]
    h = jnp.zeros_like(b)
    for t in range(steps):
        x = jax.nn.one_hot(symbols[t], SYMBOLS, dtype=b.dtype)
        h = f(jnp.concatenate([x, h]) @ jnp.concatenate([w_x, w_h]) + b)
    return h


def test_hand_values():
    # h_1 = 1 + 0 = 1, h_2 = 2 + 3 h_1 = 5, h_3 = 1 + 3 h_2 = 16
    w_x, w_h, b = jnp.array([[1.0], [2.0]]), jnp.array([[3.0]]), jnp.zeros(1)
    symbols = jnp.array([0, 1, 0, 1])

    def state(w_x, w_h, b):
        return last_state(w_x, w_h, b, symbols, 3, "identity")[0]

    assert state(w_x, w_h, b) == 16
    dw_x, dw_h, db = jax.grad(state, argnums=(0, 1, 2))(w_x, w_h, b)
    # delta = 9, 3, 1; dW_h = sum delta_t h_t = 3 * 1 + 1 * 5
    np.testing.assert_array_equal(dw_x, [[10.0], [3.0]])
    np.testing.assert_array_equal(dw_h, [[8.0]])
    np.testing.assert_array_equal(db, [13.0])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, LONGEST), st.sampled_from(ACTIVATIONS), st.integers(0, 2**16))
def test_equals_autodiff_of_the_one_hot_program(steps, activation, seed):
    with jax.enable_x64(True):
        weights = random_weights(seed)
        rng = np.random.default_rng(seed + 1)
        symbols = jnp.asarray(rng.integers(0, SYMBOLS, LONGEST), jnp.int32)
        dh = jnp.asarray(rng.normal(size=HIDDEN))
        h, pull = jax.vjp(
            lambda *w: last_state(*w, symbols, jnp.int32(steps), activation), *weights
        )
        expected, pull_expected = jax.vjp(
            lambda *w: one_hot_program(*w, symbols, steps, activation), *weights
        )
        np.testing.assert_allclose(h, expected, rtol=1e-12, atol=1e-12)
        for found, wanted in zip(pull(dh), pull_expected(dh), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_finite_differences(activation, x64):
    symbols = jnp.array([1, 2, 2, 4, 0, 0])

    def state(*weights):
        weights = map(jnp.asarray, weights)  # differences come as NumPy arrays
        return last_state(*weights, symbols, jnp.int32(4), activation)

    check_grads(state, random_weights(3), order=1, modes=["rev"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_the_readable_unroll(activation, x64):
    w_x, w_h, b = random_weights(4)
    rng = np.random.default_rng(5)
    symbols = jnp.asarray(rng.integers(0, SYMBOLS, (6, LONGEST)), jnp.int32)
    steps = jnp.arange(6)
    f = RECURRENCES[activation][0]
    z = w_x[symbols.T] + b[None, None]
    batch = final_state(lambda z, h: f(z + h @ w_h), z, jnp.zeros((6, HIDDEN)), steps)
    one_by_one = [last_state(w_x, w_h, b, s, n, activation) for s, n in zip(
        symbols, steps, strict=True)]  # fmt: skip
    np.testing.assert_allclose(batch, jnp.stack(one_by_one), rtol=1e-12, atol=1e-14)


def test_padding_is_not_read(x64):
    weights = random_weights(6)
    symbols = jnp.array([1, 3, 2, 0, 0])
    other = jnp.array([1, 3, 2, 4, 1])

    def gradient(symbols):
        return jax.grad(lambda w: last_state(*w, symbols, 3, "tanh").sum())(weights)

    for a, b in zip(gradient(symbols), gradient(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_step_is_the_zero_state_and_no_gradient():
    weights = random_weights(7, np.float32)
    symbols = jnp.array([1, 2])
    h, pull = jax.vjp(lambda *w: last_state(*w, symbols, 0, "tanh"), *weights)
    np.testing.assert_array_equal(h, np.zeros(HIDDEN))
    for gradient in pull(jnp.ones(HIDDEN)):
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))
