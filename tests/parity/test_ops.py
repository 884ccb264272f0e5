"""Live comparison of convolutions, pools and norms with PyTorch, values and gradients.

Random cases beyond the stored ones; both sides compute in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.ops import (
    adaptive_avg_pool,
    avg_pool,
    conv,
    conv_transpose,
    local_response_norm,
    max_pool,
)

pytestmark = pytest.mark.parity
X64 = {"rtol": 1e-11, "atol": 1e-11}


@pytest.fixture(scope="module")
def torch():
    import torch

    return torch


def compare(torch, ours, theirs, arrays):
    """Values, and gradients of a random projection, with respect to every array."""
    tensors = [torch.from_numpy(a).requires_grad_() for a in arrays]
    expected = theirs(*tensors)
    rng = np.random.default_rng(1)
    g = rng.standard_normal(tuple(expected.shape))
    gradients = torch.autograd.grad(expected, tensors, torch.from_numpy(g))

    @jax.jit
    def run(arrays, g):
        y, vjp = jax.vjp(ours, *arrays)
        return y, vjp(g)

    y, ours_gradients = run([jnp.asarray(a) for a in arrays], jnp.asarray(g))
    np.testing.assert_allclose(y, expected.detach().numpy(), **X64)
    for mine, theirs_ in zip(ours_gradients, gradients, strict=True):
        np.testing.assert_allclose(mine, theirs_.numpy(), **X64)


def draw_convolution(rng):
    axes = int(rng.integers(1, 4))

    def draw(low, high):
        return tuple(int(v) for v in rng.integers(low, high, axes))

    groups = int(rng.integers(1, 4))
    kernel, dilation, padding = draw(1, 4), draw(1, 3), draw(0, 3)
    stride = draw(1, 4)
    rows = zip(kernel, dilation, draw(0, 4), strict=True)
    sizes = tuple(d * (k - 1) + 1 + e for k, d, e in rows)
    channels = groups * int(rng.integers(1, 3)), groups * int(rng.integers(1, 3))
    options = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    return sizes, kernel, channels, options


@pytest.mark.parametrize("seed", range(12))
def test_conv(x64, torch, seed):
    rng = np.random.default_rng(seed)
    sizes, kernel, (c_in, c_out), options = draw_convolution(rng)
    axes = len(sizes)
    function = getattr(torch.nn.functional, f"conv{axes}d")
    arrays = [
        rng.standard_normal((2, *sizes, c_in)),
        rng.standard_normal((*kernel, c_in // options["groups"], c_out)),
        rng.standard_normal(c_out),
    ]

    def theirs(x, w, b):
        weight = w.movedim((-1, -2), (0, 1))
        return function(x.movedim(-1, 1), weight, b, **options).movedim(1, -1)

    compare(torch, lambda *a: conv(*a, **options), theirs, arrays)


@pytest.mark.parametrize("seed", range(12))
def test_conv_transpose(x64, torch, seed):
    rng = np.random.default_rng(100 + seed)
    sizes, kernel, (c_in, c_out), options = draw_convolution(rng)
    sizes = tuple(n + 2 for n in sizes)
    limits = map(max, options["stride"], options["dilation"])
    options["output_padding"] = tuple(int(rng.integers(0, m)) for m in limits)
    groups, axes = options["groups"], len(sizes)
    function = getattr(torch.nn.functional, f"conv_transpose{axes}d")
    arrays = [
        rng.standard_normal((2, *sizes, c_in)),
        rng.standard_normal((*kernel, c_in // groups, c_out)),
        rng.standard_normal(c_out),
    ]

    def theirs(x, w, b):
        blocks = w.reshape(*kernel, c_in // groups, groups, c_out // groups)
        weight = blocks.movedim((-2, -3, -1), (0, 1, 2)).flatten(0, 1).contiguous()
        return function(x.movedim(-1, 1), weight, b, **options).movedim(1, -1)

    compare(torch, lambda *a: conv_transpose(*a, **options), theirs, arrays)


@pytest.mark.parametrize("kind", ["max", "avg", "avg_inside"])
@pytest.mark.parametrize("seed", range(10))
def test_pools(x64, torch, kind, seed):
    rng = np.random.default_rng(200 + seed)
    axes = int(rng.integers(1, 4))
    window = tuple(int(k) for k in rng.integers(1, 7, axes))
    options = dict(
        stride=tuple(int(s) for s in rng.integers(1, 5, axes)),
        padding=tuple(int(rng.integers(0, k // 2 + 1)) for k in window),
        ceil_mode=bool(rng.integers(0, 2)),
    )
    sizes = tuple(
        k + int(e) for k, e in zip(window, rng.integers(0, 6, axes), strict=True)
    )
    # Few distinct values: ties decide where the gradient of a maximum goes.
    x = rng.integers(-2, 3, (2, *sizes, 3)).astype(np.float64)
    if kind != "max":
        options["count_include_pad"] = kind == "avg"
    name = kind.split("_")[0]
    function = getattr(torch.nn.functional, f"{name}_pool{axes}d")
    ours = {"max": max_pool, "avg": avg_pool}[name]

    def theirs(x):
        return function(x.movedim(-1, 1), window, **options).movedim(1, -1)

    compare(torch, lambda x: ours(x, window, **options), theirs, [x])


@pytest.mark.parametrize("seed", range(8))
def test_adaptive_avg_pool(x64, torch, seed):
    rng = np.random.default_rng(300 + seed)
    axes = int(rng.integers(1, 4))
    sizes, out = (tuple(int(v) for v in rng.integers(1, 9, axes)) for _ in range(2))
    function = getattr(torch.nn.functional, f"adaptive_avg_pool{axes}d")

    def theirs(x):
        return function(x.movedim(-1, 1), out).movedim(1, -1)

    x = rng.standard_normal((2, *sizes, 3))
    compare(torch, lambda x: adaptive_avg_pool(x, out), theirs, [x])


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("beta", [0.5, 0.75])
def test_local_response_norm(x64, torch, size, beta):
    rng = np.random.default_rng(size)
    options = dict(size=size, alpha=float(rng.uniform(0, 2)), beta=beta, k=1.5)

    def theirs(x):
        function = torch.nn.functional.local_response_norm
        return function(x.movedim(-1, 1), **options).movedim(1, -1)

    def ours(x):
        return local_response_norm(x, divide_by_size=True, **options)

    compare(torch, ours, theirs, [rng.standard_normal((2, 3, 2, 6))])
