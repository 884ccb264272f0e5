"""dh_t/dh_k by sweeps back, against autodiff of the loop from a state in the middle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.ops.cells import elman
from jnets.ops.jacobians import jacobian, jacobian_norms, norm_bound, singular_values
from jnets.ops.recurrence import Form, Weights, where
from jnets.ops.unroll import loop
from tests.ops.recurrences import B, T, assert_near, case


def between(given, t, k):
    """All states after step t as a function of those after step k, example by example,
    and the states after step k."""
    form, weights, x, start, steps = given[:5]
    order = list(range(len(x)))[:: -1 if form.reverse else 1]
    at, to = order.index(k), order.index(t)

    def one(number, state):
        n = order[number]
        if steps.resets is not None:
            state = where(steps.resets[n], start, state)
        valid = None if steps.valid is None else steps.valid[n : n + 1]
        here = steps._replace(valid=valid, resets=None)
        return loop(form, weights, x[n : n + 1], state, here)[1]

    state = start
    for number in range(at + 1):
        state = one(number, state)

    def on(state):
        for number in range(at + 1, to + 1):
            state = one(number, state)
        return jnp.concatenate(state, axis=-1)

    return on, state


def by_autodiff(given, t, k):
    """[B, S, S]: examples do not touch, so that of all of them only blocks b, b."""
    on, state = between(given, t, k)
    full = jnp.concatenate(jax.jit(jax.jacrev(on))(state), axis=-1)
    return jnp.stack([full[b, :, b] for b in range(B)])


EVERYTHING = ("mask", "resets", "drop")
CASES = [
    ("elman-relu", False, ()),
    ("lstm-fptr", True, EVERYTHING),
    ("gru-before", False, EVERYTHING),
    ("pair", True, ()),
]


@pytest.mark.parametrize(("name", "reverse", "features"), CASES)
def test_jacobians(name, reverse, features, x64):
    given = case(name, seed=2, features=features, reverse=reverse)
    run, columns = given[:4], given.d_hs.shape[-1]
    t = 0 if reverse else T - 1
    norms = jacobian_norms(*run, t, given.steps)
    of_all = jacobian_norms(*run, t, given.steps, whole=True)
    for lag in (0, 1, T - 1):
        k = t + lag if reverse else t - lag
        wanted = by_autodiff(given, t, k)
        found = jacobian(*run, t, k, given.steps, whole=True)
        assert_near(found, wanted, 1e-12)
        found = jacobian(*run, t, k, given.steps)
        assert_near(found, wanted[:, :columns, :columns], 1e-12)
        assert_near(norms[lag], singular_values(found)[:, 0], 1e-12)
        assert_near(of_all[lag], jnp.asarray(np.linalg.norm(wanted, 2, (1, 2))), 1e-12)


def test_steps_in_the_middle(x64):
    given = case("gru-after")
    found = jacobian(*given[:4], 3, 1)
    assert_near(found, by_autodiff(given, 3, 1), 1e-12)
    norms = jacobian_norms(*given[:4], 3)
    assert norms.shape == (4, B)
    assert_near(norms[2], singular_values(found)[:, 0], 1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_the_bound_holds_and_is_met(activation, x64):
    """By every net; with equality by a linear one whose matrix is s times a rotation"""
    given = case(f"elman-{activation}")
    lags = jnp.arange(T)
    bound = norm_bound(given.weights.recurrent[0], lags)
    norms = jacobian_norms(*given[:4], T - 1)
    assert jnp.all(norms <= bound[:, None] * (1 + 1e-12))
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    weights = given.weights._replace(recurrent=(jnp.asarray(0.5 * rotation),))
    bound = norm_bound(weights.recurrent[0], lags)
    assert_near(bound, jnp.asarray([1, 0.5, 0.25, 0.125, 0.0625]), 1e-12)
    norms = jacobian_norms(given.form, weights, *given[2:4], T - 1)
    if activation == "identity":
        assert_near(norms, jnp.broadcast_to(bound[:, None], norms.shape), 1e-12)
    else:
        assert jnp.all(norms <= bound[:, None])
        assert jnp.all(norms[-1] < bound[-1])


def test_constant_error_carousel(x64):
    """Of c alone, over any number of steps, the Jacobian is one."""
    given = case("lstm-t", steps=40)
    weights = given.weights._replace(recurrent=(jnp.zeros((4, 12)),))
    found = jacobian(given.form, weights, *given[2:4], 39, 0, whole=True)
    expected = np.broadcast_to(np.eye(4), (B, 4, 4))
    np.testing.assert_array_equal(found[:, 4:, 4:], expected)
    # h is forgotten at once.
    np.testing.assert_array_equal(found[:, :, :4], np.zeros((B, 8, 4)))


def test_hand_values():
    """h_2 = tanh(h_1 W): W = 3 and h_2 = 0, so dh_2/dh_1 = 3."""
    weights = Weights(jnp.ones((1, 1)), None, (jnp.full((1, 1), 3.0),))
    x, start = jnp.zeros((2, 1, 1)), (jnp.zeros((1, 1)),)
    run = Form(elman()), weights, x, start
    np.testing.assert_array_equal(jacobian(*run, 1, 0), [[[3.0]]])
    np.testing.assert_array_equal(jacobian(*run, 1, 1), [[[1.0]]])
    np.testing.assert_array_equal(jacobian_norms(*run, 1), [[1.0], [3.0]])
    np.testing.assert_array_equal(
        norm_bound(run[1].recurrent[0], jnp.arange(3)), [1, 3, 9]
    )
    np.testing.assert_array_equal(
        norm_bound(2 * jnp.eye(2), jnp.arange(2), 0.25), [1, 0.5]
    )


REFUSED = {
    "t": ((5, 0), False, "t=5 is no step; expected 0 to 4"),
    "k": ((3, -1), False, "k=-1 is no step; expected 0 to 4"),
    "later": ((1, 2), False, "k=2 comes after t=1; expected t or a step before it"),
    "earlier": ((2, 1), True, "k=1 comes after t=2; expected t or a step before it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    (t, k), reverse, says = REFUSED[name]
    given = case("elman-tanh", dtype=np.float32, reverse=reverse)
    with pytest.raises(InputError) as error:
        jacobian(*given[:4], t, k)
    assert str(error.value) == says
