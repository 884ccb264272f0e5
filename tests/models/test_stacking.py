"""Stacks of blocks: their trees, and that they compute what single blocks compute."""

import functools

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.errors import InputError
from jnets.layers import Policy
from jnets.models import MODELS, create, example_inputs, stacking
from jnets.models.resnet import ResNet
from jnets.models.resnet_v2 import PreActResNet
from jnets.models.stacking import stack, unstack
from jnets.training import create_state, make_step
from jnets.training.descent import Descent
from jnets.training.program import Batch
from tests.models.inception_numpy import draw, near, together

STACKED = [n for n, row in MODELS.items() if row.module in (ResNet, PreActResNet)]
SMALL = {"stem": "cifar", "blocks": (3, 1), "widths": (2, 3), "classes": 3}
IMAGES = jnp.asarray(np.random.default_rng(3).normal(size=(4, 12, 12, 3)), jnp.float32)
FLOAT64 = Policy("float64", "float64", "float64")
NETS = {
    "basic-A": (ResNet, {"block": "basic", "shortcut": "A"}),
    "bottleneck-B": (ResNet, {"shortcut": "B"}),
    "basic-C": (ResNet, {"block": "basic", "shortcut": "C"}),
    "bottleneck-none": (ResNet, {"shortcut": "none", "version": "v1"}),
    "preact": (PreActResNet, {}),
    "preact-basic": (PreActResNet, {"block": "basic"}),
}


def shapes(model, images=IMAGES):
    return jax.eval_shape(model.init, jax.random.key(0), images)


def same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        assert isinstance(x, np.ndarray) == isinstance(y, np.ndarray)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.mark.parametrize("name", ["resnet152", "resnet34_c", "preact_resnet50"])
def test_trees_of_large_models(name):
    images = example_inputs(name)[0]
    flat, stacked = (
        shapes(create(name, stack_blocks=choice), images) for choice in (False, True)
    )
    assert jax.eval_shape(stack, flat) == stacked
    assert jax.eval_shape(unstack, stacked) == flat


@pytest.mark.parametrize("name", STACKED)
def test_blocks_of_a_stage_are_one_stack(name):
    model = create(name, stack_blocks=True)
    params = shapes(model, example_inputs(name)[0])["params"]
    for s, count in enumerate(model.blocks, start=1):
        leaves = jax.tree.leaves(params[f"stage{s}"]["rest"])
        assert {leaf.shape[0] for leaf in leaves} == {count - 1}


@st.composite
def trees(draw_):
    """A few stages of like blocks, beside other layers."""
    rng = np.random.default_rng(draw_(st.integers(0, 2**32)))
    dtypes = st.sampled_from(["float64", "float32", "int8", "complex64"])
    sizes = st.lists(st.integers(0, 3), max_size=2)
    kinds = draw_(st.dictionaries(st.text("ab/", min_size=1), st.tuples(sizes, dtypes)))
    stages = draw_(st.lists(st.integers(1, 12), min_size=1, max_size=3))

    def block():
        return {
            "layer": {k: rng.normal(size=s).astype(d) for k, (s, d) in kinds.items()},
            "scale": rng.normal(size=2),
        }

    tree = {
        f"stage{s}": {f"block{b}": block() for b in range(1, count + 1)}
        for s, count in enumerate(stages, start=1)
    }
    tree["stage1"]["block1"]["shortcut"] = rng.normal(size=3)
    return {"conv1": {"kernel": rng.normal(size=(3, 3))}, **tree}, stages


@settings(deadline=None, max_examples=50)
@given(trees())
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_there_and_back_keeps_every_bit(drawn):
    tree, stages = drawn
    stacked = stack(tree)
    for s, count in enumerate(stages, start=1):
        stage = stacked[f"stage{s}"]
        assert set(stage) == ({"block1", "rest"} if count > 1 else {"block1"})
        for b in range(2, count + 1):
            last = stage["rest"]["scale"][b - 2]
            assert np.array_equal(last, tree[f"stage{s}"][f"block{b}"]["scale"])
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(stacked))
    same_bits(unstack(stacked), tree)
    same_bits(stack(unstack(stacked)), stacked)


