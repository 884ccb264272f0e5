"""AlexNet's variants: counts by layer, and small ones against NumPy."""

import functools
import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from numpy.lib.stride_tricks import sliding_window_view

from jnets.errors import InputError
from jnets.inspect import summarize
from jnets.layers import INITS, Conv, Dense, Policy
from jnets.models.alexnet import ALEXNETS, AlexNet

FACTS = json.loads((Path(__file__).parent / "facts_convnets.json").read_text())
FACTS_OF = {
    "alexnet_2012": ("alexnet_2012_grouped", 224),
    "alexnet_caffe": ("alexnet_2012_grouped", 227),
    "caffenet": ("alexnet_2012_grouped", 227),
    "alexnet_ungrouped": ("alexnet_ungrouped", 224),
    "alexnet": ("alexnet_owt_torchvision", 224),
}
MAPS = (6, 8, 4, 8, 6)


def test_every_variant_is_counted():
    assert set(FACTS_OF) == set(ALEXNETS)


@functools.cache
def summary(name: str, size: int, remat: bool = False):
    model = AlexNet(**ALEXNETS[name], remat=remat)
    return summarize(model, jnp.ones((1, size, size, 3)))


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("name", FACTS_OF)
def test_every_layer(name, remat):
    fact, size = FACTS_OF[name]
    found = summary(name, size, remat)
    assert found.parameters == FACTS[fact]["params"]
    assert found.macs == FACTS[fact]["macs"]
    rows = [
        {
            "name": row.name,
            "out_hwc": [1] * (3 - len(row.output)) + list(row.output),
            "params": row.parameters,
            "macs": row.macs,
        }
        for row in found.layers
        if row.kind != "LocalResponseNorm"
    ]
    assert rows == FACTS[fact]["layers"]


def test_neurons_of_the_paper():
    layers = summary("alexnet_2012", 224).layers
    units = [int(np.prod(row.output)) for row in layers if row.parameters]
    assert units == FACTS["alexnet_2012_grouped"]["neurons_per_layer"]
    assert sum(units) == FACTS["alexnet_2012_grouped"]["neurons"] == 659_272


def test_order_of_layers():
    def order(name, size):
        return [row.name for row in summary(name, size).layers][:6]

    paper = ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]
    assert order("alexnet_2012", 224) == order("alexnet_caffe", 227) == paper
    assert order("caffenet", 227)[:3] == ["conv1", "pool1", "norm1"]
    assert order("alexnet", 224)[:4] == ["conv1", "pool1", "conv2", "pool2"]


def small(name: str, **fields) -> AlexNet:
    """The variant with a handful of maps and units."""
    row = ALEXNETS[name]
    stages = [(m, *stage[1:]) for m, stage in zip(MAPS, row["stages"], strict=True)]
    sizes = {"stages": tuple(stages), "hidden": (7, 5), "classes": 3}
    return AlexNet(**{**row, **sizes, **fields})


def images(size: int, batch: int = 2):
    rng = np.random.default_rng(size)
    return jnp.asarray(rng.standard_normal((batch, size, size, 3)), jnp.float32)


@functools.cache
def variables(name: str):
    """Random; no bias is 0, so that a lost one shows."""
    model = small(name, filters="full")
    shapes = jax.eval_shape(model.init, jax.random.key(0), images(FACTS_OF[name][1]))
    rng = np.random.default_rng(1)

    def draw(leaf):
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.5
        return jnp.asarray(scale * rng.standard_normal(leaf.shape), jnp.float32)

    return jax.tree.map(draw, shapes)


def convolve(x, layer, stride, padding, groups):
    """One group after the other, in float64."""
    kernel = np.asarray(layer["kernel"], np.float64)
    x = np.pad(x, ((0, 0), padding, padding, (0, 0)))
    parts = []
    for maps, k in zip(
        np.split(x, groups, -1), np.split(kernel, groups, -1), strict=True
    ):
        windows = sliding_window_view(maps, k.shape[:2], axis=(1, 2))
        windows = windows[:, ::stride, ::stride]
        parts.append(np.einsum("bhwcij,ijco->bhwo", windows, k, optimize=True))
    return np.concatenate(parts, -1) + np.asarray(layer["bias"])


def pool(x):
    windows = sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2]
    return windows.max((-2, -1))


def normalise(x, k, alpha):
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        energy = (x[..., max(c - 2, 0) : c + 3] ** 2).sum(-1)
        y[..., c] = x[..., c] / (k + alpha * energy) ** 0.75
    return y


