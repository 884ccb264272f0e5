"""Conv and TableConv against loops in NumPy."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jnets.layers import Conv, Cost, Policy, TableConv

TABLE = ((0, 2), (1,), (0, 1, 2, 3), (3, 0))  # the last row is not in order
DOUBLE = Policy("float64", "float64", "float64")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def window(kernel_size, stride, dilation, at):
    """The padded input positions that output position `at` reads, in kernel order."""
    for offset in np.ndindex(*kernel_size):
        yield tuple(a * stride + o * dilation for a, o in zip(at, offset, strict=True))


def call(layer, params, x):
    """The layer compiled, on NumPy arrays."""
    return jax.jit(layer.apply)({"params": params}, x)


def reference(x, kernel, bias, stride=1, padding=0, dilation=1, groups=1):
    """x [B, *S, C]: every output is a sum over its window and its group of inputs."""
    *kernel_size, inputs, features = kernel.shape
    border = [(0, 0), *[(padding, padding)] * len(kernel_size), (0, 0)]
    x = np.pad(x, border)
    sizes = [
        (n - dilation * (k - 1) - 1) // stride + 1
        for n, k in zip(x.shape[1:-1], kernel_size, strict=True)
    ]
    y = np.zeros((x.shape[0], *sizes, features))
    for b, *at, o in itertools.product(*map(range, y.shape)):
        first = o // (features // groups) * inputs
        total = bias[o]
        positions = window(kernel_size, stride, dilation, at)
        for place, offset in zip(positions, np.ndindex(*kernel_size), strict=True):
            group = x[(b, *place)][first : first + inputs]
            total += group @ kernel[(*offset, slice(None), o)]
        y[(b, *at, o)] = total
    return y


@pytest.mark.parametrize(
    "sizes, kernel_size, channels, features, options",
    [
        ((7, 6), (3, 2), 2, 3, {}),
        ((8,), (3,), 2, 4, {"stride": 2}),
        ((8, 7), (3, 3), 2, 3, {"stride": 2, "padding": 1}),
        ((6, 6), (2, 3), 4, 6, {"groups": 2}),
        ((5, 6), (3, 3), 3, 3, {"groups": 3, "padding": 2}),
        ((9, 8), (3, 2), 4, 4, {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
        ((4, 3, 5), (2, 2, 3), 2, 3, {"padding": 1}),
    ],
)
def test_conv_is_the_loop(sizes, kernel_size, channels, features, options):
    inputs = channels // options.get("groups", 1)
    params = {
        "kernel": normal(*kernel_size, inputs, features).astype(np.float32),
        "bias": normal(features, seed=1).astype(np.float32),
    }
    x = normal(2, *sizes, channels, seed=2).astype(np.float32)
    expected = reference(x, **params, **options)
    layer = Conv(features, kernel_size, **options)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
    assert {k: v.shape for k, v in shapes.items()} == {
        k: v.shape for k, v in params.items()
    }
    y = call(layer, params, x)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    y = call(layer.clone(use_bias=False), {"kernel": params["kernel"]}, x)
    np.testing.assert_allclose(y, expected - params["bias"], rtol=1e-5, atol=1e-5)


def test_padding_may_differ_by_side_and_axis():
    x, kernel = normal(1, 4, 4, 1).astype("f"), normal(3, 3, 1, 2, seed=1).astype("f")
    layer = Conv(2, (3, 3), padding=((0, 1), (2, 0)), use_bias=False)
    y = call(layer, {"kernel": kernel}, x)
    wide = np.pad(x, [(0, 0), (0, 1), (2, 0), (0, 0)])
    np.testing.assert_allclose(
        y, reference(wide, kernel, np.zeros(2)), rtol=1e-5, atol=1e-5
    )


def table_params(seed=0, dtype=np.float32):
    pairs = sum(map(len, TABLE))
    kernel = normal(3, 2, pairs, seed=seed).astype(dtype)
    return {"kernel": kernel, "bias": normal(len(TABLE), seed=seed + 1).astype(dtype)}


def test_table_conv_is_one_convolution_per_map():
    params, x = table_params(), normal(2, 6, 5, 4, seed=3).astype(np.float32)
    maps, start = [], 0
    for row, bias in zip(TABLE, params["bias"], strict=True):
        own = params["kernel"][..., start : start + len(row), None]
        maps.append(reference(x[..., list(row)], own, [bias]))
        start += len(row)
    y = call(TableConv(TABLE, (3, 2)), params, x)
    expected = np.concatenate(maps, axis=-1)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_table_conv_with_a_full_table_is_a_convolution():
    full = (tuple(range(3)),) * 4
    kernel, bias = normal(3, 3, 3, 4).astype("f"), normal(4, seed=1).astype("f")
    x = normal(2, 5, 5, 3, seed=2).astype("f")
    by_map = np.concatenate([kernel[..., o] for o in range(4)], axis=-1)
    y = call(TableConv(full, (3, 3)), {"kernel": by_map, "bias": bias}, x)
    dense = call(Conv(4, (3, 3)), {"kernel": kernel, "bias": bias}, x)
    np.testing.assert_allclose(y, dense, rtol=1e-5, atol=1e-5)


def test_table_conv_does_not_see_what_it_is_not_connected_to():
    layer, params = TableConv(TABLE, (3, 2)), table_params()
    x = normal(5, 4, 4, seed=3).astype(np.float32)

    def sums(x):
        return jnp.sum(call(layer, params, x[None])[0], axis=(0, 1))

    jacobian = np.asarray(jax.jit(jax.jacrev(sums))(x))
    for o, row in enumerate(TABLE):
        others = [i for i in range(4) if i not in row]
        assert np.all(jacobian[o][..., others] == 0)
        assert np.all(jacobian[o][..., list(row)] != 0)


@pytest.mark.parametrize("layer", [Conv(3, (2, 3), stride=2), TableConv(TABLE, (3, 2))])
def test_gradients(layer, x64):
    layer, x = layer.clone(policy=DOUBLE), normal(2, 5, 6, 4)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
    assert {leaf.dtype.name for leaf in shapes.values()} == {"float64"}
    params = {k: normal(*leaf.shape, seed=1) for k, leaf in shapes.items()}
    apply = jax.jit(layer.apply)
    check_grads(lambda p, x: apply({"params": p}, x), (params, x), 1, rtol=1e-6)


@pytest.mark.parametrize("layer", [Conv(3, (2, 3)), TableConv(TABLE, (3, 2))])
def test_products_may_be_narrow(layer):
    x = jnp.asarray(normal(2, 5, 6, 4), jnp.float32)
    layer = layer.clone(policy=Policy(compute="bfloat16"))
    y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    assert {a.dtype.name for a in jax.tree.leaves(variables)} == {"float32"}


def test_costs_by_hand():
    # LeNet-5's C1: 28 x 28 x 6 units of 25 inputs and a bias.
    c1 = Conv(6, (5, 5)).cost((32, 32, 1), (28, 28, 6))
    assert c1 == Cost(117600, 122304)
    # 3 x 3 x 8 units that see 4 of 8 maps through 3 x 2, without a bias.
    layer = Conv(8, (3, 2), stride=2, dilation=3, groups=2, use_bias=False)
    assert layer.cost((9, 9, 8), (3, 3, 8)) == Cost(72 * 24, 72 * 24)
    # 9 connections of 3 x 2 weights at each of 20 positions, and 4 biases.
    pairs = sum(map(len, TABLE))
    assert pairs == 9
    table = TableConv(TABLE, (3, 2)).cost((6, 6, 4), (4, 5, 4))
    assert table == Cost(20 * 54, 20 * 58)
    assert table.macs == 20 * pairs * math.prod((3, 2))
