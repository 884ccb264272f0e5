"""LeNet-5 as published, against NumPy and against numbers found by hand."""

import hashlib
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from jnets.inspect import capture
from jnets.layers import TableConv
from jnets.models import create, example_inputs
from jnets.models.bitmaps import BITMAPS
from jnets.models.lenet import C3_TABLE
from jnets.ops import lenet_map_loss

FACTS = json.loads((Path(__file__).parent / "facts.json").read_text())
CODES = np.array(BITMAPS)


def squash(a):
    return 1.7159 * np.tanh(2 / 3 * a)


def convolve(x, kernel, bias):
    windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel) + bias


def by_table(x, kernel, bias):
    """The maps of C3 one after the other; the kernel holds their inputs in a row."""
    maps, start = [], 0
    for row in FACTS["lenet5_1998"]["c3_table"]:
        own = kernel[..., start : start + len(row), None]
        maps.append(convolve(x[..., row], own, 0)[..., 0])
        start += len(row)
    return np.stack(maps, axis=-1) + bias


def subsample(x, coefficient, bias):
    corners = (x[:, i::2, j::2] for i, j in itertools.product((0, 1), (0, 1)))
    return coefficient * sum(corners) + bias


def forward(params, x):
    """F6's activations and the penalties ||F6 - code||^2, in float64."""
    layers = [
        ("C1", convolve),
        ("S2", subsample),
        ("C3", by_table),
        ("S4", subsample),
        ("C5", convolve),
    ]
    for name, layer in layers:
        x = squash(layer(x, **params[name]))
    f6 = params["F6"]
    x = squash(x[:, 0, 0] @ f6["kernel"] + f6["bias"])
    return x, np.array([[np.sum((row - code) ** 2) for code in CODES] for row in x])


@pytest.fixture(scope="module")
def model():
    return create("lenet5_1998")


@pytest.fixture(scope="module")
def params(model):
    """Random ones, large enough for activations of the size of 1 throughout."""
    shapes = jax.eval_shape(
        model.init, jax.random.key(0), *example_inputs("lenet5_1998")
    )
    rng = np.random.default_rng(0)

    def draw(leaf):
        fan_in = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 4
        return 1.5 * rng.standard_normal(leaf.shape) / np.sqrt(fan_in)

    return jax.tree.map(draw, shapes["params"])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).standard_normal((200, 32, 32, 1))


@pytest.fixture(scope="module")
def apply(model):
    compiled = jax.jit(model.apply)

    def run(params, images):
        params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params)
        return compiled({"params": params}, jnp.asarray(images, jnp.float32))

    return run


def test_the_table_of_connections_is_the_papers():
    assert [list(row) for row in C3_TABLE] == FACTS["lenet5_1998"]["c3_table"]


def test_logits_are_the_negated_penalties_of_the_whole_network(apply, params, images):
    f6, penalties = forward(params, images)
    assert np.std(f6) > 0.5  # neither switched off nor saturated
    assert np.mean(np.abs(f6) < 1.7) > 0.9
    logits = apply(params, images)
    np.testing.assert_allclose(logits, -penalties, rtol=2e-5)


def test_the_predicted_class_is_the_nearest_bitmap(apply, params, images):
    f6, _ = forward(params, images)
    nearest = [
        min(range(10), key=lambda i: np.linalg.norm(row - CODES[i])) for row in f6
    ]
    assert len(set(nearest)) > 5
    assert np.argmax(apply(params, images), axis=1).tolist() == nearest


def test_layers_are_captured_before_they_are_squashed(model, params, images):
    single = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params)
    x = jnp.asarray(images[:2], jnp.float32)
    seen = capture(model, {"params": single}, x)
    assert list(seen) == ["C1", "S2", "C3", "S4", "C5", "F6", "RBF"]
    f6, penalties = forward(params, images[:2])
    np.testing.assert_allclose(squash(seen["F6"]), f6, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen["RBF"], penalties, rtol=2e-5)


def test_bitmaps_are_ten_far_apart_codes():
    assert CODES.shape == (10, 7 * 12)
    assert set(np.unique(CODES)) == {-1, 1}
    distances = [np.sum(a != b) for a, b in itertools.combinations(CODES, 2)]
    assert len(distances) == 45 and min(distances) >= 10


def test_bitmaps_are_pictures_of_12_rows_of_7():
    marks = np.where(CODES[7].reshape(12, 7) > 0, "#", ".")
    assert ["".join(row) for row in marks] == [
        "#######",
        "##...##",
        ".....##",
        "....##.",
        "....##.",
        "...##..",
        "...##..",
        "..##...",
        "..##...",
        ".##....",
        ".##....",
        ".##....",
    ]


def test_bitmaps_stay_as_they_are():
    """A trained network is of use with the codes that it was trained for only."""
    bits = np.packbits(CODES > 0).tobytes()
    assert (
        hashlib.sha256(bits).hexdigest()
        == "544da0b6bf02d577645e6eb75b63debaf6a187c8708b31d368ada6d6da0f4548"
    )


def only_f6(params, activations):
    """Parameters with which F6 puts out `activations` whatever the image is."""
    still = jax.tree.map(np.zeros_like, params)
    bias = 1.5 * np.arctanh(np.asarray(activations) / 1.7159)
    return {**still, "F6": {**still["F6"], "bias": bias}}


def loss(logits, label):
    labels = jnp.array([label])
    return float(lenet_map_loss(-logits, labels, j=10.0)[0])


def test_loss_of_an_output_half_way_between_all_codes(apply, params, images):
    """F6 = 0 has the penalty 84 to every code: 84 + log(e^-10 + 10 e^-84) = 74."""
    logits = apply(only_f6(params, np.zeros(84)), images)[:1]
    np.testing.assert_allclose(logits, np.full((1, 10), -84.0), rtol=1e-6)
    assert loss(logits, 4) == pytest.approx(74, rel=1e-6)


@pytest.mark.parametrize("digit", range(10))
def test_loss_of_a_perfect_output(digit, apply, params, images):
    """Penalty 0 to the digit's code and 4 h to another that differs in h places."""
    logits = apply(only_f6(params, CODES[digit]), images)[:1]
    expected = [-4.0 * np.sum(CODES[digit] != code) for code in CODES]
    np.testing.assert_allclose(logits[0], expected, rtol=1e-5, atol=1e-4)
    assert int(np.argmax(logits)) == digit
    # h is at least 10, so the other codes' e^-4h are below e^-40.
    assert loss(logits, digit) == pytest.approx(np.log1p(np.exp(-10)), rel=0.01)
    other = (digit + 1) % 10
    wrong = -expected[other] + np.log1p(np.exp(-10))
    assert loss(logits, other) == pytest.approx(wrong, rel=1e-5)


def test_a_map_of_c3_depends_on_its_own_maps_of_s2(params):
    """The gradient with respect to S2 is 0 where the paper's table has no cross."""
    kernel = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params["C3"])
    layer = TableConv(C3_TABLE, (5, 5))
    x = jnp.asarray(np.random.default_rng(2).standard_normal((14, 14, 6)), jnp.float32)

    def sums(x):
        return jnp.sum(layer.apply({"params": kernel}, x[None])[0], axis=(0, 1))

    jacobian = np.asarray(jax.jit(jax.jacrev(sums))(x))
    for o, row in enumerate(FACTS["lenet5_1998"]["c3_table"]):
        others = [i for i in range(6) if i not in row]
        assert np.all(jacobian[o][..., row] != 0)
        assert np.all(jacobian[o][..., others] == 0)