def test_any_tree_shaped_like_the_parameters():
    v = draw(shapes(ResNet(**SMALL)))
    narrow = jax.tree.map(lambda a: a.astype(jnp.bfloat16), v)
    same_bits(unstack(stack(narrow)), narrow)
    for form in (stack, jax.jit(stack)):
        stacked = form(v)
        assert set(stacked) == {"params", "batch_stats"}
        same_bits(stacked["params"], stack(v["params"]))
        same_bits(stacked["batch_stats"], stack(v["batch_stats"]))
        same_bits(unstack(stacked), v)
    optimizer = optax.sgd(optax.constant_schedule(0.1), momentum=0.9)
    flat, other = (optimizer.init(p) for p in (v["params"], stack(v["params"])))
    same_bits(stack(flat), other)
    same_bits(unstack(other), flat)
    assert stack({}) == {} and unstack(()) == ()


def leaf(*shape):
    return {"scale": np.zeros(shape)}


@pytest.mark.parametrize(
    "change, tree, words",
    [
        (stack, {"fc": leaf(1)}, ["['fc']", "block1, block2"]),
        (stack, {"s": {"block1": leaf(1), "rest": leaf(2, 1)}}, ["s ", "already"]),
        (
            stack,
            {"s": {"block1": leaf(1), "block3": leaf(1)}},
            ["s ", "[1, 3]", "1 to 2"],
        ),
        (
            stack,
            {"a": {"s": {"block1": leaf(1), "block2": leaf(1), "block3": leaf(2)}}},
            ["a/s/block3", "block2"],
        ),
        (
            stack,
            {
                "s": {
                    "block1": leaf(1),
                    "block2": leaf(1),
                    "block3": {"bias": np.ones(1)},
                }
            },
            ["s/block3", "block2"],
        ),
        (unstack, {"fc": leaf(1)}, ["['fc']", "block1 and rest"]),
        (
            unstack,
            {"s": {"block1": leaf(1), "block2": leaf(1)}},
            ["s ", "['block1', 'block2']", "rest"],
        ),
        (
            unstack,
            {"s": {"block1": leaf(1), "block2": leaf(1), "rest": leaf(1, 1)}},
            ["s ", "block2"],
        ),
        (unstack, {"s": {"rest": leaf(2, 1)}}, ["s ", "['rest']", "block1"]),
        (unstack, {"s": {"block1": leaf(1), "rest": leaf()}}, ["s/rest", "[0]"]),
        (
            unstack,
            {"s": {"block1": leaf(1), "rest": {"a": np.ones(2), "b": np.ones(3)}}},
            ["s/rest", "[2, 3]"],
        ),
    ],
)
def test_trees_that_do_not_fit(change, tree, words):
    with pytest.raises(InputError) as error:
        change(tree)
    (message,) = error.value.args
    assert "\n" not in message and all(word in message for word in words), message


