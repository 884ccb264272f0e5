"""A language model in use: what it writes, and what a text costs it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.running_text import measuring
from jnets.data.vocabulary import MARKS, UNKNOWN, Vocabulary
from jnets.errors import InputError
from jnets.models import create
from jnets.systems.language_model import LanguageSpec, answers, costs, sample
from jnets.training.evaluate import make_read

LETTERS = LanguageSpec(Vocabulary((*MARKS, *"\nabcd ")), "characters")
WORDS = LanguageSpec(Vocabulary((*MARKS, "<eos>", "the", "man", ".")), "words")


def trained(spec, seed=0, scale=1.0):
    """A small net with drawn parameters; scale 0 leaves the readout's bias alone."""
    size = spec.vocabulary.size
    model = create("language_model", vocabulary=size, embedding=3, hidden=4, layers=1)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *spec.example())["params"]
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda s: scale * rng.normal(size=s.shape), shapes)
    params["readout"]["bias"] = rng.normal(size=size)
    # Marks would be the likeliest, were they not left out.
    params["readout"]["bias"][: len(MARKS)] = 5
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params)
    return model, {"params": params}


@pytest.fixture(scope="module")
def letters():
    """One that goes through abc by and by when it takes the likeliest."""
    return *trained(LETTERS, seed=4, scale=3.0), LETTERS


def by_hand(model, variables, spec, text, length):
    """The likeliest symbol, again and again, the whole text read anew each time."""
    (tokens,) = spec.encode(text)
    # Padding at the end changes nothing before it: one program for all lengths.
    row = np.zeros((1, tokens.shape[1] + length), np.int32)
    row[:, : tokens.shape[1]] = tokens
    apply = jax.jit(model.apply)
    for at in range(tokens.shape[1], row.shape[1]):
        logits = np.array(apply(variables, row))[0, at - 1]
        logits[: len(MARKS)] = -np.inf
        row[0, at] = logits.argmax()
    return "".join(spec.vocabulary.symbols[i] for i in row[0, -length:])


def test_without_temperature_the_likeliest_is_written(letters):
    expected = by_hand(*letters, "ab c", 12)
    assert sample(*letters, "ab c", length=12, temperature=0.0) == "ab c" + expected
    cold = sample(*letters, "ab c", length=12, temperature=1e-4, seed=3)
    assert cold == "ab c" + expected
    assert len(set(expected)) > 1


def test_the_seed_decides(letters):
    texts = [
        sample(*letters, "a", length=30, temperature=2.0, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
    assert all(len(text) == 31 and text[0] == "a" for text in texts)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_symbols_are_drawn_as_likely_as_they_are(temperature):
    """Of a net that is but its bias, p_i^(1/t) normed; marks are never drawn."""
    model, variables = trained(LETTERS, scale=0.0)
    count = 4000
    text = sample(model, variables, LETTERS, length=count, temperature=temperature)
    known = LETTERS.vocabulary.symbols[len(MARKS) :]
    p = np.exp(np.asarray(variables["params"]["readout"]["bias"])[4:] / temperature)
    p /= p.sum()
    found = np.array([text.count(symbol) for symbol in known]) / count
    assert found.sum() == pytest.approx(1)
    assert np.all(np.abs(found - p) < 4 * np.sqrt(p * (1 - p) / count))


def test_a_prime_is_read_after_a_line_end():
    (tokens,) = LETTERS.encode("ab\n")
    assert [LETTERS.vocabulary.symbols[i] for i in tokens[0]] == ["\n", "a", "b", "\n"]
    (tokens,) = WORDS.encode("the  man")
    assert [WORDS.vocabulary.symbols[i] for i in tokens[0]] == ["<eos>", "the", "man"]
    assert WORDS.encode("")[0].tolist() == [[4]]


def test_what_is_not_known_is_read_as_unknown(letters):
    assert LETTERS.encode("aé")[0].tolist() == [[4, 5, UNKNOWN]]
    assert sample(*letters, "aé", length=5).startswith("aé")


def test_words_are_written_with_spaces_and_lines():
    model, variables = trained(WORDS)
    text = sample(model, variables, WORDS, "the  man", length=40, temperature=2.0)
    assert text.startswith("the man")
    assert set(text.split()) <= {"the", "man", "."} and "\n" in text
    assert " \n" not in text and "\n " not in text


def test_costs_are_those_of_the_symbols_one_by_one(letters):
    """-log p of each given all before it, the text read anew for each."""
    model, variables, spec = letters
    (tokens,) = spec.encode("abba cd")
    apply = jax.jit(model.apply)
    expected = [
        -jax.nn.log_softmax(apply(variables, tokens)[0, at - 1])[tokens[0, at]]
        for at in range(1, tokens.shape[1])
    ]
    np.testing.assert_allclose(costs(model, variables, tokens), expected, rtol=1e-4)
    (answer,) = answers(model, variables, spec, ["abba cd"])
    bits = np.mean(expected) / np.log(2)
    line = by_hand(*letters, "abba cd", 40).partition("\n")
    assert answer == f"{bits:.2f} bits a character; then {''.join(line[:2])!r}"


def test_answers_of_words_and_of_nothing():
    model, variables = trained(WORDS)
    found = answers(model, variables, WORDS, ["the man", ""])
    each = costs(model, variables, WORDS.encode("the man")[0])
    assert found[0].startswith(f"perplexity {np.exp(np.mean(each)):.1f}; then '")
    assert found[1].startswith("then '")


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"length": 0}, "length=0"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": float("nan")}, "temperature=nan"),
    ],
)
def test_samples_that_cannot_be(letters, changed, message):
    with pytest.raises(InputError, match=message):
        sample(*letters, **changed)


@pytest.mark.parametrize("spec", [LETTERS, WORDS], ids=["letters", "words"])
def test_a_spec_comes_back_from_json(spec):
    assert LanguageSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"vocabulary": ["a"], "units": "letters"},
        {"vocabulary": ["a", "a"], "units": "words"},
        {"vocabulary": "ab", "units": "characters"},
    ],
)
def test_no_spec(fields):
    with pytest.raises(InputError):
        LanguageSpec.from_json(fields)


@pytest.mark.parametrize("size", [23, 3500])
def test_a_text_is_measured_with_all_that_was_before(letters, size):
    """A short one in one row, as it is read in one piece; a long one in three, each of
    which begins anew."""
    model, variables, _ = letters
    loss = optax.softmax_cross_entropy_with_integer_labels
    measure = measuring(make_read(model, loss), rows=8, steps=100)
    numbers = np.random.default_rng(0).integers(4, 10, size).astype(np.int32)
    found = measure(variables, numbers)
    side = max(1, size // 1000)
    length = -(-(size - 1) // side)
    parts = [numbers[at : at + length + 1] for at in range(0, size - 1, length)]
    each = [np.asarray(costs(model, variables, part[None])) for part in parts]
    expected = np.concatenate(each)
    np.testing.assert_allclose(found.each, expected, rtol=1e-4, atol=1e-5)
    assert found.nats == pytest.approx(expected.mean(), rel=1e-5)
    hits = [
        np.argmax(jax.jit(model.apply)(variables, part[None, :-1])[0], -1) == part[1:]
        for part in parts
    ]
    assert found.accuracy == pytest.approx(np.concatenate(hits).mean(), abs=2e-3)
