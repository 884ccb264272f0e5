"""One step of every cell: hand values, and the backward part against autodiff."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.ops import cells
from jnets.ops.cells import Matrix
from jnets.ops.cells_lstm import lstm
from tests.ops.recurrences import BY_HAND, CELLS, assert_near, by_hand, case

HALF = math.atanh(0.5)  # tanh(HALF) = 1/2
LN3 = math.log(3)  # sigmoid(LN3) = 3/4


def one_step(name):
    """The step of a random case as a function of zx, before, p and the matrices."""
    given = case(name, steps=1)
    cell = given.form.cell
    zx = given.x[0] @ given.weights.input

    def step(zx, before, p, w):
        return cell.forward(zx, before, p, lambda k, u: u @ w[k])[0]

    return cell, step, (zx, given.start, given.weights.pointwise, given.weights[2])


@pytest.mark.parametrize("name", CELLS)
def test_backward_is_the_transpose_of_forward(name, x64):
    cell, step, (zx, before, p, w) = one_step(name)
    after, pull = jax.vjp(step, zx, before, p, w)
    d_after = tuple(jnp.cos(s + 1) for s in after)
    operands, deltas = {}, {}

    def dot(k, u):
        operands[k] = u
        return u @ w[k]

    def back(k, delta):
        deltas[k] = delta
        return delta @ w[k].T

    found, saved = cell.forward(zx, before, p, dot)
    assert_near(found, after, 0)
    partials = cell.partials(saved, before, after[0], p)
    d_zx, d_before, d_p = cell.backward(partials, d_after, p, back)
    d_w = tuple(operands[k].T @ deltas[k] for k in range(len(w)))
    assert_near((d_zx, d_before, d_p, d_w), pull(d_after), 1e-14)


@pytest.mark.parametrize("name", CELLS)
def test_all_steps_at_once(name, x64):
    """Forward and partials of a stack of steps are the stack of each one's."""
    cell, _, (zx, before, p, w) = one_step(name)

    def forward(zx, before):
        after, saved = cell.forward(zx, before, p, lambda k, u: u @ w[k])
        return after, saved, cell.partials(saved, before, after[0], p)

    two = [(zx, before), jax.tree.map(lambda a: a / 2, (zx, before))]
    each = [forward(*step) for step in two]
    assert_near(forward(*stacked(two)), stacked(each), 1e-15)


def stacked(trees):
    return jax.tree.map(lambda *a: jnp.stack(a), *trees)


@pytest.mark.parametrize("name", BY_HAND)
def test_forward_equals_the_formulas_gate_by_gate(name, x64):
    given = case(name, steps=1)
    _, step, arguments = one_step(name)
    given = given._replace(weights=given.weights._replace(bias=None))
    assert_near(
        step(*arguments), tuple(map(jnp.asarray, by_hand(name, given)[1])), 1e-14
    )


def forward(cell, zx, *before, p=(), w=()):
    """One unit of one sequence; w holds a row of each matrix."""
    before, p = tuple(jnp.array([[s]]) for s in before), tuple(map(jnp.array, p))
    dot = lambda k, u: u @ jnp.array([w[k]])  # noqa: E731
    return [float(s[0, 0]) for s in cell.forward(jnp.array([zx]), before, p, dot)[0]]


def test_hand_values_of_elman(x64):
    assert forward(cells.elman("identity"), [3.0], 1.0, w=([3.0],)) == [6]
    assert forward(cells.elman("relu"), [3.0], -2.0, w=([3.0],)) == [0]
    assert forward(cells.elman("relu"), [3.0], 2.0, w=([3.0],)) == [9]
    tanh = forward(cells.elman(), [HALF - 3], 1.0, w=([3.0],))
    np.testing.assert_allclose(tanh, [0.5], rtol=1e-14)


