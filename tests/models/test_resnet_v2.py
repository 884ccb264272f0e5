"""Pre-activation ResNets against counts, NumPy, and the paper's backward equation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jnets.errors import InputError
from jnets.layers import Policy
from jnets.models import MODELS, create
from jnets.models.resnet_v2 import Parts, PreActBlock, PreActResNet, PreActStage
from jnets.models.stacking import stack
from tests.models.inception_numpy import draw, near, together
from tests.models.resnet_numpy import FACTS, V2, deep, found_layers, known_layers, trace

COUNTED = {f"preact_resnet{d}": f"preact_resnet{d}_fb" for d in (18, 34, 50, 101, 152)}
COUNTED["preact_resnet200"] = "preact_resnet200_fb"
COUNTED |= {f"cifar_preact_resnet{depth}": None for depth in (164, 1001)}
SMALL = {"stem": "cifar", "blocks": (2, 2), "widths": (4, 6), "classes": 3}
IMAGES = jnp.asarray(np.random.default_rng(3).normal(size=(3, 20, 20, 3)), jnp.float32)
SHAPES = [("basic", "v1.5"), ("bottleneck", "v1"), ("bottleneck", "v1.5")]
FLOAT64 = Policy("float64", "float64", "float64")


def shapes(model, images=IMAGES):
    return jax.eval_shape(model.init, jax.random.key(0), images)


def norm_behind(name):
    """norm2 is behind conv1; nothing is behind the last convolution of a block."""
    place, _, layer = name.rpartition("/")
    if not place:
        return "conv1_norm"
    number = int(layer[-1]) + 1 if layer != "shortcut" else 0
    return f"{place}/norm{number}"


def test_every_count_that_is_known_is_here():
    known = {k for k in FACTS if "preact" in k}
    assert {fact or name for name, fact in COUNTED.items()} == known
    assert set(COUNTED) == {
        n for n, row in MODELS.items() if row.module is PreActResNet
    }


@pytest.mark.parametrize("name", COUNTED)
def test_every_layer(name):
    fact = FACTS[COUNTED[name] or name]
    found = trace(name, stack_blocks=deep(name))
    assert (found.parameters, found.macs) == (fact["params"], fact["macs"])
    if name != "cifar_preact_resnet1001":  # the facts have the sums alone
        assert found_layers(found, norm_behind) == known_layers(fact)


@pytest.mark.parametrize("block, version", SHAPES)
@pytest.mark.parametrize("train", [False, True])
def test_numpy_computes_the_same(block, version, train):
    model = PreActResNet(**SMALL, block=block, version=version)
    v = draw(shapes(model))
    apply = functools.partial(model.apply, train=train, mutable=["batch_stats"])
    near(jax.jit(apply)(v, IMAGES)[0], V2(model, v, train)(IMAGES))


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_the_first_block_after_the_large_stem_starts_with_its_convolution(block):
    fields = {"block": block, "blocks": (2, 1), "widths": (4, 6), "classes": 3}
    model = PreActResNet(**fields)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 40, 40, 3)))
    v = draw(shapes(model, images.astype(jnp.float32)))
    near(jax.jit(model.apply)(v, images.astype(jnp.float32)), V2(model, v)(images))
    first, second = (v["params"]["stage1"][f"block{i}"] for i in (1, 2))
    assert "norm1" not in first and "norm1" in second
    # A shortcut is needed where the channels change: 4 to 16 in a bottleneck.
    assert ("shortcut" in first) == (block == "bottleneck")


def noise(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def make_stage(count, kind, train=True):
    return PreActStage(
        count=count,
        kind=kind,
        width=3,
        stride=1,
        version="v1",
        norm_first=True,
        parts=Parts(train, "he_normal", FLOAT64),
        stacked=False,
        remat=False,
    )


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_the_gradient_of_the_output_reaches_every_block_whole(kind, train, x64):
    """x_L = x_l + sum F and dL/dx_l = dL/dx_L (1 + d/dx_l sum F); equations 4 and 5."""
    stage = make_stage(4, kind, train)
    out = {"basic": 3, "bottleneck": 12}[kind]
    x, g = (noise(i, (2, 5, 5, out)) for i in (1, 2))
    v = draw(jax.eval_shape(stage.init, jax.random.key(0), x))
    last = {"basic": "conv2", "bottleneck": "conv3"}[kind]

    def branches(x):
        _, seen = stage.apply(
            v,
            x,
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=lambda module, _: module.name == last,
        )
        found = [b[last]["__call__"][0] for b in seen["intermediates"].values()]
        assert len(found) == 4
        return sum(found)

    def output(x):
        return stage.apply(v, x, mutable=["batch_stats"])[0]

    y, back = jax.vjp(jax.jit(output), x)
    total, back_through_branches = jax.vjp(jax.jit(branches), x)
    near(y, x + total, 1e-13)
    near(back(g)[0], g + back_through_branches(g)[0], 1e-13)
    assert np.abs(back_through_branches(g)[0]).max() > 0.1


def test_through_blocks_that_add_nothing_a_gradient_passes_unchanged(x64):
    stage = make_stage(9, "basic")
    x, g = (noise(i, (1, 3, 3, 3)) for i in (1, 2))
    v = draw(jax.eval_shape(stage.init, jax.random.key(0), x))
    for block in v["params"].values():
        block["conv2"]["kernel"] *= 0

    def output(x):
        return stage.apply(v, x, mutable=["batch_stats"])[0]

    y, back = jax.vjp(jax.jit(output), x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(back(g)[0], g)


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_gradient_of_a_block(kind, x64):
    block = PreActBlock(
        kind=kind,
        width=3,
        stride=2,
        version="v1.5",
        norm_first=True,
        parts=Parts(True, "he_normal", FLOAT64),
    )
    x = noise(1, (2, 5, 5, 2))
    v = draw(jax.eval_shape(block.init, jax.random.key(0), x))

    def f(params, x):
        return block.apply({**v, "params": params}, x, mutable=["batch_stats"])[0]

    check_grads(jax.jit(f), (v["params"], x), order=1, modes=["rev"], eps=1e-6)


@pytest.mark.parametrize(
    "fields", [{}, {"stack_blocks": True}, {"remat": True}], ids=str
)
def test_compiled_and_by_example(fields):
    model, v = PreActResNet(**SMALL, **fields), draw(shapes(PreActResNet(**SMALL)))
    v = stack(v) if "stack_blocks" in fields else v
    y = model.apply(v, IMAGES)
    near(jax.jit(model.apply)(v, IMAGES), y, 1e-6)
    each = jax.jit(jax.vmap(lambda x: model.apply(v, x[None])[0]))(IMAGES)
    near(each, y, 1e-6)


def test_bfloat16():
    narrow = PreActResNet(**SMALL, policy=Policy(compute="bfloat16"))
    v = draw(shapes(narrow))
    run = {"train": True, "mutable": ["batch_stats"]}
    y, moved = jax.jit(functools.partial(narrow.apply, **run))(v, IMAGES)
    wide = jax.jit(functools.partial(PreActResNet(**SMALL).apply, **run))(v, IMAGES)[0]
    assert y.dtype == jnp.float32
    assert {leaf.dtype.name for leaf in jax.tree.leaves((v, moved))} == {"float32"}
    assert 1e-4 < np.abs(y - wide).max() / np.abs(wide).max() < 0.05


def test_remat_changes_neither_tree_nor_gradient():
    def gradient(remat):
        model = PreActResNet(**SMALL, remat=remat)
        v = draw(shapes(model))

        def loss(params):
            v_ = {**v, "params": params}
            y, moved = model.apply(v_, IMAGES, train=True, mutable=["batch_stats"])
            return jnp.sum(jnp.sin(y)), moved

        assert ("remat" in str(jax.make_jaxpr(loss)(v["params"]))) == remat
        return jax.jit(jax.grad(loss, has_aux=True))(v["params"])

    (g, moved), (g2, moved2) = gradient(False), gradient(True)
    assert jax.tree.structure(g) == jax.tree.structure(g2)
    near(together(g2), together(g), 1e-5)
    near(together(moved2), together(moved), 1e-6)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"block": "wide"}, ["block='wide'", "bottleneck"]),
        ({"stem": "caffe"}, ["stem='caffe'", "cifar"]),
        ({"version": "v2"}, ["version='v2'", "v1.5"]),
        ({"widths": (3,)}, ["4 stages", "widths=(3,)"]),
    ],
)
def test_what_makes_no_net_is_told(fields, words):
    with pytest.raises(InputError) as error:
        shapes(create("preact_resnet50", **fields), jnp.ones((1, 64, 64, 3)))
    (message,) = error.value.args
    assert "\n" not in message and all(word in message for word in words), message
