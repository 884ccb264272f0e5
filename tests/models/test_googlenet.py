"""GoogLeNet against counts, against NumPy, and what training adds to it."""

import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import ScopeParamNotFoundError
from numpy.lib.stride_tricks import sliding_window_view

from jnets.errors import InputError
from jnets.inspect import summarize
from jnets.layers import Policy
from jnets.models import googlenet
from jnets.models.googlenet import GoogLeNet

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


def draw(tree):
    """Kernels of variance 2 / fan-in; biases, scales and statistics in (0.2, 1)."""
    rng = np.random.default_rng(0)

    def one(leaf):
        if leaf.ndim == 1:
            return jnp.asarray(rng.uniform(0.2, 1, leaf.shape), leaf.dtype)
        std = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return jnp.asarray(rng.normal(0, std, leaf.shape), leaf.dtype)

    return jax.tree.map(one, tree)


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


def windows(x, kernel, stride, pad, fill=0.0):
    """[B, H', W', C, *kernel]; `pad` is (low, high) for both axes, or per axis."""
    x = np.pad(x, ((0, 0), *np.broadcast_to(pad, (2, 2)), (0, 0)), constant_values=fill)
    return sliding_window_view(x, kernel, axis=(1, 2))[:, ::stride, ::stride]


def shrink(x, window):
    """Maxima at stride 2; the last window may hang over the edge."""
    n = x.shape[1]
    hang = (-(-(n - window) // 2)) * 2 + window - n
    return windows(x, (window, window), 2, (0, hang), -np.inf).max((-1, -2))


def local_norm(x):
    """Caffe's, k = 1 and alpha / 5, channel by channel."""
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        near = x[..., max(c - 2, 0) : c + 3]
        y[..., c] = x[..., c] / (1 + 1e-4 / 5 * np.sum(near**2, -1)) ** 0.75
    return y


class Net:
    """The net as plain code, in float64, with the variables and options of `model`."""

    def __init__(self, model, variables, train):
        wide = jax.tree.map(lambda a: np.asarray(a, np.float64), variables)
        self.params, self.stats = wide["params"], wide.get("batch_stats", {})
        self.model, self.train = model, train

    def find(self, tree, path):
        for part in path.split("/"):
            tree = tree[part]
        return tree

    def conv(self, x, path, stride=1):
        kernel = self.find(self.params, path)["kernel"]
        high, wide = kernel.shape[:2]
        pad = [(high // 2,) * 2, (wide // 2,) * 2]
        view = windows(x, (high, wide), stride, pad)
        y = np.tensordot(view, kernel, ([4, 5, 3], [0, 1, 2]))
        return np.maximum(self.shift(y, path), 0)

    def shift(self, y, path):
        """The bias, or the batch norm."""
        if not self.model.norm:
            return y + self.find(self.params, path)["bias"]
        norm = self.find(self.params, f"{path}_norm")
        if self.train:
            mean, var = y.mean((0, 1, 2)), y.var((0, 1, 2))
        else:
            mean, var = self.find(self.stats, f"{path}_norm").values()
        return (y - mean) / np.sqrt(var + 1e-3) * norm["scale"] + norm["bias"]

    def dense(self, x, path):
        layer = self.find(self.params, path)
        return x @ layer["kernel"] + layer["bias"]

    def stem(self, x):
        if self.model.separable:
            kernel = self.params["conv1_depthwise"]["kernel"]  # 7 x 7 x 1 x 24
            view = windows(x, (7, 7), 2, (3, 3))
            maps = [
                np.tensordot(view[..., o // 8, :, :], kernel[:, :, 0, o], 2)
                for o in range(24)
            ]
            x = self.conv(np.stack(maps, -1), "conv1_pointwise")
        else:
            x = self.conv(x, "conv1", stride=2)
        keep = (lambda x: x) if self.model.norm else local_norm
        x = self.conv(keep(shrink(x, 3)), "conv2_reduce")
        return shrink(keep(self.conv(x, "conv2")), 3)

    def module(self, x, name):
        def branch(x, *names):
            for part in names:
                x = self.conv(x, f"inception_{name}/{part}")
            return x

        two = self.model.filters in ("stacked", "asymmetric")
        pooled = windows(x, (3, 3), 1, (1, 1), -np.inf).max((-1, -2))
        parts = [
            branch(x, "1x1"),
            branch(x, "3x3_reduce", "3x3"),
            branch(x, "5x5_reduce", *(("5x5_a", "5x5_b") if two else ("5x5",))),
            branch(pooled, "pool_proj"),
        ]
        return np.concatenate(parts, -1)

    def head(self, x, name):
        if self.model.adaptive:
            n = x.shape[1]
            edges = [(i * n // 4, -(-(i + 1) * n // 4)) for i in range(4)]
            rows = [[x[:, a:b, c:d].mean((1, 2)) for c, d in edges] for a, b in edges]
            x = np.moveaxis(np.array(rows), 2, 0)
        else:
            x = windows(x, (5, 5), 3, (0, 0)).mean((-1, -2))
        x = self.conv(x, f"{name}/conv").reshape(len(x), -1)
        return self.dense(np.maximum(self.dense(x, f"{name}/fc1"), 0), f"{name}/fc2")

    def __call__(self, x):
        x, heads = self.stem(np.asarray(x, np.float64)), {}
        for name in googlenet.MODULES:
            x = self.module(x, name)
            if name in ("4a", "4d") and self.train:
                aux = "aux1" if name == "4a" else "aux2"
                heads[aux] = self.head(x, aux)
            if name in ("3b", "4e"):
                x = shrink(x, self.model.pool4 if name == "4e" else 3)
        return self.dense(x.mean((1, 2)), "fc"), heads


def near(found, expected, tolerance):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


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
    expected, heads = Net(model, variables, train)(x)
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

    variables, x = shapes(model, 96), images(96)
    for train in (True, False):
        with nn.intercept_methods(listen):
            rngs = {"dropout": jax.random.key(0)}
            jax.eval_shape(
                lambda v: model.apply(v, x, train=train, rngs=rngs), variables
            )
    main, aux = fields.get("dropout", 0.4), fields.get("aux_dropout", 0.7)
    assert seen == [
        ("aux1", 1024, aux),
        ("aux2", 1024, aux),
        ("Dropout_0", 13, main),
        ("Dropout_0", 13, 0.0),
    ]


def total(model, variables, x, names, train):
    """Gradients of all outputs' sines by layer of `names`; outputs and statistics."""
    params = variables["params"]

    def loss(some):
        out, new = model.apply(
            {**variables, "params": {**params, **some}},
            x,
            train=train,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )
        logits, heads = out if train else (out, {})
        outputs = {"main": logits, **heads}
        return sum(jnp.sum(jnp.sin(v)) for v in outputs.values()), (outputs, new)

    some = {name: params[name] for name in names}
    return jax.jit(jax.grad(loss, has_aux=True))(some)


def test_the_heads_learn_in_training_only(short):
    model = GoogLeNet(classes=10)
    variables, x = draw(shapes(model, 80)), images(80) / 100
    names = ("aux1", "aux2", "fc")
    trained, _ = total(model, variables, x, names, train=True)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(trained))
    used, _ = total(model, variables, x, names, train=False)
    assert np.any(used["fc"]["kernel"])
    heads = used["aux1"], used["aux2"]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(heads))


def test_remat_changes_no_number(short):
    model = GoogLeNet(classes=10, norm=True, adaptive=True)
    variables, x = draw(shapes(model, 64)), images(64)
    names = ("inception_4d", "inception_4e")
    plain = total(model, variables, x, names, train=True)
    again = total(model.copy(remat=True), variables, x, names, train=True)
    for found, expected in zip(again, plain, strict=True):
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        # Gradients that are 0 but for rounding have no scale of their own.
        near(
            *(
                np.concatenate([np.ravel(a) for a in jax.tree.leaves(t)])
                for t in (found, expected)
            ),
            1e-5,
        )
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
