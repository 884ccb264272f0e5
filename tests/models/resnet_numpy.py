"""Residual nets as plain NumPy code, and the names that their layers have in facts."""

import json
import re
from pathlib import Path

import jax
import numpy as np

from jnets.inspect import summarize
from jnets.models import create, entry
from tests.models.inception_numpy import windows

FACTS = json.loads((Path(__file__).parent / "facts_convnets.json").read_text())


def trace(name, **fields):
    x = [
        jax.ShapeDtypeStruct((1, *shape), dtype) for shape, dtype in entry(name).inputs
    ]
    return summarize(create(name, **fields), *x)


def deep(name):
    """Whether the stacked form of the model called `name` is worth its loops."""
    return int(re.findall(r"\d+", name)[-1]) > 56


def known_layers(fact):
    """{name here: (shape, parameters, MACs)} of the layers that the facts list.

    A row holds a convolution and the norm behind it. Some rows of a block leave the
    block's name out.
    """
    layers, block = {}, ""
    for row in fact["layers"]:
        place, _, part = row["name"].rpartition("/")
        if match := re.fullmatch(r"(res|s)(\d+)_(\d+)", place):
            stage = int(match[2]) - (match[1] == "res")
            block = f"stage{stage}/block{match[3]}/"
        alone = {"gap": "pool", "bn_final": "norm", "bn1": "norm1", "bn_pre": "norm1"}
        letters = {"a": "conv1", "b": "conv2", "c": "conv3", "proj": "shortcut"}
        name = {**alone, **letters}.get(part, part)
        if place or part in letters:
            name = block + name
        layers[name] = tuple(row["out_hwc"]), row["params"], row["macs"]
    return layers


def found_layers(summary, norm_of):
    """The same from a summary; `norm_of(conv's name)` names the norm behind it.

    `rest[0]` of a stack is the second block.
    """

    def flat(name):
        return re.sub(r"rest\[(\d+)\]", lambda m: f"block{int(m[1]) + 2}", name)

    rows, layers = {flat(row.name): row for row in summary.layers}, {}
    norms = {norm_of(name) for name, row in rows.items() if row.kind == "Conv"}
    for name, row in rows.items():
        if name in norms:
            continue
        behind = rows.get(norm_of(name)) if row.kind == "Conv" else None
        params = row.parameters + (behind.parameters if behind else 0)
        shape = (1,) * (3 - len(row.output)) + tuple(row.output)
        layers[name] = shape, params, row.macs
    return layers


class Net:
    """The nets as plain code, in float64, with the variables and fields of `model`."""

    def __init__(self, model, variables, train=False):
        wide = jax.tree.map(lambda a: np.asarray(a, np.float64), variables)
        self.params, self.stats = wide["params"], wide["batch_stats"]
        self.model, self.train = model, train

    def conv(self, x, path, stride=1, pad=None):
        kernel = find(self.params, path)["kernel"]
        pad = (len(kernel) // 2,) * 2 if pad is None else pad
        view = windows(x, kernel.shape[:2], stride, pad)
        return np.tensordot(view, kernel, ([4, 5, 3], [0, 1, 2]))

    def norm(self, y, path):
        norm, stats = find(self.params, path), find(self.stats, path)
        mean, var = stats["mean"], stats["var"]
        if self.train:
            mean, var = y.mean((0, 1, 2)), y.var((0, 1, 2))
        return (y - mean) / np.sqrt(var + 1e-5) * norm["scale"] + norm["bias"]

    def strides(self, s, b):
        stride = 2 if s > 1 and b == 1 else 1
        if self.model.block == "basic":
            return (stride, 1), stride
        early = self.model.version == "v1"
        return ((stride, 1, 1) if early else (1, stride, 1)), stride

    def __call__(self, x):
        x = self.stem(np.asarray(x, np.float64))
        for s, count in enumerate(self.model.blocks, start=1):
            for b in range(1, count + 1):
                x = self.block(x, f"stage{s}/block{b}", *self.strides(s, b))
        return self.head(x) @ self.params["fc"]["kernel"] + self.params["fc"]["bias"]


def pooled(x, pad):
    return windows(x, (3, 3), 2, pad, -np.inf).max((-1, -2))


def find(tree, path):
    for part in path.split("/"):
        tree = tree[part]
    return tree


class V1(Net):
    def stem(self, x):
        x = self.conv(x, "conv1", 1 if self.model.stem == "cifar" else 2)
        x = x + self.params["conv1"].get("bias", 0.0)
        x = np.maximum(self.norm(x, "conv1_norm"), 0)
        if self.model.stem == "cifar":
            return x
        return pooled(x, (1, 1) if self.model.stem == "imagenet" else (0, 1))

    def block(self, x, path, strides, stride):
        y = x
        for i, s in enumerate(strides, start=1):
            y = np.maximum(y, 0) if i > 1 else y
            y = self.norm(self.conv(y, f"{path}/conv{i}", s), f"{path}/conv{i}_norm")
        return np.maximum(y + self.shortcut(x, path, stride, y.shape), 0)

    def shortcut(self, x, path, stride, shape):
        if self.model.shortcut == "none":
            return 0.0
        if "shortcut" in find(self.params, path):
            x = self.conv(x, f"{path}/shortcut", stride)
            return self.norm(x, f"{path}/shortcut_norm")
        y = np.zeros(shape)
        y[..., : x.shape[-1]] = x[:, ::stride, ::stride]
        return y

    def head(self, x):
        return x.mean((1, 2))


class V2(Net):
    def stem(self, x):
        if self.model.stem == "cifar":
            return self.conv(x, "conv1")
        x = np.maximum(self.norm(self.conv(x, "conv1", 2), "conv1_norm"), 0)
        return pooled(x, (1, 1))

    def block(self, x, path, strides, stride):
        h = y = x
        for i, s in enumerate(strides, start=1):
            if path != "stage1/block1" or self.model.stem == "cifar" or i > 1:
                y = np.maximum(self.norm(y, f"{path}/norm{i}"), 0)
            h = y if i == 1 else h
            y = self.conv(y, f"{path}/conv{i}", s)
        if "shortcut" in find(self.params, path):
            return y + self.conv(h, f"{path}/shortcut", stride)
        return y + x

    def head(self, x):
        return np.maximum(self.norm(x, "norm"), 0).mean((1, 2))
