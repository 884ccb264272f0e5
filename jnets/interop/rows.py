"""Torchvision's name of every tensor, its place in jnets, and its change of layout.

One row a tensor, made from each architecture's own numbers. A layer of jnets is a
path; the batch norm after the convolution `X` is `X_norm`.
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from jnets.errors import InputError
from jnets.models import create, example_inputs

Path = tuple[str, ...]


class Transform(NamedTuple):
    """A change of layout: `forward` takes PyTorch's to jnets', `inverse` takes it back.

    Both only permute and reshape, so that no bit of a number changes.
    """

    name: str
    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]

    def source_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """PyTorch's shape of what jnets has as `shape`."""
        return self.inverse(np.broadcast_to(np.zeros((), np.int8), shape)).shape


class Row(NamedTuple):
    """The tensor `source` of PyTorch is the leaf at `path` of a model's variables."""

    source: str
    path: Path
    transform: Transform


PLAIN = Transform("plain", lambda a: a, lambda a: a)
CONV = Transform(  # [O, I, H, W] <-> [H, W, I, O]
    "OIHW <-> HWIO",
    lambda a: a.transpose(2, 3, 1, 0),
    lambda a: a.transpose(3, 2, 0, 1),
)
DENSE = Transform("transpose", lambda a: a.T, lambda a: a.T)  # [O, I] <-> [I, O]


def flattened(c: int, h: int, w: int) -> Transform:
    """Of a layer that reads a flattened image: [O, (C, H, W)] <-> [(H, W, C), O]."""

    def forward(a: np.ndarray) -> np.ndarray:
        return a.reshape(-1, c, h, w).transpose(2, 3, 1, 0).reshape(c * h * w, -1)

    def inverse(a: np.ndarray) -> np.ndarray:
        return a.reshape(h, w, c, -1).transpose(3, 2, 0, 1).reshape(-1, c * h * w)

    return Transform(f"transpose, CHW <-> HWC of {c}x{h}x{w}", forward, inverse)


def weights(
    source: str, path: Path, kernel: Transform, bias: bool = True
) -> Iterator[Row]:
    """The rows of a convolution or of a fully connected layer."""
    yield Row(f"{source}.weight", ("params", *path, "kernel"), kernel)
    if bias:
        yield Row(f"{source}.bias", ("params", *path, "bias"), PLAIN)


def norm(source: str, path: Path) -> Iterator[Row]:
    """The rows of the batch norm after the convolution at `path`."""
    path = (*path[:-1], f"{path[-1]}_norm")
    yield Row(f"{source}.weight", ("params", *path, "scale"), PLAIN)
    yield Row(f"{source}.bias", ("params", *path, "bias"), PLAIN)
    yield Row(f"{source}.running_mean", ("batch_stats", *path, "mean"), PLAIN)
    yield Row(f"{source}.running_var", ("batch_stats", *path, "var"), PLAIN)


def unit(source: str, path: Path) -> Iterator[Row]:
    """A convolution without bias and its norm, `conv` and `bn` in both Inceptions."""
    yield from weights(f"{source}.conv", path, CONV, bias=False)
    yield from norm(f"{source}.bn", path)


def alexnet() -> Iterator[Row]:
    for number, at in enumerate((0, 3, 6, 8, 10), start=1):
        yield from weights(f"features.{at}", (f"conv{number}",), CONV)
    yield from weights("classifier.1", ("fc6",), flattened(256, 6, 6))
    yield from weights("classifier.4", ("fc7",), DENSE)
    yield from weights("classifier.6", ("fc8",), DENSE)


def vgg(blocks: tuple[int, ...], with_norm: bool) -> Iterator[Row]:
    """`blocks` has the convolutions of each block; with a norm they keep their bias."""
    at = 0
    for block, convolutions in enumerate(blocks, start=1):
        for i in range(1, convolutions + 1):
            path = (f"conv{block}_{i}",)
            yield from weights(f"features.{at}", path, CONV)
            if with_norm:
                yield from norm(f"features.{at + 1}", path)
            at += 3 if with_norm else 2  # with the rectifier
        at += 1  # the pool
    yield from weights("classifier.0", ("fc6",), flattened(512, 7, 7))
    yield from weights("classifier.3", ("fc7",), DENSE)
    yield from weights("classifier.6", ("fc8",), DENSE)


def googlenet() -> Iterator[Row]:
    for source, name in (("conv1", "conv1"), ("conv2", "conv2_reduce")):
        yield from unit(source, (name,))
    yield from unit("conv3", ("conv2",))
    branches = {
        "branch1": "1x1",
        "branch2.0": "3x3_reduce",
        "branch2.1": "3x3",
        "branch3.0": "5x5_reduce",
        "branch3.1": "5x5",
        "branch4.1": "pool_proj",
    }
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        for branch, name in branches.items():
            path = (f"inception_{module}", name)
            yield from unit(f"inception{module}.{branch}", path)
    for head in ("aux1", "aux2"):
        yield from unit(f"{head}.conv", (head, "conv"))
        yield from weights(f"{head}.fc1", (head, "fc1"), flattened(128, 4, 4))
        yield from weights(f"{head}.fc2", (head, "fc2"), DENSE)
    yield from weights("fc", ("fc",), DENSE)


