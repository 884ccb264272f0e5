"""The language model beside a reference in NumPy, and what it carries."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.errors import InputError
from jnets.layers import GRU, LSTM, Policy
from jnets.models import create, parameter_count
from jnets.training import Batch, create_state, make_step, minibatch

V, E, H, B, T = 7, 3, 4, 2, 5
SMALL = {"vocabulary": V, "embedding": E, "hidden": H}
cross_entropy = optax.softmax_cross_entropy_with_integer_labels


def tokens(steps=T, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, V, (B, steps)).astype(np.int32)


def model_and_variables(**fields):
    """Every parameter drawn from a normal distribution: none is 0."""
    model = create("language_model", **{**SMALL, **fields})
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens())
    rng = np.random.default_rng(1)
    draw = lambda leaf: jnp.asarray(rng.normal(0, 0.7, leaf.shape), leaf.dtype)  # noqa: E731
    return model, {"params": jax.tree.map(draw, shapes["params"])}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(p, x, h, c):
    """Gates i, f, g, o."""
    z = x @ p["kernel"] + p["bias"] + h @ p["recurrent_kernel"]
    i, f, g, o = np.split(z, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(p, x, h, c):
    """Gates r, z, n; the third bias is inside of r's product."""
    zx, zh = x @ p["kernel"] + p["bias"], h @ p["recurrent_kernel"]
    (xr, xz, xn), (hr, hz, hn) = (np.split(z, 3, axis=-1) for z in (zx, zh))
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = np.tanh(xn + r * (hn + p["recurrent_bias"]))
    return (1 - z) * n + z * h, c


def reference(params, x, step, layers=2):
    """Logits [B, T, V] in float64, one step after the other."""
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    states = [(np.zeros((B, H)),) * 2 for _ in range(layers)]
    logits = []
    for column in x.T:
        y = p["embed"]["embedding"][column]
        for i in range(layers):
            states[i] = step(p["layers"][f"layer{i}"], y, *states[i])
            y = states[i][0]
        if "readout" in p:
            logits.append(y @ p["readout"]["kernel"] + p["readout"]["bias"])
        else:
            logits.append(y @ p["embed"]["embedding"].T + p["readout_bias"])
    return np.stack(logits, axis=1)


@pytest.mark.parametrize(
    "fields, step",
    [
        ({"cell": "lstm"}, lstm_step),
        ({"cell": "gru"}, gru_step),
        ({"cell": "lstm", "tied": True, "embedding": H, "layers": 1}, lstm_step),
    ],
)
def test_logits_are_those_of_the_reference(fields, step):
    model, variables = model_and_variables(**fields)
    expected = reference(variables["params"], tokens(), step, fields.get("layers", 2))
    found = apply(model, variables, tokens())
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@partial(jax.jit, static_argnums=0)
def read(model, variables, carry, x, starts=None):
    given = variables if carry is None else {**variables, "carry": carry}
    logits, changed = model.apply(given, x, starts, mutable=["carry"])
    return logits, changed["carry"]


@partial(jax.jit, static_argnums=0)
def apply(model, variables, x):
    return model.apply(variables, x)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_windows_read_one_after_the_other_are_the_text(cell):
    model, variables = model_and_variables(cell=cell)
    x, parts, carry = tokens(9), [], None
    for window in np.split(x, 3, axis=1):
        logits, carry = read(model, variables, carry, window)
        parts.append(logits)
    whole = apply(model, variables, x)
    np.testing.assert_allclose(
        np.concatenate(parts, axis=1), whole, rtol=1e-5, atol=1e-5
    )


