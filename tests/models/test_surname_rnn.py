"""The lecture's recurrent classifier against its program, written out in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jnets.models import create

VOCABULARY, HIDDEN, CLASSES, LONGEST = 57, 12, 5, 19
G = {"identity": lambda a: a, "tanh": np.tanh, "relu": lambda a: np.maximum(a, 0)}
# Derivative of g, from the value of g.
SLOPE = {
    "identity": lambda h: np.ones_like(h),
    "tanh": lambda h: 1 - h**2,
    "relu": lambda h: (h > 0).astype(h.dtype),
}
ACTIVATIONS = list(G)
# One name at a time and many at once are computed in different ways.
WAYS = {"one": lambda n: np.split(np.arange(n), n), "batch": lambda n: [np.arange(n)]}

Params = dict[str, dict[str, np.ndarray]]


def random_params(dtype: str) -> Params:
    rng = np.random.default_rng(0)
    inputs = VOCABULARY + HIDDEN
    return {
        name: {
            "kernel": (rng.standard_normal((inputs, n)) / np.sqrt(HIDDEN)).astype(
                dtype
            ),
            "bias": rng.standard_normal(n).astype(dtype),
        }
        for name, n in (("i2h", HIDDEN), ("i2o", CLASSES))
    }


def read(params: Params, tokens, activation: str):
    """The slides' loop over one name: logits, and [x; h] of every letter."""
    h, seen = np.zeros(HIDDEN), []
    for token in tokens:
        combined = np.concatenate([np.eye(VOCABULARY)[token], h])
        seen.append(combined)
        h = G[activation](combined @ params["i2h"]["kernel"] + params["i2h"]["bias"])
        output = combined @ params["i2o"]["kernel"] + params["i2o"]["bias"]
    return output, seen


def hand_gradient(params: Params, tokens, label: int, activation: str) -> Params:
    """Of -log softmax(logits)[label]: back from the last letter, one at a time."""
    logits, seen = read(params, tokens, activation)
    g = np.exp(logits - logits.max())
    g = g / g.sum() - np.eye(CLASSES)[label]
    grads = {
        "i2h": jax.tree.map(np.zeros_like, params["i2h"]),
        "i2o": {"kernel": np.outer(seen[-1], g), "bias": g},
    }
    w_h = params["i2h"]["kernel"][VOCABULARY:]
    d = params["i2o"]["kernel"][VOCABULARY:] @ g
    for k in range(len(seen) - 2, -1, -1):
        h = seen[k + 1][VOCABULARY:]  # what i2h made of letter k
        d = SLOPE[activation](h) * d
        grads["i2h"]["kernel"] += np.outer(seen[k], d)
        grads["i2h"]["bias"] += d
        d = w_h @ d
    return grads


def model(activation: str, dtype: str):
    return create(
        "surname_rnn",
        hidden=HIDDEN,
        classes=CLASSES,
        activation=activation,
        policy=[dtype] * 3,
    )


@functools.cache
def compiled(activation: str):
    return jax.jit(model(activation, "float32").apply)


def names(count: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = np.append(rng.integers(1, LONGEST + 1, count - 2), [1, LONGEST])
    return [rng.integers(0, VOCABULARY, n) for n in lengths]


def padded(texts, fill):
    """Tokens [N, LONGEST] with the padding that `fill(size)` gives, and lengths."""
    rows = [np.append(text, fill(LONGEST - len(text))) for text in texts]
    lengths = [len(text) for text in texts]
    return jnp.asarray(np.stack(rows), jnp.int32), jnp.asarray(lengths, jnp.int32)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_logits_are_those_of_the_loop(activation, way):
    params, texts = random_params("float32"), names(20, seed=1)
    tokens, lengths = padded(texts, np.zeros)
    expected = np.array([read(params, text, activation)[0] for text in texts])
    scale = np.abs(expected).max()
    for at in WAYS[way](len(texts)):
        logits = compiled(activation)({"params": params}, tokens[at], lengths[at])
        np.testing.assert_allclose(logits, expected[at], rtol=0, atol=3e-6 * scale)


LETTERS = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=LONGEST)
ANYTHING = st.lists(
    st.integers(-(2**31), 2**31 - 1), min_size=LONGEST, max_size=LONGEST
)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(deadline=None, max_examples=30)
@given(text=LETTERS, padding=ANYTHING)
@example(text=[3], padding=[-1] * LONGEST)
@example(text=[3] * LONGEST, padding=[0] * LONGEST)
def test_padding_is_never_read(activation, rows, text, padding):
    variables = {"params": random_params("float32")}
    tokens, lengths = padded([text] * rows, lambda size: padding[:size])
    found = compiled(activation)(variables, tokens, lengths)
    clean, _ = padded([text] * rows, np.zeros)
    expected = compiled(activation)(variables, clean, lengths)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_is_that_of_the_hand(activation, way, x64):
    params, texts = random_params("float64"), names(6, seed=2)
    rng = np.random.default_rng(3)
    labels = jnp.asarray(rng.integers(0, CLASSES, len(texts)))
    # Padding that is no letter at all: its gradient must vanish, not be 0 * inf.
    tokens, lengths = padded(texts, lambda size: rng.integers(-(2**31), 2**31, size))
    apply = model(activation, "float64").apply

    @jax.jit
    @jax.grad
    def gradient(params, tokens, lengths, labels):
        logits = apply({"params": params}, tokens, lengths)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.sum()

    for at in WAYS[way](len(texts)):
        found = gradient(params, tokens[at], lengths[at], labels[at])
        hand = [hand_gradient(params, texts[i], labels[i], activation) for i in at]
        expected = jax.tree.map(lambda *g: sum(g), *hand)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {"float64"}
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12),
            jax.tree.map(np.asarray, found),
            expected,
        )


def test_the_state_after_the_last_letter_is_not_used():
    """The output at a letter reads the state before it: i2h sees all but the last."""
    params, text = random_params("float32"), np.array([4, 8, 15])
    silent = jax.tree.map(np.zeros_like, params["i2h"])
    one = padded([text[-1:]], np.zeros)
    alone = compiled("identity")({"params": params}, *one)
    muted = {"i2h": silent, "i2o": params["i2o"]}
    three = compiled("identity")({"params": muted}, *padded([text], np.zeros))
    np.testing.assert_array_equal(three, alone)
    by_hand = params["i2o"]["kernel"][15] + params["i2o"]["bias"]
    np.testing.assert_allclose(alone[0], by_hand, rtol=1e-6)


def test_the_linear_program_is_a_linear_recurrence():
    """Without g the state is a sum over letters of powers of W_h: written so."""
    params, (text,) = random_params("float32"), names(2, seed=4)[-1:]
    w_x, w_h = np.split(params["i2h"]["kernel"].astype(float), [VOCABULARY])
    v_x, v_h = np.split(params["i2o"]["kernel"].astype(float), [VOCABULARY])
    h = sum(
        (w_x[token] + params["i2h"]["bias"])
        @ np.linalg.matrix_power(w_h, len(text) - 2 - k)
        for k, token in enumerate(text[:-1])
    )
    expected = v_x[text[-1]] + h @ v_h + params["i2o"]["bias"]
    logits = compiled("identity")({"params": params}, *padded([text], np.zeros))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(logits[0], expected, rtol=0, atol=3e-6 * scale)