def quickly(function):
    """Compiled without LLVM's optimisations, which would take most of the time."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@pytest.mark.parametrize(
    "net, remat, unrolled",
    [(net, False, 0) for net in NETS]
    + [("bottleneck-B", True, 0), ("bottleneck-B", False, 4), ("preact", True, 0)],
)
def test_the_same_outputs_gradients_and_statistics(
    net, remat, unrolled, monkeypatch, x64
):
    """To 1e-12 of the largest value in float64: only the order of sums differs."""
    monkeypatch.setattr(stacking, "UNROLLED", unrolled)
    module, fields = NETS[net]
    make = functools.partial(module, policy=FLOAT64, **SMALL, **fields)
    flat, stacked = make(), make(stack_blocks=True, remat=remat)
    v, x = draw(shapes(flat)), jnp.asarray(IMAGES, jnp.float64)

    def loss(model):
        def f(v, x):
            y, moved = model.apply(v, x, train=True, mutable=["batch_stats"])
            return jnp.sum(jnp.sin(y)), (y, moved)

        return quickly(jax.grad(f, argnums=(0, 1), has_aux=True))

    (g, gx), (y, moved) = loss(flat)(v, x)
    (g2, gx2), (y2, moved2) = loss(stacked)(stack(v), x)
    near(y2, y, 1e-12)
    near(gx2, gx, 1e-12)
    for a, b in ((g, g2), (moved, moved2)):
        near(together(unstack(b)), together(a), 1e-12)
    near(quickly(stacked.apply)(stack(v), x), quickly(flat.apply)(v, x), 1e-12)


@pytest.mark.parametrize(
    "compute, chunks, tolerance",
    [("float32", 2, 1e-5), ("bfloat16", 1, 2e-2)],
)
def test_training_is_the_same(compute, chunks, tolerance):
    """Three updates with momentum, to `tolerance` times the largest value."""
    loss = optax.softmax_cross_entropy_with_integer_labels
    optimizer = optax.sgd(0.01, momentum=0.9)
    batch = Batch((IMAGES,), jnp.array([0, 1, 2, 0]), jnp.ones(4))
    fields = SMALL | {"block": "basic", "policy": Policy(compute=compute)}
    v = draw(shapes(ResNet(**fields)))

    def train(stacked):
        model = ResNet(**fields, stack_blocks=stacked)
        start = stack(v) if stacked else v
        state = create_state(model, (), optimizer, variables=start)
        step = quickly(make_step(model, loss, optimizer, Descent(4, chunks)))
        for _ in range(3):
            state, metrics = step(state, batch)
        assert metrics["finite"]
        trees = state.params, state.batch_stats, optax.tree.get(state, "trace")
        return [unstack(t) if stacked else t for t in trees]

    for flat, other in zip(train(False), train(True), strict=True):
        assert jax.tree.structure(flat) == jax.tree.structure(other)
        near(together(other), together(flat), tolerance)


def test_every_block_of_a_stack_is_drawn_by_itself_with_its_own_fans():
    model = ResNet(
        blocks=(4,), widths=(64,), stem="cifar", block="basic", stack_blocks=True
    )
    params = jax.jit(model.init)(jax.random.key(0), IMAGES)["params"]
    kernels = params["stage1"]["rest"]["conv1"]["kernel"]
    assert kernels.shape == (3, 3, 3, 64, 64)
    # 36,864 draws a block: the standard deviation is known to 0.4%, the mean likewise.
    std = (2 / (9 * 64)) ** 0.5
    np.testing.assert_allclose(kernels.std((1, 2, 3, 4)), std, rtol=0.02)
    np.testing.assert_allclose(kernels.mean((1, 2, 3, 4)) / std, 0, atol=0.02)
    flat = np.asarray(kernels).reshape(3, -1)
    np.testing.assert_allclose(np.corrcoef(flat), np.eye(3), atol=0.03)


def equations(jaxpr):
    inner = jax.extend.core.jaxprs_in_params
    return sum(1 + sum(map(equations, inner(e.params))) for e in jaxpr.eqns)


def test_the_program_does_not_grow_with_depth():
    def program(count, stacked):
        model = ResNet(**{**SMALL, "blocks": (count,) * 2}, stack_blocks=stacked)
        v = shapes(model)

        def f(params):
            v_ = {**v, "params": params}
            return model.apply(v_, IMAGES, train=True, mutable=["batch_stats"])[0].sum()

        v = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), v)
        return equations(jax.make_jaxpr(jax.grad(f))(v["params"]).jaxpr)

    assert program(7, True) == program(9, True) < 0.5 * program(9, False)
