"""Both translators: sizes of the papers, and one step at a time against all at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.models import create, parameter_count

NAMES = ("seq2seq", "attention_seq2seq")
SIZES = {"source_vocabulary": 9, "target_vocabulary": 7, "embedding": 4, "hidden": 5}
SMALL = {
    "seq2seq": SIZES | {"num_layers": 2},
    "attention_seq2seq": SIZES | {"alignment": 6, "readout": 4},
}
LENGTHS = np.array([3, 5, 1], np.int32)
B, S, T = 3, 5, 4


class Compiled:
    """A model whose methods are compiled, each for a shape once."""

    def __init__(self, model):
        self.apply = jax.jit(model.apply, static_argnames=("method", "train"))
        self.init = model.init


@functools.cache
def small(name, **fields):
    """A model, its random variables and inputs; padding is full of symbols, too."""
    model = Compiled(create(name, **SMALL[name] | fields))
    rng = np.random.default_rng(0)
    source = jnp.asarray(rng.integers(1, 9, (B, S)), jnp.int32)
    target = jnp.asarray(rng.integers(1, 7, (B, T)), jnp.int32)
    inputs = source, jnp.asarray(LENGTHS), target
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(scale=0.5, size=leaf.shape), leaf.dtype),
        shapes,
    )
    return model, variables, inputs


def test_parameters_are_the_papers():
    """Sutskever et al. 2014: 384 million, 64 of them recurrent; both without biases."""
    biases = 2 * 4 * 4000 + 80_000
    assert parameter_count("seq2seq") == 384_000_000 + biases
    encoder, decoder = 2 * (3000 + 1000), 3000 + 1000
    biases = encoder + decoder + 1000 + 1000 + 30_000
    assert parameter_count("attention_seq2seq") == 80_401_000 + biases


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_the_whole(name):
    model, variables, inputs = small(name)
    source, lengths, target = inputs
    whole = model.apply(variables, *inputs)
    assert whole.shape == (B, T, 7)
    memory, state = model.apply(variables, source, lengths, method="encode")
    for t in range(T):
        step = memory, state, target[:, t]
        logits, state = model.apply(variables, *step, method="step")
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_past_a_length_does_not_matter(name):
    model, variables, (source, lengths, target) = small(name)
    other = jnp.where(jnp.arange(S)[None] < lengths[:, None], source, 0)
    assert np.any(other != source)
    expected = model.apply(variables, source, lengths, target)
    found = model.apply(variables, other, lengths, target)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_source_is_read_from_its_end():
    """As if the words were turned round, within each length, for a net that is not."""
    model, variables, (source, lengths, target) = small("seq2seq")
    turned = np.array(source)
    for row, length in zip(turned, LENGTHS, strict=True):
        row[:length] = row[:length][::-1]
    plain, _, _ = small("seq2seq", reverse_source=False)
    expected = plain.apply(variables, jnp.asarray(turned), lengths, target)
    found = model.apply(variables, source, lengths, target)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_own_symbols(name):
    """None of them is the teacher's way; all but the first are what a teacher would
    give who says what the net does; some are some."""
    model, variables, (source, lengths, target) = small(name)
    every = jnp.ones((B, T), bool)
    taught = model.apply(variables, source, lengths, target)
    none = model.apply(variables, source, lengths, target, ~every)
    np.testing.assert_allclose(none, taught, rtol=1e-4, atol=1e-5)
    for own in (every, every.at[:, 2].set(False)):
        found = model.apply(variables, source, lengths, target, own)
        said = jnp.argmax(found, axis=-1).astype(jnp.int32)[:, :-1]
        read = jnp.concatenate([target[:, :1], said], axis=1)
        read = jnp.where(own, read, target)
        expected = model.apply(variables, source, lengths, read)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name):
    model, variables, inputs = small(name)
    mix = np.random.default_rng(1).normal(size=(B, T, 7)).astype(np.float32)

    def objective(variables):
        return jnp.sum(jnp.asarray(mix) * model.apply(variables, *inputs))

    grads = jax.jit(jax.grad(objective))(variables)
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert np.all(np.isfinite(g)) and np.any(g != 0), path


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step(p, x, h, context=None):
    """PyTorch's form, gate by gate."""
    zx = x @ p["kernel"] + p["bias"]
    if context is not None:
        zx = zx + context @ p["context_kernel"]
    xr, xz, xn = np.split(zx, 3)
    hr, hz, hn = np.split(h @ p["recurrent_kernel"], 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = np.tanh(xn + r * (hn + p["recurrent_bias"]))
    return (1 - z) * n + z * h


@pytest.mark.parametrize("readout_state", ["before", "after"])
def test_attention_is_the_papers_formulas(readout_state):
    """One sentence and one word at a time in NumPy, against all at once."""
    fields = {"readout_state": readout_state}
    model, variables, inputs = small("attention_seq2seq", **fields)
    found = model.apply(variables, *inputs)
    aligned = model.apply(variables, *inputs, method="align")
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    d = p["decoder"]
    for b, length in enumerate(LENGTHS):
        xs = p["source_embedding"]["embedding"][np.asarray(inputs[0])[b, :length]]
        sides = []
        for layer, order in (("layer0", 1), ("layer0_reverse", -1)):
            h, hs = np.zeros(5), []
            for x in xs[::order]:
                h = gru_step(p["encoder"][layer], x, h)
                hs.append(h)
            sides.append(hs[::order])
        annotations = np.concatenate(sides, axis=1)
        s = np.tanh(sides[1][0] @ p["start"]["kernel"] + p["start"]["bias"])
        for t, y in enumerate(np.asarray(inputs[2])[b]):
            ey = p["target_embedding"]["embedding"][y]
            keys = annotations @ d["key_kernel"]
            e = np.tanh(s @ d["query_kernel"] + keys) @ d["score"]
            a = np.exp(e) / np.exp(e).sum()
            c = a @ annotations
            before, s = s, gru_step(d, ey, s, c)
            read = np.concatenate([before if readout_state == "before" else s, ey, c])
            u = read @ p["before_maxout"]["kernel"] + p["before_maxout"]["bias"]
            u = u.reshape(-1, 2).max(axis=1)
            logits = u @ p["output"]["kernel"] + p["output"]["bias"]
            np.testing.assert_allclose(found[b, t], logits, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(aligned[b, t, :length], a, rtol=1e-3)
            assert not np.any(aligned[b, t, length:])


def test_tied_weights_are_one_matrix():
    model, variables, inputs = small("attention_seq2seq", tied=True)
    assert "output" not in variables["params"]
    logits = model.apply(variables, *inputs)
    assert logits.shape == (B, T, 7)
    lstm, variables, inputs = small("attention_seq2seq", cell="lstm")
    assert lstm.apply(variables, *inputs).shape == (B, T, 7)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_is_of_training(name):
    model, variables, inputs = small(name, dropout=0.5)
    still = model.apply(variables, *inputs)
    one, other = (
        model.apply(variables, *inputs, train=True, rngs={"dropout": jax.random.key(i)})
        for i in range(2)
    )
    assert np.all(np.any(one != other, axis=(1, 2))) and np.any(one != still)


@pytest.mark.parametrize(
    "wrong", [{"cell": "elman"}, {"readout_state": "late"}, {"tied": True}]
)
def test_wrong_fields_are_refused(wrong):
    model = create("attention_seq2seq", **wrong)
    one = jnp.ones((1, 2), jnp.int32)
    with pytest.raises(InputError, match=next(iter(wrong))):
        jax.eval_shape(model.init, jax.random.key(0), one, one[0, :1], one)
