"""Nets of Caffe's model zoo, as arrays, into variables of jnets.

Caffe keeps two blobs a layer: weights [O, I/groups, H, W] or [O, I], and a bias [O].
An inner product reads its input as [C, H, W]. The outputs of a grouped convolution are
ordered by group and read the inputs of their group alone, in Caffe as in XLA, so that
grouped weights stay in order. A `.caffemodel` is not read here: whoever has Caffe gets
the blobs from `{name: [b.data for b in blobs] for name, blobs in net.params.items()}`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jnets.errors import InputError
from jnets.interop.rows import CONV, DENSE, Path, Transform, flattened, shapes

# Caffe's layer -> its path in jnets and the layout of its weights.
Layers = dict[str, tuple[Path, Transform]]


def _sequence(names: Sequence[str], first: Transform) -> Layers:
    """Convolutions, then fc6, which reads a flattened map, fc7 and fc8."""
    layers: Layers = {name: ((name,), CONV) for name in names}
    return layers | {
        "fc6": (("fc6",), first),
        "fc7": (("fc7",), DENSE),
        "fc8": (("fc8",), DENSE),
    }


def _googlenet() -> Layers:
    layers: Layers = {
        "conv1/7x7_s2": (("conv1",), CONV),
        "conv2/3x3_reduce": (("conv2_reduce",), CONV),
        "conv2/3x3": (("conv2",), CONV),
    }
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        for branch in ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj"):
            path = (f"inception_{module}", branch)
            layers["/".join(path)] = (path, CONV)
    for i in (1, 2):
        layers[f"loss{i}/conv"] = ((f"aux{i}", "conv"), CONV)
        layers[f"loss{i}/fc"] = ((f"aux{i}", "fc1"), flattened(128, 4, 4))
        layers[f"loss{i}/classifier"] = ((f"aux{i}", "fc2"), DENSE)
    return layers | {"loss3/classifier": (("fc",), DENSE)}


def _vgg(blocks: Sequence[int]) -> Layers:
    names = [f"conv{b}_{i + 1}" for b, n in enumerate(blocks, 1) for i in range(n)]
    return _sequence(names, flattened(512, 7, 7))


_ALEXNET = _sequence([f"conv{i}" for i in range(1, 6)], flattened(256, 6, 6))
# A model of jnets -> the layers of Caffe's net: bvlc_alexnet, bvlc_reference_caffenet,
# bvlc_googlenet and the two nets of Simonyan & Zisserman.
MODELS: dict[str, Layers] = {
    "alexnet_caffe": _ALEXNET,
    "caffenet": _ALEXNET,
    "googlenet_paper": _googlenet(),
    "vgg16": _vgg((2, 2, 3, 3, 3)),
    "vgg19": _vgg((2, 2, 4, 4, 4)),
}


def to_variables(
    name: str, blobs: Mapping[str, Sequence[Any]], *, rgb: bool = False
) -> dict[str, Any]:
    """The variables of the jnets model `name`, a key of `MODELS`, from Caffe's blobs.

    `blobs` has (weights, bias) by Caffe's name of the layer. The nets read blue, green,
    red, in 0 to 255 without the mean; with `rgb` the first convolution's inputs are
    turned round, so that the model reads red, green, blue. GoogLeNet may come without
    both of its auxiliary heads, as for `aux=False`. Returns {"params": ...,
    "batch_stats": {}} of NumPy arrays; the classes are those of the blobs.

    Errors: InputError for a model that is not in `MODELS`, for layers that the model
    lacks or that are missing, naming both, and for another shape.
    """
    if name not in MODELS:
        raise InputError(f"model {name!r} is no net of Caffe; expected {list(MODELS)}")
    layers = MODELS[name]
    heads = [layer for layer, (path, _) in layers.items() if path[0].startswith("aux")]
    if not any(head in blobs for head in heads):
        layers = {k: v for k, v in layers.items() if k not in heads}
    foreign, missing = sorted(blobs.keys() - layers), sorted(layers.keys() - blobs)
    if foreign or missing:
        raise InputError(
            f"blobs are not those of {name}: unknown {foreign[:3]} ({len(foreign)} in "
            f"all), missing {missing[:3]} ({len(missing)} in all)"
        )
    classes = len(np.asarray(blobs[next(reversed(layers))][1]).ravel())
    expected, params = shapes(name, max(classes, 1)), {}
    for layer, (path, transform) in layers.items():
        weights, bias = map(np.asarray, blobs[layer])
        if transform is not CONV:  # old files have inner products of four axes
            weights = weights.reshape(weights.shape[-2:])
        shape = transform.source_shape(expected["params", *path, "kernel"])
        if weights.shape != shape or bias.size != shape[0]:
            raise InputError(
                f"blobs of {layer} are {weights.shape} and {bias.shape}; expected "
                f"{shape} and {shape[:1]}"
            )
        if rgb and layer == next(iter(layers)):
            weights = weights[:, ::-1]
        tree = params
        for key in path:
            tree = tree.setdefault(key, {})
        tree["kernel"] = np.array(transform.forward(weights), order="C")
        tree["bias"] = np.array(bias).reshape(-1)
    return {"params": params, "batch_stats": {}}