# By hand from the papers and prototxts: padding of conv1, groups, order, k, alpha.
BY_HAND = {
    "alexnet_2012": ((0, 3), 2, "norm pool", 2.0, 1e-4),
    "alexnet_ungrouped": ((0, 3), 1, "norm pool", 2.0, 1e-4),
    "alexnet_caffe": ((0, 0), 2, "norm pool", 1.0, 1e-4 / 5),
    "caffenet": ((0, 0), 2, "pool norm", 1.0, 1e-4 / 5),
    "alexnet": ((2, 2), 1, "pool", 0.0, 0.0),
}


def forward(name, x):
    first, groups, order, k, alpha = BY_HAND[name]
    steps = {"norm": lambda x: normalise(x, k, alpha), "pool": pool}
    params = variables(name)["params"]
    x = np.asarray(x, np.float64)
    rows = [(4, first, 1), (1, (2, 2), groups), (1, (1, 1), 1)]
    rows += [(1, (1, 1), groups)] * 2
    for i, (stride, padding, groups) in enumerate(rows, 1):
        x = convolve(x, params[f"conv{i}"], stride, padding, groups)
        x = np.maximum(x, 0)
        for step in order.split() if i < 3 else ["pool"] if i == 5 else []:
            x = steps[step](x)
    x = x.reshape(len(x), -1)
    for fc in ("fc6", "fc7", "fc8"):
        layer = {key: np.asarray(a, np.float64) for key, a in params[fc].items()}
        x = x @ layer["kernel"] + layer["bias"]
        x = x if fc == "fc8" else np.maximum(x, 0)
    return x


@functools.cache
def outputs(name: str):
    model = small(name)
    return jax.jit(model.apply)(variables(name), images(FACTS_OF[name][1]))


@pytest.mark.parametrize("name", BY_HAND)
def test_against_numpy(name):
    # Activations are large, so that normalisation moves them by more than rounding.
    x = 30 * images(FACTS_OF[name][1], batch=1)
    found = jax.jit(small(name).apply)(variables(name), x)
    expected = forward(name, x)
    assert found.shape == (1, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * abs(expected).max())


def test_an_image_of_224_is_one_of_227_with_zeros_at_the_high_edges():
    x = images(224)
    wide = jnp.pad(x, ((0, 0), (0, 3), (0, 3), (0, 0)))
    found = jax.jit(small("alexnet_2012").apply)(variables("alexnet_2012"), wide)
    np.testing.assert_allclose(found, outputs("alexnet_2012"), rtol=1e-6, atol=1e-6)


def test_jit_is_eager_and_vmap_is_the_batch():
    name = "alexnet_2012"
    model, v, x = small(name), variables(name), images(224)
    np.testing.assert_allclose(model.apply(v, x), outputs(name), rtol=1e-5, atol=1e-5)
    each = jax.jit(jax.vmap(lambda one: model.apply(v, one[None])[0]))(x)
    np.testing.assert_allclose(each, outputs(name), rtol=1e-5, atol=1e-5)


def test_mixed_precision():
    model = small("alexnet_2012", policy=Policy(compute="bfloat16"))
    wide = outputs("alexnet_2012")
    narrow = jax.jit(model.apply)(variables("alexnet_2012"), images(224))
    assert narrow.dtype == jnp.float32
    assert 1e-5 < np.abs(np.asarray(narrow - wide)).max() / np.abs(wide).max() < 0.03


@pytest.mark.parametrize("name", ["alexnet_2012", "alexnet"])
def test_dense_at_the_native_size_and_beyond(name):
    model, v = small(name, dense=True), variables(name)
    at_native = jax.jit(model.apply)(v, images(224))
    np.testing.assert_allclose(at_native, outputs(name), rtol=1e-4, atol=1e-5)
    # A step of one position in the last map is 32 in the image.
    wider = jnp.ones((1, 288, 256, 3))
    rows = {row.name: row.output for row in summarize(model, wider).layers}
    assert rows["fc6"] == (3, 2, 7) and rows["fc8"] == (3, 2, 3)


def gradients(model, name):
    def loss(v):
        return jnp.sum(jnp.square(model.apply(v, images(224))))

    return jax.make_jaxpr(loss)(variables(name)), jax.jit(jax.grad(loss))(
        variables(name)
    )


def checkpoints(jaxpr) -> int:
    found = 0
    for equation in jaxpr.eqns:
        found += "remat" in equation.primitive.name
        found += sum(map(checkpoints, jaxprs_in_params(equation.params)))
    return found


def test_remat_changes_neither_parameters_nor_gradients():
    name = "alexnet_2012"
    plain, again = small(name), small(name, remat=True)
    x = images(224, batch=1)
    first, second = (
        jax.eval_shape(m.init, jax.random.key(0), x) for m in (plain, again)
    )
    assert first == second
    jaxpr, expected = gradients(plain, name)
    assert checkpoints(jaxpr.jaxpr) == 0
    jaxpr, found = gradients(again, name)
    assert checkpoints(jaxpr.jaxpr) == 5
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4),
        found,
        expected,
    )


