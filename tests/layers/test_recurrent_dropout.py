"""What is dropped between recurrent layers and inside them, and at which steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.layers import GRU, LSTM, RNN

B, T, F, H = 4, 6, 5, 50
KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(B, T, F)).astype(np.float32))


def identity(layer, features=H):
    """Variables with which h_t = x_t."""
    params = {
        f"layer{k}": {
            "kernel": jnp.eye(features),
            "bias": jnp.zeros(features),
            "recurrent_kernel": jnp.zeros((features, features)),
        }
        for k in range(layer.num_layers)
    }
    return {"params": params}


def outputs(layer, x, seed=1, train=True):
    rngs = {"dropout": jax.random.key(seed)} if train else None
    return layer.apply(identity(layer), x, train=train, rngs=rngs)[0]


ONES = jnp.ones((B, T, H))


def test_dropout_is_between_layers():
    three = RNN(H, num_layers=3, activation="identity", dropout=0.2)
    kept = np.array(outputs(three, ONES))
    # Twice dropped, each time with a factor 1 / (1 - rate), and not after the last.
    survived = kept > 0
    np.testing.assert_allclose(kept[survived], 1 / 0.8**2, rtol=1e-6)
    assert abs(survived.mean() - 0.8**2) < 4 * (0.64 * 0.36 / ONES.size) ** 0.5
    # Each output on its own: steps differ.
    assert (survived[:, 0] != survived[:, 1]).any()
    np.testing.assert_array_equal(outputs(three, ONES, seed=1), kept)
    assert (outputs(three, ONES, seed=2) != kept).any()


def test_one_layer_has_no_between():
    """Which is said, as PyTorch says it."""
    one = RNN(H, activation="identity", dropout=0.5)
    with pytest.warns(UserWarning, match=r"dropout=0.5 does nothing.* there is one"):
        np.testing.assert_array_equal(outputs(one, ONES), ONES)


@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_only_in_training(cell):
    layer = cell(8, num_layers=2, dropout=0.5, recurrent_dropout=0.5, variational=True)
    variables = layer.init(KEY, X)
    plain = cell(8, num_layers=2).apply(variables, X)
    jax.tree.map(np.testing.assert_array_equal, layer.apply(variables, X), plain)
    found, _ = layer.apply(variables, X, train=True, rngs={"dropout": KEY})
    assert (found != plain[0]).any()


def test_variational_drops_the_same_units_at_all_steps():
    layer = RNN(H, num_layers=2, activation="identity", dropout=0.2, variational=True)
    kept = np.array(outputs(layer, ONES))
    # The inputs are dropped, too; sequences differ, steps do not.
    survived = kept > 0
    np.testing.assert_allclose(kept[survived], 1 / 0.8**2, rtol=1e-6)
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[:, :1], kept.shape))
    assert (survived[0] != survived[1]).any()
    assert abs(survived.mean() - 0.64) < 4 * (0.64 * 0.36 / (B * H)) ** 0.5


def test_recurrent_dropout_is_of_the_same_units_at_all_steps():
    """h_t = d h_{t-1} + x with x = 1: 1, 1 + d, ... with one d for each unit."""
    layer = RNN(H, activation="identity", recurrent_dropout=0.2)
    variables = identity(layer)
    variables["params"]["layer0"]["recurrent_kernel"] = jnp.eye(H)
    found, _ = layer.apply(variables, ONES, train=True, rngs={"dropout": KEY})
    drop = np.array(found[:, 1]) - 1
    kept = drop > 0
    np.testing.assert_allclose(drop[kept], 1.25, rtol=1e-6)
    assert abs(kept.mean() - 0.8) < 4 * (0.8 * 0.2 / kept.size) ** 0.5
    assert (kept[0] != kept[1]).any()
    powers = drop[:, None] ** np.arange(T)[:, None]
    np.testing.assert_allclose(found, np.cumsum(powers, axis=1), rtol=1e-5)


def test_directions_drop_different_units():
    layer = RNN(H, activation="identity", bidirectional=True, recurrent_dropout=0.5)
    one = identity(RNN(H))["params"]["layer0"] | {"recurrent_kernel": jnp.eye(H)}
    variables = {"params": {"layer0": one, "layer0_reverse": one}}
    found, _ = layer.apply(variables, ONES, train=True, rngs={"dropout": KEY})
    forward, backward = np.split(np.array(found), 2, axis=-1)
    assert (forward[:, 1] != backward[:, -2]).any()


def test_dropout_has_no_bias_on_average():
    """The mean over many units of what is kept is what was put in."""
    layer = RNN(400, num_layers=2, activation="identity", dropout=0.5)
    mean = float(outputs_of(layer).mean())
    assert abs(mean - 1) < 4 / (B * T * 400) ** 0.5


def outputs_of(layer):
    x = jnp.ones((B, T, 400))
    variables = identity(layer, 400)
    return layer.apply(variables, x, train=True, rngs={"dropout": KEY})[0]
