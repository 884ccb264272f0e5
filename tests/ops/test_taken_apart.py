"""The terms of the double sum over losses and copies, against untied weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.ops.bptt import bptt
from jnets.ops.cells import elman
from jnets.ops.recurrence import ALIKE, Form, Weights, where
from jnets.ops.taken_apart import (
    copies,
    copy_norms,
    deltas,
    state_gradients,
    sweep,
    tied,
    trace,
    windowed_gradients,
)
from jnets.ops.unroll import loop
from tests.ops.recurrences import T, assert_near, case

EXACT = 1e-12
FEATURES = ("lengths", "mask", "resets", "drop")


def arguments(given):
    return given.form, given.weights, given.x, given.start, given.d_hs


def untied(form, copied, taps, x, start, steps):
    """h of all steps by `loop`, a step at a time, each with weights of its own."""
    state, hs = start, [start[0]] * len(x)
    order = range(len(x))[:: -1 if form.reverse else 1]
    for number, t in enumerate(order):
        if form.window and number and number % form.window == 0:
            state = jax.lax.stop_gradient(state)
        if steps.resets is not None:
            state = where(steps.resets[t], start, state)
        valid = None if steps.valid is None else steps.valid[t : t + 1]
        here = steps._replace(valid=valid, resets=None)
        one = form._replace(window=None)
        _, state = loop(one, copied[t], x[t : t + 1], state, here)
        state = tuple(a + b for a, b in zip(state, taps[t], strict=True))
        hs[t] = state[0]
    return jnp.stack(hs)


def every_term(form, weights, x, start, steps, d_hs):
    """dE_i/dW^(j) and dE_i/dstate_j, [T, T, ...], by autodiff: the other opinion."""
    taps = [tuple(map(jnp.zeros_like, start)) for _ in x]

    def losses(copied, taps):
        hs = untied(form, copied, taps, x, start, steps)
        return jnp.sum(hs * d_hs, axis=(1, 2))

    found = jax.jacrev(losses, argnums=(0, 1))([weights] * len(x), taps)

    def stacked(parts):
        return jax.tree.map(lambda *each: jnp.stack(each, axis=1), *parts)

    return tuple(map(stacked, found))


def pairs():
    return jnp.asarray([(i, j) for i in range(T) for j in range(T)])


def drawn(name, used, reverse, window, seed):
    return case(name, seed=seed, features=tuple(used), reverse=reverse, window=window)


CASES = [
    ("elman-tanh", (), False, None),
    ("elman-relu", ("mask", "resets", "drop"), True, 2),
    ("lstm-fptr", ("lengths", "resets", "drop"), True, None),
    ("lstm-pt", ("mask",), False, 2),
    ("gru-after", ("lengths", "resets"), True, 2),
    ("gru-before", ("drop", "resets"), False, None),
    ("pair", ("mask", "resets", "drop"), True, None),
]


@pytest.mark.parametrize(("name", "used", "reverse", "window"), CASES)
def test_every_term_and_both_sums(name, used, reverse, window, x64):
    """Each term alone; over copies, the tied gradient of a loss; over losses, all."""
    given = drawn(name, used, reverse, window, 7)

    @jax.jit
    def found(weights, x, start, d_hs):
        run = given.form, weights, x, start, d_hs
        return (
            deltas(*run, given.steps).state,
            copies(*run, pairs(), given.steps),
            copy_norms(*run, given.steps),
            total(*run, given.steps),
        )

    states, blocks, norms, whole = found(*arguments(given)[1:])
    copied, errors = jax.jit(every_term, static_argnums=0)(given.form, *given[1:6])
    assert_near(states, errors, EXACT)
    blocks = jax.tree.map(lambda a: a.reshape(T, T, *a.shape[1:]), blocks)
    assert_near(blocks, copied, EXACT)
    squares = jax.tree.map(lambda a: jnp.square(a).reshape(T, T, -1).sum(-1), copied)
    assert_near(jax.tree.map(jnp.square, norms), squares, EXACT)

    def hs(weights):
        return bptt(given.form, weights, given.x, given.start, given.steps)[0]

    pull = jax.jit(jax.vmap(jax.vjp(hs, given.weights)[1]))
    of_losses = jnp.eye(T)[:, :, None, None] * given.d_hs[None]
    (tied_gradients,) = pull(of_losses)
    assert_near(jax.tree.map(lambda a: a.sum(1), blocks), tied_gradients, EXACT)
    aggregate = jax.tree.map(lambda a: a.sum(0), tied_gradients)
    assert_near(jax.tree.map(lambda a: a.sum((0, 1)), blocks), aggregate, EXACT)
    assert_near(whole, aggregate, EXACT)


def total(form, weights, x, start, d_hs, steps):
    run = trace(form, weights, x, start, steps)
    return tied(weights, run, sweep(form, weights, run, d_hs, steps))


@pytest.mark.parametrize(
    ("name", "k2", "reverse"),
    [
        ("elman-tanh", 1, False),
        ("lstm-fptr", 2, True),
        ("gru-before", 3, False),
        ("pair", T, False),
        ("elman-relu", T + 4, True),
    ],
)
def test_young_errors_only(name, k2, reverse, x64):
    """k1 = 1: the double sum over i - j < k2 and nothing else."""
    given = drawn(name, FEATURES[1:], reverse, None, 3)
    found = windowed_gradients(*arguments(given), k2, given.steps)
    blocks = copies(*arguments(given), pairs(), given.steps)
    i, j = pairs().T
    kept = (j - i if reverse else i - j) < k2

    def masked(block):
        shape = -1, *(1,) * (block.ndim - 1)
        return jnp.where(kept.reshape(shape), block, 0).sum(0)

    assert_near(found, jax.tree.map(masked, blocks), EXACT)
    if k2 >= T:

        def hs(weights):
            return bptt(given.form, weights, given.x, given.start, given.steps)[0]

        full = jax.vjp(hs, given.weights)[1](given.d_hs)[0]
        assert_near(found, full, EXACT)


@pytest.mark.parametrize(
    ("name", "window", "reverse"),
    [("elman-tanh", 1, False), ("lstm-fpt", 2, True), ("gru-after", 3, False)],
)
def test_chunks(name, window, reverse, x64):
    """Form.window: the double sum over i and j in one chunk, counted as it runs."""
    given = drawn(name, ("mask",), reverse, None, 5)
    blocks = copies(*arguments(given), pairs(), given.steps)
    i, j = T - 1 - pairs().T if reverse else pairs().T
    kept = i // window == j // window

    def masked(block):
        shape = -1, *(1,) * (block.ndim - 1)
        return jnp.where(kept.reshape(shape), block, 0).sum(0)

    def hs(weights):
        form = given.form._replace(window=window)
        return bptt(form, weights, given.x, given.start, given.steps)[0]

    found = jax.vjp(hs, given.weights)[1](given.d_hs)[0]
    assert_near(found, jax.tree.map(masked, blocks), EXACT)


def test_hand_values():
    """h_1 = 2, h_2 = 2 h_1 + 1 = 5 of one linear unit with W = 2, U = 1, x = 2, 1."""
    weights = Weights(jnp.ones((1, 1)), jnp.zeros(1), (jnp.full((1, 1), 2.0),))
    x, start = jnp.array([[[2.0]], [[1.0]]]), (jnp.zeros((1, 1)),)
    form, d_hs = Form(elman("identity")), jnp.array([[[3.0]], [[10.0]]])
    errors = deltas(form, weights, x, start, d_hs)
    # delta_1^(1) = 3; delta_2^(2) = 10 and delta_1^(2) = 2 * 10
    np.testing.assert_array_equal(errors.state[0][..., 0, 0], [[3, 0], [20, 10]])
    at = jnp.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    found = copies(form, weights, x, start, d_hs, at)
    np.testing.assert_array_equal(found.recurrent[0].ravel(), [0, 0, 20, 0])
    np.testing.assert_array_equal(found.input.ravel(), [6, 40, 10, 0])
    np.testing.assert_array_equal(found.bias.ravel(), [3, 20, 10, 0])
    norms = copy_norms(form, weights, x, start, -d_hs)
    np.testing.assert_array_equal(norms.input, [[6, 0], [40, 10]])
    (flow,) = state_gradients(form, weights, x, start, d_hs)
    np.testing.assert_array_equal(flow, [[23], [10]])
    young = windowed_gradients(form, weights, x, start, d_hs, 1)
    np.testing.assert_array_equal(young.input, [[6 + 10]])
    np.testing.assert_array_equal(young.recurrent[0], [[20]])


def test_losses_are_picked():
    given = case("gru-after", dtype=np.float32)
    every = deltas(*arguments(given))
    some = deltas(*arguments(given), losses=jnp.array([3, 1]))
    assert_near(some, jax.tree.map(lambda a: a[jnp.array([3, 1])], every), 1e-6)


def test_state_gradients_are_the_norms_of_one_sweep(x64):
    given = case("lstm-ft", features=("lengths",))
    _, states = jax.jit(every_term, static_argnums=0)(given.form, *given[1:6])
    wanted = tuple(jnp.linalg.norm(s.sum(0), axis=-1) for s in states)
    assert_near(state_gradients(*arguments(given), given.steps), wanted, EXACT)


def real_time(h0, w, u, x, d_hs):
    """dE_i/dW of h = tanh(W h + U x) for each i, carried forward with the state: J[a]
    [b, c] = dh[a]/dW[b, c], in NumPy. Nothing goes back in time (RTRL)."""
    h, n = h0, len(h0)
    j, found = np.zeros((n, n, n)), []
    for x_i, d_h in zip(x, d_hs, strict=True):
        before, h = h, np.tanh(w @ h + u @ x_i)
        direct = np.einsum("ab,c->abc", np.eye(n), before)
        slope = (1 - h * h)[:, None, None]
        j = slope * (direct + np.einsum("ad,dbc->abc", w, j))
        found.append(np.einsum("a,abc->bc", d_h, j))
    return np.stack(found)


def test_real_time_recurrent_learning_is_the_same(x64):
    """J[a, b, c] = dh_i[a]/dW[b, c], from one step to the next."""
    given = case("elman-tanh", bias=False)
    blocks = copies(*arguments(given), pairs()).recurrent[0]
    of_losses = blocks.reshape(T, T, *blocks.shape[1:]).sum(1)
    w, u = (np.asarray(m).T for m in (given.weights.recurrent[0], given.weights.input))
    wanted = sum(
        real_time(*map(np.asarray, (h0, w, u, x, d_h)))
        for h0, x, d_h in zip(
            given.start[0], given.x.swapaxes(0, 1), given.d_hs.swapaxes(0, 1),
            strict=True,
        )
    )  # fmt: skip
    assert_near(of_losses, jnp.asarray(wanted.swapaxes(1, 2)), EXACT)


@pytest.mark.parametrize("length", [2, 50])
def test_constant_error_carousel(length, x64):
    """LSTM of 1997 with W_h = 0: dE/dc_{t-1} = dE/dc_t, to the last bit."""
    given = case("lstm-t", steps=length)
    weights = given.weights._replace(recurrent=(jnp.zeros((4, 12)),))
    only = jnp.zeros_like(given.d_hs).at[-1].set(given.d_hs[-1])
    run = trace(given.form, weights, given.x, given.start)
    _, d_c = sweep(given.form, weights, run, only).state
    # What h_T gives to c_T is inside of the last step.
    before = jnp.broadcast_to(d_c[:1], d_c[:-1].shape)
    np.testing.assert_array_equal(d_c[:-1], before)
    assert jnp.all(d_c[0] != 0)


def test_it_is_jitted_and_mapped():
    given = case("elman-tanh", dtype=np.float32)
    form, *rest = arguments(given)
    assert_near(
        jax.jit(deltas, static_argnums=0)(form, *rest), deltas(form, *rest), 1e-6
    )
    twice = jnp.stack([given.d_hs, 2 * given.d_hs])
    found = jax.vmap(lambda d: state_gradients(form, *rest[:-1], d))(twice)[0]
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-6)


def test_what_is_refused():
    given = case("elman-tanh", dtype=np.float32)
    with pytest.raises(InputError, match=r"^k2=0 is not usable; expected at least 1$"):
        windowed_gradients(*arguments(given), 0)
    with pytest.raises(InputError, match=r"^pairs has shape \(2,\); expected \[N, 2\]"):
        copies(*arguments(given), jnp.array([1, 2]))


def test_no_steps():
    given = case("lstm-ft", dtype=np.float32, steps=0)
    assert given.steps == ALIKE
    young = windowed_gradients(*arguments(given), 3)
    assert_near(young, jax.tree.map(jnp.zeros_like, given.weights), 0)
    assert copy_norms(*arguments(given)).input.shape == (0, 0)
