"""Running text for an experiment: its parts as numbers, and what they cost a model.

Axes: N symbols of a text, B rows, T steps, W windows of a row.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jnets.data.corpus import Corpus, symbols, windows
from jnets.data.vocabulary import MARKS, UNKNOWN, Vocabulary
from jnets.errors import InputError
from jnets.systems.language_model import LanguageSpec
from jnets.training.evaluate import Read
from jnets.typing import PyTree

PASSAGE = 3000  # symbols, more than a picture has room for
LEAST_ROW = 1000  # symbols of a row to measure on, where the text has them


class Text(NamedTuple):
    """The parts of a corpus as numbers, and what the numbers stand for.

    `passage` are the first symbols to validate on, as they are written.
    """

    spec: LanguageSpec
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray | None
    passage: list[str]


def numbered(corpus: Corpus, units: str, least: int) -> Text:
    """Symbols by number: those that the part to train on has at least `least` times."""
    parts = [list(symbols(part, units)) for part in corpus if part is not None]
    vocabulary = Vocabulary.of(parts[:1], least=least)
    numbers = [np.array(row, np.int32) for row in vocabulary.encode(parts)]
    if vocabulary.size == len(MARKS):
        raise InputError(f"least={least} leaves no symbol; expected a lower number")
    if len(numbers[1]) < 2:
        raise InputError(
            f"the text to validate on has {len(numbers[1])} {units}; expected 2 or more"
        )
    rest = numbers[2] if len(numbers) > 2 else None
    spec, passage = LanguageSpec(vocabulary, units), parts[1][:PASSAGE]
    return Text(spec, numbers[0], numbers[1], rest, passage)


def describe(text: Text) -> str:
    """How much there is of what, in one line."""
    vocabulary, units = text.spec
    return (
        f"{len(text.train):,} {units} to train on, {len(text.valid):,} to validate on, "
        f"{np.sum(text.valid == UNKNOWN):,} of them unknown; "
        f"{vocabulary.size - len(MARKS):,} are different"
    )


class Found(NamedTuple):
    """What a text costs: the mean, the share of right guesses, and the cost of each
    symbol but the first in its order."""

    nats: float
    accuracy: float
    each: np.ndarray


def measuring(
    read: Read, rows: int, steps: int
) -> Callable[[PyTree, np.ndarray], Found]:
    """measure(variables, numbers) -> Found, the text read as in training."""

    def measure(variables: PyTree, numbers: np.ndarray) -> Found:
        side = int(np.clip(len(numbers) // LEAST_ROW, 1, rows))
        laid = windows(numbers, side, steps)
        tokens, labels, starts = (a.reshape(-1, side, *a.shape[1:]) for a in laid[:3])
        costs, hits = read(variables, (tokens, starts), labels)
        known = labels >= 0
        each = _in_order(costs)[_in_order(known)]
        return Found(float(each.mean()), float(hits[known].mean()), each)

    return measure


def _in_order(values: np.ndarray) -> np.ndarray:
    """Windows [W, B, T] as the text they are of."""
    return values.swapaxes(0, 1).ravel()
