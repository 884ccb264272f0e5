"""Convolution: literals, a NumPy loop, stored PyTorch values, gradients in x64."""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jnets.errors import InputError
from jnets.ops.conv import conv, conv_transpose, convolve, correlate, resolve_padding

STORED = np.load(Path(__file__).parents[1] / "fixtures" / "ops.npz")
CASES = [
    case
    for case in json.loads(str(STORED["cases"]))
    if case["op"] in ("conv", "conv_transpose")
]
# Sums of some tens of products: relative to the result's scale, float32 keeps 1e-6.
F32 = {"rtol": 1e-5, "atol": 1e-5}
X64 = {"rtol": 1e-12, "atol": 1e-12}


def gaussian(*shape):
    """Float32 data by NumPy: jax.random would compile anew for every shape."""
    rng = np.random.default_rng(shape)
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def loop_conv(x, kernel, stride, pads, dilation, groups):
    """The definition, one output position at a time, in float64."""
    axes = x.ndim - 2
    x = np.pad(x.astype(np.float64), [(0, 0), *pads, (0, 0)])
    window = kernel.shape[:axes]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True)]
    out = [
        (n - r) // s + 1 for n, r, s in zip(x.shape[1:-1], reach, stride, strict=True)
    ]
    c_in, c_out = kernel.shape[-2], kernel.shape[-1]
    y = np.zeros((x.shape[0], *out, c_out))
    for where in np.ndindex(*out):
        for f in range(c_out):
            block = f // (c_out // groups)
            channels = slice(block * c_in, (block + 1) * c_in)
            for k in np.ndindex(*window):
                at = (
                    i * s + j * d
                    for i, s, j, d in zip(where, stride, k, dilation, strict=True)
                )
                y[(slice(None), *where, f)] += (
                    x[(slice(None), *at, channels)] @ kernel[(*k, slice(None), f)]
                )
    return y


@st.composite
def convolutions(draw):
    """Sizes and options of a convolution that has an output, 1 to 3 axes."""
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2, 3, 9]))  # so many as 9 are not taken apart

    def tuples(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * axes))

    kernel, stride, dilation = tuples(1, 3), tuples(1, 3), tuples(1, 2)
    pads = tuple(zip(tuples(0, 2), tuples(0, 2), strict=True))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    extra = tuples(0, 3)
    sizes = tuple(
        max(r - sum(p), 1) + e for r, p, e in zip(reach, pads, extra, strict=True)
    )
    channels = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    options = dict(stride=stride, padding=pads, dilation=dilation, groups=groups)
    return sizes, kernel, channels, options, draw(st.integers(0, 2**32 - 1))


def normal(rng, *shape):
    return jnp.asarray(rng.standard_normal(shape), jnp.result_type(float))


