"""Explicit backpropagation through time against autodiff of the readable loop, finite
differences, and the identities of its theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jnets.errors import InputError
from jnets.ops.bptt import bptt
from jnets.ops.recurrence import Steps
from jnets.ops.unroll import loop, scan
from tests.ops.recurrences import (
    CELLS,
    T,
    assert_near,
    assert_same,
    case,
    pulled,
)

SAVES = ("gates", "states", 1, 2, 3, T + 2, "sqrt")
PATHS = [(scan, {}), *((bptt, {"save": save}) for save in SAVES)]
FEATURES = ["lengths", "mask", "resets", "drop", "zeros"]
TOLERANCES = {  # of dtype and compute
    ("float64", None): 1e-12,
    ("float32", None): 1e-5,
    # Both round factors to 8 bits, the loop's autodiff its gradients at other places.
    ("float32", "bfloat16"): 3e-2,
}


def combinations(steps=(T,), switch=(False,), dtypes=(("float64", None),)):
    return st.fixed_dictionaries(
        {
            "name": st.sampled_from(sorted(CELLS)),
            "path": st.sampled_from(PATHS),
            "unroll": st.sampled_from([1, 2]),
            "compiled": st.sampled_from(switch),
            "mapped": st.sampled_from(switch),
            "dtypes": st.sampled_from(dtypes),
            "features": st.sets(st.sampled_from(FEATURES)),
            "reverse": st.booleans(),
            "window": st.sampled_from([None, 1, 2, T]),
            "bias": st.booleans(),
            "steps": st.sampled_from(steps),
            "seed": st.integers(0, 99),
        }
    )


def check(
    name,
    path,
    unroll=1,
    compiled=False,
    mapped=False,
    dtypes=("float64", None),
    **options,
):
    """Outputs, final state and all gradients are those of the loop.

    What is not compiled takes a tenth of the time: then `lax.scan` runs step by step.
    """
    (run, kwargs), (dtype, compute) = path, dtypes
    kwargs = kwargs | {"unroll": unroll}
    with jax.enable_x64(dtype == "float64"):
        one = case(name, dtype=np.dtype(dtype).type, compute=compute, **options)

        def found(x):
            return pulled(run, one._replace(x=x), **kwargs)

        def wanted(x):
            return pulled(loop, one._replace(x=x))

        x, same = one.x, wanted(one.x)
        if mapped:
            x = jnp.stack([x, x / 2])
            same = jax.tree.map(lambda *a: jnp.stack(a), same, wanted(x[1]))
            found = jax.vmap(found)
        with jax.disable_jit(not compiled):
            found = jax.jit(found)(x)
        assert_near(found, same, TOLERANCES[dtypes])


@settings(max_examples=12, deadline=None)
@given(combinations())
def test_every_path_equals_autodiff_of_the_loop(combination):
    check(**combination)


@pytest.mark.soak
@settings(max_examples=1000, deadline=None)
@given(combinations((1, 2, T), (False, True), tuple(TOLERANCES)))
def test_every_path_equals_autodiff_of_the_loop_often(combination):
    check(**combination)


ALL = {"features": ("lengths", "resets", "drop"), "reverse": True, "window": 2}


@pytest.mark.parametrize(
    ("name", "save"), list(zip(CELLS, SAVES * 4, strict=False)), ids=str
)
def test_every_cell_with_all_features(name, save):
    check(name, (bptt, {"save": save}), **ALL)


@pytest.mark.parametrize("save", SAVES)
def test_every_save_with_all_features(save):
    check("lstm-fptr", (bptt, {"save": save}), **ALL | {"reverse": False})


@pytest.mark.parametrize("steps", [9, 13])  # 13 is no product of two numbers
@pytest.mark.parametrize("name", ["elman-tanh", "lstm-fptr", "gru-before"])
@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_too_large_for_caches_runs_by_parts(
    name, steps, reverse, monkeypatch, x64
):
    monkeypatch.setattr("jnets.ops.bptt.CACHED", 0)
    features = ("lengths", "resets", "drop")
    given = case(name, steps=steps, features=features, reverse=reverse, window=2)
    arguments = given.form, given.weights, given.x, given.start, given.steps
    with jax.disable_jit():
        assert_near(bptt(*arguments), loop(*arguments), 1e-14)
        assert_near(pulled(bptt, given), pulled(loop, given), 1e-12)


@pytest.mark.parametrize("dtypes", list(TOLERANCES)[1:], ids=str)
@pytest.mark.parametrize("name", ["lstm-ft", "gru-before"])
def test_single_and_half_precision(name, dtypes):
    check(name, (bptt, {}), dtypes=dtypes, features=("lengths",))


@pytest.mark.parametrize("save", ["gates", "states", 2])
def test_compiled_and_mapped(save):
    check("elman-tanh", (bptt, {"save": save}), 2, compiled=True, mapped=True, **ALL)


@pytest.mark.parametrize(
    "name", ["elman-tanh", "lstm-fptr", "gru-after", "gru-before", "minimal"]
)
def test_finite_differences(name, x64):
    given = case(name, steps=3, features=("lengths", "resets", "drop"))

    def run(*arrays):
        arrays = jax.tree.map(jnp.asarray, arrays)  # differences are NumPy arrays
        return bptt(given.form, *arrays, given.steps)

    check_grads(run, (given.weights, given.x, given.start), order=1, modes=["rev"])


def gradient_of_norm(run, given, **options):
    """Of the squares of all gradients."""

    def norm(weights, x, start):
        one = given._replace(weights=weights, x=x, start=start)
        _, gradients = pulled(run, one, **options)
        return sum((g * g).sum() for g in jax.tree.leaves(gradients))

    return jax.grad(norm, (0, 1, 2))(given.weights, given.x, given.start)


@pytest.mark.parametrize(
    ("name", "save"),
    [("elman-tanh", "states"), ("lstm-fptr", "gates"), ("gru-before", "gates")]
    + [("minimal", 2)],
)
def test_gradient_of_a_gradient(name, save, x64):
    given = case(name, features=("lengths", "resets"))

    with jax.disable_jit():
        found = gradient_of_norm(bptt, given, save=save)
    assert_near(found, gradient_of_norm(loop, given), 1e-12)


def test_gradient_of_a_gradient_stops_at_windows(x64):
    given = case("lstm-ft", window=2)

    with jax.disable_jit():
        found = gradient_of_norm(bptt, given)
    assert_near(found, gradient_of_norm(loop, given), 1e-12)


@pytest.mark.parametrize(
    ("name", "save"), [("lstm-fptr", "gates"), ("gru-after", "states"), ("pair", 2)]
)
def test_what_padding_holds_is_not_read(name, save, x64):
    given = case(name, features=("lengths", "resets"), seed=2)
    valid = given.steps.valid
    assert not valid.all() and valid.any()
    noisy = given._replace(x=jnp.where(valid[..., None], given.x, 123.0))
    found, wanted = pulled(bptt, noisy, save=save), pulled(bptt, given, save=save)
    assert_same(found, wanted)
    d_x = found[1][1]
    assert_same(d_x[~valid], np.zeros_like(d_x[~valid]))


@pytest.mark.parametrize(
    ("save", "reverse"), [("gates", False), ("states", True), (2, False)]
)
def test_padded_equals_each_sequence_alone(save, reverse, x64):
    """The gradients of weights are the sum of each sequence's."""
    given, lengths = case("lstm-fptr", reverse=reverse), (5, 0, 2)
    valid = jnp.asarray(np.arange(T)[:, None] < lengths)
    d_hs = jnp.where(valid[..., None], given.d_hs, 0)
    padded = given._replace(steps=Steps(valid), d_hs=d_hs)
    (hs, final), (d_weights, d_x, d_start) = pulled(bptt, padded, save=save)
    total = jax.tree.map(jnp.zeros_like, d_weights)
    for b, n in enumerate(lengths):
        start, d_final = (
            tuple(s[b : b + 1] for s in each) for each in (given.start, given.d_final)
        )
        alone = given._replace(
            x=given.x[:n, b : b + 1],
            start=start,
            d_hs=d_hs[:n, b : b + 1],
            d_final=d_final,
        )
        (one, one_final), d_one = pulled(bptt, alone, save=save)
        assert_near(hs[:n, b : b + 1], one, 1e-15)
        assert_near(tuple(s[b : b + 1] for s in final), one_final, 1e-15)
        assert_near(d_x[:n, b : b + 1], d_one[1], 1e-14)
        assert_near(tuple(d[b : b + 1] for d in d_start), d_one[2], 1e-14)
        total = jax.tree.map(jnp.add, total, d_one[0])
    assert_near(d_weights, total, 1e-14)


def test_sequences_of_no_steps_pass_the_gradient_on(x64):
    given = case("lstm-fptr")
    steps = Steps(jnp.zeros((T, 3), bool))
    (_, final), (d_weights, d_x, d_start) = pulled(bptt, given._replace(steps=steps))
    assert_same(final, given.start)
    # Outputs that are not valid are the initial h, T times.
    d_h = given.d_final[0] + given.d_hs.sum(0)
    assert_near(d_start, (d_h, given.d_final[1]), 1e-15)
    assert_same((d_weights, d_x), jax.tree.map(jnp.zeros_like, (d_weights, d_x)))


@pytest.mark.parametrize("save", ["all", 0, -2])
def test_unknown_save(save):
    given = case("gru-after", dtype=np.float32)
    message = f"^save={save!r} is unknown; expected 'gates', 'states', 'sqrt'"
    with pytest.raises(InputError, match=message):
        bptt(*given[:5], save=save)
