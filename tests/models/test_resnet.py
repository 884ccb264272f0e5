"""ResNets against counts, against NumPy, and against what the paper says of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jnets.errors import InputError
from jnets.layers import Policy, Unit
from jnets.models import MODELS, create
from jnets.models.resnet import Block, ResNet, subsample_and_pad
from jnets.models.stacking import stack
from tests.models.inception_numpy import draw, near, together
from tests.models.resnet_numpy import FACTS, V1, deep, found_layers, known_layers, trace

COUNTED = {
    "resnet18": ("resnet18", {}),
    "resnet34": ("resnet34", {}),
    "resnet18_optionA": ("resnet18_a", {}),
    "resnet34_optionA": ("resnet34_a", {}),
    "resnet34_optionC": ("resnet34_c", {}),
    "resnet50_v1_caffe_conv1bias": ("resnet50_caffe", {}),
}
for depth in (50, 101, 152):
    COUNTED[f"resnet{depth}_v1.5_torchvision"] = (f"resnet{depth}", {})
    COUNTED[f"resnet{depth}_v1_paper"] = (f"resnet{depth}_v1", {})
for depth in (20, 32, 44, 56, 110, 1202):
    for option in "AB":
        row = (f"cifar_resnet{depth}", {"shortcut": option})
        COUNTED[f"cifar_resnet{depth}_{option}"] = row
# Two stages of two blocks; 20 x 20 images give maps of 20 x 20 and 10 x 10.
SMALL = {"stem": "cifar", "blocks": (2, 2), "widths": (4, 6), "classes": 3}
IMAGES = jnp.asarray(np.random.default_rng(3).normal(size=(3, 20, 20, 3)), jnp.float32)
SHAPES = [("basic", "v1.5"), ("bottleneck", "v1"), ("bottleneck", "v1.5")]


def shapes(model, images=IMAGES):
    return jax.eval_shape(model.init, jax.random.key(0), images)


def test_every_count_that_is_known_is_here():
    known = {k for k in FACTS if "resnet" in k and "preact" not in k}
    assert set(COUNTED) == known


@pytest.mark.parametrize("fact", COUNTED)
def test_every_layer(fact):
    name, fields = COUNTED[fact]
    found = trace(name, stack_blocks=deep(name), **fields)
    assert (found.parameters, found.macs) == (
        FACTS[fact]["params"],
        FACTS[fact]["macs"],
    )
    if "1202" not in name:  # the facts have the sums alone
        expected = known_layers(FACTS[fact])
        assert found_layers(found, "{}_norm".format) == expected


@pytest.mark.parametrize(
    "plain, residual",
    [("plain18", "resnet18_a"), ("plain34", "resnet34_a")]
    + [(f"cifar_plain{n}", f"cifar_resnet{n}") for n in (20, 32, 44, 56)],
)
def test_plain_nets_have_the_layers_of_residual_ones(plain, residual):
    assert trace(plain).layers == trace(residual).layers


def test_resnet200_has_the_blocks_of_the_pre_activation_one():
    # Beside norms and shortcuts: 4 shortcut norms here, 1 + 66 - 1 - 66 norms there.
    here, there = (
        trace(n, stack_blocks=True) for n in ("resnet200", "preact_resnet200")
    )
    assert here.macs == there.macs == 15007481856
    weights = [
        sum(row.parameters for row in found.layers if row.kind in ("Conv", "Dense"))
        for found in (here, there)
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("block, version", SHAPES)
@pytest.mark.parametrize("train", [False, True])
def test_numpy_computes_the_same(block, version, shortcut, train):
    fields = {"block": block, "version": version, "shortcut": shortcut}
    model = ResNet(**SMALL, **fields)
    v = draw(shapes(model))
    apply = functools.partial(model.apply, train=train, mutable=["batch_stats"])
    y = jax.jit(apply)(v, IMAGES)[0]
    near(y, V1(model, v, train)(IMAGES))


@pytest.mark.parametrize("stem, size", [("imagenet", 40), ("caffe", 40), ("caffe", 37)])
def test_stems_of_large_images(stem, size):
    fields = {"blocks": (1, 1), "widths": (4, 6), "classes": 3}
    model = ResNet(stem=stem, conv1_bias=stem == "caffe", **fields)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, size, size, 3)))
    images = images.astype(jnp.float32)
    v = draw(shapes(model, images))
    near(jax.jit(model.apply)(v, images), V1(model, v)(images))
    assert ("bias" in v["params"]["conv1"]) == (stem == "caffe")


def test_shortcut_a_by_hand():
    x = jnp.arange(1.0, 25.0).reshape(1, 3, 4, 2)
    expected = [
        [[1, 2, 0, 0, 0], [5, 6, 0, 0, 0]],
        [[17, 18, 0, 0, 0], [21, 22, 0, 0, 0]],
    ]
    np.testing.assert_array_equal(subsample_and_pad(x, 2, 5), [expected])
    np.testing.assert_array_equal(subsample_and_pad(x, 1, 2), x)


def make_block(unit, **fields):
    values = {"kind": "bottleneck", "width": 3, "stride": 1, "version": "v1.5"}
    values |= {"shortcut": "B", "zero_last_scale": False}
    return Block(unit=unit, **{**values, **fields})


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_a_block_whose_last_scale_is_zero_is_its_shortcut(kind):
    out, last = {"basic": (3, "conv2_norm"), "bottleneck": (12, "conv3_norm")}[kind]
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 6, 6, out)), jnp.float32)

    def output(**fields):
        block = make_block(Unit(True), kind=kind, **fields)
        v = draw(jax.eval_shape(block.init, jax.random.key(0), x))
        v["params"][last] = {"scale": jnp.zeros(out), "bias": jnp.zeros(out)}
        return block.apply(v, x, mutable=["batch_stats"])[0]

    np.testing.assert_array_equal(output(), jnp.maximum(x, 0))
    halved = jnp.maximum(x[:, ::2, ::2], 0)
    np.testing.assert_array_equal(output(stride=2, shortcut="A"), halved)
    np.testing.assert_array_equal(output(shortcut="none"), jnp.zeros_like(x))


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize("zero", [False, True])
def test_only_the_last_scale_of_a_block_starts_at_zero(kind, zero):
    fields = {"blocks": (1,), "widths": (2,), "stem": "cifar", "block": kind}
    init = ResNet(zero_last_scale=zero, **fields).init
    v = jax.jit(init)(jax.random.key(0), IMAGES)
    last = {"basic": "block1/conv2_norm", "bottleneck": "block1/conv3_norm"}[kind]
    scales = {
        jax.tree_util.keystr(path[:-1], simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(v["params"])
        if path[-1].key == "scale"
    }
    assert len(scales) == {"basic": 3, "bottleneck": 5}[kind]
    for name, leaf in scales.items():
        assert np.all(leaf == (0 if zero and name.endswith(last) else 1)), name


@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_gradient_of_a_block(kind, shortcut, x64):
    unit = Unit(True, policy=Policy("float64", "float64", "float64"))
    block = make_block(unit, kind=kind, stride=2, shortcut=shortcut)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 5, 3)))
    v = draw(jax.eval_shape(block.init, jax.random.key(0), x))

    def f(params, x):
        v_ = {**v, "params": params}
        return block.apply(v_, x, mutable=["batch_stats"])[0]

    check_grads(jax.jit(f), (v["params"], x), order=1, modes=["rev"], eps=1e-6)


def test_batch_statistics_move():
    model = ResNet(**SMALL)
    v = draw(shapes(model))
    apply = functools.partial(model.apply, train=True, mutable=["batch_stats"])
    _, moved = jax.jit(apply)(v, IMAGES)
    old, new = (together(t["batch_stats"]) for t in (v, moved))
    assert old.shape == new.shape and np.all(old != new)
    conv1 = V1(model, v).conv(np.asarray(IMAGES, np.float64), "conv1")
    stats = moved["batch_stats"]["conv1_norm"]
    old = v["batch_stats"]["conv1_norm"]
    near(stats["mean"], 0.9 * old["mean"] + 0.1 * conv1.mean((0, 1, 2)))
    near(stats["var"], 0.9 * old["var"] + 0.1 * conv1.var((0, 1, 2), ddof=1))


@pytest.mark.parametrize(
    "fields", [{}, {"stack_blocks": True}, {"remat": True}], ids=str
)
def test_compiled_and_by_example(fields):
    model, v = ResNet(**SMALL, **fields), draw(shapes(ResNet(**SMALL)))
    v = stack(v) if "stack_blocks" in fields else v
    y = model.apply(v, IMAGES)
    near(jax.jit(model.apply)(v, IMAGES), y, 1e-6)
    each = jax.jit(jax.vmap(lambda x: model.apply(v, x[None])[0]))(IMAGES)
    near(each, y, 1e-6)


def test_bfloat16():
    narrow = ResNet(**SMALL, policy=Policy(compute="bfloat16"))
    v = draw(shapes(narrow))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(v)} == {"float32"}
    run = {"train": True, "mutable": ["batch_stats"]}
    y, moved = jax.jit(functools.partial(narrow.apply, **run))(v, IMAGES)
    wide = jax.jit(functools.partial(ResNet(**SMALL).apply, **run))(v, IMAGES)[0]
    assert y.dtype == jnp.float32
    assert {leaf.dtype.name for leaf in jax.tree.leaves(moved)} == {"float32"}
    assert 1e-4 < np.abs(y - wide).max() / np.abs(wide).max() < 0.05


@pytest.mark.parametrize("stacked", [False, True])
def test_remat_changes_neither_tree_nor_gradient(stacked):
    def gradient(remat):
        model = ResNet(**SMALL, remat=remat, stack_blocks=stacked)
        v = draw(shapes(ResNet(**SMALL)))
        v = stack(v) if stacked else v
        assert jax.tree.structure(v) == jax.tree.structure(shapes(model))

        def loss(params):
            v_ = {**v, "params": params}
            y, moved = model.apply(v_, IMAGES, train=True, mutable=["batch_stats"])
            return jnp.sum(jnp.sin(y)), moved

        again = "remat" in str(jax.make_jaxpr(loss)(v["params"]))
        assert again == remat
        return jax.jit(jax.grad(loss, has_aux=True))(v["params"])

    (g, moved), (g2, moved2) = gradient(False), gradient(True)
    assert jax.tree.structure(g) == jax.tree.structure(g2)
    near(together(g2), together(g), 1e-5)
    near(together(moved2), together(moved), 1e-6)


def test_initial_kernels():
    model = ResNet(blocks=(1,), widths=(128,), stem="cifar", block="basic", classes=90)
    params = jax.jit(model.init)(jax.random.key(0), IMAGES)["params"]
    for name in ("conv1", "conv2"):
        kernel = params["stage1"]["block1"][name]["kernel"]
        np.testing.assert_allclose(kernel.std(), (2 / (9 * 128)) ** 0.5, rtol=0.02)
    fc = params["fc"]["kernel"]
    assert 0.99 * 128**-0.5 < np.abs(fc).max() <= 128**-0.5
    again = ResNet(blocks=(1,), widths=(99,), stem="cifar", fc_scheme="normal_0.01")
    fc = jax.jit(again.init)(jax.random.key(0), IMAGES)["params"]["fc"]
    np.testing.assert_allclose(fc["kernel"].std(), 0.01, rtol=0.02)
    assert not fc["bias"].any()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"block": "wide"}, ["block='wide'", "bottleneck"]),
        ({"stem": "mnist"}, ["stem='mnist'", "cifar"]),
        ({"version": "v2"}, ["version='v2'", "v1.5"]),
        ({"shortcut": "D"}, ["shortcut='D'", "none"]),
        (
            {"blocks": (3, 4)},
            ["blocks=(3, 4)", "2 stages", "widths=(64, 128, 256, 512)"],
        ),
        ({"widths": (64, 8, 8, 8), "shortcut": "A"}, ["shortcut='A'", "224 of 256"]),
    ],
)
def test_what_makes_no_net_is_told(fields, words):
    with pytest.raises(InputError) as error:
        shapes(create("resnet50", **fields), jnp.ones((1, 64, 64, 3)))
    (message,) = error.value.args
    assert "\n" not in message and all(word in message for word in words), message


def test_every_model_of_the_family_is_counted_or_compared():
    names = {name for name, row in MODELS.items() if row.module is ResNet}
    plain = {name for name in names if "plain" in name}
    assert names - plain == {name for name, _ in COUNTED.values()} | {"resnet200"}
