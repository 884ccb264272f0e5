"""GoogLeNet against counts, against NumPy, and what training adds to it."""

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
from jnets.layers import Policy
from jnets.models import googlenet
from jnets.models.googlenet import GoogLeNet
from tests.models import inception_numpy
from tests.models.inception_numpy import draw, near, together

FACTS = json.loads((Path(__file__).parent / "facts_convnets.json").read_text())
TORCHVISION = {"norm": True, "filters": "3x3", "pool4": 2, "adaptive": True}
COUNTED = {
    "googlenet_caffe_main": {"aux": False},
    "googlenet_caffe_with_aux": {},
    "googlenet_paper_separable_stem_main": {"aux": False, "separable": True},
    "googlenet_bn_5x5_main": {"aux": False, "norm": True},
    "googlenet_bn_5x5_with_aux": {"norm": True},
    "googlenet_torchvision_main": {"aux": False, **TORCHVISION},
    "googlenet_torchvision_with_aux": TORCHVISION,
}
NAMES = {
    "conv1/7x7_s2": "conv1",
    "conv1/dw7x7_s2": "conv1_depthwise",
    "conv1/pw": "conv1_pointwise",
    "conv2/3x3_reduce": "conv2_reduce",
    "conv2/3x3": "conv2",
    "avgpool7x7": "pool5",
}


def shapes(model, size: int, **options):
    """The tree of variables as shapes; nothing is computed."""
    x = jnp.ones((1, size, size, 3))
    return jax.eval_shape(lambda k: model.init(k, x, **options), jax.random.key(0))


def images(size: int, examples: int = 2):
    """Noise as loud as pixels are, so that the local response norms do something."""
    rng = np.random.default_rng(1)
    return jnp.asarray(100 * rng.standard_normal((examples, size, size, 3)), "float32")


@pytest.mark.parametrize("key", COUNTED)
def test_outputs_parameters_and_multiplications_of_every_layer(key):
    model, facts = GoogLeNet(**COUNTED[key]), FACTS[key]
    summary = summarize(model, jnp.ones((1, 224, 224, 3)))
    assert (summary.parameters, summary.macs) == (facts["params"], facts["macs"])
    seen = shapes(model, 224, capture_intermediates=True)["intermediates"]
    counts: dict[str, tuple[int, int]] = {}
    for layer in summary.layers:
        name = layer.name.split("/")[0].removesuffix("_norm")
        name = "aux_heads" if name in ("aux1", "aux2") else name
        params, macs = counts.get(name, (0, 0))
        counts[name] = params + layer.parameters, macs + layer.macs
    for row in facts["layers"]:
        name = NAMES.get(row["name"], row["name"])
        assert counts.pop(name) == (row["params"], row["macs"]), name
        output = seen["aux2" if name == "aux_heads" else name]["__call__"][0]
        *positions, maps = output.shape[1:]
        assert [*(positions or (1, 1)), maps] == row["out_hwc"], name
    assert set(counts) <= {"norm1", "norm2"}


def test_the_stem_is_in_caffes_order():
    layers = summarize(GoogLeNet(), jnp.ones((1, 224, 224, 3))).layers
    names = [layer.name for layer in layers]
    assert names[:7] == [
        *("conv1", "pool1", "norm1"),
        *("conv2_reduce", "conv2", "norm2", "pool2"),
    ]
    assert names[7:14] == [
        f"inception_3a/{branch}"
        for branch in ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5")
        + ("pool", "pool_proj")
    ]


@pytest.mark.parametrize(
    "filters, kernels",
    [
        ("5x5", {"5x5": (5, 5, 16, 32)}),
        ("3x3", {"5x5": (3, 3, 16, 32)}),
        ("stacked", {"5x5_a": (3, 3, 16, 32), "5x5_b": (3, 3, 32, 32)}),
        ("asymmetric", {"5x5_a": (1, 5, 16, 16), "5x5_b": (5, 1, 16, 32)}),
    ],
)
def test_what_stands_for_5x5(filters, kernels):
    module = shapes(GoogLeNet(filters=filters), 224)["params"]["inception_3a"]
    found = {
        name: layer["kernel"].shape
        for name, layer in module.items()
        if name.startswith("5x5") and name != "5x5_reduce"
    }
    assert found == kernels


