"""The multilayer perceptron against NumPy, and its dropout."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.models import create
from jnets.ops import ACTIVATIONS

BY_HAND = {
    "identity": lambda a: a,
    "tanh": lambda a: (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a)),
    "scaled_tanh": lambda a: 1.7159 * np.tanh(2 * a / 3),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.where(a > 0, a, 0),
    "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
    "elu": lambda a: np.where(a > 0, a, np.exp(a) - 1),
    "softplus": lambda a: np.log(1 + np.exp(a)),
}


def random_params(sizes, names, seed=0):
    rng = np.random.default_rng(seed)
    shapes = zip(names, sizes[:-1], sizes[1:], strict=True)
    return {
        name: {
            "kernel": (rng.standard_normal((m, n)) / np.sqrt(m)).astype(np.float32),
            "bias": rng.standard_normal(n).astype(np.float32),
        }
        for name, m, n in shapes
    }


def test_every_activation_is_tried():
    assert set(BY_HAND) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", BY_HAND)
def test_two_hidden_layers(activation):
    params = random_params((12, 9, 8, 5), ("hidden1", "hidden2", "output"))
    x = np.random.default_rng(1).standard_normal((6, 3, 4, 1)).astype(np.float32)
    model = create("mlp", hidden=[9, 8], classes=5, activation=activation, dropout=0.5)
    h = x.reshape(6, 12).astype(np.float64)
    for name in ("hidden1", "hidden2"):
        h = BY_HAND[activation](h @ params[name]["kernel"] + params[name]["bias"])
    expected = h @ params["output"]["kernel"] + params["output"]["bias"]
    logits = model.apply({"params": params}, jnp.asarray(x))
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


RATE, UNITS, DRAWS = 0.25, 10, 4000


def test_units_are_dropped_or_scaled_so_that_their_mean_stays():
    """A network that puts out its hidden units, in training over in use."""
    params = random_params((4, UNITS, UNITS), ("hidden1", "output"))
    params["output"] = {"kernel": np.eye(UNITS), "bias": np.zeros(UNITS)}
    variables = {"params": jax.tree.map(lambda a: jnp.asarray(a, "float32"), params)}
    model = create("mlp", hidden=[UNITS], activation="identity", dropout=RATE)
    x = jnp.array([[1.0, -2.0, 0.5, 3.0]])

    def draw(key):
        return model.apply(variables, x, train=True, rngs={"dropout": key})[0]

    keys = jax.random.split(jax.random.key(0), DRAWS)
    used = np.asarray(model.apply(variables, x))
    ratios = np.asarray(jax.jit(jax.vmap(draw))(keys)) / used
    dropped = ratios == 0
    np.testing.assert_allclose(ratios[~dropped], 1 / (1 - RATE), rtol=1e-5)
    # Five standard deviations of the mean of the draws.
    bound = 5 * np.sqrt(RATE * (1 - RATE) / DRAWS)
    assert np.all(np.abs(dropped.mean(axis=0) - RATE) < bound)
    bound = 5 * np.sqrt(RATE / (1 - RATE) / DRAWS)
    assert np.all(np.abs(ratios.mean(axis=0) - 1) < bound)
    # Units are dropped independently of each other: the correlations vanish.
    correlation = np.corrcoef(dropped.T) - np.eye(UNITS)
    assert np.all(np.abs(correlation) < 5 / np.sqrt(DRAWS))


@pytest.mark.parametrize("name", ["mlp", "lenet5", "lenet_caffe"])
def test_nothing_is_random_without_train(name):
    """No key is needed, and the network is that without dropout."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 28, 28, 1)), "float32")
    with_it, without = create(name, dropout=0.5), create(name, dropout=0.0)
    variables = jax.tree.map(
        lambda a: jnp.asarray(0.1 * rng.standard_normal(a.shape), a.dtype),
        jax.eval_shape(with_it.init, jax.random.key(0), x),
    )

    @jax.jit
    def three(variables, x):
        rngs = {"dropout": jax.random.key(0)}
        dropped = with_it.apply(variables, x, train=True, rngs=rngs)
        return with_it.apply(variables, x), without.apply(variables, x), dropped

    used, expected, dropped = map(np.asarray, three(variables, x))
    np.testing.assert_array_equal(used, expected)
    assert np.all(np.abs(dropped - expected) > 1e-6)


@pytest.mark.parametrize("name", ["mlp", "lenet5", "lenet_caffe"])
def test_dropout_in_training_needs_a_key(name):
    model, x = create(name, dropout=0.5), jnp.ones((2, 28, 28, 1))
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    with pytest.raises(flax.errors.InvalidRngError):
        jax.eval_shape(lambda v: model.apply(v, x, train=True), variables)