# i = f = o = 3/4, g = 1/2, c_{t-1} = 2: c_t = 3/2 + 3/8 = 15/8; without f, 19/8.
C, LOOSE = 15 / 8, 19 / 8
FORMS_BY_HAND = {
    "gers": ({}, [LN3, LN3, HALF, LN3], (), [0.75 * math.tanh(C), C]),
    "carousel": (
        {"forget": False}, [LN3, HALF, LN3], (), [0.75 * math.tanh(LOOSE), LOOSE],
    ),
    "no output tanh": (
        {"output_tanh": False}, [LN3, LN3, HALF, LN3], (), [0.75 * C, C],
    ),
    # i and f read c_{t-1} = 2, o reads c_t = 15/8.
    "peepholes": (
        {"peepholes": True},
        [LN3 - 2 * 3, LN3 - 2 * 5, HALF, LN3 - C * 8],
        ([3.0], [5.0], [8.0]),
        [0.75 * math.tanh(C), C],
    ),
    "peepholes, no forget gate": (
        {"peepholes": True, "forget": False},
        [LN3 - 2 * 3, HALF, LN3 - LOOSE * 8],
        ([3.0], [8.0]),
        [0.75 * math.tanh(LOOSE), LOOSE],
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS_BY_HAND)
def test_hand_values_of_lstm(form, x64):
    kind, z, p, wanted = FORMS_BY_HAND[form]
    # h_{t-1} = 1 takes from each gate the k that is added to its zx.
    w = [float(-k) for k in range(1, len(z) + 1)]
    zx = [a - b for a, b in zip(z, w, strict=True)]
    found = forward(lstm(**kind), zx, 1.0, 2.0, p=p, w=(w,))
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_hand_values_of_a_projection(x64):
    z, w = [LN3, LN3, HALF, LN3], ([0.0] * 4, [-4.0])
    h, c = forward(lstm(projection=True, output_tanh=False), z, 1.0, 2.0, w=w)
    np.testing.assert_allclose([h, c], [-3 * C, C], rtol=1e-14)


def test_hand_values_of_gru(x64):
    # h = 2, r = z = 3/4, u = 2 * 3 + 1 = 7: n = tanh(HALF - r u + r u) = 1/2.
    wanted = [0.25 * 0.5 + 0.75 * 2]
    zx, w = [LN3 - 2, LN3 - 4, HALF - 0.75 * 7], ([1.0, 2.0, 3.0],)
    found = forward(cells.gru(), zx, 2.0, p=([1.0],), w=w)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    # The product is of r h = 3/2: 3 * 3/2.
    zx, w = [LN3 - 2, LN3 - 4, HALF - 4.5], ([1.0, 2.0], [3.0])
    found = forward(cells.gru(reset_after=False), zx, 2.0, w=w)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_a_rectifier_at_zero_passes_nothing():
    cell, zero = cells.elman("relu"), jnp.zeros((1, 1))
    partials = cell.partials((), (zero,), zero, ())
    delta, *_ = cell.backward(partials, (zero + 1,), (), lambda k, d: d)
    assert delta == 0


def test_a_cell_is_made_once():
    """Programs are compiled anew for another cell: equal ones must be the same."""
    assert cells.elman() is cells.elman()
    assert cells.gru(True) is cells.gru(True)
    assert lstm(forget=False) is lstm(forget=False)
    assert lstm(forget=False) is not lstm()


def test_a_cell_without_products(x64):
    """A leaky integrator: matrices=() is none, not the one of all gates."""

    def step(zx, before, p, dot):
        return (before[0] / 2 + zx,)

    cell, zx, h = (
        cells.derived(step, 1, matrices=()),
        jnp.ones((2, 3)),
        jnp.ones((2, 3)),
    )
    assert cell.matrices == ()
    after, saved = cell.forward(zx, (h,), (), None)
    partials = cell.partials(saved, (h,), after[0], ())
    d_zx, (d_h,), _ = cell.backward(partials, (4 * h,), (), None)
    assert (after[0] == 1.5).all() and (d_zx == 4).all() and (d_h == 2).all()


@pytest.mark.parametrize("used", [(), (0,), (0, 0), (0, 1, 1)])
def test_every_matrix_is_multiplied_by_once(used):
    """What a second product with it adds to its gradient would be lost."""

    def step(zx, before, p, dot):
        return (zx + sum(dot(k, before[0]) for k in used),)

    two = Matrix("a", 1, 1), Matrix("b", 1, 1)
    cell, h = cells.derived(step, 1, matrices=two), jnp.ones((2, 3))
    with pytest.raises(InputError, match=r"^step .*matrices \[.*\]; .*\[0, 1\] once"):
        cell.forward(h, (h,), (), lambda k, u: u)


def test_unknown_activation():
    with pytest.raises(InputError, match=r"activation='gelu' is unknown; .*'tanh'"):
        cells.elman("gelu")
