"""The schemes of initialisation: bounds, variances and whose fan-in it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.layers import INITS, Affine, Conv, Dense, TableConv, initialisation
from jnets.layers.init import fans

# Bound of a uniform distribution, or None; and the variance; both from the fan-in f
# and the fan-out g.
KERNELS = {
    "lecun_uniform_1998": (lambda f: 2.4 / f, lambda f, g: 2.4**2 / f**2 / 3),
    "lecun_normal": (None, lambda f, g: 1 / f),
    "glorot_normal": (None, lambda f, g: 2 / (f + g)),
    "he_normal": (None, lambda f, g: 2 / f),
    "he_normal_fan_out": (None, lambda f, g: 2 / g),
    "caffe_xavier": (lambda f: (3 / f) ** 0.5, lambda f, g: 1 / f),
    "caffe_xavier_bias_0.2": (lambda f: (3 / f) ** 0.5, lambda f, g: 1 / f),
    "pytorch_uniform": (lambda f: f**-0.5, lambda f, g: 1 / (3 * f)),
    "normal_0.001": (None, lambda f, g: 0.001**2),
    "normal_0.01": (None, lambda f, g: 0.01**2),
    "normal_0.01_bias_1": (None, lambda f, g: 0.01**2),
    "normal_0.01_bias_0.1": (None, lambda f, g: 0.01**2),
    "normal_0.005_bias_0.1": (None, lambda f, g: 0.005**2),
    "normal_0.005_bias_1": (None, lambda f, g: 0.005**2),
    "normal_0.1": (None, lambda f, g: 0.1**2),
    "uniform_0.01": (lambda f: 0.01, lambda f, g: 0.01**2 / 3),
    "uniform_0.08": (lambda f: 0.08, lambda f, g: 0.08**2 / 3),
}
# Biases: distributed as the kernel, or a constant, 0 if not here.
WITH_BIAS = {"lecun_uniform_1998", "pytorch_uniform", "uniform_0.08"}
CONSTANT = {
    "caffe_xavier_bias_0.2": 0.2,
    "normal_0.01_bias_1": 1.0,
    "normal_0.005_bias_1": 1.0,
    "normal_0.01_bias_0.1": 0.1,
    "normal_0.005_bias_0.1": 0.1,
}


def check(values, scheme: str, fan_in: int, fan_out: int = 0):
    """Of at least 10,000 values: mean 0, the variance to 5 %, the bound to 1 %."""
    values = np.asarray(values).ravel()
    assert values.size >= 10_000
    bound, variance = KERNELS[scheme]
    variance = variance(fan_in, fan_out)
    assert np.var(values) == pytest.approx(variance, rel=0.05)
    assert abs(np.mean(values)) < 5 * np.sqrt(variance / values.size)
    if bound is None:
        # Normal: 4.55 % lie beyond two standard deviations.
        beyond = np.mean(np.abs(values) > 2 * np.sqrt(variance))
        assert beyond == pytest.approx(0.0455, abs=0.01)
    else:
        assert 0.99 * bound(fan_in) < np.max(np.abs(values)) <= bound(fan_in)


def test_every_scheme_is_tried():
    assert set(KERNELS) == set(INITS)


@pytest.mark.parametrize(
    "kernel, expected",
    [((20, 30), (20, 30)), ((3, 5, 8, 16), (120, 240)), ((7, 4, 4), (28, 28))],
)
def test_fans(kernel, expected):
    assert fans(kernel) == expected


@pytest.mark.parametrize("scheme", KERNELS)
@pytest.mark.parametrize("fan_in", [25, 400])
def test_schemes(scheme, fan_in):
    init = initialisation(scheme)
    shape, dtype = (fan_in, 40_000 // fan_in), jnp.dtype("float32")
    kernel = init.kernel(*fans(shape))(jax.random.key(0), shape, dtype)
    assert kernel.shape == shape and kernel.dtype == dtype
    check(kernel, scheme, *shape)
    bias = init.bias(fan_in)(jax.random.key(1), (40_000,), dtype)
    assert bias.shape == (40_000,) and bias.dtype == dtype
    if scheme in WITH_BIAS:
        check(bias, scheme, fan_in)
    else:
        assert np.all(bias == np.float32(CONSTANT.get(scheme, 0.0)))


@pytest.mark.parametrize(
    "layer, shape, fan_in",
    [
        (Dense(500, "he_normal"), (1, 60), 60),
        (Conv(2500, (3, 2), groups=2, scheme="caffe_xavier"), (1, 3, 3, 4), 12),
        (Conv(5000, (5,), scheme="lecun_uniform_1998"), (1, 5, 2), 10),
    ],
)
def test_layers_count_the_inputs_of_a_unit(layer, shape, fan_in):
    params = jax.jit(layer.init)(jax.random.key(0), jnp.ones(shape))["params"]
    check(params["kernel"], layer.scheme, fan_in)
    if layer.scheme in WITH_BIAS:
        bound = KERNELS[layer.scheme][0](fan_in)
        assert 0.99 * bound < np.max(np.abs(params["bias"])) <= bound
    else:
        assert np.all(params["bias"] == 0)


def test_affine_counts_letters_and_state():
    layer = Affine(185, 128)
    params = layer.init(jax.random.key(0), method="weights")["params"]
    check(params["kernel"], "pytorch_uniform", 185)
    bias, bound = np.abs(params["bias"]), 185**-0.5
    assert 0.95 * bound < np.max(bias) <= bound


TABLE = ((0, 3), (2,), (0, 1, 2, 3))


def test_each_map_of_a_table_has_its_own_fan_in():
    """What a layer with this table starts from, for 500 keys."""
    layer = TableConv(TABLE, (5, 5))

    def init(key):
        return layer.init(key, jnp.ones((1, 5, 5, 4)))["params"]

    params = jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(0), 500))
    params = jax.tree.map(np.asarray, params)
    start = 0
    for o, row in enumerate(TABLE):
        fan_in = 25 * len(row)
        own = params["kernel"][..., start : start + len(row)]
        check(own, "lecun_uniform_1998", fan_in)
        # The largest of 500 biases is within a few percent of the bound.
        bias = np.abs(params["bias"][:, o])
        assert 0.95 * 2.4 / fan_in < np.max(bias) <= 2.4 / fan_in
        start += len(row)
    assert start == params["kernel"].shape[-1] == 7
    # No map starts from the numbers of another, scaled.
    kernel = params["kernel"].reshape(-1, 7)
    correlation = np.corrcoef(kernel.T) - np.eye(7)
    assert np.max(np.abs(correlation)) < 5 / np.sqrt(len(kernel))
    correlation = np.corrcoef(params["bias"].T) - np.eye(3)
    assert np.max(np.abs(correlation)) < 5 / np.sqrt(500)


def test_an_unknown_scheme_is_named_with_the_known_ones():
    with pytest.raises(InputError) as error:
        initialisation("glorot")
    message = str(error.value)
    assert "\n" not in message and "'glorot'" in message
    assert all(name in message for name in INITS)
