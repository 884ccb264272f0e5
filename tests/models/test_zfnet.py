"""ZFNet's rows: counts by layer, ceil mode, order, and a small one against NumPy."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from jnets.inspect import summarize
from jnets.models.alexnet import AlexNet
from jnets.models.zfnet import ZFNETS

FACTS = json.loads((Path(__file__).parent / "facts_convnets.json").read_text())
FACTS_OF = {"zfnet": "zfnet_fig3", "zfnet_512_1024_512": "zfnet_512_1024_512"}


@pytest.mark.parametrize("name", ZFNETS)
def test_every_layer(name):
    fact = FACTS[FACTS_OF[name]]
    found = summarize(AlexNet(**ZFNETS[name]), jnp.ones((1, 224, 224, 3)))
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
    first = [row.name for row in found.layers][:6]
    assert first == ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2"]


def small() -> AlexNet:
    row = ZFNETS["zfnet"]
    maps = (6, 4, 4, 4, 4)
    stages = [(m, *stage[1:]) for m, stage in zip(maps, row["stages"], strict=True)]
    return AlexNet(**{**row, "stages": tuple(stages)}, hidden=(5, 4), classes=3)


def convolve(x, layer, stride, pad):
    kernel = np.asarray(layer["kernel"], np.float64)
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    y = np.einsum("bhwcij,ijco->bhwo", windows, kernel, optimize=True)
    return np.maximum(y + np.asarray(layer["bias"]), 0)


def pool(x):
    """Ceil mode: a last window may hang over the high edge."""
    high = [(0, -(n - 3) % 2) for n in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *high, (0, 0)), constant_values=-np.inf)
    return sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max((-2, -1))


def normalise(x):
    squares = np.pad(x**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    energy = sliding_window_view(squares, 5, axis=-1).sum(-1)
    return x / (2 + 1e-4 * energy) ** 0.75


def test_against_numpy():
    rng = np.random.default_rng(0)
    x = jnp.asarray(30 * rng.standard_normal((1, 224, 224, 3)), jnp.float32)
    model = small()

    def draw(leaf):
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.5
        return jnp.asarray(scale * rng.standard_normal(leaf.shape), jnp.float32)

    variables = jax.tree.map(draw, jax.eval_shape(model.init, jax.random.key(0), x))
    params = variables["params"]
    y = normalise(pool(convolve(np.asarray(x, np.float64), params["conv1"], 2, 1)))
    y = normalise(pool(convolve(y, params["conv2"], 2, 0)))
    for name in ("conv3", "conv4", "conv5"):
        y = convolve(y, params[name], 1, 1)
    y = pool(y).reshape(1, -1)
    for name in ("fc6", "fc7", "fc8"):
        layer = {key: np.asarray(a, np.float64) for key, a in params[name].items()}
        y = y @ layer["kernel"] + layer["bias"]
        y = y if name == "fc8" else np.maximum(y, 0)
    found = jax.jit(model.apply)(variables, x)
    np.testing.assert_allclose(found, y, rtol=0, atol=1e-4 * np.abs(y).max())


@pytest.mark.parametrize("filters, weights", [("stacked", 18), ("asymmetric", 10)])
def test_filters_of_conv2(filters, weights):
    """5 x 5 with as many maps in as out: 25 weights become 18, or 10."""
    row = ZFNETS["zfnet"]
    (first, second, *rest) = row["stages"]
    stages = ((256, *first[1:]), second, *rest)
    model = AlexNet(**{**row, "stages": stages, "filters": filters})
    found = summarize(model, jnp.ones((1, 224, 224, 3)))
    rows = [r for r in found.layers if r.name.startswith("conv2")]
    assert sum(r.parameters for r in rows) == weights * 256**2 + 256 * len(rows)
    assert rows[-1].output == (26, 26, 256)
    assert [r.output for r in found.layers if r.name == "pool5"] == [(6, 6, 256)]


def test_where_training_starts():
    """Section 3: weights of 10^-2, biases of 0."""
    for row in ZFNETS.values():
        assert row["schemes"] == ("normal_0.01",) * 8
