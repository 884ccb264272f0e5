"""Searches against the enumeration of all sequences of small random models."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.data import vocabulary
from jnets.errors import InputError
from jnets.training import Rules, beam_search, decode, greedy

B, V, T = 2, 4, 4
# Number 0 is where sequences start, and what they are filled up with; 1 ends them.
SMALL = Rules(start=0, end=1, never=())


def make(seed, sharpness=2.0, batch=B):
    """Logits of the next symbol after every sequence of symbols: the state is the
    number of what has been chosen so far, in base V, with 1 in front."""
    rng = np.random.default_rng(seed)
    table = sharpness * rng.normal(size=(batch, V ** (T + 1), V)).astype(np.float32)

    def step(state, tokens):
        row, path = state
        path = jnp.where(path == 0, 1, path * V + tokens)  # the start counts as none
        return jnp.asarray(table)[row, path], (row, path)

    return table, step, (jnp.arange(batch), jnp.zeros(batch, jnp.int32))


def everything(table, alpha, rules, steps=T):
    """(score, tokens) of every complete sequence of a model's, best first."""
    shifted = table - table.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    left_out = {*rules.never, rules.start} - {rules.end}
    symbols = [s for s in range(V) if s not in left_out]
    found = []
    for n in range(1, steps + 1):
        for sequence in itertools.product(symbols, repeat=n):
            if rules.end in sequence[:-1] or (n < steps and sequence[-1] != rules.end):
                continue
            if rules.once is not None and any(
                sequence.count(s) > 1 for s in range(V) if rules.once[s]
            ):
                continue
            path, total = 1, 0.0
            for symbol in sequence:
                total += logs[path, symbol]
                path = path * V + symbol
            found.append((total / ((5 + n) / 6) ** alpha, sequence))
    return sorted(found, reverse=True)


def filled(sequence, steps=T):
    return [*sequence, *[0] * (steps - len(sequence))]


def search(step, state, **how):
    return jax.jit(lambda s: beam_search(step, s, **how))(state)


@pytest.mark.parametrize(
    "alpha, rules",
    [
        (0.0, SMALL),
        (0.6, SMALL),
        (1.0, Rules(start=0, end=1, never=(2,))),
        (0.6, Rules(start=0, end=1, never=(), once=np.array([0, 0, 1, 1], bool))),
    ],
)
def test_a_wide_beam_finds_every_best_sequence(alpha, rules):
    """In order, with their scores, as many as there are."""
    table, step, state = make(0)
    how = dict(batch=B, beam=V**T, steps=T, alpha=alpha, rules=rules)
    tokens, scores = search(step, state, **how)
    for b in range(B):
        best = everything(table[b], alpha, rules)
        count = len(best)
        np.testing.assert_allclose(scores[b, :count], [s for s, _ in best], rtol=1e-5)
        assert np.isneginf(scores[b, count:]).all()
        assert not np.asarray(tokens[b, count:]).any()
        assert tokens[b, :count].tolist() == [filled(sequence) for _, sequence in best]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.6, 2.0]), st.integers(1, 6))
