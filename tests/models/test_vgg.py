"""VGG: counts by layer, a small one against NumPy, dense evaluation, filters."""

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
from jnets.layers import Conv, Dense, Policy
from jnets.models.vgg import CONFIGURATIONS, VGG, VGGS

FACTS = json.loads((Path(__file__).parent / "facts_convnets.json").read_text())
FACTS_OF = {
    "vgg11": "vgg11_A",
    "vgg11_lrn": "vgg11_A",
    "vgg13": "vgg13_B",
    "vgg16_c": "vgg16_C",
    "vgg16": "vgg16_D",
    "vgg19": "vgg19_E",
    "vgg11_bn": "vgg11_A_bn",
    "vgg13_bn": "vgg13_B_bn",
    "vgg16_c_bn": "vgg16_C_bn",
    "vgg16_bn": "vgg16_D_bn",
    "vgg19_bn": "vgg19_E_bn",
}
# 32 x 32 images give maps of 8 x 8.
SMALL = {"blocks": ((4,), (5, (6, 1))), "hidden": (7, 5), "classes": 3, "map_size": 8}


def test_every_variant_is_counted():
    assert set(FACTS_OF) == set(VGGS)


@functools.cache
def summary(name: str, filters: str = "full"):
    return summarize(VGG(**VGGS[name], filters=filters), jnp.ones((1, 224, 224, 3)))


@pytest.mark.parametrize("name", FACTS_OF)
def test_every_layer(name):
    found, fact = summary(name), FACTS[FACTS_OF[name]]
    assert (found.parameters, found.macs) == (fact["params"], fact["macs"])
    norms = {r.name: r.parameters for r in found.layers if r.kind == "BatchNorm"}
    kinds = ("BatchNorm", "LocalResponseNorm")
    rows = [
        {
            "name": row.name,
            "out_hwc": [1] * (3 - len(row.output)) + list(row.output),
            "params": row.parameters + norms.pop(f"{row.name}_norm", 0),
            "macs": row.macs,
        }
        for row in found.layers
        if row.kind not in kinds
    ]
    assert rows == fact["layers"] and not norms


def test_only_a_lrn_is_normalised_across_channels_and_once():
    for name in VGGS:
        kinds = [row.kind for row in summary(name).layers]
        assert kinds.count("LocalResponseNorm") == (name == "vgg11_lrn")
    assert summary("vgg11_lrn").layers[1].kind == "LocalResponseNorm"


@pytest.mark.parametrize(
    "filters, weights",
    [
        ("full", 9 * 256 * 256),
        ("stacked", 9 * 256 * 256),
        ("asymmetric", 6 * 256 * 256),
        ("bottleneck", 69_632),
    ],
)
def test_filters_of_conv3_2(filters, weights):
    rows = [r for r in summary("vgg16", filters).layers if r.name.startswith("conv3_2")]
    assert sum(r.parameters for r in rows) == weights + sum(r.output[-1] for r in rows)
    assert sum(r.macs for r in rows) == weights * 56 * 56
    assert rows[-1].output == (56, 56, 256)
    outputs = {r.name: r.output for r in summary("vgg16", filters).layers}
    assert outputs["conv1_1"] == (224, 224, 64)  # stays whole
    assert outputs["pool5"] == (7, 7, 512)


def images(height: int, width: int, batch: int = 2):
    rng = np.random.default_rng(height)
    x = rng.standard_normal((batch, height, width, 3))
    return jnp.asarray(x, jnp.float32)


@functools.cache
def variables(norm: bool = False):
    """Random; no bias, mean or scale has the value that it starts from."""
    model = VGG(**SMALL, norm=norm)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images(32, 32))
    rng = np.random.default_rng(1)

    def draw(leaf):
        if leaf.ndim == 1:
            return jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), jnp.float32)
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return jnp.asarray(scale * rng.standard_normal(leaf.shape), jnp.float32)

    return jax.tree.map(draw, shapes)


@functools.cache
def outputs():
    return jax.jit(VGG(**SMALL).apply)(variables(), images(32, 32))


def convolve(x, kernel):
    kernel, pad = np.asarray(kernel, np.float64), kernel.shape[0] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel, optimize=True)


