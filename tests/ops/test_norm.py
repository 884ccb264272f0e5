"""Local response normalisation: literals, NumPy, stored PyTorch values, gradients."""

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
from jnets.ops.norm import local_response_norm

STORED = np.load(Path(__file__).parents[1] / "fixtures" / "ops.npz")
CASES = [
    case
    for case in json.loads(str(STORED["cases"]))
    if case["op"] == "local_response_norm"
]
F32 = {"rtol": 1e-5, "atol": 1e-6}


def gaussian(*shape):
    """Float32 data by NumPy: jax.random would compile anew for every shape."""
    rng = np.random.default_rng(shape)
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def loop_norm(x, size, alpha, beta, k):
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        near = x[..., max(c - size // 2, 0) : c + (size - 1) // 2 + 1]
        y[..., c] = x[..., c] / (k + alpha * (near**2).sum(-1)) ** beta
    return y


@settings(max_examples=10, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), max_size=3),
    channels=st.integers(1, 9),
    size=st.integers(1, 7),
    alpha=st.floats(0.0, 2.0),
    beta=st.sampled_from([0.5, 0.75, 1.0]),
    k=st.floats(0.5, 2.0),
)
def test_it_is_the_formula(shape, channels, size, alpha, beta, k):
    x = np.random.default_rng(channels).standard_normal((*shape, channels))
    options = {"size": size, "beta": beta, "k": k}
    with jax.enable_x64(True):
        both = [
            np.asarray(
                local_response_norm(
                    jnp.asarray(x), alpha=alpha, divide_by_size=divide, **options
                )
            )
            for divide in (False, True)
        ]
    for y, scale in zip(both, (alpha, alpha / size), strict=True):
        expected = loop_norm(x, alpha=scale, **options)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"size{c['options']['size']}")
def test_stored_pytorch_values_and_gradients(case):
    stored = {role: STORED[f"{case['name']}.{role}"] for role in ("x", "y", "g", "dx")}

    @jax.jit
    def value_and_gradient(x, g):
        y, vjp = jax.vjp(
            lambda x: local_response_norm(x, divide_by_size=True, **case["options"]), x
        )
        return y, vjp(g)[0]

    y, dx = value_and_gradient(stored["x"], stored["g"])
    np.testing.assert_allclose(y, stored["y"], **F32)
    np.testing.assert_allclose(dx, stored["dx"], **F32)


def test_the_two_conventions_by_hand():
    x = jnp.array([1.0, 2.0, 4.0])
    options = {"size": 3, "alpha": 3.0, "beta": 0.5, "k": 1.0}
    # Energies 5, 21 and 20.
    paper = local_response_norm(x, **options)
    np.testing.assert_allclose(paper, [1 / 4, 2 / 8, 4 / 61**0.5], **F32)
    caffe = local_response_norm(x, divide_by_size=True, **options)
    np.testing.assert_allclose(caffe, [1 / 6**0.5, 2 / 22**0.5, 4 / 21**0.5], **F32)


def test_the_defaults_are_those_of_the_alexnet_paper():
    x = jnp.full((7,), 100.0)
    y = local_response_norm(x)
    neighbours = np.array([3, 4, 5, 5, 5, 4, 3])
    np.testing.assert_allclose(y, 100 / (2 + neighbours) ** 0.75, **F32)


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_gradients(x64, beta):
    x = np.random.default_rng(0).standard_normal((2, 3, 7))

    def f(x):
        return local_response_norm(x, alpha=0.4, beta=beta)

    check_grads(jax.jit(f), (x,), order=1, modes=("rev", "fwd"))


def test_jit_vmap_and_strict_promotion_agree_with_plain_calls():
    x = gaussian(3, 2, 4, 6)
    plain = local_response_norm(x)
    with jax.numpy_dtype_promotion("strict"):
        mapped, compiled = (f(local_response_norm)(x) for f in (jax.vmap, jax.jit))
    np.testing.assert_allclose(mapped, plain, **F32)
    np.testing.assert_allclose(compiled, plain, **F32)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_types_are_computed_in_float32_and_rounded_once(dtype):
    x = (30 * gaussian(4, 9)).astype(dtype)
    y = local_response_norm(x, alpha=1.0)
    exact = local_response_norm(x.astype(jnp.float32), alpha=1.0)
    assert y.dtype == dtype
    assert (y == exact.astype(dtype)).all()


@pytest.mark.parametrize(("option", "value"), [("size", 0), ("k", 0.0), ("k", -1.0)])
def test_errors_name_the_argument_on_one_line(option, value):
    with pytest.raises(InputError, match=f"^{option} {value}.*give") as caught:
        local_response_norm(jnp.ones(3), **{option: value})
    assert "\n" not in str(caught.value)
