"""Inception-v3 against counts, against NumPy, and what training adds to it."""

import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import ScopeParamNotFoundError

from jnets.errors import InputError
from jnets.inspect import summarize
from jnets.layers import Policy, Unit
from jnets.models import inception_v3
from jnets.models.inception_v3 import Head, InceptionV3, Mixed
from jnets.models.inception_v3_blocks import MIXED, STEM, Pooling, Row
from tests.models import inception_numpy
from tests.models.inception_numpy import BLOCKS, draw, near, together, windows

FACTS = json.loads((Path(__file__).parent / "facts_convnets.json").read_text())
NAMES = {
    **{"1a": "conv1a_3x3", "2a": "conv2a_3x3", "2b": "conv2b_3x3", "p1": "pool1"},
    **{"3b": "conv3b_1x1", "4a": "conv4a_3x3", "p2": "pool2", "gap": "pool"},
}


def shapes(model, *size: int, **options):
    """The tree of variables as shapes; nothing is computed."""
    x = jnp.ones((1, *size, 3))
    return jax.eval_shape(lambda k: model.init(k, x, **options), jax.random.key(0))


def noise(*shape):
    return jnp.asarray(np.random.default_rng(1).standard_normal(shape), "float32")


@pytest.mark.parametrize(
    "key, aux", [("inception_v3_main", False), ("inception_v3_with_aux_params", True)]
)
def test_outputs_parameters_and_multiplications_of_every_layer(key, aux):
    model, facts = InceptionV3(aux=aux), FACTS[key]
    summary = summarize(model, jnp.ones((1, 299, 299, 3)))
    seen = shapes(model, 299, 299, capture_intermediates=True)["intermediates"]
    counts: dict[str, tuple[int, int]] = {}
    for layer in summary.layers:
        name = layer.name.split("/")[0].removesuffix("_norm")
        params, macs = counts.get(name, (0, 0))
        counts[name] = params + layer.parameters, macs + layer.macs
    # The head's own: 768 -> 128 at 5 x 5, 5 x 5 on that -> 768 at 1 x 1, 768 -> 1000.
    head = 768 * 128 * 25 + 25 * 128 * 768 + 768 * 1000 if aux else 0
    assert summary.parameters == facts["params"]
    assert summary.macs == facts["macs"] + head
    for row in facts["layers"]:
        name = NAMES.get(row["name"], row["name"])
        name = f"mixed_{name}" if f"mixed_{name}" in counts else name
        macs = head if name == "aux" else row["macs"]
        assert counts.pop(name) == (row["params"], macs), name
        *positions, maps = seen[name]["__call__"][0].shape[1:]
        assert [*(positions or (1, 1)), maps] == row["out_hwc"], name
    assert not counts


UNIT = Unit(train=False, eps=1e-3)


@pytest.mark.parametrize("name", ["5b", "6a", "6b", "7a", "7b"])
def test_blocks_are_the_figures_in_numpy(name):
    """Maps are 7 high and 9 wide: 1 x n is not n x 1."""
    block, x = Mixed(MIXED[name], UNIT), noise(2, 7, 9, 6)
    variables = draw(jax.eval_shape(block.init, jax.random.key(0), x))
    net = inception_numpy.InceptionV3(variables)
    expected = np.concatenate(BLOCKS[name](net, np.asarray(x, np.float64)), -1)
    assert net.left == set()
    near(jax.jit(block.apply)(variables, x), expected)


def row_kernels(steps):
    """Kernels of a table, in order, by name."""
    for step in steps:
        if isinstance(step, Row):
            yield step.name, step.kernel
        elif not isinstance(step, Pooling):
            for branch in step:
                yield from row_kernels(branch)


def test_long_filters_come_in_torchvisions_order():
    """Wide is (1, 7): the shapes of two such pairs are alike once features are."""
    wide, high = (1, 7), (7, 1)
    for name in ("6b", "6c", "6d", "6e"):
        kernels = dict(row_kernels((MIXED[name],)))
        long = [kernels[f"branch7x7_{i}"] for i in (2, 3)]
        assert long == [wide, high]
        long = [kernels[f"branch7x7dbl_{i}"] for i in (2, 3, 4, 5)]
        assert long == [high, wide, high, wide]
    kernels = dict(row_kernels((MIXED["7a"],)))
    assert [kernels[f"branch7x7x3_{i}"] for i in (2, 3)] == [wide, high]
    for name in ("7b", "7c"):
        kernels = dict(row_kernels((MIXED[name],)))
        assert kernels["branch3x3_2a"] == kernels["branch3x3dbl_3a"] == (1, 3)
        assert kernels["branch3x3_2b"] == kernels["branch3x3dbl_3b"] == (3, 1)


def test_the_net_is_torchvisions_in_numpy():
    model = InceptionV3(classes=10, aux=False)
    variables, x = draw(shapes(model, 75, 75)), noise(2, 75, 75, 3)
    near(jax.jit(model.apply)(variables, x), inception_numpy.inception_v3(variables, x))


def test_the_head_in_numpy():
    """At 17 x 19 the second convolution has more than one output position."""
    head = Head(10, "normal_0.01", "normal_0.001", UNIT)
    x = noise(2, 17, 20, 6)
    variables = draw(jax.eval_shape(head.init, jax.random.key(0), x))
    net = inception_numpy.InceptionV3(variables)
    y = windows(np.asarray(x, np.float64), (5, 5), 3, (0, 0)).mean((-1, -2))
    y = net(net(y, "conv0"), "conv1", same=False)
    assert y.shape == (2, 1, 2, 768)
    fc = net.params["fc"]
    expected = y.mean((1, 2)) @ fc["kernel"] + fc["bias"]
    near(jax.jit(head.apply)(variables, x), expected)


