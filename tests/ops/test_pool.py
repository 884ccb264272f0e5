"""Pooling: literals, a NumPy loop, stored PyTorch values, gradients in x64."""

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
from jnets.ops.pool import (
    adaptive_avg_pool,
    avg_pool,
    global_avg_pool,
    max_pool,
    subsample,
)

STORED = np.load(Path(__file__).parents[1] / "fixtures" / "ops.npz")
CASES = json.loads(str(STORED["cases"]))
INPUTS = ("line", "plane", "solid")
F32 = {"rtol": 1e-6, "atol": 1e-6}
X64 = {"rtol": 1e-12, "atol": 1e-12}


def gaussian(*shape):
    """Float32 data by NumPy: jax.random would compile anew for every shape."""
    rng = np.random.default_rng(shape)
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def image(*rows):
    return jnp.array(rows)[None, ..., None]


def plane(pool, x, *arguments, **options):
    """The one image and channel of pool(x, ...), compiled as one program."""
    return jax.jit(lambda x: pool(x, *arguments, **options))(x)[0, ..., 0].tolist()


def loop_pool(x, window, stride, pads, ceil_mode, reduce):
    """Each window in turn: `reduce(values inside x, positions inside the padding)`."""
    axes = x.ndim - 2
    starts = []
    for n, k, s, (low, high) in zip(x.shape[1:-1], window, stride, pads, strict=True):
        end = n + high + (s - 1 if ceil_mode else 0) - k + 1
        axis = range(-low, end, s)
        starts.append([i for i in axis if i < n or not ceil_mode])
    y = np.zeros((x.shape[0], *map(len, starts), x.shape[-1]))
    for where in np.ndindex(*map(len, starts)):
        inside, counted = [], 1
        for axis in range(axes):
            i, (_, high) = starts[axis][where[axis]], pads[axis]
            n, stop = x.shape[axis + 1], i + window[axis]
            inside.append(slice(max(i, 0), min(stop, n)))
            counted *= min(stop, n + high) - i
        values = x[(slice(None), *inside)].reshape(x.shape[0], -1, x.shape[-1])
        y[(slice(None), *where)] = reduce(values, counted)
    return y


@st.composite
def poolings(draw):
    axes = draw(st.integers(1, 3))

    def tuples(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * axes))

    window, stride = tuples(1, 9 if axes == 1 else 4), tuples(1, 4)
    pads = tuple(
        draw(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1))) for k in window
    )
    extra = tuples(0, 3)
    sizes = tuple(
        max(k - sum(p), 1) + e for k, p, e in zip(window, pads, extra, strict=True)
    )
    return sizes, window, stride, pads, draw(st.booleans())


@settings(max_examples=12, deadline=None)
@given(case=poolings(), seed=st.integers(0, 2**32 - 1))
def test_pools_are_their_definitions(case, seed):
    sizes, window, stride, pads, ceil_mode = case
    x = np.random.default_rng(seed).standard_normal((2, *sizes, 3))

    def loop(reduce):
        return loop_pool(x, window, stride, pads, ceil_mode, reduce)

    @jax.jit
    def run(x):
        options = dict(stride=stride, padding=pads, ceil_mode=ceil_mode)
        return (
            max_pool(x, window, **options),
            avg_pool(x, window, **options),
            avg_pool(x, window, count_include_pad=False, **options),
        )

    with jax.enable_x64(True):
        largest, padded, inside = map(np.asarray, run(x))
    assert (largest == loop(lambda values, _: values.max(1))).all()
    expected = loop(lambda values, counted: values.sum(1) / counted)
    np.testing.assert_allclose(padded, expected, **X64)
    expected = loop(lambda values, _: values.mean(1))
    np.testing.assert_allclose(inside, expected, **X64)


def cases_of(name):
    return [case for case in CASES if case.get("input") == name]


def run_case(case, x):
    options = dict(case["options"])
    if case["op"] == "adaptive_avg_pool":
        out = options["out"]
        return adaptive_avg_pool(x, tuple(out) if isinstance(out, list) else out)
    pool = {"max_pool": max_pool, "avg_pool": avg_pool}[case["op"]]
    return pool(x, case["window"], **options)


