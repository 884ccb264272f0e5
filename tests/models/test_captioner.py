"""Captioners and what they read of a CNN, against NumPy and against themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.inspect import capture
from jnets.models import create
from jnets.models.features import body, read_map, read_vector

SMALL = {"blocks": [[4], [6]], "hidden": [10], "map_size": 2, "dropout": 0.0}
SIZES = {"vocabulary": 7, "hidden": 5, "dropout": 0.0, "encoder": "vgg11_bn"}
NAMES = ("captioner", "captioner_attention")


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(3, 8, 8, 3)), jnp.float32)
    tokens = jnp.asarray(rng.integers(4, 7, (3, 4)), jnp.int32)
    return images, tokens


@pytest.fixture(scope="module", params=NAMES)
def made(request, inputs):
    """(name, model, variables) of a tiny one."""
    model = create(request.param, **SIZES, encoder_fields=SMALL)
    return request.param, model, jax.jit(model.init)(jax.random.key(1), *inputs)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def affine(p, x):
    return x @ p["kernel"] + p.get("bias", 0)


def lstm(zx, h, c, recurrent, squash):
    i, f, g, o = np.split(zx + h @ recurrent, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * squash(c), c


def by_hand(name, variables, images, tokens):
    """The papers' formulas; the CNN by itself."""
    p = jax.tree.map(np.asarray, variables["params"])
    cnn = {kind: tree["cnn"] for kind, tree in variables.items()}
    net = body("vgg11_bn", SMALL, create(name).policy)
    layers = capture(net, {**cnn, "params": with_classifier(cnn["params"])}, images)
    words, logits, steps = p["words"]["embedding"][tokens], [], tokens.shape[1]
    if name == "captioner":
        weights = p["lstm"]["layer0"]
        # The norm is fresh: mean 0, variance 1.
        x = affine(p["picture"], np.maximum(layers["fc6"], 0)) / np.sqrt(1 + 1e-5)
        h = c = np.zeros_like(x)
        for t in range(-1, steps):
            zx = affine(weights, x if t < 0 else words[:, t])
            h, c = lstm(zx, h, c, weights["recurrent_kernel"], lambda c: c)
            logits.append(affine(p["output"], h))
        return np.stack(logits[1:], axis=1)
    a = layers["pool2"].reshape(3, -1, 6)
    h, c = (np.tanh(affine(p[f"begin_{s}"], a.mean(1))) for s in "hc")
    own = p["decoder"]
    for t in range(steps):
        key = affine(p["keys"], a) + affine(own["query"], h)[:, None]
        e = affine(own["energy"], np.tanh(key))[..., 0]
        alpha = np.exp(e) / np.exp(e).sum(1, keepdims=True)
        z = sigmoid(affine(own["gate"], h)) * (alpha[..., None] * a).sum(1)
        zx = affine(p["word_input"], words[:, t]) + affine(own["context"], z)
        h, c = lstm(zx, h, c, own["recurrent"]["kernel"], np.tanh)
        deep = words[:, t] + affine(p["of_h"], h) + affine(p["of_context"], z)
        logits.append(affine(p["output"], deep))
    return np.stack(logits, axis=1)


def with_classifier(params):
    fc = {"kernel": np.zeros((10, 1)), "bias": np.zeros(1)}
    if "fc6" not in params:  # which no map is read through
        params = {**params, "fc6": {"kernel": np.zeros((24, 10)), "bias": np.zeros(10)}}
    return {**params, "fc7": fc}


def test_the_formulas(made, inputs):
    name, model, variables = made
    logits = model.apply(variables, *inputs)
    expected = by_hand(name, variables, *inputs)
    np.testing.assert_allclose(logits, expected, rtol=2e-4, atol=2e-5)


def test_word_by_word_is_all_at_once(made, inputs):
    _, model, variables = made
    images, tokens = inputs
    whole = model.apply(variables, images, tokens)
    state = model.apply(variables, images, method="start")
    for t in range(tokens.shape[1]):
        logits, state = model.apply(variables, state, tokens[:, t], method="step")
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-4, atol=1e-5)
    assert all(len(leaf) == 3 for leaf in jax.tree.leaves(state))


