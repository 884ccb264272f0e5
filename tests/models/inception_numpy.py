"""GoogLeNet and Inception-v3 as plain NumPy code, and what tests of both share."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from jnets.models import googlenet


def draw(tree):
    """Kernels of variance 2 / fan-in; biases, scales and statistics in (0.2, 1)."""
    rng = np.random.default_rng(0)

    def one(leaf):
        if leaf.ndim == 1:
            return jnp.asarray(rng.uniform(0.2, 1, leaf.shape), leaf.dtype)
        std = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return jnp.asarray(rng.normal(0, std, leaf.shape), leaf.dtype)

    return jax.tree.map(one, tree)


def near(found, expected, tolerance=1e-5):
    """Equal to `tolerance` times the largest value."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def together(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def windows(x, kernel, stride, pad, fill=0.0):
    """[B, H', W', C, *kernel]; `pad` is (low, high) for both axes, or per axis."""
    x = np.pad(x, ((0, 0), *np.broadcast_to(pad, (2, 2)), (0, 0)), constant_values=fill)
    return sliding_window_view(x, kernel, axis=(1, 2))[:, ::stride, ::stride]


def halve(x, window):
    """Maxima at stride 2; the last window may hang over the edge."""
    n = x.shape[1]
    hang = (-(-(n - window) // 2)) * 2 + window - n
    return windows(x, (window, window), 2, (0, hang), -np.inf).max((-1, -2))


def local_norm(x):
    """Caffe's, k = 1 and alpha / 5, channel by channel."""
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        around = x[..., max(c - 2, 0) : c + 3]
        y[..., c] = x[..., c] / (1 + 1e-4 / 5 * np.sum(around**2, -1)) ** 0.75
    return y


class GoogLeNet:
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
        x = self.conv(keep(halve(x, 3)), "conv2_reduce")
        return halve(keep(self.conv(x, "conv2")), 3)

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
                x = halve(x, self.model.pool4 if name == "4e" else 3)
        return self.dense(x.mean((1, 2)), "fc"), heads


class InceptionV3:
    """Its layers by name, in float64; `left` are the names not called yet."""

    def __init__(self, variables):
        wide = jax.tree.map(lambda a: np.asarray(a, np.float64), variables)
        self.params, self.stats = wide["params"], wide["batch_stats"]
        self.left = set(self.params)

    def __call__(self, x, name, stride=1, same=True):
        """Convolution, batch norm in use, rectifier; `same` keeps the size."""
        kernel, norm = self.params[name]["kernel"], f"{name}_norm"
        self.left -= {name, norm}
        pad = [(k // 2 if same else 0,) * 2 for k in kernel.shape[:2]]
        view = windows(x, kernel.shape[:2], stride, pad)
        y = np.tensordot(view, kernel, ([4, 5, 3], [0, 1, 2]))
        mean, var = self.stats[norm]["mean"], self.stats[norm]["var"]
        y = (y - mean) / np.sqrt(var + 1e-3)
        return np.maximum(y * self.params[norm]["scale"] + self.params[norm]["bias"], 0)

    def chain(self, x, prefix, count):
        for i in range(1, count + 1):
            x = self(x, f"{prefix}_{i}")
        return x

    def inside(self, name):
        return InceptionV3(
            {"params": self.params[name], "batch_stats": self.stats[name]}
        )


def average(x):
    return windows(x, (3, 3), 1, (1, 1)).mean((-1, -2))  # zeros are counted


def shrink(x):
    return windows(x, (3, 3), 2, (0, 0)).max((-1, -2))


def block5(net, x):
    """Figure 5; its shapes tell 5x5 from 3x3."""
    return [
        net(x, "branch1x1"),
        net.chain(x, "branch5x5", 2),
        net.chain(x, "branch3x3dbl", 3),
        net(average(x), "branch_pool"),
    ]


def block6a(net, x):
    double = net.chain(x, "branch3x3dbl", 2)
    return [
        net(x, "branch3x3", 2, same=False),
        net(double, "branch3x3dbl_3", 2, same=False),
        shrink(x),
    ]


def block6(net, x):
    return [
        net(x, "branch1x1"),
        net.chain(x, "branch7x7", 3),
        net.chain(x, "branch7x7dbl", 5),
        net(average(x), "branch_pool"),
    ]


def block7a(net, x):
    three, seven = net(x, "branch3x3_1"), net.chain(x, "branch7x7x3", 3)
    return [
        net(three, "branch3x3_2", 2, same=False),
        net(seven, "branch7x7x3_4", 2, same=False),
        shrink(x),
    ]


def block7(net, x):
    three, double = net(x, "branch3x3_1"), net.chain(x, "branch3x3dbl", 2)
    return [
        net(x, "branch1x1"),
        net(three, "branch3x3_2a"),
        net(three, "branch3x3_2b"),
        net(double, "branch3x3dbl_3a"),
        net(double, "branch3x3dbl_3b"),
        net(average(x), "branch_pool"),
    ]


BLOCKS = {"6a": block6a, "7a": block7a, "7b": block7, "7c": block7}
BLOCKS |= dict.fromkeys(("5b", "5c", "5d"), block5)
BLOCKS |= dict.fromkeys(("6b", "6c", "6d", "6e"), block6)


def inception_v3(variables, x):
    net, x = InceptionV3(variables), np.asarray(x, np.float64)
    x = net(net(x, "conv1a_3x3", 2, same=False), "conv2a_3x3", same=False)
    x = net(shrink(net(x, "conv2b_3x3")), "conv3b_1x1")
    x = shrink(net(x, "conv4a_3x3", same=False))
    for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
        x = np.concatenate(BLOCKS[name](net.inside(f"mixed_{name}"), x), -1)
    return x.mean((1, 2)) @ net.params["fc"]["kernel"] + net.params["fc"]["bias"]
