"""Fully connected layers that read one map, or every piece of a larger one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.layers import Dense, Policy
from jnets.layers.fully_connected import FullyConnected, SlidingDense

SIZE, CHANNELS, UNITS = 3, 4, (7, 6, 5)


class Net(nn.Module):
    """fc6, fc7, fc8 on a map."""

    dense: bool = False
    drop_input: bool = False
    dropout: float = 0.5
    train: bool = False
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x):
        head = FullyConnected(
            UNITS,
            ("pytorch_uniform",) * 3,
            SIZE,
            self.train,
            self.dropout,
            self.drop_input,
            self.dense,
            self.policy,
        )
        return head(x)


def maps(height: int, width: int, batch: int = 2):
    rng = np.random.default_rng(height)
    x = rng.standard_normal((batch, height, width, CHANNELS))
    return jnp.asarray(x, jnp.float32)


@pytest.fixture(scope="module")
def variables():
    return Net().init(jax.random.key(0), maps(SIZE, SIZE))


def by_hand(variables, x):
    """NumPy on one flattened piece after the other, in float64."""
    for name in ("fc6", "fc7", "fc8"):
        layer = variables["params"][name]
        x = x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
        x = x if name == "fc8" else np.maximum(x, 0)
    return x


def test_one_map(variables):
    x = maps(SIZE, SIZE)
    flat = np.asarray(x, np.float64).reshape(2, -1)
    found = Net().apply(variables, x)
    assert found.shape == (2, 5)
    np.testing.assert_allclose(found, by_hand(variables, flat), rtol=1e-5, atol=1e-6)


def test_dense_has_the_same_parameters_and_starting_values(variables):
    dense = Net(dense=True).init(jax.random.key(0), maps(SIZE, SIZE + 2))
    jax.tree.map(np.testing.assert_array_equal, dense, variables)
    assert variables["params"]["fc6"]["kernel"].shape == (36, 7)


def test_dense_on_the_native_map_is_not_dense(variables):
    x = maps(SIZE, SIZE)
    found = Net(dense=True).apply(variables, x)
    np.testing.assert_allclose(found, Net().apply(variables, x), rtol=1e-5, atol=1e-6)


def test_dense_is_the_mean_over_every_piece(variables):
    x = maps(5, 4)
    pieces = [
        np.asarray(x[:, i : i + SIZE, j : j + SIZE], np.float64).reshape(2, -1)
        for i in range(3)
        for j in range(2)
    ]
    expected = np.mean([by_hand(variables, piece) for piece in pieces], axis=0)
    found = Net(dense=True).apply(variables, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_larger_map_is_averaged_to_size(variables):
    x = maps(2 * SIZE, 2 * SIZE)
    means = np.asarray(x, np.float64).reshape(2, SIZE, 2, SIZE, 2, CHANNELS)
    means = means.mean((2, 4)).reshape(2, -1)
    found = Net().apply(variables, x)
    np.testing.assert_allclose(found, by_hand(variables, means), rtol=1e-5, atol=1e-6)


def test_dense_needs_a_map_of_the_size(variables):
    with pytest.raises(InputError, match="kernel 3 .* larger than the input of size 2"):
        Net(dense=True).apply(variables, maps(2, 4))


@pytest.mark.parametrize(
    "drop_input, order",
    [
        (False, ["fc6", "Dropout", "fc7", "Dropout", "fc8"]),
        (True, ["Dropout", "fc6", "Dropout", "fc7", "fc8"]),
    ],
)
@pytest.mark.parametrize("dense", [False, True])
def test_where_dropout_is(drop_input, order, dense, variables):
    called = []

    def listen(next_call, args, kwargs, context):
        if isinstance(context.module, nn.Dropout):
            called.append("Dropout")
        elif isinstance(context.module, Dense | SlidingDense):
            called.append(context.module.name)
        return next_call(*args, **kwargs)

    x, rngs = maps(SIZE, SIZE), {"dropout": jax.random.key(1)}
    net = Net(dense=dense, drop_input=drop_input, train=True)
    with nn.intercept_methods(listen):
        dropped = net.apply(variables, x, rngs=rngs)
    assert called == order
    kept = net.clone(train=False).apply(variables, x)  # needs no key
    assert np.abs(np.asarray(dropped - kept)).max() > 1e-3
    none = net.clone(dropout=0.0).apply(variables, x, rngs=rngs)
    np.testing.assert_array_equal(none, kept)


@pytest.mark.parametrize("dense", [False, True])
def test_mixed_precision(dense, variables):
    x = maps(5, 5)
    net = Net(dense=dense, policy=Policy(compute="bfloat16"))
    narrow, wide = net.apply(variables, x), Net(dense=dense).apply(variables, x)
    assert narrow.dtype == jnp.float32
    error = np.abs(np.asarray(narrow - wide)).max() / np.abs(wide).max()
    assert 1e-5 < error < 0.03


def test_cost_of_a_layer_that_slides():
    layer = SlidingDense(7, SIZE)
    cost = layer.cost((5, 4, CHANNELS), (3, 2, 7))
    assert cost.macs == 3 * 2 * 7 * 36
    assert cost.connections == 3 * 2 * 7 * 37