def test_scores_are_those_of_the_sequences(seed, alpha, beam):
    """Of any beam: complete sequences, all different, in order, none better than the
    best there is, and their scores the model's."""
    table, step, state = make(seed)
    tokens, scores = beam_search(
        step, state, batch=B, beam=beam, steps=T, alpha=alpha, rules=SMALL
    )
    for b in range(B):
        known = {
            tuple(filled(s)): score for score, s in everything(table[b], alpha, SMALL)
        }
        real = np.isfinite(scores[b])
        rows = [tuple(row) for row in np.asarray(tokens[b])[real].tolist()]
        assert rows and len(set(rows)) == len(rows)
        expected = [known[row] for row in rows]
        np.testing.assert_allclose(np.asarray(scores[b])[real], expected, rtol=1e-5)
        assert (np.diff(np.asarray(scores[b])[real]) <= 0).all()


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_a_beam_of_one_is_greedy(seed, once):
    rules = SMALL._replace(once=np.array([0, 0, 1, 1], bool)) if once else SMALL
    table, step, state = make(seed)
    tokens, lengths = greedy(step, state, batch=B, steps=T, rules=rules)
    best, _ = beam_search(step, state, batch=B, beam=1, steps=T, rules=rules)
    assert tokens.tolist() == best[:, 0].tolist()
    for b in range(B):
        path, expected = 1, []
        while len(expected) < T and 1 not in expected:
            bad = {0, *(s for s in expected if once and s > 1)}
            allowed = [s for s in range(V) if s not in bad]
            symbol = max(allowed, key=lambda s: table[b, path, s])
            path = path * V + symbol
            expected.append(symbol)
        assert tokens[b].tolist() == filled(expected)
        assert lengths[b] == len([s for s in expected if s != 1])


def test_sequences_do_not_depend_on_those_beside_them():
    _, step, state = make(3, batch=4)
    how = dict(beam=3, steps=T, rules=SMALL)
    together = beam_search(step, state, batch=4, **how)
    for b in range(4):
        alone = jax.tree.map(lambda x, b=b: x[b : b + 1], state)
        for one, all_ in zip(
            beam_search(step, alone, batch=1, **how), together, strict=True
        ):
            np.testing.assert_allclose(one[0], all_[b], rtol=1e-6)


def test_a_search_stops_when_nothing_can_change():
    """Counted in the state: an end that is nearly certain after two symbols."""

    def step(state, tokens):
        at = state["at"]
        end = jnp.where(at < 2, -30.0, 30.0)
        logits = jnp.zeros((len(at), V)).at[:, 1].set(end).at[:, 3].set(1.0)
        jax.debug.callback(lambda: calls.append(1))
        return logits, {"at": at + 1}

    for run in (
        lambda state: greedy(step, state, batch=2, steps=50, rules=SMALL)[0],
        lambda state: beam_search(
            step, state, batch=2, beam=2, steps=50, alpha=0.6, rules=SMALL
        )[0][:, 0],
    ):
        calls = []
        tokens = jax.block_until_ready(run({"at": jnp.zeros(2, jnp.int32)}))
        jax.effects_barrier()
        assert tokens[0, :4].tolist() == [3, 3, 1, 0]
        assert len(calls) <= 4


def test_marks_are_never_chosen():
    """Where they are the likeliest by far; the numbers are those of vocabularies."""
    marks = ("PADDING", "UNKNOWN", "START", "END")
    assert all(getattr(decode, m) == getattr(vocabulary, m) for m in marks)

    def step(state, tokens):
        logits = jnp.array([9.0, 9.0, 9.0, -9.0, 1.0, 0.0])
        return jnp.broadcast_to(logits, (len(tokens), 6)), state

    tokens, lengths = greedy(step, (), batch=1, steps=3)
    assert tokens.tolist() == [[4, 4, 4]] and lengths.tolist() == [3]
    tokens, _ = beam_search(step, (), batch=1, beam=2, steps=3)
    assert set(tokens.reshape(-1).tolist()) <= {0, 3, 4, 5}


def test_a_start_that_is_the_end_may_be_chosen():
    """As where both have one number (Karpathy's NeuralTalk2)."""

    def step(state, tokens):
        return jnp.tile(jnp.array([[1.0, 0.0]]), (len(tokens), 1)), state

    rules = Rules(start=0, end=0, never=())
    assert greedy(step, (), batch=1, steps=3, rules=rules)[1].tolist() == [0]


@pytest.mark.parametrize("wrong", [{"beam": 0}, {"steps": 0}, {"alpha": -1.0}])
def test_bad_numbers_are_refused(wrong):
    _, step, state = make(0)
    with pytest.raises(InputError, match=next(iter(wrong))):
        beam_search(step, state, **{"batch": B, "beam": 2, "steps": 3} | wrong)
