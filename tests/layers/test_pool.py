"""Pool and Subsample against hand values and loops in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jnets.layers import Cost, Policy, Pool, Subsample

X = np.arange(1.0, 17.0).reshape(1, 4, 4, 1)  # 1 2 3 4 / 5 6 7 8 / ...


def test_pools_by_hand():
    x = jnp.asarray(X, jnp.float32)
    largest = Pool("max", 2).apply({}, x)[0, :, :, 0]
    mean = Pool("average", 2).apply({}, x)[0, :, :, 0]
    assert largest.tolist() == [[6, 8], [14, 16]]
    assert mean.tolist() == [[3.5, 5.5], [11.5, 13.5]]


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("window, stride", [(2, None), (3, 2), (2, 3), (3, 1)])
def test_pools_are_loops_over_windows(kind, window, stride):
    x = np.random.default_rng(0).standard_normal((2, 8, 7, 3)).astype(np.float32)
    step = stride or window
    sizes = [(n - window) // step + 1 for n in (8, 7)]
    reduce = {"max": np.max, "average": np.mean}[kind]
    expected = np.zeros((2, *sizes, 3))
    for i, j in itertools.product(*map(range, sizes)):
        seen = x[:, i * step : i * step + window, j * step : j * step + window]
        expected[:, i, j] = reduce(seen, axis=(1, 2))
    y = jax.jit(Pool(kind, window, stride).apply)({}, x)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_padding_and_ceil_mode_are_passed_on():
    x = jnp.asarray(X[:, :3, :3], jnp.float32)
    # 1 2 3 / 5 6 7 / 9 10 11 with a border, whose positions never win ...
    y = Pool("max", 2, padding=1).apply({}, x)[0, :, :, 0]
    assert y.tolist() == [[1, 3], [9, 11]]
    # ... and windows that hang over the high edge.
    y = Pool("max", 2, ceil_mode=True).apply({}, x)[0, :, :, 0]
    assert y.tolist() == [[6, 7], [10, 11]]


def test_pools_have_no_parameters():
    variables = Pool("max", 2).init(jax.random.key(0), jnp.ones((1, 4, 4, 1)))
    assert jax.tree.leaves(variables) == []


def subsampled(x, coefficient, bias):
    params = {
        "coefficient": jnp.asarray(coefficient, jnp.float32),
        "bias": jnp.asarray(bias, jnp.float32),
    }
    return Subsample().apply({"params": params}, jnp.asarray(x, jnp.float32))


def test_subsample_by_hand():
    """Sums 14, 22, 46, 54 of the first map; the second is ten times the first."""
    x = np.concatenate([X, 10 * X], axis=-1)
    y = subsampled(x, [0.5, -1.0], [1.0, 3.0])
    assert y[0, :, :, 0].tolist() == [[8, 12], [24, 28]]
    assert y[0, :, :, 1].tolist() == [[-137, -217], [-457, -537]]


def test_subsample_with_a_quarter_is_the_average():
    x = np.random.default_rng(0).standard_normal((2, 6, 4, 3)).astype(np.float32)
    y = subsampled(x, [0.25] * 3, [0.0] * 3)
    mean = Pool("average", 2).apply({}, jnp.asarray(x))
    np.testing.assert_allclose(y, mean, rtol=1e-5, atol=1e-6)


def test_subsample_gradients(x64):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 6, 3)))
    layer = Subsample(policy=Policy("float64", "float64", "float64"))
    params = layer.init(jax.random.key(0), x)["params"]
    apply = jax.jit(layer.apply)
    check_grads(lambda p, x: apply({"params": p}, x), (params, x), 1, rtol=1e-6)


@pytest.mark.parametrize("shape, fan_in", [((1, 8, 5000), 2), ((1, 4, 4, 5000), 4)])
def test_a_subsampling_unit_starts_near_an_average(shape, fan_in):
    """Coefficients in 1/F +- 0.5/F, biases in +-2.4/F; F counts the window."""
    params = jax.jit(Subsample().init)(jax.random.key(0), jnp.ones(shape))["params"]
    centred = np.asarray(params["coefficient"]) - 1 / fan_in
    for values, bound in ((centred, 0.5 / fan_in), (params["bias"], 2.4 / fan_in)):
        assert values.shape == (5000,)
        assert 0.99 * bound < np.max(np.abs(values)) <= bound
        assert np.var(values) == pytest.approx(bound**2 / 3, rel=0.05)
    assert np.all(params["coefficient"] > 0)


def test_costs_by_hand():
    assert Pool("max", 3, 2).cost((7, 7, 4), (3, 3, 4)) == Cost(0, 0)
    assert Pool("average", 2).cost((8, 4), (4, 4)) == Cost(0, 0)
    # LeNet-5's S2: 14 x 14 x 6 units, four inputs and a bias, one product each.
    s2 = Subsample().cost((28, 28, 6), (14, 14, 6))
    assert s2 == Cost(1176, 5880)