def test_a_word_knows_those_before_it_and_the_picture(made, inputs):
    _, model, variables = made
    images, tokens = inputs

    def total(images, words, t):
        wide = {**variables["params"], "words": {"embedding": words}}
        return model.apply({**variables, "params": wide}, images, tokens)[:, t].sum()

    words = variables["params"]["words"]["embedding"]
    of_images, _ = jax.grad(total, argnums=(0, 1))(images, words, 2)
    assert jnp.abs(of_images).max() > 0
    changed = tokens.at[:, 3].set(5)
    before, after = (
        model.apply(variables, images, t)[:, :3] for t in (tokens, changed)
    )
    np.testing.assert_array_equal(before, after)


def test_attention_is_a_distribution(inputs):
    model = create("captioner_attention", **SIZES, encoder_fields=SMALL)
    variables = jax.jit(model.init)(jax.random.key(1), *inputs)
    weights = model.apply(variables, *inputs, method="attention")
    assert weights.shape == (3, 4, 4)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_an_encoder_that_is_not_tuned_stays(made, inputs):
    """No gradient, and a batch norm that neither uses nor moves its statistics."""
    _, model, variables = made

    def outcome(model):
        def total(params):
            logits, kept = model.apply(
                {**variables, "params": params},
                *inputs,
                train=True,
                mutable=["batch_stats"],
            )
            return jnp.square(logits).sum(), kept["batch_stats"]["cnn"]

        grads, stats = jax.grad(total, has_aux=True)(variables["params"])
        size = max(jnp.abs(g).max() for g in jax.tree.leaves(grads["cnn"]))
        same = jax.tree.map(jnp.array_equal, stats, variables["batch_stats"]["cnn"])
        return float(size), all(jax.tree.leaves(same))

    size, same = outcome(model.clone(tune=False))
    assert size == 0 and same
    size, same = outcome(model)
    assert size > 0 and not same


@pytest.mark.parametrize(
    "name, fields, vector, last",
    [
        ("cifar_resnet20", {"blocks": (1, 1, 1)}, (2, 64), (2, 24, 24, 64)),
        ("vgg11", {**SMALL, "hidden": (9, 7)}, (2, 7), (2, 24, 24, 6)),
        ("googlenet_bn", {}, (2, 1024), (2, 3, 3, 1024)),
        ("preact_resnet18", {}, (2, 512), (2, 3, 3, 512)),
    ],
)
def test_what_is_read_of_a_net(name, fields, vector, last):
    """Everything but the classifier is there under its own name, and is what the net
    computes by itself."""
    policy = create("mlp").policy
    net, x = body(name, fields, policy), jnp.ones((2, 96, 96, 3))

    def init(read):
        def call(key):
            bound = net.bind({}, rngs={"params": key}, mutable=True)
            return read(bound, x, tune=True, train=False), bound.variables

        return jax.eval_shape(call, jax.random.key(0))

    found, variables = init(read_vector)
    assert found.shape == vector
    whole = jax.eval_shape(create(name, **fields).init, jax.random.key(0), x)
    left = {k for k in whole["params"] if k not in variables["params"]}
    heads = {k for k in whole["params"] if k.startswith("aux")}
    assert len(left - heads) == 1 and (left - heads).pop().startswith("fc")
    found, variables = init(read_map)
    assert found.shape == last
    assert not [k for k in variables["params"] if k.startswith("fc")]


def test_encoders_that_do_not_do(inputs):
    def refusal(**fields):
        with pytest.raises(InputError) as caught:
            jax.eval_shape(
                create("captioner", **fields).init, jax.random.key(0), *inputs
            )
        return str(caught.value)

    assert "unknown" in refusal(encoder="resnet19")
    assert "has no field" in refusal(encoder="resnet18", encoder_fields={"depth": 3})
