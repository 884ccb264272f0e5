"""Filters and feature maps as arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.inspect import capture, filters
from jnets.models import create
from jnets.models.stacking import stack


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


@pytest.fixture(scope="module")
def residual():
    net = {"blocks": (1, 3), "widths": (2, 2), "stem": "cifar", "classes": 3}
    x = jnp.asarray(np.random.default_rng(0).random((2, 8, 8, 3)), "float32")
    model = create("resnet50", **net)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    # Running variances must be positive.
    return net, jax.tree.map(jnp.abs, numbered(shapes)), x


def test_layers_within_blocks_go_by_their_paths(residual):
    net, variables, x = residual
    kernel = variables["params"]["stage2"]["block3"]["conv2"]["kernel"]
    found = filters(variables, "stage2/block3/conv2")
    np.testing.assert_array_equal(found, np.moveaxis(kernel, -1, 0))
    seen = capture(create("resnet50", **net), variables, x)
    assert seen["stage2/block3/conv3"].shape == (2, 4, 4, 8)
    assert list(seen)[:5] == [
        *("conv1", "conv1_norm", "stage1/block1/conv1"),
        *("stage1/block1/conv1_norm", "stage1/block1/conv2"),
    ]


def test_a_1x1_filter_within_a_block_gives_what_is_captured(residual):
    net, variables, x = residual
    seen = capture(create("resnet50", **net), variables, x)
    rows = filters(variables, "stage1/block1/conv1")[:, 0, 0]
    after = np.maximum(seen["conv1_norm"], 0)
    np.testing.assert_allclose(
        seen["stage1/block1/conv1"], after @ rows.T, rtol=1e-5, atol=1e-5
    )


def test_filters_of_a_stack_have_an_axis_of_blocks(residual):
    net, variables, _ = residual
    params = stack({"params": variables["params"]})
    found = filters(params, "stage2/rest/conv2")
    assert found.shape == (2, 2, 3, 3, 2)  # filters, blocks, height, width, maps
    for i in range(2):
        one = filters(variables, f"stage2/block{i + 2}/conv2")
        np.testing.assert_array_equal(found[:, i], one)


@pytest.mark.parametrize("layer", ["stage1", "stage1/block1", "stage1/block9/conv1"])
def test_a_path_without_filters_is_told_the_first_that_have_some(residual, layer):
    with pytest.raises(InputError) as error:
        filters(residual[1], layer)
    message = str(error.value)
    assert "\n" not in message and f"{layer!r}" in message
    # conv1, fc, 3 and the shortcut in each of 2 first blocks, 3 in each of 2 others
    assert "'conv1', 'fc', 'stage1/block1/conv1'" in message
    assert message.endswith(f" and {2 + 4 + 4 + 6 - 8} more")


@pytest.mark.parametrize("field", ["remat", "stack_blocks"])
def test_layers_without_values_of_their_own_are_not_captured(residual, field):
    net, variables, x = residual
    model = create("resnet50", **net, **{field: True})
    if field == "stack_blocks":
        variables = stack(variables)
    with pytest.raises(InputError, match="expected a model with remat=False"):
        capture(model, variables, x)