@pytest.fixture
def short(monkeypatch):
    """Fewer modules of few features: the same wiring, quick to compile."""
    rows = {name: (4, 3, 5, 2, 3, 2) for name in ("3b", "4a", "4d", "4e")}
    monkeypatch.setattr(googlenet, "MODULES", rows)


@pytest.mark.parametrize(
    "size, fields, train",
    [
        (111, {}, True),  # 7 x 7 maps under the heads: windows 0-4 of 7
        (64, {"separable": True, "filters": "stacked"}, False),
        (64, {"norm": True, "separable": True, "filters": "asymmetric"}, False),
        (96, TORCHVISION, True),  # 6 x 6 maps under the heads
    ],
)
def test_the_net_is_the_papers_in_numpy(size, fields, train, short):
    more = {"classes": 10, "aux": train, "dropout": 0.0, "aux_dropout": 0.0}
    model = GoogLeNet(**fields, **more)
    variables, x = draw(shapes(model, size)), images(size)
    expected, heads = inception_numpy.GoogLeNet(model, variables, train)(x)
    if not train:
        near(jax.jit(model.apply)(variables, x), expected, 1e-5)
        return

    @jax.jit
    def apply(variables, x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])[0]

    logits, found = apply(variables, x)
    near(logits, expected, 1e-4)
    assert set(found) == set(heads) == {"aux1", "aux2"}
    for name, values in heads.items():
        near(found[name], values, 1e-4)


def test_every_image_is_on_its_own_in_use(short):
    model = GoogLeNet(classes=10, norm=True, aux=False)
    variables, x = draw(shapes(model, 64)), images(64, 3)

    def one(image):
        return model.apply(variables, image[None])[0]

    each = jax.jit(jax.vmap(one))(x)
    near(each, jax.jit(model.apply)(variables, x), 1e-5)


@pytest.mark.parametrize("norm", [False, True])
def test_mixed_precision(norm, short):
    policy = Policy(compute="bfloat16")
    wide = GoogLeNet(classes=10, norm=norm, aux=False)
    narrow = wide.copy(policy=policy)
    tree = shapes(narrow, 64)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(tree)} == {"float32"}
    variables, x = draw(tree), images(64)
    found, expected = (jax.jit(m.apply)(variables, x) for m in (narrow, wide))
    assert found.dtype == jnp.float32
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert 1e-5 < error < 0.03


def test_parameters_are_the_same_however_they_are_made(short):
    for fields in ({}, TORCHVISION):
        model = GoogLeNet(**fields)
        tree = shapes(model, 224)
        assert {"aux1", "aux2"} < set(tree["params"])
        assert shapes(model, 224, train=True) == tree
        assert shapes(model.copy(remat=True), 224) == tree
        without = shapes(model.copy(aux=False), 224)
        for head in ("aux1", "aux2"):
            del tree["params"][head]
            tree.get("batch_stats", {}).pop(head, None)
        assert without == tree


def test_use_needs_no_heads(short):
    model = GoogLeNet(classes=10)
    variables, x = draw(shapes(model, 96)), images(96)
    logits = model.apply(variables, x)
    assert logits.shape == (2, 10)
    params = {k: v for k, v in variables["params"].items() if "aux" not in k}
    near(jax.jit(model.apply)({"params": params}, x), logits, 1e-6)

    def trained(model):
        rngs = {"dropout": jax.random.key(0)}
        return model.apply({"params": params}, x, train=True, rngs=rngs)

    assert jax.eval_shape(lambda: trained(model.copy(aux=False))).shape == (2, 10)
    with pytest.raises(ScopeParamNotFoundError, match="aux1"):
        jax.eval_shape(lambda: trained(model))


