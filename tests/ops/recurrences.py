"""What the tests of recurrences share: every cell, random cases, and a second opinion.

`by_hand` runs a cell over time in NumPy, one sequence after the other, with the
formulas of the papers written per gate.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnets.ops import cells
from jnets.ops.cells import Matrix
from jnets.ops.cells_lstm import lstm
from jnets.ops.cells_normed import normed_elman, normed_gru, normed_lstm
from jnets.ops.recurrence import Form, Steps, Weights

T, B, F, H, P = 5, 3, 2, 4, 3


def minimal_gated_unit(zx, before, p, dot):
    """Zhou et al. 2016: its second product reads what its first one gave."""
    (h,) = before
    x_f, x_n = jnp.split(zx, 2, axis=-1)
    f = jax.nn.sigmoid(x_f + dot(0, h))
    n = jnp.tanh(x_n + dot(1, f * h))
    return (h + f * (n - h),)


def damped_pair(zx, before, p, dot):
    """No published cell: two states, three products, one of the second state, and a
    vector of its own."""
    h, c = before
    x_a, x_b = jnp.split(zx, 2, axis=-1)
    a = jnp.tanh(x_a + dot(2, c) + dot(0, h))
    c = c * jax.nn.sigmoid(x_b + jnp.broadcast_to(p[0], h.shape)) + a
    return dot(1, jnp.tanh(c)) + a * h, c


LSTMS = {
    f"lstm-{'f' * forget}{'p' * peepholes}{'t' * tanh}{'r' * projection}": dict(
        forget=forget, peepholes=peepholes, output_tanh=tanh, projection=projection
    )
    for forget, peepholes, tanh, projection in itertools.product(
        (True, False), repeat=4
    )
}
CELLS = {
    "elman-tanh": cells.elman(),
    "elman-relu": cells.elman("relu"),
    "elman-identity": cells.elman("identity"),
    **{name: lstm(**kind) for name, kind in LSTMS.items()},
    "gru-after": cells.gru(),
    "gru-before": cells.gru(reset_after=False),
    "elman-normed": normed_elman(),
    "lstm-normed": normed_lstm(),
    "gru-normed": normed_gru(),
    "minimal": cells.derived(
        minimal_gated_unit, 2, 1, (Matrix("forget", 1, 1), Matrix("candidate", 1, 1))
    ),
    "pair": cells.derived(
        damped_pair, 2, 2, tuple(Matrix(name, 1, 1) for name in "abc"), (("shift", 1),)
    ),
}


class Case(NamedTuple):
    """The arguments of a run, and what outputs and final state are weighed by."""

    form: Form
    weights: Weights
    x: jax.Array
    start: tuple[jax.Array, ...]
    steps: Steps
    d_hs: jax.Array
    d_final: tuple[jax.Array, ...]


def of_one_term(tree):
    """Matrices [..., K, N] with one entry in each column: what sums over K has one term
    and is the same to the bit, in whichever order a product of that size is summed."""

    def thinned(w):
        if w.ndim < 2:
            return w
        rows, columns = w.shape
        return jnp.where(np.arange(rows)[:, None] == np.arange(columns) % rows, w, 0)

    return jax.tree.map(thinned, tree)


class Draw:
    """Random arrays of one dtype."""

    def __init__(self, seed, dtype=np.float64):
        self.rng, self.dtype = np.random.default_rng(seed), dtype

    def __call__(self, *shape, scale=0.6):
        return jnp.asarray(self.rng.normal(0, scale, shape).astype(self.dtype))

    def flags(self, *shape, rate=0.3):
        return jnp.asarray(self.rng.random(shape) < rate)


def case(
    name, *, seed=0, dtype=np.float64, steps=T, batch=B, bias=True, features=(), **form
):
    """A random case of the cell `name`; `features` of "lengths", "mask", "resets",
    "drop", "zeros" (the start), and what `Form` takes."""
    draw, cell = Draw(seed, dtype), CELLS[name]
    projected = any("P" in matrix for matrix in cell.matrices)
    columns = P if projected else H
    shapes = (batch, columns), *((batch, H),) * (cell.states - 1)

    def size(n):
        return P if n == "P" else n * H

    weights = Weights(
        draw(F, cell.gates * H),
        draw(cell.gates * H) if bias else None,
        tuple(draw(size(a), size(b)) for _, a, b in cell.matrices),
        tuple(draw(n * H) for _, n in cell.vectors),
    )
    valid = None
    if "lengths" in features:
        lengths = draw.rng.integers(0, steps + 1, batch)
        valid = jnp.asarray(np.arange(steps)[:, None] < lengths)
    elif "mask" in features:
        valid = draw.flags(steps, batch, rate=0.7)
    return Case(
        Form(cell, **form),
        weights,
        draw(steps, batch, F),
        tuple(draw(*s, scale=0 if "zeros" in features else 0.6) for s in shapes),
        Steps(
            valid,
            draw.flags(steps, batch) if "resets" in features else None,
            draw.flags(*shapes[0], rate=0.8) * draw.dtype(1.25)
            if "drop" in features
            else None,
        ),
        draw(steps, batch, columns),
        tuple(draw(*s) for s in shapes),
    )


def pulled(run, case, **options):
    """(hs, final state), and the gradients of weights, x and the initial state."""

    def forward(weights, x, start):
        return run(case.form, weights, x, start, case.steps, **options)

    results, pull = jax.vjp(forward, case.weights, case.x, case.start)
    return results, pull((case.d_hs, case.d_final))


def assert_near(found, wanted, tolerance):
    """Each array within `tolerance` of 1 + its largest value, dtypes alike."""
    found, wanted = map(jax.tree.flatten, (found, wanted))
    assert found[1] == wanted[1]
    for a, b in zip(found[0], wanted[0], strict=True):
        assert a.dtype == b.dtype
        scale = 1 + np.abs(b).max(initial=0)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


def assert_same(found, wanted):
    """Bit for bit."""
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def elman_by_hand(f, w, p, zx, h):
    return (f(zx + h @ w[0]),)


def lstm_by_hand(kind, w, p, zx, h, c):
    """facts: a_i = W x + W h + b, and so on, one gate after the other."""
    names = [gate for gate in "ifgo" if gate != "f" or kind["forget"]]
    zh = h @ w[0]
    a = {gate: (zx + zh)[k * H : (k + 1) * H] for k, gate in enumerate(names)}
    peep = dict.fromkeys("ifo", np.zeros(H))
    if kind["peepholes"]:
        peep |= dict(zip([gate for gate in names if gate != "g"], p, strict=True))
    i = sigmoid(a["i"] + peep["i"] * c)
    f = sigmoid(a["f"] + peep["f"] * c) if kind["forget"] else 1.0
    c = f * c + i * np.tanh(a["g"])
    o = sigmoid(a["o"] + peep["o"] * c)
    h = o * (np.tanh(c) if kind["output_tanh"] else c)
    return h @ w[1] if kind["projection"] else h, c


def gru_after_by_hand(w, p, zx, h):
    (x_r, x_z, x_n), (u_r, u_z, u_n) = np.split(zx, 3), np.split(w[0], 3, axis=1)
    r, z = sigmoid(x_r + h @ u_r), sigmoid(x_z + h @ u_z)
    n = np.tanh(x_n + r * (h @ u_n + p[0]))
    return ((1 - z) * n + z * h,)


def gru_before_by_hand(w, p, zx, h):
    (x_r, x_z, x_n), (u_r, u_z) = np.split(zx, 3), np.split(w[0], 2, axis=1)
    r, z = sigmoid(x_r + h @ u_r), sigmoid(x_z + h @ u_z)
    n = np.tanh(x_n + (r * h) @ w[1])
    return ((1 - z) * n + z * h,)


def minimal_by_hand(w, p, zx, h):
    x_f, x_n = np.split(zx, 2)
    f = sigmoid(x_f + h @ w[0])
    return ((1 - f) * h + f * np.tanh(x_n + (f * h) @ w[1]),)


BY_HAND = {
    "elman-tanh": lambda *a: elman_by_hand(np.tanh, *a),
    "elman-relu": lambda *a: elman_by_hand(lambda z: np.maximum(z, 0), *a),
    "elman-identity": lambda *a: elman_by_hand(lambda z: z, *a),
    **{
        name: lambda *a, kind=kind: lstm_by_hand(kind, *a)
        for name, kind in LSTMS.items()
    },
    "gru-after": gru_after_by_hand,
    "gru-before": gru_before_by_hand,
    "minimal": minimal_by_hand,
}


def by_hand(name, case):
    """(hs, final state) of a case without dropout, each sequence on its own."""
    step, (_, weights, x, start, steps, *_) = BY_HAND[name], case
    w_x, bias, recurrent, p = jax.tree.map(np.asarray, weights)
    hs, finals = np.zeros(case.d_hs.shape), []
    order = range(len(x))
    for b in range(x.shape[1]):
        first = state = tuple(np.asarray(s[b]) for s in start)
        for t in reversed(order) if case.form.reverse else order:
            if steps.resets is not None and steps.resets[t, b]:
                state = first
            if steps.valid is None or steps.valid[t, b]:
                zx = np.asarray(x[t, b]) @ w_x + (0 if bias is None else bias)
                state = step(recurrent, p, zx, *state)
            hs[t, b] = state[0]
        finals.append(state)
    return hs, tuple(map(np.stack, zip(*finals, strict=True)))
