"""Filters taken apart: how many weights, what they see, and what they can compute."""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.layers.factorised import FILTERS, Factorised, Square, parts
from jnets.layers.unit import Unit
from jnets.ops import conv
from jnets.ops.window import Window, receptive_field


class Case(NamedTuple):
    """How the convolution is made."""

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    relu: bool = True


class Net(nn.Module):
    """One convolution in the form `filters`."""

    filters: str
    case: Case
    between: bool = True
    norm: bool = False

    @nn.compact
    def __call__(self, x):
        unit = Unit(train=False, norm=self.norm)
        features, kernel, stride, padding, relu = self.case
        make = Factorised(unit, self.filters, self.between)
        return make(
            x,
            features,
            kernel,
            name="c",
            stride=stride,
            padding=padding,
            relu=relu,
        )


def shapes(net: Net, channels: int, size: int = 15):
    x = jnp.ones((1, size, size, channels))
    return jax.eval_shape(net.init, jax.random.key(0), x)["params"]


def weights(filters: str, kernel: int, channels: int) -> int:
    net = Net(filters, Case(channels, kernel, padding=kernel // 2))
    return sum(layer["kernel"].size for layer in shapes(net, channels).values())


@pytest.mark.parametrize(
    "filters, kernel, share",
    [
        ("full", 5, 25),
        ("stacked", 5, 18),
        ("asymmetric", 5, 10),
        ("full", 7, 49),
        ("stacked", 7, 27),
        ("asymmetric", 7, 14),
        ("full", 3, 9),
        ("stacked", 3, 9),
        ("asymmetric", 3, 6),
    ],
)
def test_weights_in_units_of_the_maps_squared(filters, kernel, share):
    assert weights(filters, kernel, 8) == share * 8 * 8


def test_a_bottleneck_beside_two_convolutions():
    assert weights("bottleneck", 3, 256) == 69_632
    assert 2 * weights("full", 3, 256) == 1_179_648


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("kernel, stride, padding", [(3, 1, 1), (5, 2, 0), (7, 2, 1)])
def test_parts_see_what_the_whole_filter_sees(filters, kernel, stride, padding):
    def output(name, size):
        net, x = Net(name, Case(8, kernel, stride, padding)), (1, size, size, 4)
        call = functools.partial(net.init_with_output, jax.random.key(0))
        return jax.eval_shape(call, jnp.ones(x))[0].shape

    assert all(output(filters, n) == output("full", n) for n in (14, 15))
    rows = parts(filters, Square(kernel, 4, 8, stride, padding))
    for axis in (0, 1):
        seen = receptive_field([Window(p.kernel_size[axis], p.stride) for p in rows])
        # A stride of an earlier part would widen what the later parts see.
        assert seen == (kernel, stride)


def test_without_a_rectifier_between_a_cross_of_filters_is_one_of_rank_1():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 8, 1))
    row, column = rng.standard_normal((2, 3))
    kernels = {"c_a": row.reshape(1, 3, 1, 1), "c_b": column.reshape(3, 1, 1, 1)}
    params = {
        name: {"kernel": jnp.asarray(k, jnp.float32), "bias": jnp.zeros(1)}
        for name, k in kernels.items()
    }
    x = jnp.asarray(x, jnp.float32)
    for stride, padding in [(1, 1), (2, 0)]:
        case = Case(1, 3, stride, padding, relu=False)
        linear = Net("asymmetric", case, between=False).apply({"params": params}, x)
        outer = jnp.asarray(np.outer(column, row)[..., None, None], jnp.float32)
        whole = conv(x, outer, stride=stride, padding=padding)
        np.testing.assert_allclose(linear, whole, rtol=1e-5, atol=1e-6)
        bent = Net("asymmetric", case).apply({"params": params}, x)
        assert np.abs(np.asarray(bent - whole)).max() > 0.1


def test_names():
    case = Case(8, 5, padding=2)
    assert set(shapes(Net("full", case), 4)) == {"c"}
    assert set(shapes(Net("stacked", case, norm=True), 4)) == {
        "c_a",
        "c_a_norm",
        "c_b",
        "c_b_norm",
    }
    assert set(shapes(Net("bottleneck", case), 4)) == {"c_a", "c_b", "c_c"}
    # One part is the filter itself, and 1 x 1 is never taken apart.
    assert shapes(Net("stacked", Case(8, 3)), 4) == shapes(Net("full", Case(8, 3)), 4)
    for filters in FILTERS:
        point = shapes(Net(filters, Case(8, 1)), 4)
        assert point == shapes(Net("full", Case(8, 1)), 4)


def test_maps_between():
    asymmetric = shapes(Net("asymmetric", Case(8, 3)), 4)
    assert asymmetric["c_a"]["kernel"].shape == (1, 3, 4, 4)
    assert asymmetric["c_b"]["kernel"].shape == (3, 1, 4, 8)
    stacked = shapes(Net("stacked", Case(8, 7)), 4)
    assert [stacked[f"c_{i}"]["kernel"].shape[2:] for i in "abc"] == [
        (4, 8),
        (8, 8),
        (8, 8),
    ]


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("between", [True, False])
def test_rectifiers(relu, between):
    net = Net("asymmetric", Case(6, 3, relu=relu), between=between)
    x = jnp.asarray(np.random.default_rng(1).standard_normal((2, 6, 6, 6)), jnp.float32)
    params = net.init(jax.random.key(0), x)["params"]
    y = conv(x, params["c_a"]["kernel"])
    y = conv(jnp.maximum(y, 0) if between else y, params["c_b"]["kernel"])
    expected = jnp.maximum(y, 0) if relu else y
    found = net.apply({"params": params}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "filters, kernel, padding, message",
    [
        ("diagonal", 3, 1, "filters='diagonal'"),
        ("stacked", 4, 1, "kernel 4 is even"),
        ("asymmetric", 3, "SAME", "padding='SAME'"),
        ("bottleneck", 3, ((0, 1), (0, 1)), r"padding=\(\(0, 1\)"),
    ],
)
def test_what_cannot_be_taken_apart(filters, kernel, padding, message):
    with pytest.raises(InputError, match=message) as error:
        shapes(Net(filters, Case(8, kernel, padding=padding)), 4)
    assert "\n" not in error.value.args[0]