@pytest.fixture
def short(monkeypatch):
    """One convolution and three blocks of few features: the same wiring, quick."""

    def thin(step):
        if isinstance(step, Row):
            return step._replace(features=4)
        return step if isinstance(step, Pooling) else tuple(map(thin, step))

    rows = {name: thin(MIXED[name]) for name in ("5b", "6e", "7a", "7b")}
    monkeypatch.setattr(inception_v3, "MIXED", rows)
    monkeypatch.setattr(inception_v3, "STEM", thin(STEM[:1]))


SIZE = 35, 35  # 17 x 17 maps under the head


def test_parameters_are_the_same_however_they_are_made(short):
    model = InceptionV3()
    tree = shapes(model, *SIZE)
    assert set(tree["params"]["aux"]) >= {"conv0", "conv1", "fc"}
    assert shapes(model, *SIZE, train=True) == tree
    assert shapes(model.copy(remat=True), *SIZE) == tree
    del tree["params"]["aux"], tree["batch_stats"]["aux"]
    assert shapes(model.copy(aux=False), *SIZE) == tree


def test_use_needs_no_head(short):
    model = InceptionV3(classes=10)
    variables, x = draw(shapes(model, *SIZE)), noise(2, *SIZE, 3)
    logits = model.apply(variables, x)
    assert logits.shape == (2, 10)
    without = {k: dict(v) for k, v in variables.items()}
    del without["params"]["aux"], without["batch_stats"]["aux"]
    near(jax.jit(model.apply)(without, x), logits, 1e-6)

    def trained(model):
        rngs = {"dropout": jax.random.key(0)}
        state = {"mutable": ["batch_stats"]}
        return model.apply(without, x, train=True, rngs=rngs, **state)[0]

    assert jax.eval_shape(lambda: trained(model.copy(aux=False))).shape == (2, 10)
    with pytest.raises(ScopeParamNotFoundError, match="aux"):
        jax.eval_shape(lambda: trained(model))


def test_every_image_is_on_its_own_in_use(short):
    model = InceptionV3(classes=10)
    variables, x = draw(shapes(model, *SIZE)), noise(3, *SIZE, 3)
    each = jax.jit(jax.vmap(lambda a: model.apply(variables, a[None])[0]))(x)
    near(each, jax.jit(model.apply)(variables, x))


def test_mixed_precision(short):
    wide = InceptionV3(classes=10)
    narrow = wide.copy(policy=Policy(compute="bfloat16"))
    tree = shapes(narrow, *SIZE)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(tree)} == {"float32"}
    variables, x = draw(tree), noise(2, *SIZE, 3)
    found, expected = (jax.jit(m.apply)(variables, x) for m in (narrow, wide))
    assert found.dtype == jnp.float32
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert 1e-5 < error < 0.03


def test_dropout_before_the_classifier_in_training_only(short):
    model, seen = InceptionV3(), []

    def listen(call, args, kwargs, context):
        if isinstance(context.module, nn.Dropout):
            assert context.module.rate == 0.5
            seen.append((args[0].ndim, context.module.deterministic))
        return call(*args, **kwargs)

    with nn.intercept_methods(listen):
        shapes(model, *SIZE, train=False)
        jax.eval_shape(
            lambda k: model.init(
                {"params": k, "dropout": k}, noise(1, *SIZE, 3), train=True
            ),
            jax.random.key(0),
        )
    assert seen == [(2, True), (2, False)]


def total(model, variables, x):
    """Gradients of both outputs' sines by the head and some blocks; what comes out."""
    params = variables["params"]
    some = {name: params[name] for name in ("mixed_6e", "mixed_7b", "aux")}

    def loss(some):
        (logits, heads), new = model.apply(
            {**variables, "params": {**params, **some}},
            x,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )
        assert set(heads) == {"aux1"}
        outputs = logits, heads["aux1"]
        return sum(jnp.sum(jnp.sin(v)) for v in outputs), (outputs, new)

    return jax.jit(jax.grad(loss, has_aux=True))(some)


def test_the_head_learns_and_remat_changes_no_number(short):
    model = InceptionV3(classes=10)
    variables, x = draw(shapes(model, *SIZE)), noise(2, *SIZE, 3)
    plain = total(model, variables, x)
    gradients, (outputs, _) = plain
    assert [v.shape for v in outputs] == [(2, 10), (2, 10)]
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients["aux"]))
    again = total(model.copy(remat=True), variables, x)
    for found, expected in zip(again, plain, strict=True):
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        # Gradients that are 0 but for rounding have no scale of their own.
        near(together(found), together(expected), 1e-4)
    text = str(jax.make_jaxpr(model.copy(remat=True).apply)(variables, x))
    assert text.count("remat") == len(inception_v3.MIXED)


def test_initialisation_is_torchvisions():
    """Standard deviations 0.1, in the head's conv1 0.01 and its fc 0.001."""
    model = InceptionV3()

    @jax.jit
    def init(key):
        params = model.init(key, jnp.ones((1, 299, 299, 3)))["params"]
        layers = params["fc"], params["aux"]["conv1"], params["aux"]["fc"]
        return [jnp.std(layer["kernel"]) for layer in layers]

    stds = init(jax.random.key(0))
    np.testing.assert_allclose(stds, [0.1, 0.01, 0.001], rtol=0.01)


def test_small_images_are_told_in_one_line():
    with pytest.raises(InputError, match=r"^aux=True .* are 16x17: .*aux=False"):
        shapes(InceptionV3(), 298, 299)
    assert "fc" in shapes(InceptionV3(aux=False), 75, 75)["params"]