@pytest.mark.parametrize("name", INPUTS)
def test_stored_pytorch_values_and_gradients(name):
    """The grid of window, stride, padding, ceil_mode, count_include_pad, with ties."""
    cases = cases_of(name)
    assert len(cases) >= 13

    @jax.jit
    def values_and_gradients(x, cotangents):
        results = []
        for case, g in zip(cases, cotangents, strict=True):
            y, vjp = jax.vjp(lambda x, case=case: run_case(case, x), x)
            results.append((y, vjp(g)[0]))
        return results

    cotangents = [STORED[f"{case['name']}.g"] for case in cases]
    results = values_and_gradients(STORED[f"{name}.x"], cotangents)
    for case, (y, dx) in zip(cases, results, strict=True):
        for role, value in (("y", y), ("dx", dx)):
            np.testing.assert_allclose(
                value, STORED[f"{case['name']}.{role}"], err_msg=f"{role} {case}", **F32
            )


def test_max_pool_by_hand():
    x = image([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [9.0, 8.0, 7.0])
    assert plane(max_pool, x, 2, stride=1) == [[5.0, 6.0], [9.0, 8.0]]
    assert plane(max_pool, x, 2) == [[5.0]]
    assert plane(max_pool, x, 2, ceil_mode=True) == [[5.0, 6.0], [9.0, 7.0]]
    assert plane(max_pool, x, (1, 3)) == [[3.0], [6.0], [9.0]]
    assert plane(max_pool, -x, 3, padding=1) == [[-1.0]]


def test_max_pool_of_integers_pads_with_the_least_one():
    x = jnp.array([-7, -3, -128], jnp.int8).reshape(1, 3, 1)
    y = jax.jit(lambda x: max_pool(x, 2, padding=1))(x)
    assert y.dtype == jnp.int8 and y.ravel().tolist() == [-7, -3]


def test_max_pool_passes_nan_and_infinity_on():
    x = jnp.array([1.0, jnp.nan, -jnp.inf, 2.0, jnp.inf, 0.0]).reshape(1, 6, 1)
    y = np.ravel(jax.jit(lambda x: max_pool(x, 2, stride=1))(x))
    assert np.isnan(y).tolist() == [True, True, False, False, False]
    assert y[2:].tolist() == [2.0, jnp.inf, jnp.inf]


def test_the_gradient_of_a_tie_goes_to_its_first_position():
    x = image([0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0])
    dx = jax.jit(jax.grad(lambda x: max_pool(x, 3).sum()))(x)
    assert dx[0, ..., 0].tolist() == [[0.0, 1.0, 0.0], [0.0] * 3, [0.0] * 3]
    line = jnp.ones((1, 9, 1))
    dx = jax.jit(jax.grad(lambda x: max_pool(x, 9).sum()))(line)
    assert dx.ravel().tolist() == [1.0] + [0.0] * 8


def test_average_divisors_by_hand():
    x = image([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0])
    options = {"stride": 2, "padding": 1, "ceil_mode": True}
    # Corners see one position of x: 4 with padding. The lowest row and the last column
    # of windows stop at the padding.
    assert plane(avg_pool, x, 2, **options) == [[0.25, 1.25], [2.75, 7.0]]
    inside = plane(avg_pool, x, 2, count_include_pad=False, **options)
    assert inside == [[1.0, 2.5], [5.5, 7.0]]
    assert plane(avg_pool, x, 2, ceil_mode=True) == [[3.0, 4.5], [7.5, 9.0]]


def test_global_average():
    x = jnp.arange(12.0).reshape(1, 2, 3, 2)
    assert global_avg_pool(x).tolist() == [[5.0, 6.0]]
    x = gaussian(2, 3, 4, 5, 2)
    means = global_avg_pool(x)
    np.testing.assert_allclose(means, np.asarray(x).mean((1, 2, 3)), **F32)
    whole = avg_pool(x, (3, 4, 5)).reshape(2, 2)
    np.testing.assert_allclose(means, whole, **F32)


def test_adaptive_windows_by_hand():
    x = jnp.arange(14.0).reshape(1, 14, 1)
    # The windows of torchvision's GoogLeNet: 0-4, 3-7, 7-11 and 10-14, ends excluded.
    assert plane(adaptive_avg_pool, x, 4) == [1.5, 4.5, 8.5, 11.5]
    assert plane(adaptive_avg_pool, x, 7) == plane(avg_pool, x, 2)
    assert plane(adaptive_avg_pool, x[:, :2], 3) == [0.0, 0.5, 1.0]


def test_subsample_is_lenets_s2():
    x = jnp.arange(16.0).reshape(1, 2, 4, 2)
    y = subsample(x, jnp.array([2.0, -1.0]), jnp.array([0.5, 0.0]))
    # Sums over the 2 x 2 windows: 20 and 36 in channel 0, 24 and 40 in channel 1.
    assert y.tolist() == [[[[40.5, -24.0], [72.5, -40.0]]]]
    lenet = jnp.ones((1, 28, 28, 6))
    assert subsample(lenet, jnp.ones(6), jnp.zeros(6)).shape == (1, 14, 14, 6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_gradients(x64, axes):
    sizes = (5, 4, 3)[:axes]
    count = 2 * int(np.prod(sizes))
    # Distinct values, so that no maximum changes hands within the finite difference.
    x = np.random.default_rng(0).permutation(count).reshape(1, *sizes, 2) / count
    options = {"stride": 2, "padding": 1, "ceil_mode": True}

    def pools(x, coefficient, bias):
        return (
            max_pool(x, 3, **options),
            avg_pool(x, 3, **options),
            avg_pool(x, 3, count_include_pad=False, **options),
            global_avg_pool(x),
            adaptive_avg_pool(x, 2),
            subsample(x, coefficient, bias),
        )

    def curved(*args):
        return jax.tree.map(jnp.sin, pools(*args))

    arguments = (x, np.array([0.3, -0.2]), np.array([0.1, 0.4]))
    check_grads(jax.jit(curved), arguments, order=1, modes=("rev", "fwd"))


def all_pools(x):
    c = x.shape[-1]
    coefficient = jnp.linspace(0.5, 1.5, c, dtype=x.dtype)
    return (
        max_pool(x, 3, stride=2, padding=1, ceil_mode=True),
        avg_pool(x, 3, stride=2, padding=1, ceil_mode=True),
        avg_pool(x, (2, 3), count_include_pad=False),
        global_avg_pool(x),
        adaptive_avg_pool(x, (3, 2)),
        subsample(x, coefficient, -coefficient),
    )


def test_jit_vmap_and_strict_promotion_agree_with_plain_calls():
    x = gaussian(3, 2, 7, 6, 4)
    flat = all_pools(x.reshape(6, 7, 6, 4))
    with jax.numpy_dtype_promotion("strict"):
        mapped, compiled = jax.jit(lambda x: (jax.vmap(all_pools)(x), all_pools(x[0])))(
            x
        )
    for whole, batched, single in zip(flat, mapped, compiled, strict=True):
        plain = whole.reshape(3, 2, *whole.shape[1:])
        np.testing.assert_allclose(batched, plain, **F32)
        np.testing.assert_allclose(single, plain[0], **F32)


def test_bfloat16_is_summed_in_float32_and_rounded_once():
    x = gaussian(2, 7, 6, 4).astype(jnp.bfloat16)
    pools = jax.jit(all_pools)
    for y, wide in zip(pools(x), pools(x.astype(jnp.float32)), strict=True):
        assert y.dtype == jnp.bfloat16
        np.testing.assert_allclose(y.astype(jnp.float32), wide, rtol=2**-7, atol=2**-7)
    ones = jnp.ones((1, 40, 40, 1), jnp.bfloat16)  # a bfloat16 sum of ones stops at 256
    assert avg_pool(ones, 40).item() == global_avg_pool(ones).item() == 1.0
    assert adaptive_avg_pool(ones, 1).item() == 1.0


@pytest.mark.parametrize("window", [4, 5, 6, 7, 8, 9, 16, 31])
def test_large_windows_of_max_pool(window):
    x = np.random.default_rng(window).permutation(40.0 + np.arange(40))
    expected = [x[i : i + window].max() for i in range(0, 41 - window, 3)]
    line = jnp.asarray(x, jnp.float32).reshape(1, 40, 1)
    assert plane(max_pool, line, window, stride=3) == expected


X = jnp.ones((1, 5, 5, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: max_pool(X, 0), "window 0"),
        (lambda: max_pool(X, 2, stride=0), "stride 0"),
        (lambda: max_pool(X, (2, 2, 2)), "window.*3 entries for 2"),
        (lambda: max_pool(X, 2, padding=2), r"padding \(2, 2\).*window 2"),
        (lambda: avg_pool(X, 2, padding=((0, 0), (0, 2))), "padding.*window 2"),
        (lambda: max_pool(X, 2, padding=-1), "padding -1"),
        (lambda: max_pool(X, 6), "kernel 6.*size 5"),
        (lambda: max_pool(X[0, 0], 2), "x has shape"),
        (lambda: global_avg_pool(X[0, 0]), "x has shape"),
        (lambda: adaptive_avg_pool(X, 0), "output_size 0"),
        (lambda: adaptive_avg_pool(X, (1, 2, 3)), "output_size.*3 entries"),
        (lambda: subsample(X, jnp.ones(3), jnp.ones(2)), r"coefficient.*\(2,\)"),
        (lambda: subsample(X, jnp.ones(2), jnp.ones(1)), r"bias.*\(2,\)"),
    ],
)
def test_errors_name_the_argument_on_one_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