@pytest.mark.parametrize("fields", [{}, {"dropout": 0.2, "aux_dropout": 0.6}])
def test_dropout_in_training_only(fields, short):
    model = GoogLeNet(**fields)
    seen = []

    def listen(call, args, kwargs, context):
        if isinstance(context.module, nn.Dropout):
            rate = 0.0 if context.module.deterministic else context.module.rate
            seen.append((context.module.path[0], args[0].shape[1], rate))
        return call(*args, **kwargs)

    def run(train):
        rngs = {"dropout": jax.random.key(0)}
        return model.apply(variables, x, train=train, rngs=rngs)

    x, variables = images(96), draw(shapes(model, 96))
    with nn.intercept_methods(listen):
        jax.eval_shape(lambda: (run(True), run(False)))
    main, aux = fields.get("dropout", 0.4), fields.get("aux_dropout", 0.7)
    assert seen == [
        ("aux1", 1024, aux),
        ("aux2", 1024, aux),
        ("Dropout_0", 14, main),
        ("Dropout_0", 14, 0.0),
    ]


def total(model, variables, x, names):
    """Gradients of all outputs' sines by layer of `names`; outputs and statistics."""
    params = variables["params"]

    def loss(some):
        (logits, heads), new = model.apply(
            {**variables, "params": {**params, **some}},
            x,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )
        outputs = {"main": logits, **heads}
        return sum(jnp.sum(jnp.sin(v)) for v in outputs.values()), (outputs, new)

    some = {name: params[name] for name in names}
    return jax.jit(jax.grad(loss, has_aux=True))(some)


def test_the_heads_learn_in_training(short):
    model = GoogLeNet(classes=10)
    variables, x = draw(shapes(model, 80)), images(80) / 100
    gradients, _ = total(model, variables, x, ("aux1", "aux2", "fc"))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients))


def test_remat_changes_no_number(short):
    model = GoogLeNet(classes=10, norm=True, adaptive=True)
    variables, x = draw(shapes(model, 64)), images(64)
    names = ("inception_4d", "inception_4e")
    plain = total(model, variables, x, names)
    again = total(model.copy(remat=True), variables, x, names)
    for found, expected in zip(again, plain, strict=True):
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        # Gradients that are 0 but for rounding have no scale of their own.
        near(together(found), together(expected), 1e-4)
    text = str(jax.make_jaxpr(model.copy(remat=True).apply)(variables, x))
    assert text.count("remat") == len(googlenet.MODULES)


def test_initialisation_is_caffes(short):
    model = GoogLeNet(classes=10)

    @jax.jit
    def init(key):
        params = model.init(key, jnp.ones((1, 80, 80, 3)))["params"]
        heads = params["aux1"], params["aux2"]
        ahead = (
            params["inception_4a"]["5x5"],
            *(h[k] for h in heads for k in ("conv", "fc1")),
        )
        last = params["fc"], *(h["fc2"] for h in heads)
        biases = [[layer["bias"] for layer in layers] for layers in (ahead, last)]
        return *biases, params["conv2"]["kernel"]

    ahead, last, kernel = init(jax.random.key(0))
    assert len(ahead) == 5 and all(np.all(b == np.float32(0.2)) for b in ahead)
    assert len(last) == 3 and not any(np.any(b) for b in last)
    bound = np.sqrt(3 / 576)  # fan-in 9 x 64
    assert 0.99 * bound < np.abs(kernel).max() <= bound


def test_wrong_fields_and_images_are_told_in_one_line():
    with pytest.raises(InputError, match=r"^filters='7x7' is unknown; .*'stacked'"):
        shapes(GoogLeNet(filters="7x7"), 224)
    with pytest.raises(InputError, match=r"^aux=True .*are 4x4: .*aux=False"):
        shapes(GoogLeNet(), 78)
    assert shapes(GoogLeNet(), 79)["params"]["aux1"]["fc1"]["kernel"].shape[0] == 128
    assert "fc" in shapes(GoogLeNet(aux=False), 32)["params"]
