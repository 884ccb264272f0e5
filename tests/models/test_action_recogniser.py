"""LRCN: the paper's sizes, and a small one against NumPy, frame by frame."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.inspect import summarize
from jnets.models import create, example_inputs

FACTS = json.loads((Path(__file__).parent / "facts_convnets.json").read_text())
B, T, K = 3, 4, 5
LENGTHS = np.array([4, 1, 3])
TINY = {"features": 6, "hidden": 3, "classes": K}


def test_the_cnn_of_the_paper():
    found = summarize(create("lrcn_fc6"), *example_inputs("lrcn_fc6"))
    fact = FACTS["lrcn_caffe_cnn_to_fc6"]
    assert (found.parameters, found.macs) == (fact["params"], fact["macs"])
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
    assert rows == fact["layers"]
    order = [row.name for row in found.layers][:6]
    assert order == ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2"]


@pytest.mark.parametrize(
    ("name", "lstm", "output"),
    [("lrcn", 4_457_472, 25_957), ("lrcn_flow", 20_975_616, 103_525)],
)
def test_the_head_of_the_paper(name, lstm, output):
    # One frame of two clips, which cost no more to trace.
    x = jnp.ones((2, 1, 227, 227, 3))
    lengths = jnp.ones(2, jnp.int32)
    shapes = jax.eval_shape(create(name).init, jax.random.key(0), x, lengths)
    sizes = {
        part: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for part, tree in shapes["params"].items()
    }
    cnn = FACTS["lrcn_caffe_cnn_to_fc6"]["params"]
    assert sizes == {"cnn": cnn, "lstm": lstm, "output": output}


def test_a_summary_has_the_lstm():
    found = summarize(create("series_recogniser"), *example_inputs("series_recogniser"))
    rows = {row.name: (row.parameters, row.macs) for row in found.layers}
    # 4 H (F + H + 1), and each weight of a matrix once a step.
    one = 4 * 128 * (12 + 128)
    assert rows["lstm/layer0"] == rows["lstm/layer0_reverse"] == (one + 4 * 128, one)


def clips(channels=1, side=16):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((B, T, side, side, channels))
    return jnp.asarray(x, jnp.float32), jnp.asarray(LENGTHS)


@functools.cache
def variables(**fields):
    model = create("action_recogniser", **TINY, **fields)
    return jax.jit(model.init)(jax.random.key(1), *clips())


def apply(x, lengths, **fields):
    model = create("action_recogniser", **TINY, **fields)
    return np.asarray(jax.jit(model.apply)(variables(**fields), x, lengths))


def features(params, x):
    """Of each frame on its own, by the net that the encoder names."""
    cnn = create("lenet5", classes=TINY["features"])
    one = jax.jit(lambda frame: cnn.apply({"params": params["cnn"]}, frame[None])[0])
    frames = x.reshape(-1, *x.shape[2:])
    each = np.stack([np.maximum(one(frame), 0) for frame in frames])
    return each.reshape(*x.shape[:2], -1)


def lstm(weights, x):
    """Outputs [T, H] of one sequence, gate by gate: i, f, g, o."""
    w, b, u = (
        np.split(np.asarray(weights[name], np.float64), 4, axis=-1)
        for name in ("kernel", "bias", "recurrent_kernel")
    )
    h, c, outputs = np.zeros(3), np.zeros(3), []
    for step in x:
        i, f, g, o = (step @ w[k] + h @ u[k] + b[k] for k in range(4))
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


@pytest.mark.parametrize("pooled", [False, True])
def test_against_numpy(pooled):
    x, lengths = clips()
    params = variables(pooled=pooled)["params"]
    read, found = features(params, x), apply(x, lengths, pooled=pooled)
    assert found.shape == ((B, K) if pooled else (B, T, K))
    kernel, bias = (np.asarray(params["output"][k]) for k in ("kernel", "bias"))
    for clip, length, logits in zip(read, LENGTHS, found, strict=True):
        h = lstm(params["lstm"]["layer0"], clip[:length])
        h = h.mean(0) if pooled else h
        logits = logits if pooled else logits[:length]
        np.testing.assert_allclose(logits, h @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_frames_alone_know_no_order():
    x, lengths = clips()
    model = create("action_recogniser", **TINY, frames_only=True)
    params = {k: v for k, v in variables()["params"].items() if k == "cnn"}
    params["output"] = {
        "kernel": jnp.asarray(np.ones((6, K)) * np.arange(K), jnp.float32),
        "bias": jnp.zeros(K),
    }
    call = jax.jit(lambda x: model.apply({"params": params}, x, lengths))
    forward, backward = call(x), call(x[:, ::-1])
    np.testing.assert_allclose(forward, backward[:, ::-1], rtol=1e-6)
    expected = features(params, x) @ np.asarray(params["output"]["kernel"])
    np.testing.assert_allclose(forward, expected, rtol=1e-4, atol=1e-5)


def test_what_is_past_the_end_changes_nothing():
    x, lengths = clips()
    past = np.arange(T) >= LENGTHS[:, None]
    other = jnp.where(past[..., None, None, None], 7.0, x)
    a, b = apply(x, lengths), apply(other, lengths)
    np.testing.assert_array_equal(a[~past], b[~past])


@pytest.mark.parametrize("field", ["feature_dropout", "dropout"])
def test_dropout(field):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((B, T, 6)), jnp.float32)
    plain, dropped = (
        create("series_recogniser", hidden=3, classes=K, **{field: rate})
        for rate in (0.0, 0.5)
    )
    lengths = jnp.asarray(LENGTHS)
    started = jax.jit(dropped.init)(jax.random.key(1), x, lengths)

    @jax.jit
    def train(key):
        return dropped.apply(started, x, lengths, train=True, rngs={"dropout": key})

    first, second = (train(jax.random.key(k)) for k in (0, 1))
    assert not np.allclose(first, second)
    used = [jax.jit(model.apply)(started, x, lengths) for model in (plain, dropped)]
    np.testing.assert_array_equal(*used)


def test_a_rate_that_is_none():
    with pytest.raises(InputError, match="feature_dropout=1.5"):
        create("lrcn", feature_dropout=1.5)


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [("resnet18", (1, 2, 32, 32, 3)), ("googlenet_paper", (1, 1, 224, 224, 3))],
)
def test_encoders_of_the_zoo(encoder, shape):
    """With batch statistics, and with auxiliary heads in training."""
    model = create("action_recogniser", encoder=encoder, **TINY)
    lengths = jnp.ones(1, jnp.int32)

    def call(key, x):
        outputs = model.init_with_output(key, x, lengths, train=False)
        _, variables = outputs
        trained, _ = model.apply(
            variables, x, lengths, train=True, mutable=["batch_stats"],
            rngs={"dropout": key},
        )  # fmt: skip
        return *outputs, trained

    out, variables, trained = jax.eval_shape(call, jax.random.key(0), jnp.ones(shape))
    assert out.shape == trained.shape == (1, shape[1], K)
    assert ("batch_stats" in variables) == (encoder == "resnet18")


def test_the_encoder_takes_fields_of_its_own():
    fields = {"maps": [2, 3], "hidden": [7, 5], "pool": "average"}
    model = create("action_recogniser", encoder_fields=fields, **TINY)
    x = jnp.ones((B, T, 32, 32, 3))
    made = jax.eval_shape(model.init, jax.random.key(0), x, LENGTHS)["params"]["cnn"]
    alone = create("lenet5", classes=TINY["features"], **fields)
    assert made == jax.eval_shape(alone.init, jax.random.key(0), x[0])["params"]


def test_the_norm_of_features():
    """In training the features have mean 0 and variance 1, and no rectifier."""
    model = create("action_recogniser", feature_norm=True, **TINY)
    x = np.random.default_rng(0).random((B, T, 32, 32, 3), np.float32)
    variables = model.init(jax.random.key(0), x, LENGTHS)

    normed, _ = model.apply(
        variables,
        jnp.asarray(x),
        method=lambda module, x: module._features(x, True),
        mutable=["batch_stats"],
    )
    plain = model.apply(
        variables,
        jnp.asarray(x.reshape(-1, *x.shape[2:])),
        method=lambda module, frames: module.cnn(frames),
    )
    flat = np.asarray(plain, np.float64)
    wanted = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    np.testing.assert_allclose(normed, wanted.reshape(B, T, -1), atol=1e-4)
    assert set(variables["batch_stats"]) == {"norm"}


def test_wrong_inputs():
    x, lengths = clips()
    for model, given in (
        (create("action_recogniser"), x[:, 0]),
        (create("series_recogniser"), x),
    ):
        with pytest.raises(InputError, match="x has shape"):
            jax.eval_shape(model.init, jax.random.key(0), given, lengths)
    with pytest.raises(InputError, match="'none' is unknown"):
        jax.eval_shape(
            create("action_recogniser", encoder="none").init,
            jax.random.key(0), x, lengths,
        )  # fmt: skip