def pool(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def across(x):
    squares = np.pad(x**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    energy = sliding_window_view(squares, 5, axis=-1).sum(-1)
    return x / (2 + 1e-4 * energy) ** 0.75


def forward(v, x, lrn):
    x = np.asarray(x, np.float64)
    for name in ("conv1_1", "pool", "conv2_1", "conv2_2", "pool"):
        if name == "pool":
            x = pool(x)
            continue
        layer = v["params"][name]
        x = convolve(x, layer["kernel"]) + np.asarray(layer["bias"])
        if "batch_stats" in v:
            norm = {k: np.asarray(a) for k, a in v["params"][f"{name}_norm"].items()}
            stats = {
                k: np.asarray(a) for k, a in v["batch_stats"][f"{name}_norm"].items()
            }
            x = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
            x = norm["scale"] * x + norm["bias"]
        x = np.maximum(x, 0)
        if lrn and name == "conv1_1":
            x = across(x)
    x = x.reshape(len(x), -1)
    for name in ("fc6", "fc7", "fc8"):
        layer = v["params"][name]
        x = x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
        x = x if name == "fc8" else np.maximum(x, 0)
    return x


@pytest.mark.parametrize("fields", [{}, {"norm": True}, {"lrn": True}], ids=str)
def test_against_numpy(fields):
    v, x = variables(fields.get("norm", False)), 30 * images(32, 32)
    found = jax.jit(VGG(**SMALL, **fields).apply)(v, x)
    expected = forward(v, x, fields.get("lrn", False))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_training_moves_the_batch_statistics_and_drops():
    model, v, x = VGG(**SMALL, norm=True), variables(True), images(32, 32)
    rngs = {"dropout": jax.random.key(3)}

    def train(model):
        step = functools.partial(model.apply, train=True, mutable=["batch_stats"])
        return jax.jit(step)(v, x, rngs=rngs)

    _, moved = train(model)
    _, same = train(model.clone(remat=True))
    for path, leaf in jax.tree_util.tree_leaves_with_path(moved):
        old = functools.reduce(lambda tree, key: tree[key.key], path, v)
        assert np.all(leaf != old), path
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), moved, same
    )


def test_jit_is_eager_and_vmap_is_the_batch():
    model, v, x = VGG(**SMALL), variables(), images(32, 32)
    np.testing.assert_allclose(model.apply(v, x), outputs(), rtol=1e-5, atol=1e-5)
    each = jax.jit(jax.vmap(lambda one: model.apply(v, one[None])[0]))(x)
    np.testing.assert_allclose(each, outputs(), rtol=1e-5, atol=1e-5)


def test_mixed_precision():
    model = VGG(**SMALL, policy=Policy(compute="bfloat16"))
    narrow = jax.jit(model.apply)(variables(), images(32, 32))
    assert narrow.dtype == jnp.float32
    error = np.abs(np.asarray(narrow - outputs())).max() / np.abs(outputs()).max()
    assert 1e-5 < error < 0.03


def test_dense_has_the_same_parameters_and_native_result():
    dense, x = VGG(**SMALL, dense=True), images(32, 32)
    shapes = jax.eval_shape(dense.init, jax.random.key(0), images(48, 64))
    assert shapes == jax.eval_shape(VGG(**SMALL).init, jax.random.key(0), x)
    found = jax.jit(dense.apply)(variables(), x)
    np.testing.assert_allclose(found, outputs(), rtol=1e-4, atol=1e-5)
    sizes = jax.eval_shape(
        VGG(**VGGS["vgg16"], dense=True).init, jax.random.key(0), images(256, 384, 1)
    )
    assert sizes["params"]["fc6"]["kernel"].shape == (25_088, 4096)


