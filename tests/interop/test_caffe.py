"""Caffe's blobs in jnets' models against Caffe's definition of its layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.interop.caffe import MODELS, to_variables
from jnets.interop.rows import shapes
from jnets.models import create, example_inputs
from jnets.ops import conv
from tests.fixtures import formula

CLASSES = 3


def random(shape, seed):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def blobs_of(name):
    """Random blobs of Caffe's shapes, by Caffe's names."""
    leaves = shapes(name, CLASSES)
    blobs = {}
    for layer, (path, transform) in MODELS[name].items():
        shape = transform.source_shape(leaves["params", *path, "kernel"])
        blobs[layer] = (
            formula.tensor(f"{layer}.weight", shape),
            formula.tensor(f"{layer}.bias", shape[:1]),
        )
    return blobs


def grouped(x, weights, bias, groups):
    """Caffe's convolution of x [C, H, W], loop by loop: group g reads its inputs."""
    outputs, inputs, h, w = weights.shape
    found = np.zeros((outputs, x.shape[1] - h + 1, x.shape[2] - w + 1))
    for o in range(outputs):
        start = o // (outputs // groups) * inputs
        for y in range(found.shape[1]):
            for z in range(found.shape[2]):
                piece = x[start : start + inputs, y : y + h, z : z + w]
                found[o, y, z] = (piece * weights[o]).sum() + bias[o]
    return found


@pytest.mark.parametrize("groups", [1, 2])
def test_a_grouped_convolution(groups):
    layer, (_, transform) = next(iter(MODELS["alexnet_caffe"].items()))
    assert layer == "conv1"
    x, bias = random((4, 5, 6), 0), random((6,), 1)
    weights = random((6, 4 // groups, 2, 3), 2)
    found = conv(
        jnp.asarray(x.transpose(1, 2, 0))[None],
        jnp.asarray(transform.forward(weights)),
        jnp.asarray(bias),
        groups=groups,
    )
    expected = grouped(x, weights, bias, groups)
    np.testing.assert_allclose(
        np.asarray(found)[0].transpose(2, 0, 1), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_leaf_is_filled(name):
    leaves = shapes(name, CLASSES)
    paths = [("params", *path) for path, _ in MODELS[name].values()]
    assert len(set(paths)) == len(paths)
    assert {path[:-1] for path in leaves} == set(paths)


def pool(x):
    """3 x 3, stride 2, of x [C, H, W] with odd H and W."""
    h, w = (n // 2 for n in x.shape[1:])
    rows = [x[:, i : i + 2 * h - 1 : 2] for i in range(3)]
    x = np.max(rows, axis=0)
    return np.max([x[:, :, i : i + 2 * w - 1 : 2] for i in range(3)], axis=0)


def local_response(x):
    """Caffe's across channels: n = 5, alpha = 1e-4, beta = 0.75, k = 1."""
    squares = np.pad(x**2, ((2, 2), (0, 0), (0, 0)))
    energy = sum(squares[i : i + len(x)] for i in range(5))
    return x / (1 + 1e-4 / 5 * energy) ** 0.75


def unfolded(x, weights, bias, stride, pad, groups):
    """Caffe's convolution by its im2col: x [C, H, W]."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    outputs, inputs, k, _ = weights.shape
    pieces = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))
    pieces = pieces[:, ::stride, ::stride]
    parts = [
        np.einsum(
            "oiab,iyzab->oyz",
            weights[g * outputs // groups : (g + 1) * outputs // groups],
            pieces[g * inputs : (g + 1) * inputs],
            optimize=True,
        )
        for g in range(groups)
    ]
    return np.concatenate(parts) + bias[:, None, None]


def caffenet(x, blobs, pool_first):
    """The forward pass of the BVLC's two nets on x [3, H, W] in blue, green, red."""
    hyper = ((4, 0, 1), (1, 2, 2), (1, 1, 1), (1, 1, 2), (1, 1, 2))
    for i, (stride, pad, groups) in enumerate(hyper, start=1):
        x = np.maximum(unfolded(x, *blobs[f"conv{i}"], stride, pad, groups), 0)
        if i in (1, 2):
            x = local_response(pool(x)) if pool_first else pool(local_response(x))
        elif i == 5:
            x = pool(x)
    x = x.ravel()
    for name in ("fc6", "fc7", "fc8"):
        weights, bias = blobs[name]
        x = weights @ x + bias
        x = x if name == "fc8" else np.maximum(x, 0)
    return x


@pytest.mark.parametrize("name, rgb", [("alexnet_caffe", True), ("caffenet", False)])
def test_the_whole_net(name, rgb):
    blobs = blobs_of(name)
    image = random((3, 227, 227), 99) * 100  # blue, green, red
    expected = caffenet(image, blobs, pool_first=name == "caffenet")
    variables = to_variables(name, blobs, rgb=rgb)
    given = (image[::-1] if rgb else image).transpose(1, 2, 0)[None]
    model = create(name, classes=CLASSES)
    found = np.asarray(jax.jit(model.apply)(variables, given))[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_googlenet_without_heads():
    blobs = {k: v for k, v in blobs_of("googlenet_paper").items() if k[:5] != "loss1"}
    with pytest.raises(InputError, match=r"missing \['loss1/classifier'"):
        to_variables("googlenet_paper", blobs)
    blobs = {k: v for k, v in blobs.items() if k[:5] != "loss2"}
    found = to_variables("googlenet_paper", blobs)
    model = create("googlenet_paper", classes=CLASSES, aux=False)
    fresh = jax.eval_shape(
        model.init, jax.random.key(0), *example_inputs("googlenet_paper")
    )
    assert jax.tree.structure(found["params"]) == jax.tree.structure(fresh["params"])
    kernel = found["params"]["inception_3a"]["5x5"]["kernel"]
    assert kernel[1, 2, 3, 4] == blobs["inception_3a/5x5"][0][4, 3, 1, 2]


def test_old_files_have_four_axes():
    name, heads = "googlenet_paper", ("loss1", "loss2")
    blobs = {k: v for k, v in blobs_of(name).items() if k[:5] not in heads}
    old = {
        k: (w if w.ndim == 4 else w[None, None], b[None, None, None])
        for k, (w, b) in blobs.items()
    }
    same = jax.tree.map(
        np.array_equal, to_variables(name, old), to_variables(name, blobs)
    )
    assert jax.tree.all(same)


def test_blobs_that_do_not_fit():
    blobs = blobs_of("caffenet")
    with pytest.raises(InputError, match="'resnet50' is no net of Caffe"):
        to_variables("resnet50", blobs)
    with pytest.raises(InputError, match=r"unknown \['prob'\] \(1 in all\)"):
        to_variables("caffenet", blobs | {"prob": blobs["fc8"]})
    wrong = blobs | {"conv2": (np.zeros((256, 96, 5, 5)), np.zeros(256))}
    with pytest.raises(
        InputError, match=r"conv2 are \(256, 96, 5, 5\) .* \(256, 48, 5, 5\)"
    ):
        to_variables("caffenet", wrong)
    with pytest.raises(InputError, match=r"blobs of fc6 are \(4096, 9215\)"):
        to_variables("caffenet", blobs | {"fc6": (np.zeros((4096, 9215)), np.zeros(4))})
