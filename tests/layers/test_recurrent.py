"""RNN, LSTM and GRU: parameters, numbers against the ops, and what each option does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.layers import GRU, LSTM, RNN, Policy, RecurrentState
from jnets.ops.cells import Matrix, derived
from jnets.ops.recurrence import Form, Steps, Weights
from jnets.ops.unroll import loop
from tests.ops.recurrences import of_one_term

B, T, F, H = 3, 5, 2, 4
DOUBLE = Policy("float64", "float64", "float64")
KEY = jax.random.key(0)


def inputs(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def made(layer, x, **given):
    """Variables of a layer, all far from zero."""
    shapes = jax.eval_shape(lambda: layer.init(KEY, x, **given))
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda s: jnp.asarray(rng.normal(0, 0.6, s.shape).astype(s.dtype)), shapes
    )


def weights_of(params, layer):
    """The ops' weights of one direction, in the cell's own order."""
    cell = layer.cell()
    return Weights(
        params["kernel"],
        params.get("bias"),
        tuple(params[matrix.name] for matrix in cell.matrices),
        tuple(params[name] for name, _ in cell.vectors),
    )


def by_loop(layer, variables, x, valid=None, resets=None, start=None):
    """What the layer is, written out with the readable loop: [T, B, ...]."""
    finals = []
    for number in range(layer.num_layers):
        outputs = []
        for suffix in ("", "_reverse")[: 1 + layer.bidirectional]:
            reverse = layer.reverse or suffix != ""
            if start is None:
                first = tuple(jnp.zeros((B, n), x.dtype) for n in layer.sizes())
            else:
                first = tuple(s[len(finals)] for s in start if s is not None)
            params = variables["params"][f"layer{number}{suffix}"]
            steps = Steps(valid, resets)
            form = Form(layer.cell(), reverse)
            hs, final = loop(form, weights_of(params, layer), x, first, steps)
            outputs.append(hs)
            finals.append(final)
        out = jnp.concatenate(outputs, axis=-1)
        if x.shape == out.shape and layer.residual:
            out = x + out
        elif x.shape == out.shape and layer.highway:
            gate = variables["params"][f"highway{number}"]
            t = jax.nn.sigmoid(x @ gate["kernel"] + gate["bias"][None, None] - 1)
            out = t * out + (1 - t) * x
        x = out
    return x, RecurrentState(*(jnp.stack(s) for s in zip(*finals, strict=True)))


def assert_near(found, wanted, tolerance=1e-13):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance),
        found,
        wanted,
    )


def assert_same(found, wanted):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


LAYERS = {
    "rnn": RNN(H, activation="relu", policy=DOUBLE),
    "lstm": LSTM(
        H, num_layers=2, bidirectional=True, projection=3, peepholes=True, policy=DOUBLE
    ),
    "reverse": LSTM(H, reverse=True, forget=False, output_tanh=False, policy=DOUBLE),
    "gru": GRU(H, num_layers=3, residual=True, policy=DOUBLE),
    "highway": GRU(2, num_layers=2, bidirectional=True, highway=True, policy=DOUBLE),
    "gru of 2014": GRU(2, reset_after=False, residual=True, policy=DOUBLE),
}


@pytest.mark.parametrize("name", LAYERS)
def test_equals_the_loop(name, x64):
    layer, x = LAYERS[name], inputs(B, T, F)
    variables = made(layer, x)
    lengths = jnp.array([5, 0, 3])
    valid = jnp.asarray(np.arange(T)[:, None] < np.array([5, 0, 3]))
    _, start = layer.apply(variables, 3 * x)
    found, final = layer.apply(variables, x, lengths=lengths, initial_state=start)
    wanted, wanted_final = by_loop(
        layer, variables, x.swapaxes(0, 1), valid, start=start
    )
    assert_near(final, wanted_final)
    wanted = jnp.where(valid[..., None], wanted, 0).swapaxes(0, 1)
    assert_near(found, wanted)
    assert_same(found[~valid.T], np.zeros_like(found[~valid.T]))
    masked = layer.apply(variables, x, mask=valid.T, initial_state=start)
    assert_same(masked, (found, final))


@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_padded_equals_unpadded(cell, x64):
    """To the bit, in both directions and through two layers, alone or in a batch."""
    layer, x = cell(H, num_layers=2, bidirectional=True, policy=DOUBLE), inputs(B, T, F)
    variables, lengths = of_one_term(made(layer, x)), (5, 2, 4)
    padded, final = layer.apply(variables, x, lengths=jnp.array(lengths))
    for b, n in enumerate(lengths):
        alone, alone_final = layer.apply(variables, x[b : b + 1, :n])
        assert_same(padded[b, :n], alone[0])
        states = [s[:, b] for s in final if s is not None]
        assert_same(states, [s[:, 0] for s in alone_final if s is not None])


def test_packed_sequences_equal_separate_ones(x64):
    layer, x = LSTM(H, bidirectional=True, policy=DOUBLE), inputs(B, T, F)
    variables = of_one_term(made(layer, x))
    resets = jnp.zeros((B, T), bool).at[:, 3].set(True)
    packed, final = layer.apply(variables, x, resets=resets)
    first, first_final = layer.apply(variables, x[:, :3])
    second, second_final = layer.apply(variables, x[:, 3:])
    assert_same(packed, jnp.concatenate([first, second], axis=1))
    # Each direction ends with the sequence that it reads last.
    assert_same([s[0] for s in final], [s[0] for s in second_final])
    assert_same([s[1] for s in final], [s[1] for s in first_final])


@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_state_carried_on_equals_one_run(cell, x64):
    layer, x = cell(H, num_layers=2, policy=DOUBLE), inputs(B, T, F)
    variables = of_one_term(made(layer, x))
    first, state = layer.apply(variables, x[:, :2])
    second, state = layer.apply(variables, x[:, 2:], initial_state=state)
    whole, final = layer.apply(variables, x)
    assert_same(jnp.concatenate([first, second], axis=1), whole)
    assert_same(state, final)


@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_no_steps(cell):
    layer, x = cell(H, bidirectional=True), jnp.zeros((B, 0, F))
    variables = layer.init(KEY, x)
    state = RecurrentState(
        *(jnp.full((2, B, n), 0.5, jnp.float32) for n in layer.sizes())
    )
    outputs, final = layer.apply(variables, x, initial_state=state)
    assert outputs.shape == (B, 0, 2 * H)
    assert_same(final, state)


def test_learned_start(x64):
    layer, x = LSTM(H, learned_start=True, policy=DOUBLE), inputs(B, T, F)
    variables = made(layer, x)
    fresh = layer.init(KEY, x)["params"]["layer0"]
    assert_same([fresh["start_h"], fresh["start_c"]], [np.zeros(H)] * 2)
    rows = [variables["params"]["layer0"][f"start_{s}"] for s in "hc"]
    start = tuple(jnp.tile(row[None], (B, 1)) for row in rows)
    params = variables["params"]["layer0"]

    def by_hand(rows):
        start = tuple(jnp.broadcast_to(row[None], (B, H)) for row in rows)
        form, weights = Form(layer.cell()), weights_of(params, layer)
        return loop(form, weights, x.swapaxes(0, 1), start)[0].swapaxes(0, 1)

    assert_near(layer.apply(variables, x)[0], by_hand(rows))
    gradient = jax.grad(lambda v: layer.apply(v, x)[0].sum())(variables)["params"]
    wanted = jax.grad(lambda rows: by_hand(rows).sum())(rows)
    found = [gradient["layer0"][f"start_{s}"] for s in "hc"]
    assert_near(found, wanted)
    assert all(np.abs(g).min() > 1e-6 for g in found)
    # A state that is given comes before it.
    given = RecurrentState(*(s[None] + 1 for s in start))
    free = LSTM(H, policy=DOUBLE).apply(variables, x, initial_state=given)
    assert_same(layer.apply(variables, x, initial_state=given), free)


def test_learned_start_is_a_parameter_whether_or_not_a_state_is_given():
    layer, x = LSTM(H, learned_start=True), jnp.zeros((B, T, F))
    state = RecurrentState(jnp.zeros((1, B, H)), jnp.zeros((1, B, H)))
    with_state = jax.eval_shape(lambda: layer.init(KEY, x, initial_state=state))
    without = jax.eval_shape(lambda: layer.init(KEY, x))
    assert jax.tree.structure(with_state) == jax.tree.structure(without)


@pytest.mark.parametrize("save", ["states", 2, "sqrt"])
def test_what_is_saved_changes_no_number(save, x64):
    x, options = inputs(B, T, F), {"num_layers": 2, "policy": DOUBLE}
    one, other = GRU(H, **options), GRU(H, save=save, unroll=2, **options)
    variables = made(one, x)

    def gradient(layer):
        loss = lambda v: (layer.apply(v, x)[0] ** 2).sum()  # noqa: E731
        return jax.jit(jax.grad(loss))(variables)

    assert_near(gradient(other), gradient(one))


def test_window_cuts_gradients(x64):
    x, layer = inputs(B, T, F), GRU(H, window=2, policy=DOUBLE)
    variables = made(layer, x)
    d_x = jax.grad(lambda x: layer.apply(variables, x)[1].h.sum())(x)
    # The last window is of the last step alone.
    assert_same(d_x[:, :4], np.zeros((B, 4, F)))
    assert np.abs(d_x[:, 4]).min() > 0
    assert_same(layer.apply(variables, x), GRU(H, policy=DOUBLE).apply(variables, x))


def test_own_cell():
    def leaky(zx, before, p, dot):
        (h,) = before
        leak = jax.nn.sigmoid(jnp.broadcast_to(p[0], h.shape))
        return (leak * h + (1 - leak) * jnp.tanh(zx + dot(0, h)),)

    cell = derived(leaky, 1, 1, (Matrix("inner", 1, 1),), (("leak", 1),))
    layer, x = RNN(H, own=cell, num_layers=2), jnp.ones((B, T, F))
    variables = made(layer, x)
    assert set(variables["params"]["layer1"]) == {"kernel", "bias", "inner", "leak"}
    found = layer.apply(variables, x)
    outputs, final = by_loop(layer, variables, x.swapaxes(0, 1))
    assert_near(found, (outputs.swapaxes(0, 1), final), 1e-6)


def test_half_precision_products_keep_states_single():
    x = jnp.asarray(inputs(B, T, F), jnp.float32)
    layer = LSTM(H, num_layers=2, policy=Policy(compute="bfloat16"))
    variables = made(layer, x)
    dtypes = {a.dtype for a in jax.tree.leaves((variables, layer.apply(variables, x)))}
    assert dtypes == {jnp.dtype("float32")}
    found, wanted = layer.apply(variables, x), LSTM(H, num_layers=2).apply(variables, x)
    assert_near(found, wanted, 0.03)
    assert not np.array_equal(found[0], wanted[0])
    assert layer.apply(variables, x.astype("bfloat16"))[0].dtype == jnp.float32


def test_jit_and_vmap():
    layer, x = GRU(H, bidirectional=True), inputs(2, B, T, F).astype(jnp.float32)
    variables = made(layer, x[0])
    lengths = jnp.array([[5, 2, 0], [1, 5, 3]])

    def apply(x, lengths):
        return layer.apply(variables, x, lengths=lengths)

    one_by_one = [apply(*each) for each in zip(x, lengths, strict=True)]
    wanted = jax.tree.map(lambda *a: jnp.stack(a), *one_by_one)
    assert_near(jax.vmap(apply)(x, lengths), wanted, 1e-6)
    assert_near(jax.jit(jax.vmap(apply))(x, lengths), wanted, 1e-6)


def test_lengths_known_while_compiling():
    layer, x = GRU(H), jnp.ones((B, T, F))
    variables, lengths = made(layer, x), jnp.array([5, 2, 0])
    wanted = layer.apply(variables, x, lengths=lengths)
    found = jax.jit(lambda x: layer.apply(variables, x, lengths=lengths))(x)
    assert_near(found, wanted, 1e-6)
    found = jax.jit(lambda x: layer.apply(variables, x, lengths=[5, 2, 0]))(x)
    assert_near(found, wanted, 1e-6)
