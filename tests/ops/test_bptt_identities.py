"""What the theory of backpropagation through time says, of the explicit one: sums over
copies and losses, truncation, constant error flow, recurrent learning in real time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.ops import cells
from jnets.ops.bptt import bptt
from jnets.ops.cells_lstm import lstm
from jnets.ops.recurrence import Form, Weights
from tests.ops.recurrences import Draw, F, H, T, assert_near, assert_same, case, pulled


def elman_by_copies(seed=0):
    """E_i as a function of T copies of W_h, and a run whose losses these are."""
    draw = Draw(seed)
    w_x, bias, w_h = draw(F, H), draw(H), draw(H, H)
    x, h0, v = draw(T, 1, F), draw(1, H), draw(T, H)

    def losses(copies):
        h, errors = h0, []
        for t in range(T):
            h = jnp.tanh(x[t] @ w_x + bias[None] + h @ copies[t])
            errors.append((v[t] * h[0]).sum())
        return jnp.stack(errors)

    def run(w_h, **form):
        weights = Weights(w_x, bias, (w_h,))
        hs, _ = bptt(Form(cells.elman(), **form), weights, x, (h0,))
        return (v * hs[:, 0]).sum(1)

    return losses, run, w_h


def test_sum_over_copies_and_sum_over_losses_are_the_gradient(x64):
    losses, run, w_h = elman_by_copies()
    by_copy = jax.jacrev(losses)(jnp.stack([w_h] * T))  # of E_i by W^(j): i, j, H, H
    whole = jax.grad(lambda w: run(w).sum())(w_h)
    assert_near(by_copy.sum((0, 1)), whole, 1e-13)
    assert_near(jax.jacrev(run)(w_h), by_copy.sum(1), 1e-13)
    assert_near(jax.jacrev(run)(w_h).sum(0), whole, 1e-13)


@pytest.mark.parametrize("window", [1, 2, 3, T, T + 4])
def test_truncated_is_the_masked_double_sum(window, x64):
    """Terms in which the loss and the copy lie in one window: the chunked form."""
    losses, run, w_h = elman_by_copies()
    by_copy = jax.jacrev(losses)(jnp.stack([w_h] * T))
    chunk = np.arange(T) // window
    same = (chunk[:, None] == chunk[None, :])[..., None, None]
    found = jax.grad(lambda w: run(w, window=window).sum())(w_h)
    assert_near(found, jnp.where(same, by_copy, 0).sum((0, 1)), 1e-13)


@pytest.mark.parametrize(
    ("name", "reverse"), [("lstm-fptr", False), ("gru-before", True)]
)
def test_a_window_of_all_steps_is_full_bptt(name, reverse, x64):
    given = case(name, reverse=reverse, features=("lengths",))
    wide = given._replace(form=given.form._replace(window=T))
    assert_same(pulled(bptt, wide), pulled(bptt, given))


def test_real_time_recurrent_learning_is_the_same(x64):
    """The lecture's recursion for dh_i/dW, J_i[a, b, c] = D_i[a] (1[a = c] h_{i-1}[b] +
    sum_d W[d, a] J_{i-1}[d, b, c]), with h W rather than W h."""
    draw = Draw(3)
    w_x, w_h, x, h = draw(F, H), draw(H, H), draw(T, 1, F), np.zeros(H)
    form = Form(cells.elman())

    def error(w_h):
        hs, _ = bptt(form, Weights(w_x, None, (w_h,)), x, (jnp.zeros((1, H)),))
        return (hs**2).sum() / 2

    jacobian, total = np.zeros((H, H, H)), np.zeros((H, H))
    for t in range(T):
        direct = np.einsum("ac,b->abc", np.eye(H), h)
        h = np.tanh(np.asarray(x[t, 0] @ w_x) + h @ np.asarray(w_h))
        carried = np.einsum("da,dbc->abc", w_h, jacobian)
        jacobian = (1 - h**2)[:, None, None] * (direct + carried)
        total += np.einsum("a,abc->bc", h, jacobian)
    assert_near(jax.grad(error)(w_h), jnp.asarray(total), 1e-13)


def test_constant_error_carousel(x64):
    """Without forget gates and recurrent weights dE/dc is the same at every step."""
    steps, draw, cell = 200, Draw(5), lstm(forget=False)
    weights = Weights(draw(F, 3 * H), draw(3 * H), (jnp.zeros((H, 3 * H)),))
    x, start = draw(steps, 2, F), (draw(2, H), draw(2, H))
    _, pull = jax.vjp(lambda s: bptt(Form(cell), weights, x, s), start)
    d_c = draw(2, H)
    zero_hs, zero_h = jnp.zeros((steps, 2, H)), jnp.zeros((2, H))
    ((_, d_start),) = pull((zero_hs, (zero_h, d_c)))
    assert_same(d_start, d_c)


def loops_over_steps(jaxpr):
    """The scans in which there is no other: those over stretches hold these."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            body = equation.params["jaxpr"].jaxpr
            inner = list(loops_over_steps(body))
            yield from inner or [body]


def test_it_is_one_product_per_matrix_after_the_loop():
    """No product in the backward loop has more than the batch's rows, and dW of none is
    in it: three products of all steps, for dW_h, dW_x and dx."""
    given = case("lstm-ft", dtype=np.float32)
    program = jax.make_jaxpr(lambda c: pulled(bptt, c._replace(form=given.form)))(
        given._replace(form=None)
    )
    forward, backward = (
        [
            e.outvars[0].aval.shape
            for e in body.eqns
            if e.primitive.name == "dot_general"
        ]
        for body in loops_over_steps(program.jaxpr)
    )
    assert forward == [(3, 4 * H)] and backward == [(3, H)]
