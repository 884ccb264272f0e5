"""A recurrence over time by loop and by scan: hand values, NumPy, and what the steps'
properties mean."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.ops import cells
from jnets.ops.bptt import bptt
from jnets.ops.cells_lstm import lstm
from jnets.ops.recurrence import Form, Steps, Weights
from jnets.ops.unroll import loop, scan
from tests.ops.recurrences import (
    BY_HAND,
    CELLS,
    T,
    assert_near,
    assert_same,
    by_hand,
    case,
    of_one_term,
)

RUNS = {"loop": loop, "scan": scan, "bptt": bptt}
every_run = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
CASES = [
    {},
    {"reverse": True, "bias": False},
    {"features": ("lengths", "resets")},
    {"features": ("mask", "resets"), "reverse": True},
]


def exact(given):
    return given._replace(weights=of_one_term(given.weights))


def one_unit(cell, *, zx, recurrent=(), p=(), start=(1.0,), **form):
    """Two steps of a single unit whose inputs' share is the same at both, by a bias."""
    weights = Weights(
        jnp.zeros((1, cell.gates)),
        jnp.array(zx),
        tuple(jnp.array([row]) for row in recurrent),
        tuple(map(jnp.array, p)),
    )
    start = tuple(jnp.array([[s]]) for s in start)
    return Form(cell, **form), weights, jnp.zeros((2, 1, 1)), start


@every_run
def test_hand_values_of_elman(run, x64):
    # z_1 = 2 * 1 + 1 + 3 * 1 = 6, z_2 = 2 * 2 + 1 + 3 * 6 = 23
    weights = Weights(jnp.array([[2.0]]), jnp.array([1.0]), (jnp.array([[3.0]]),))
    x, start = jnp.array([[[1.0]], [[2.0]]]), (jnp.array([[1.0]]),)

    def last(weights, x, start, **form):
        hs, (h,) = run(Form(cells.elman("identity"), **form), weights, x, start)
        return h.sum(), hs

    (h, hs), d = jax.value_and_grad(last, (0, 1, 2), has_aux=True)(weights, x, start)
    assert h == 23
    np.testing.assert_array_equal(hs[:, 0, 0], [6, 23])
    # delta_2 = 1, delta_1 = 3: dW_h = h_1 + 3 h_0, dW_x = x_2 + 3 x_1, db = 1 + 3
    assert (d[0].recurrent[0], d[0].input, d[0].bias) == (9, 5, 4)
    np.testing.assert_array_equal(d[1][:, 0, 0], [6, 2])
    assert d[2][0] == 9
    # Backwards: z_2 = 4 + 1 + 3 = 8, then z_1 = 2 + 1 + 24 = 27
    h, hs = last(weights, x, start, reverse=True)
    np.testing.assert_array_equal(hs[:, 0, 0], [27, 8])
    # Cut between the two: delta_1 = 0, as no other loss reads h_1.
    d = jax.grad(lambda w: last(w, x, start, window=1)[0])(weights)
    assert (d.recurrent[0], d.input, d.bias) == (6, 2, 1)


HALF, LN3 = math.atanh(0.5), math.log(3)  # tanh and sigmoid give 1/2 and 3/4


@every_run
def test_hand_values_of_lstm(run, x64):
    # c_t = 3/4 c_{t-1} + 3/4 * 1/2, from 1
    zx = [LN3, LN3, HALF, LN3]
    wanted = [9 / 8, 39 / 32]
    given = one_unit(lstm(), zx=zx, recurrent=[[0.0] * 4], start=(7.0, 1.0))
    hs, (h, c) = run(*given)
    np.testing.assert_allclose(c, [[wanted[1]]], rtol=1e-15)
    np.testing.assert_allclose(hs[:, 0, 0], 0.75 * np.tanh(wanted), rtol=1e-15)
    assert h == hs[1]
    # Without f, c_t = c_{t-1} + 3/8; without the output's tanh, h = 3/4 c.
    cell = lstm(forget=False, output_tanh=False)
    given = one_unit(cell, zx=[LN3, HALF, LN3], recurrent=[[0.0] * 3], start=(7.0, 1.0))
    hs, (h, c) = run(*given)
    np.testing.assert_allclose(c, [[14 / 8]], rtol=1e-15)
    np.testing.assert_allclose(hs[:, 0, 0], [0.75 * 11 / 8, 0.75 * 14 / 8], rtol=1e-15)


