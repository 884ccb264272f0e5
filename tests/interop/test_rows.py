"""The tables of names: known rows, bijections, and layouts against plain products."""

import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.interop.rows import CONV, DENSE, MODELS, PLAIN, flattened, rows, shapes
from jnets.ops import conv

# Tensors in torchvision's state dicts, without the counters of the norms.
COUNTS = {
    "alexnet": 16,
    "vgg11": 22,
    "vgg13": 26,
    "vgg16": 32,
    "vgg19": 38,
    "vgg11_bn": 54,
    "vgg13_bn": 66,
    "vgg16_bn": 84,
    "vgg19_bn": 102,
    "googlenet": 305,
    "resnet18": 102,
    "resnet34": 182,
    "resnet50": 267,
    "resnet101": 522,
    "resnet152": 777,
    "inception_v3": 484,
}
KNOWN = [
    ("alexnet", "features.10.weight", "params/conv5/kernel"),
    ("alexnet", "classifier.1.bias", "params/fc6/bias"),
    ("vgg16", "features.28.weight", "params/conv5_3/kernel"),
    ("vgg16_bn", "features.41.running_var", "batch_stats/conv5_3_norm/var"),
    ("vgg11_bn", "features.0.bias", "params/conv1_1/bias"),
    ("vgg19", "classifier.6.weight", "params/fc8/kernel"),
    ("googlenet", "conv3.bn.weight", "params/conv2_norm/scale"),
    (
        "googlenet",
        "inception4e.branch3.1.conv.weight",
        "params/inception_4e/5x5/kernel",
    ),
    ("googlenet", "aux2.conv.bn.running_mean", "batch_stats/aux2/conv_norm/mean"),
    ("resnet18", "layer1.1.bn2.bias", "params/stage1/block2/conv2_norm/bias"),
    (
        "resnet50",
        "layer1.0.downsample.0.weight",
        "params/stage1/block1/shortcut/kernel",
    ),
    (
        "resnet152",
        "layer3.35.bn3.running_var",
        "batch_stats/stage3/block36/conv3_norm/var",
    ),
    ("inception_v3", "Conv2d_4a_3x3.conv.weight", "params/conv4a_3x3/kernel"),
    (
        "inception_v3",
        "Mixed_7c.branch3x3dbl_3b.bn.weight",
        "params/mixed_7c/branch3x3dbl_3b_norm/scale",
    ),
    ("inception_v3", "AuxLogits.conv1.conv.weight", "params/aux/conv1/kernel"),
]


@pytest.mark.parametrize("name", MODELS)
def test_the_table_is_a_bijection(name):
    """Onto the leaves that the model has, each with one row and one tensor."""
    table = rows(name)
    sources = [row.source for row in table]
    assert len(table) == COUNTS[name] == len(set(sources))
    paths = [row.path for row in table]
    assert len(set(paths)) == len(paths)
    leaves = shapes(name, 7)
    assert set(paths) == set(leaves)
    for row in table:
        array = np.broadcast_to(
            np.int8(0), row.transform.source_shape(leaves[row.path])
        )
        assert row.transform.forward(array).shape == leaves[row.path]
    assert leaves[table[-1].path] == (7,)
    assert COUNTS.keys() == MODELS.keys()


@pytest.mark.parametrize("name, source, path", KNOWN)
def test_known_rows(name, source, path):
    found = {row.source: "/".join(row.path) for row in rows(name)}
    assert found[source] == path


def test_basic_blocks_of_stage_1_have_no_projection():
    sources = {row.source for row in rows("resnet34")}
    assert "layer1.0.downsample.0.weight" not in sources
    assert "layer2.0.downsample.0.weight" in sources
    assert "layer2.1.downsample.0.weight" not in sources


def test_unknown_model():
    with pytest.raises(InputError, match="'resnet50_v1' has no torchvision names"):
        rows("resnet50_v1")


def images(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_convolution_keeps_its_meaning():
    """PyTorch's: sum over i, a, b of w[o, i, a, b] x[i, y + a, z + b]."""
    x, w = images((3, 6, 5)), images((4, 3, 2, 3), 1)
    expected = np.zeros((4, 5, 3), np.float32)
    for y in range(5):
        for z in range(3):
            piece = x[:, y : y + 2, z : z + 3]
            expected[:, y, z] = np.einsum("oiab,iab->o", w, piece)
    found = conv(jnp.asarray(x.transpose(1, 2, 0))[None], jnp.asarray(CONV.forward(w)))
    np.testing.assert_allclose(
        np.asarray(found)[0].transpose(2, 0, 1), expected, rtol=1e-5, atol=1e-5
    )


def test_a_layer_on_a_flattened_image_keeps_its_meaning():
    c, h, w = 5, 3, 4
    x, weight = images((2, c, h, w)), images((7, c * h * w), 1)
    expected = x.reshape(2, -1) @ weight.T
    kernel = flattened(c, h, w).forward(weight)
    found = x.transpose(0, 2, 3, 1).reshape(2, -1) @ kernel
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "transform, shape",
    [
        (PLAIN, (5,)),
        (CONV, (2, 3, 4, 5)),
        (DENSE, (2, 3)),
        (flattened(2, 3, 4), (5, 24)),
    ],
)
def test_inverses(transform, shape):
    x = np.arange(np.prod(shape)).reshape(shape)
    assert (transform.inverse(transform.forward(x)) == x).all()
    assert transform.source_shape(transform.forward(x).shape) == shape
    y = transform.forward(x)
    assert (transform.forward(transform.inverse(y)) == y).all()
