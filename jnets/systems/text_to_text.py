"""Texts that become other texts: translation, summaries.

Axes: N texts, S source, T target.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.data.pair_buckets import Shape
from jnets.data.units import Units
from jnets.data.vocabulary import START, fields_of, padded
from jnets.errors import InputError
from jnets.training.decode import beam_search, greedy
from jnets.typing import PyTree

BEAM, ALPHA = 5, 0.6
BATCH = 32  # texts that are searched at once
ROUND = 8  # sources are padded to multiples of it: a program is compiled for each


class TextSpec(NamedTuple):
    """Units of source and target, and the most of each: longer sources are cut.

    As a `jnets.systems.table.Spec` it gives source [1, S], lengths [1] and a target
    that holds START alone, [1, 1].
    """

    source: Units
    target: Units
    most: Shape

    def encode(self, text: str) -> tuple[np.ndarray, ...]:
        (row,) = self.source.encode([text.strip()])
        if not row:
            raise InputError(f"{text!r} has nothing to read; expected a text")
        tokens, lengths = padded([row[: self.most.source]])
        return tokens, lengths, np.full((1, 1), START, np.int32)

    def example(self) -> tuple[np.ndarray, ...]:
        one = np.ones((1, 1), np.int32)
        return one, one[0], one

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source.to_json(),
            "target": self.target.to_json(),
            "most": list(self.most),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TextSpec":
        fields_of(fields, {"source": dict, "target": dict, "most": list}, "input")
        source, target = map(Units.from_json, (fields["source"], fields["target"]))
        return cls(source, target, Shape(*map(int, fields["most"])))


def translate(
    model: nn.Module,
    variables: PyTree,
    spec: TextSpec,
    texts: Sequence[str],
    *,
    beam: int = BEAM,
    alpha: float = ALPHA,
) -> list[str]:
    """What the model makes of each text, by `jnets.training.beam_search`.

    `beam` 1 is greedy. A text with nothing to read becomes an empty one.
    """
    encoded = spec.source.encode(text.strip() for text in texts)
    rows = [row[: spec.most.source] for row in encoded]
    order = sorted((i for i, row in enumerate(rows) if row), key=lambda i: len(rows[i]))
    search = searcher(model, spec, beam=beam, alpha=alpha)
    results = [""] * len(rows)
    for first in range(0, len(order), BATCH):
        part = order[first : first + BATCH]
        # Filled up with the last text: one program for all that have its length.
        given = [rows[i] for i in part] + [rows[part[-1]]] * (BATCH - len(part))
        size = -(-max(map(len, given)) // ROUND) * ROUND
        tokens = search(variables, *padded(given, size))
        for i, text in zip(part, spec.target.decode(np.asarray(tokens)), strict=False):
            results[i] = text
    return results


def searcher(
    model: nn.Module, spec: TextSpec, *, beam: int = BEAM, alpha: float = ALPHA
) -> Callable[..., jax.Array]:
    """search(variables, source [N, S], lengths [N]) -> the best target [N, T]; the
    same function for the same arguments, so that it is compiled once."""
    return _search(model, beam, spec.most.target, alpha)


@cache
def _search(model: nn.Module, beam: int, steps: int, alpha: float):
    def repeated(x: jax.Array) -> jax.Array:
        return jnp.repeat(x, beam, axis=0)

    @jax.jit
    def search(variables: PyTree, source, lengths):
        memory, state = model.apply(variables, source, lengths, method="encode")
        memory = jax.tree.map(repeated, memory)

        def step(state: PyTree, tokens):
            return model.apply(variables, memory, state, tokens, method="step")

        sizes = {"batch": source.shape[0], "steps": steps}
        if beam == 1:
            return greedy(step, state, **sizes)[0]
        tokens, _ = beam_search(step, state, beam=beam, alpha=alpha, **sizes)
        return tokens[:, 0]

    return search


def answers(
    model: nn.Module, variables: PyTree, spec: TextSpec, texts: Sequence[str]
) -> list[str]:
    """`translate`, of texts that all have something to read."""
    for text in texts:
        spec.encode(text)
    return translate(model, variables, spec, texts)
