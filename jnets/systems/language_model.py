"""A trained language model in use: what a text costs it, and how it goes on.

A text is read as the beginning of a line: a line end is read before it, so that all of
its symbols are predicted and an empty text can be gone on with. A symbol that the model
does not know is read as the unknown mark, which is never written.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.data.corpus import LINE_END, UNITS, symbols, written
from jnets.data.vocabulary import MARKS, Vocabulary, fields_of
from jnets.errors import InputError
from jnets.typing import Array, PRNGKey, PyTree

SHOWN = {"characters": 40, "words": 10}  # of a continuation in an answer


class LanguageSpec(NamedTuple):
    """A text as the numbers of its `units`, characters or words."""

    vocabulary: Vocabulary
    units: str

    def encode(self, text: str) -> tuple[np.ndarray, ...]:
        """int32 [1, 1 + N]: a line end, and the text."""
        parts = [LINE_END[self.units], *symbols(text, self.units)]
        return (np.array(self.vocabulary.encode([parts]), np.int32),)

    def example(self) -> tuple[np.ndarray, ...]:
        return (np.ones((1, 2), np.int32),)

    def to_json(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary.to_json(), "units": self.units}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "LanguageSpec":
        fields_of(fields, {"vocabulary": list, "units": str}, "input")
        if fields["units"] not in UNITS:
            raise InputError(
                f"input: units {fields['units']!r}; expected one of {list(UNITS)}"
            )
        return cls(Vocabulary.from_json(fields["vocabulary"]), fields["units"])


def answers(
    model: nn.Module, variables: PyTree, spec: LanguageSpec, texts: Sequence[str]
) -> list[str]:
    """What each text costs, and its likeliest continuation to the end of the line.

    Symbol by symbol the likeliest, at most 40 characters or 10 words. The cost is the
    mean over the text in bits per character, or as the perplexity per word.
    """
    return [_answer(model, variables, spec, text) for text in texts]


def _answer(model: nn.Module, variables: PyTree, spec: LanguageSpec, text: str) -> str:
    (tokens,) = spec.encode(text)
    drawn = continued(
        model, variables, tokens, jax.random.key(0), 0.0, length=SHOWN[spec.units]
    )
    parts = [spec.vocabulary.symbols[i] for i in np.asarray(drawn)]
    end = LINE_END[spec.units]
    line = parts[: parts.index(end) + 1] if end in parts else parts
    then = f"then {written(line, spec.units)!r}"
    if tokens.shape[1] == 1:
        return then
    nats = float(np.mean(costs(model, variables, tokens)))
    if spec.units == "words":
        return f"perplexity {np.exp(nats):.1f}; {then}"
    return f"{nats / np.log(2):.2f} bits a character; {then}"


def sample(
    model: nn.Module,
    variables: PyTree,
    spec: LanguageSpec,
    prime: str = "",
    *,
    length: int = 400,
    temperature: float = 0.7,
    seed: int = 0,
) -> str:
    """`prime`, and `length` symbols more, drawn one by one given all before them.

    Symbol i is drawn with a probability proportional to p_i^(1 / temperature): 1 is as
    the model has it, lower keeps to what is likely, 0 takes the likeliest. The same
    seed draws the same. Errors: InputError for a length below 1, or a temperature that
    is not 0 or more.
    """
    if length < 1:
        raise InputError(f"length={length} is not usable; expected at least 1")
    if not 0 <= temperature < float("inf"):
        raise InputError(f"temperature={temperature} is not usable; expected 0 or more")
    (tokens,) = spec.encode(prime)
    key = jax.random.key(seed)
    drawn = continued(model, variables, tokens, key, temperature, length=length)
    more = (spec.vocabulary.symbols[i] for i in np.asarray(drawn))
    return written([*symbols(prime, spec.units), *more], spec.units)


@partial(jax.jit, static_argnames=("model", "length"))
def continued(
    model: nn.Module,
    variables: PyTree,
    tokens: Array,
    key: PRNGKey,
    temperature: Array | float,
    *,
    length: int,
) -> Array:
    """The symbols drawn after tokens [1, N], int32 [length]; no mark is among them.

    One program: what is there is read at once, then a scan draws a symbol, reads it
    and carries the state on.
    """

    def read(given: PyTree, tokens: Array):
        logits, changed = model.apply(given, tokens, mutable=["carry"])
        return {**variables, **changed}, logits[0, -1].at[: len(MARKS)].set(-jnp.inf)

    def draw(logits: Array, key: PRNGKey) -> Array:
        scaled = logits / jnp.where(temperature > 0, temperature, 1.0)
        drawn = jax.random.categorical(key, scaled)
        return jnp.where(temperature > 0, drawn, jnp.argmax(logits)).astype(jnp.int32)

    def turn(held, key: PRNGKey):
        given, logits = held
        token = draw(logits, key)
        return read(given, token[None, None]), token

    start = read(variables, tokens)
    return jax.lax.scan(turn, start, jax.random.split(key, length))[1]


@partial(jax.jit, static_argnames="model")
def costs(model: nn.Module, variables: PyTree, tokens: Array) -> Array:
    """-log p of each token but the first given those before it: [1, N] -> [N - 1]."""
    logits: Any = model.apply(variables, tokens[:, :-1])
    log_p = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_p, tokens[:, 1:, None], axis=-1)[0, :, 0]