def resnet(blocks: tuple[int, ...], convolutions: int) -> Iterator[Row]:
    """Basic blocks have 2 convolutions, bottlenecks 3.

    The first block of a stage has a projection, but for stage 1 of the basic kind,
    whose input has the right shape already.
    """
    yield from weights("conv1", ("conv1",), CONV, bias=False)
    yield from norm("bn1", ("conv1",))
    for stage, count in enumerate(blocks, start=1):
        for b in range(count):
            source, path = f"layer{stage}.{b}", (f"stage{stage}", f"block{b + 1}")
            for i in range(1, convolutions + 1):
                conv = (*path, f"conv{i}")
                yield from weights(f"{source}.conv{i}", conv, CONV, bias=False)
                yield from norm(f"{source}.bn{i}", conv)
            if b == 0 and (stage > 1 or convolutions == 3):
                source, path = f"{source}.downsample", (*path, "shortcut")
                yield from weights(f"{source}.0", path, CONV, bias=False)
                yield from norm(f"{source}.1", path)
    yield from weights("fc", ("fc",), DENSE)


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_{i}" for i in range(1, count + 1))


# The convolutions of Inception-v3's five kinds of module.
_GRID_35 = ("branch1x1", *_numbered("branch5x5", 2), *_numbered("branch3x3dbl", 3))
_GRID_17 = ("branch1x1", *_numbered("branch7x7", 3), *_numbered("branch7x7dbl", 5))
_GRID_8 = tuple(
    f"branch{name}"
    for name in "1x1 3x3_1 3x3_2a 3x3_2b 3x3dbl_1 3x3dbl_2 3x3dbl_3a 3x3dbl_3b".split()
)
INCEPTION_V3: dict[str, tuple[str, ...]] = {
    **{f"5{m}": (*_GRID_35, "branch_pool") for m in "bcd"},
    "6a": ("branch3x3", *_numbered("branch3x3dbl", 3)),
    **{f"6{m}": (*_GRID_17, "branch_pool") for m in "bcde"},
    "7a": (*_numbered("branch3x3", 2), *_numbered("branch7x7x3", 4)),
    **{f"7{m}": (*_GRID_8, "branch_pool") for m in "bc"},
}


def inception_v3() -> Iterator[Row]:
    for name in ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3"):
        yield from unit(f"Conv2d_{name}", (f"conv{name}",))
    for module, branches in INCEPTION_V3.items():
        if module == "7a":  # the auxiliary head reads the output of 6e
            for name in ("conv0", "conv1"):
                yield from unit(f"AuxLogits.{name}", ("aux", name))
            yield from weights("AuxLogits.fc", ("aux", "fc"), DENSE)
        for branch in branches:
            yield from unit(f"Mixed_{module}.{branch}", (f"mixed_{module}", branch))
    yield from weights("fc", ("fc",), DENSE)


# The convolutions of each block of a VGG, and the blocks of each stage of a ResNet.
VGG = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
RESNET = {
    "resnet18": ((2, 2, 2, 2), 2),
    "resnet34": ((3, 4, 6, 3), 2),
    "resnet50": ((3, 4, 6, 3), 3),
    "resnet101": ((3, 4, 23, 3), 3),
    "resnet152": ((3, 8, 36, 3), 3),
}
# A model of jnets -> what makes the rows of torchvision's model of that name.
MODELS: dict[str, Callable[[], Iterator[Row]]] = {
    "alexnet": alexnet,
    **{name: functools.partial(vgg, blocks, False) for name, blocks in VGG.items()},
    **{
        f"{name}_bn": functools.partial(vgg, blocks, True)
        for name, blocks in VGG.items()
    },
    "googlenet": googlenet,
    **{name: functools.partial(resnet, *shape) for name, shape in RESNET.items()},
    "inception_v3": inception_v3,
}


@functools.cache
def rows(name: str) -> tuple[Row, ...]:
    """The table of the model `name`, in the order of PyTorch's state dict.

    The classifier comes last. Errors: InputError for a model that torchvision lacks.
    """
    if name not in MODELS:
        known = ", ".join(MODELS)
        raise InputError(f"model {name!r} has no torchvision names; expected {known}")
    return tuple(MODELS[name]())


@functools.cache
def shapes(name: str, classes: int) -> dict[Path, tuple[int, ...]]:
    """The shape of every leaf of the model's variables, without computing any."""
    model = create(name, classes=classes)
    trees = jax.eval_shape(model.init, jax.random.key(0), *example_inputs(name))
    return {
        tuple(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_flatten_with_path(trees)[0]
    }