# Standard deviation and bias of conv1 .. conv5, fc6, fc7, fc8, from the sources.
PAPER = [(0.01, bias) for bias in (0, 1, 0, 1, 1, 1, 1, 0)]
STARTS = {
    "alexnet_2012": PAPER,
    "alexnet_ungrouped": PAPER,
    "alexnet_caffe": [
        *((0.01, bias) for bias in (0, 0.1, 0, 0.1, 0.1)),
        *((0.005, 0.1), (0.005, 0.1), (0.01, 0)),
    ],
    "caffenet": [
        *((0.01, bias) for bias in (0, 1, 0, 1, 1)),
        *((0.005, 1), (0.005, 1), (0.01, 0)),
    ],
}
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def schemes(name: str, **fields) -> dict[str, str]:
    """The initialisation that each layer has; nothing is computed."""
    found, model = {}, small(name, **fields)

    def listen(next_call, args, kwargs, context):
        if isinstance(context.module, Conv | Dense):
            found[context.module.name] = context.module.scheme
        return next_call(*args, **kwargs)

    with nn.intercept_methods(listen):
        x = images(FACTS_OF[name][1], batch=1)
        jax.eval_shape(model.init, jax.random.key(0), x)
    return found


@functools.cache
def start(scheme: str) -> tuple[np.ndarray, np.ndarray]:
    """A kernel of fan-in 100 and a bias."""
    init, key = INITS[scheme], jax.random.key(0)
    kernel = init.kernel(100, 80)(key, (100, 80), jnp.float32)
    return np.asarray(kernel), np.asarray(init.bias(100)(key, (80,), jnp.float32))


@pytest.mark.parametrize("name", STARTS)
def test_where_training_starts(name):
    found = schemes(name)
    assert tuple(found) == LAYERS
    for scheme, (std, value) in zip(found.values(), STARTS[name], strict=True):
        kernel, bias = start(scheme)
        # Four standard errors of a standard deviation.
        np.testing.assert_allclose(kernel.std(), std, rtol=4 / np.sqrt(2 * kernel.size))
        assert np.all(bias == np.float32(value))


def test_where_torchvisions_training_starts():
    assert set(schemes("alexnet").values()) == {"pytorch_uniform"}


def test_schemes_by_name_replace_the_rows():
    found = schemes("alexnet_2012", scheme="he_normal", fc_scheme="normal_0.1")
    assert list(found.values()) == ["he_normal"] * 5 + ["normal_0.1"] * 3


@pytest.mark.parametrize(
    "filters, weights",
    [
        # conv2 5x5x96x256, conv3 3x3x256x384, conv4 3x3x384x384, conv5 3x3x384x256
        ("stacked", 9 * 96 * 256 + 9 * 256 * 256),
        ("asymmetric", 5 * 96 * 96 + 5 * 96 * 256),
        ("bottleneck", 96 * 64 + 25 * 64 * 64 + 64 * 256),
    ],
)
def test_filters_of_conv2(filters, weights):
    model = AlexNet(**ALEXNETS["alexnet_ungrouped"], filters=filters)
    found = summarize(model, jnp.ones((1, 224, 224, 3)))
    outputs = {row.name: row.output for row in found.layers}
    rows = [row for row in found.layers if row.name.startswith("conv2")]
    biases = sum(row.output[-1] for row in rows)
    assert sum(row.parameters for row in rows) == weights + biases
    assert outputs["conv1"] == (55, 55, 96)  # stays whole
    assert rows[-1].output == (27, 27, 256)
    assert outputs["pool5"] == (6, 6, 256)


def one_line(model, size=224):
    with pytest.raises(InputError) as error:
        jax.eval_shape(model.init, jax.random.key(0), images(size, batch=1))
    (message,) = error.value.args
    assert "\n" not in message
    return message


def test_wrong_rows():
    stages = ALEXNETS["alexnet"]["stages"]
    assert "expected one for each of 5" in one_line(small("alexnet", schemes=("a",)))
    odd = ((*stages[0][:5], ("relu", "mean")), *stages[1:])
    assert "'mean'" in one_line(small("alexnet", stages=odd))
    assert "'none_such'" in one_line(small("alexnet", scheme="none_such"))
    assert "'none_such'" in one_line(small("alexnet", fc_scheme="none_such"))
    assert "'none_such'" in one_line(small("alexnet", filters="none_such"))


def test_rows_survive_json():
    def tuples(value):
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    for row in ALEXNETS.values():
        read = json.loads(json.dumps(row))
        fields = {key: tuples(value) for key, value in read.items()}
        assert fields == row
        hash(AlexNet(**fields))
