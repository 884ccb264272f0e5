"""Filters and feature maps as arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.inspect import capture, filters
from jnets.models import create


def numbered(shapes):
    """Parameters of these shapes that count up, so that no two are alike."""
    start = 0
    leaves, tree = jax.tree.flatten(shapes)
    for i, leaf in enumerate(leaves):
        values = np.arange(start, start + leaf.size, dtype=np.float32)
        leaves[i] = jnp.asarray(np.sin(values).reshape(leaf.shape))
        start += leaf.size
    return jax.tree.unflatten(tree, leaves)


@pytest.fixture(scope="module")
def lenet():
    """A small one: 2 and 3 maps, 4 hidden units, on 16 x 16 pixels."""
    model = create(
        "lenet5",
        names=["conv", "pool", "deep", "last", "full", "logits"],
        maps=[2, 3],
        hidden=[4],
        pool="average",
        activation="tanh",
    )
    x = jnp.asarray(np.random.default_rng(0).standard_normal((5, 16, 16, 1)), "float32")
    return model, numbered(jax.eval_shape(model.init, jax.random.key(0), x)), x


def test_filters_are_one_a_row(lenet):
    _, variables, _ = lenet
    kernel = np.asarray(variables["params"]["deep"]["kernel"])
    found = filters(variables, "deep")
    assert kernel.shape == (5, 5, 2, 3) and found.shape == (3, 5, 5, 2)
    for o, i in np.ndindex(3, 2):
        np.testing.assert_array_equal(found[o, :, :, i], kernel[:, :, i, o])


def test_filters_of_a_table_and_of_a_matrix():
    model, x = create("lenet5_1998"), jnp.ones((1, 32, 32, 1))
    variables = numbered(jax.eval_shape(model.init, jax.random.key(0), x))
    assert filters(variables, "C3").shape == (60, 5, 5)
    assert filters(variables, "F6").shape == (84, 120)
    np.testing.assert_array_equal(
        filters(variables, "F6"), variables["params"]["F6"]["kernel"].T
    )


@pytest.mark.parametrize("layer", ["S2", "RBF", "nothing", ""])
def test_a_layer_without_filters_is_named_with_those_that_have(layer):
    model, x = create("lenet5_1998"), jnp.ones((1, 32, 32, 1))
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    with pytest.raises(InputError) as error:
        filters(shapes, layer)
    message = str(error.value)
    assert "\n" not in message and f"{layer!r}" in message
    assert "['C1', 'C3', 'C5', 'F6']" in message


def test_capture_has_every_layer_in_the_order_of_calls(lenet):
    seen = capture(*lenet)
    assert {name: value.shape for name, value in seen.items()} == {
        "conv": (5, 12, 12, 2),
        "pool": (5, 6, 6, 2),
        "deep": (5, 2, 2, 3),
        "last": (5, 1, 1, 3),
        "full": (5, 4),
        "logits": (5, 10),
    }
    assert list(seen) == list(lenet[0].names)
    assert all(isinstance(value, np.ndarray) for value in seen.values())


def test_captured_values_are_the_layers_own_results(lenet):
    """Each follows from the one before it by one step of NumPy."""
    model, variables, x = lenet
    seen, params = capture(model, variables, x), variables["params"]
    params = jax.tree.map(np.asarray, params)
    mean = np.tanh(seen["conv"]).reshape(5, 6, 2, 6, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(seen["pool"], mean, rtol=1e-4, atol=1e-5)
    flat = seen["last"].reshape(5, 3)
    full = flat @ params["full"]["kernel"] + params["full"]["bias"]
    np.testing.assert_allclose(seen["full"], full, rtol=1e-4, atol=1e-5)
    logits = np.tanh(full) @ params["logits"]["kernel"] + params["logits"]["bias"]
    np.testing.assert_allclose(seen["logits"], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(seen["logits"], model.apply(variables, x))