@settings(max_examples=12, deadline=None)
@given(case=convolutions())
def test_conv_is_its_definition(case):
    sizes, window, (c_in, c_out), options, seed = case
    rng = np.random.default_rng(seed)
    groups = options["groups"]
    with jax.enable_x64(True):
        x = normal(rng, 2, *sizes, c_in)
        kernel = normal(rng, *window, c_in // groups, c_out)
        bias = normal(rng, c_out)
        y = jax.jit(lambda *a: conv(*a, **options))(x, kernel, bias)
        expected = np.asarray(bias) + loop_conv(
            np.asarray(x),
            np.asarray(kernel),
            options["stride"],
            options["padding"],
            options["dilation"],
            groups,
        )
        np.testing.assert_allclose(y, expected, **X64)


@settings(max_examples=12, deadline=None)
@given(case=convolutions())
def test_conv_transpose_is_the_adjoint_of_conv(case):
    sizes, window, (c_in, c_out), options, seed = case
    rng, groups = np.random.default_rng(seed), options["groups"]
    with jax.enable_x64(True):
        x = normal(rng, 2, *sizes, c_in)
        kernel = normal(rng, *window, c_in // groups, c_out)
        forward, transpose = jax.vjp(jax.jit(lambda x: conv(x, kernel, **options)), x)
        y = normal(rng, *forward.shape)
        blocks = kernel.reshape(*window, c_in // groups, groups, c_out // groups)
        swapped = jnp.swapaxes(blocks, -1, -3).reshape(*window, c_out // groups, c_in)
        rows = zip(
            sizes,
            window,
            options["stride"],
            options["padding"],
            options["dilation"],
            strict=True,
        )
        left_over = tuple(
            (n + low + high - d * (k - 1) - 1) % s for n, k, s, (low, high), d in rows
        )
        back = jax.jit(
            lambda y: conv_transpose(y, swapped, output_padding=left_over, **options)
        )(y)
        assert back.shape == x.shape
        np.testing.assert_allclose(
            jnp.vdot(forward, y), jnp.vdot(x, back), rtol=1e-10, atol=1e-10
        )
        np.testing.assert_allclose(back, transpose(y)[0], **X64)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['op']}-{c['name']}")
def test_stored_pytorch_values(case):
    x, kernel, bias, y = (
        STORED[f"{case['name']}.{role}"] for role in ("x", "kernel", "bias", "y")
    )
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in case["options"].items()
    }
    function = {"conv": conv, "conv_transpose": conv_transpose}[case["op"]]
    result = jax.jit(lambda *a: function(*a, **options))(x, kernel, bias)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, y, **F32)


def test_correlation_and_convolution_of_the_lecture():
    x, y = jnp.arange(6), jnp.array([1, 2, 3])
    assert correlate(x, y).tolist() == [8, 14, 20, 26]
    assert convolve(x, y).tolist() == [4, 10, 16, 22]
    assert correlate(x, y, stride=2).tolist() == [8, 20]
    assert correlate(x, y, padding="SAME").tolist() == [3, 8, 14, 20, 26, 14]
    assert correlate(x, y, padding=((2, 0),)).tolist() == [0, 3, 8, 14, 20, 26]
    assert correlate(x, y, dilation=2).tolist() == [16, 22]


def test_a_plane_by_hand():
    x = jnp.arange(9.0).reshape(3, 3)
    y = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    # 0 + 2 + 9 + 16, ...
    assert correlate(x, y).tolist() == [[27.0, 37.0], [57.0, 67.0]]
    assert convolve(x, y).tolist() == [[13.0, 23.0], [43.0, 53.0]]
    image = conv(x[None, :, :, None], y[:, :, None, None], jnp.array([0.5]))
    assert image[0, :, :, 0].tolist() == [[27.5, 37.5], [57.5, 67.5]]


def test_convolve_is_symmetric_when_full_and_correlate_matches_numpy():
    x, y = np.array([1.0, -2.0, 3.0, 0.5]), np.array([2.0, 1.0, -1.0])
    full = convolve(jnp.asarray(x), jnp.asarray(y), padding=2)
    np.testing.assert_allclose(full, np.convolve(x, y), **F32)
    np.testing.assert_allclose(
        full, convolve(jnp.asarray(y), jnp.asarray(x), padding=3), **F32
    )
    np.testing.assert_allclose(
        correlate(jnp.asarray(x), jnp.asarray(y)), np.correlate(x, y), **F32
    )


def test_same_is_the_explicit_padding_it_stands_for():
    x = gaussian(1, 8, 7, 2)
    kernel = gaussian(3, 4, 2, 2)
    pads = resolve_padding((8, 7), (3, 4), stride=(2, 3), padding="SAME")
    assert pads == ((0, 1), (1, 2))
    same = conv(x, kernel, stride=(2, 3), padding="SAME")
    assert same.shape == (1, 4, 3, 2)
    assert (same == conv(x, kernel, stride=(2, 3), padding=pads)).all()


def test_groups_are_convolutions_side_by_side():
    x = gaussian(2, 6, 6, 4)
    kernel = gaussian(3, 3, 2, 6)

    @jax.jit
    def both(x, kernel):
        halves = [
            conv(x[..., 2 * j : 2 * j + 2], kernel[..., 3 * j : 3 * j + 3])
            for j in (0, 1)
        ]
        return conv(x, kernel, groups=2), jnp.concatenate(halves, axis=-1)

    np.testing.assert_allclose(*both(x, kernel), **F32)


@pytest.mark.parametrize("function", [conv, conv_transpose])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_gradients(x64, function, axes):
    rng = np.random.default_rng(axes)
    x, kernel, bias = (
        normal(rng, 1, *(4, 5, 3)[:axes], 4),
        normal(rng, *(2, 3, 1)[:axes], 2, 4),
        normal(rng, 4),
    )

    def f(x, kernel, bias):
        return jnp.sin(function(x, kernel, bias, stride=2, padding=1, groups=2))

    check_grads(jax.jit(f), (x, kernel, bias), order=1, modes=("rev", "fwd"))


@pytest.mark.parametrize("function", [conv, conv_transpose])
def test_jit_vmap_and_strict_promotion_agree_with_plain_calls(function):
    x = gaussian(3, 2, 6, 5, 4)
    kernel = gaussian(3, 2, 2, 4)
    bias = gaussian(4)

    def f(x):
        return function(x, kernel, bias, stride=2, padding=1, groups=2)

    flat = f(x.reshape(6, 6, 5, 4))
    plain = flat.reshape(3, 2, *flat.shape[1:])
    with jax.numpy_dtype_promotion("strict"):
        mapped, compiled = jax.jit(lambda x: (jax.vmap(f)(x), f(x[0])))(x)
    np.testing.assert_allclose(mapped, plain, **F32)
    np.testing.assert_allclose(compiled, plain[0], **F32)


@pytest.mark.parametrize("function", [conv, conv_transpose])
def test_bfloat16_stays_bfloat16_and_close(function):
    x = gaussian(2, 6, 6, 8).astype(jnp.bfloat16)
    kernel = gaussian(3, 3, 8, 8).astype(jnp.bfloat16)
    function = jax.jit(function)
    y = function(x, kernel)
    exact = function(x.astype(jnp.float32), kernel.astype(jnp.float32))
    assert y.dtype == jnp.bfloat16
    # Sums of 72 products of unit scale are about 8 in size: 2^-8 of it, twice over.
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-7, atol=0.06)
    grads = jax.jit(jax.grad(lambda *a: function(*a).sum(), (0, 1)))(x, kernel)
    assert [g.dtype for g in grads] == [jnp.bfloat16, jnp.bfloat16]