def test_a_row_that_starts_forgets_what_is_carried():
    model, variables = model_and_variables()
    _, carry = read(model, variables, None, tokens(seed=3))
    anew = apply(model, variables, tokens())
    found, _ = read(model, variables, carry, tokens(), np.array([True, False]))
    np.testing.assert_allclose(found[0], anew[0], rtol=1e-5, atol=1e-6)
    assert np.abs(found[1] - anew[1]).max() > 1e-3
    # A carry that is given is read where it may not be changed, too.
    fixed = apply(model, {**variables, "carry": carry}, tokens())
    np.testing.assert_allclose(fixed[1], found[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_model_starts_from_zeros(cell):
    model = create("language_model", **SMALL, cell=cell)
    carry = jax.jit(model.init)(jax.random.key(0), tokens())["carry"]
    assert set(carry) == ({"h", "c"} if cell == "lstm" else {"h"})
    assert all(np.all(leaf == 0) for leaf in carry.values())
    assert carry["h"].shape == (2, B, H)


class Whole(nn.Module):
    """The same parameters over a whole text, gradients ended every so many steps."""

    window: int
    cell: type

    @nn.compact
    def __call__(self, x):
        x = nn.Embed(V, E, name="embed")(x)
        x, _ = self.cell(H, 2, window=self.window, name="layers")(x)
        return nn.Dense(V, name="readout")(x)


@pytest.mark.parametrize("name, cell", [("lstm", LSTM), ("gru", GRU)])
def test_training_in_windows_is_truncated_bptt(name, cell):
    """The gradients of windows, parameters held fixed, add up to the one of the whole
    text whose errors go back to the beginnings of windows and no further."""
    model, variables = model_and_variables(cell=name)
    text = tokens(10)
    x, y = text[:, :-1], text[:, 1:]
    optimizer = optax.sgd(1.0)
    state = create_state(model, (x[:, :3],), optimizer, variables=variables)
    carry = jax.eval_shape(model.init, jax.random.key(0), x[:, :3])["carry"]
    # Not zeros: the first window is said to start.
    carry = jax.tree.map(lambda a: jnp.ones(a.shape, a.dtype), carry)
    state = state.replace(carry=carry)
    step = jax.jit(
        make_step(
            model, cross_entropy, optimizer, minibatch(B)._replace(reduction="sum")
        )
    )
    total = jax.tree.map(jnp.zeros_like, variables["params"])
    for at in range(0, 9, 3):
        starts = jnp.full(B, at == 0)
        batch = Batch((x[:, at : at + 3], starts), y[:, at : at + 3], jnp.ones(B))
        moved, _ = step(state, batch)
        moves = jax.tree.map(jnp.subtract, state.params, moved.params)
        total = jax.tree.map(jnp.add, total, moves)
        state = state.replace(carry=moved.carry)

    def objective(window):
        whole = Whole(window, cell)
        return lambda p: cross_entropy(whole.apply({"params": p}, x), y).sum()

    expected = jax.jit(jax.grad(objective(3)))(variables["params"])
    full = jax.jit(jax.grad(objective(9)))(variables["params"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        total,
        expected,
    )
    apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), expected, full)
    assert apart["layers"]["layer0"]["recurrent_kernel"] > 1e-3


@pytest.mark.parametrize("variational", [True, False])
def test_what_is_dropped(variational):
    """Of the embeddings, between layers and of the outputs; with `variational`, the
    same units at all steps. A model in use drops nothing."""
    fields = {"dropout": 0.5, "variational": variational, "hidden": 16, "embedding": 16}
    model, variables = model_and_variables(**fields)
    dropped = []

    def watch(call, args, kwargs, context):
        y = call(*args, **kwargs)
        if isinstance(context.module, nn.Dropout):
            dropped.append(np.asarray(y) == 0)
        return y

    with nn.intercept_methods(watch):
        key = {"dropout": jax.random.key(0)}
        model.apply(variables, tokens(), train=True, rngs=key)
        assert len(dropped) == 3
        for zero in dropped:
            zero = zero if zero.shape[0] == B else zero.swapaxes(0, 1)
            assert 0.2 < zero.mean() < 0.8
            alike = np.all(zero == zero[:, :1])
            assert alike == variational
        dropped.clear()
        model.apply(variables, tokens())
        assert not any(zero.any() for zero in dropped)


@pytest.mark.parametrize("size, hidden", [("small", 200), ("medium", 650)])
def test_sizes_of_zaremba(size, hidden):
    """Embeddings, two layers of four gates, and the readout with its bias."""
    layer = 4 * hidden * (2 * hidden + 1)
    expected = 10_000 * hidden + 2 * layer + 10_000 * (hidden + 1)
    assert parameter_count(f"word_lstm_{size}") == expected


def test_large_has_66_million_parameters():
    """As the paper says of it (section 4.1)."""
    assert round(parameter_count("word_lstm_large") / 1e6) == 66


def test_tied_is_without_a_second_table():
    sizes = {"vocabulary": 1000, "embedding": 256}
    free = parameter_count("language_model", **sizes)
    assert free - parameter_count("language_model", **sizes, tied=True) == 1000 * 256


def test_mixed_precision():
    """Float32 parameters, states and logits about products in bfloat16."""
    model, variables = model_and_variables(policy=Policy(compute="bfloat16"))
    narrow, carry = read(model, variables, None, tokens())
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves((narrow, carry))}
    assert dtypes == {"float32"}
    wide = apply(model_and_variables()[0], variables, tokens())
    assert 1e-5 < np.abs(narrow - wide).max() / np.abs(wide).max() < 0.05


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"cell": "lsmt"}, r"cell='lsmt'.*\['rnn', 'lstm', 'gru'\]"),
        ({"tied": True}, "embedding=3 .* tied=True; expected hidden, 4"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout=1.0"),
    ],
)
def test_fields_that_make_no_model(fields, message):
    with pytest.raises(InputError, match=message):
        model = create("language_model", **SMALL, **fields)
        jax.eval_shape(model.init, jax.random.key(0), tokens())