@every_run
def test_hand_values_of_gru(run, x64):
    # r = z = 3/4, n = tanh(HALF - r b + r b) = 1/2: h_t = 1/8 + 3/4 h_{t-1}, from 1
    zx = [LN3, LN3, HALF - 0.75 * 4]
    hs, _ = run(*one_unit(cells.gru(), zx=zx, recurrent=[[0.0] * 3], p=([4.0],)))
    np.testing.assert_allclose(hs[:, 0, 0], [7 / 8, 25 / 32], rtol=1e-15)


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("name", BY_HAND)
def test_loop_equals_numpy(name, options, x64):
    given = case(name, **options)
    found = loop(*given[:5])
    assert_near(found, jax.tree.map(jnp.asarray, by_hand(name, given)), 1e-14)


@pytest.mark.parametrize("name", ["elman-tanh", "lstm-fptr", "gru-before", "pair"])
def test_dropout_is_of_what_the_first_product_reads(name, x64):
    """A factor on h before W is the same as the factor on W's rows, for one sequence
    whose other products do not read h."""
    given = case(name, batch=1, features=("drop",))
    weights, (drop,) = given.weights, given.steps.drop
    first, *rest = weights.recurrent
    scaled = weights._replace(recurrent=(drop[:, None] * first, *rest))
    found = loop(*given[:5])
    wanted = loop(given.form, scaled, given.x, given.start)
    assert_near(found, wanted, 1e-14)


@every_run
def test_no_steps(run, x64):
    given = case("lstm-ftr", steps=0)
    hs, final = run(*given[:5])
    assert hs.shape == (0, 3, 3) and hs.dtype == np.float64
    assert_same(final, given.start)
    d = jax.grad(lambda s: run(given.form, given.weights, given.x, s)[1][1].sum())
    assert_same(d(given.start)[1], np.ones((3, 4)))


@every_run
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm-fptr", "gru-after"])
def test_holes_leave_the_state_as_it_is(run, name, reverse, x64):
    """Steps that are not valid might as well not be there: to the bit."""
    given = exact(case(name, reverse=reverse))
    kept = np.array([0, 2, 3])
    valid = jnp.zeros((T, 3), bool).at[kept].set(True)
    noise = given.x.at[np.array([1, 4])].set(1e30)
    hs, final = run(given.form, given.weights, noise, given.start, Steps(valid))
    short, short_final = run(given.form, given.weights, given.x[kept], given.start)
    assert_same((hs[kept], final), (short, short_final))
    before = short[1] if reverse else short[0]
    assert_same(hs[1], before)


@every_run
@pytest.mark.parametrize("reverse", [False, True])
def test_no_valid_step_leaves_the_initial_state(run, reverse, x64):
    given = case("lstm-fptr", reverse=reverse)
    valid = jnp.ones((T, 3), bool).at[:, 1].set(False)
    hs, final = run(*given[:4], Steps(valid))
    assert_same([s[1] for s in final], [s[1] for s in given.start])
    assert_same(hs[:, 1], np.broadcast_to(given.start[0][1], (T, 3)))


@every_run
@pytest.mark.parametrize("reverse", [False, True])
def test_resets_start_anew(run, reverse, x64):
    """Two sequences one after the other, and each by itself."""
    given = exact(case("lstm-fptr", reverse=reverse))
    at = 2 if reverse else 3  # the first step run of the second one to be run
    resets = jnp.zeros((T, 3), bool).at[at].set(True)
    hs, final = run(*given[:4], Steps(resets=resets))
    parts = [run(*given[:2], x, given.start) for x in (given.x[:3], given.x[3:])]
    assert_same(hs, np.concatenate([part[0] for part in parts]))
    assert_same(final, parts[0 if reverse else 1][1])


@pytest.mark.parametrize("name", CELLS)
def test_scan_keeps_the_dtype_of_the_state(name):
    given = case(name, dtype=np.float32, compute="bfloat16")
    shapes = jax.eval_shape(lambda *a: scan(given.form, *a), *given[1:5])
    assert {s.dtype for s in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


@every_run
def test_factors_of_products_are_of_the_compute_dtype(run):
    """1 + 2^-9 is no bfloat16, and is rounded to 1; the sum keeps 24 bits."""
    x, w = 1 + 2.0**-9, 256.0
    weights = Weights(jnp.array([[w]]), jnp.array([2.0**-9]), (jnp.array([[1.0]]),))
    form = Form(cells.elman("identity"), compute="bfloat16")
    hs, _ = run(form, weights, jnp.array([[[x]]]), (jnp.array([[x]]),))
    assert hs == w + 1 + 2.0**-9