def test_mixed_types_are_promoted_and_an_empty_batch_is_empty():
    image = jnp.ones((1, 4, 4, 1), jnp.uint8)
    kernel = jnp.ones((2, 2, 1, 3))
    y = conv(image, kernel)
    assert y.dtype == jnp.float32 and (y == 4).all()
    assert conv(image[:0], kernel).shape == (0, 3, 3, 3)


X, K = jnp.ones((1, 5, 5, 4)), jnp.ones((3, 3, 4, 6))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv(X, K, stride=0), "stride 0"),
        (lambda: conv(X, K, stride=(1, 2, 3)), "stride.*3 entries for 2"),
        (lambda: conv(X, K, dilation=(1, 0)), "dilation"),
        (lambda: conv(X, K, padding="FULL"), "padding 'FULL'"),
        (lambda: conv(X, K, padding=(1, -1)), "padding"),
        (lambda: conv(X, K, dilation=3), "kernel 3.*dilation 3.*size 5"),
        (lambda: conv(X, jnp.ones((3, 3, 3, 6))), "kernel.*4 channels"),
        (lambda: conv(X, K, groups=2), "kernel.*expected 2"),
        (lambda: conv(X, K, groups=3), "groups 3"),
        (lambda: conv(X, K, groups=0), "groups 0"),
        (lambda: conv(X, K, jnp.ones(5)), r"bias.*\(5,\).*\(6,\)"),
        (lambda: conv(X, K, jnp.ones(1)), r"bias.*\(1,\).*\(6,\)"),
        (lambda: conv(X[0, 0], K), "x has shape"),
        (lambda: conv(X, K[0]), "kernel has shape"),
        (lambda: conv(X[None, None], K[None, None]), "1 to 3 spatial axes"),
        (lambda: conv_transpose(X, K, output_padding=1), "output_padding 1"),
        (lambda: conv_transpose(X, K, output_padding=-1), "output_padding -1"),
        (lambda: conv_transpose(X, K, padding=4), "removes the whole output"),
        (lambda: conv_transpose(X, K, groups=4), "groups 4"),
        (lambda: conv_transpose(X, K, stride=0), "stride 0"),
        (lambda: correlate(jnp.ones(4), jnp.ones((2, 2))), "x and y have shapes"),
        (lambda: convolve(jnp.ones(2), jnp.ones(3)), "kernel 3.*size 2"),
    ],
)
def test_errors_name_the_argument_on_one_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_sizes_of_a_transpose_undo_those_of_a_convolution(axes):
    x = jnp.ones((1, *(9, 8, 7)[:axes], 1))
    kernel = jnp.ones((3,) * axes + (1, 1))
    for stride, padding in itertools.product((1, 2, 3), (0, 1)):
        y = conv(x, kernel, stride=stride, padding=padding)
        lost = tuple((n + 2 * padding - 3) % stride for n in x.shape[1:-1])
        options = {"stride": stride, "padding": padding, "output_padding": lost}
        assert conv_transpose(y, kernel, **options).shape == x.shape