def test_dense_scores_of_a_larger_image_are_averaged_over_its_pieces():
    """Against the fully connected layers on each 8 x 8 piece of the whole last map."""
    x, v = images(36, 40), variables()
    dense = VGG(**SMALL, dense=True)
    found, state = dense.apply(v, x, capture_intermediates=True)
    (last,) = state["intermediates"]["pool2"]["__call__"]
    (scores,) = state["intermediates"]["fc8"]["__call__"]
    assert last.shape == (2, 9, 10, 6) and scores.shape == (2, 2, 3, 3)
    for i in range(2):
        for j in range(3):
            piece = np.asarray(last[:, i : i + 8, j : j + 8], np.float64)
            y = piece.reshape(2, -1)
            for name in ("fc6", "fc7", "fc8"):
                layer = v["params"][name]
                y = y @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
                y = y if name == "fc8" else np.maximum(y, 0)
            np.testing.assert_allclose(scores[:, i, j], y, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found, scores.mean((1, 2)), rtol=1e-5, atol=1e-5)


def checkpoints(jaxpr) -> int:
    found = 0
    for equation in jaxpr.eqns:
        found += "remat" in equation.primitive.name
        found += sum(map(checkpoints, jaxprs_in_params(equation.params)))
    return found


@pytest.mark.parametrize("norm", [False, True])
def test_remat_changes_neither_parameters_nor_gradients(norm):
    v, x = variables(norm), images(32, 32)

    def gradients(model):
        def loss(params):
            y, _ = model.apply(
                {**v, "params": params},
                x,
                train=True,
                rngs={"dropout": jax.random.key(4)},
                mutable=["batch_stats"],
            )
            return jnp.sum(jnp.square(y))

        count = checkpoints(jax.make_jaxpr(loss)(v["params"]).jaxpr)
        return count, jax.jit(jax.grad(loss))(v["params"])

    plain, again = VGG(**SMALL, norm=norm), VGG(**SMALL, norm=norm, remat=True)
    shapes = [jax.eval_shape(m.init, jax.random.key(0), x) for m in (plain, again)]
    assert shapes[0] == shapes[1]
    (none, expected), (blocks, found) = gradients(plain), gradients(again)
    assert (none, blocks) == (0, 2)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        found,
        expected,
    )


STARTS = {  # the convolutions' and the fully connected layers'
    "vgg11": ("glorot_normal", "glorot_normal"),
    "vgg11_lrn": ("glorot_normal", "glorot_normal"),
    "vgg13": ("glorot_normal", "glorot_normal"),
    "vgg16_c": ("glorot_normal", "glorot_normal"),
    "vgg16": ("glorot_normal", "glorot_normal"),
    "vgg19": ("glorot_normal", "glorot_normal"),
    "vgg11_bn": ("he_normal_fan_out", "normal_0.01"),
    "vgg13_bn": ("he_normal_fan_out", "normal_0.01"),
    "vgg16_c_bn": ("he_normal_fan_out", "normal_0.01"),
    "vgg16_bn": ("he_normal_fan_out", "normal_0.01"),
    "vgg19_bn": ("he_normal_fan_out", "normal_0.01"),
}


@pytest.mark.parametrize("name", VGGS)
def test_where_training_starts(name):
    found = {"conv": set(), "fc": set()}

    def listen(next_call, args, kwargs, context):
        if isinstance(context.module, Conv | Dense):
            found[context.module.name[:-1].rstrip("0123456789_")].add(
                context.module.scheme
            )
        return next_call(*args, **kwargs)

    model = VGG(**{**VGGS[name], **SMALL})
    with nn.intercept_methods(listen):
        jax.eval_shape(model.init, jax.random.key(0), images(32, 32))
    conv, fc = STARTS[name]
    assert found == {"conv": {conv}, "fc": {fc}}


@pytest.mark.parametrize("field", ["scheme", "fc_scheme", "filters"])
def test_an_unknown_choice_is_named(field):
    model = VGG(**SMALL, **{field: "none_such"})
    with pytest.raises(InputError, match="='none_such' is unknown") as error:
        jax.eval_shape(model.init, jax.random.key(0), images(32, 32))
    assert "\n" not in error.value.args[0]


def test_rows_survive_json():
    def tuples(value):
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    for row in VGGS.values():
        read = json.loads(json.dumps(row))
        fields = {key: tuples(value) for key, value in read.items()}
        assert fields == row
        hash(VGG(**fields))


def test_weight_layers_are_what_the_names_say():
    layers = {"A": 11, "B": 13, "C": 16, "D": 16, "E": 19}
    for key, blocks in CONFIGURATIONS.items():
        assert sum(map(len, blocks)) + 3 == layers[key]
