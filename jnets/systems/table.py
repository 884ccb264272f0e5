"""Every system by the kind that config.json names it by."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

import flax.linen as nn
import numpy as np

from jnets.systems import captioner, language_model, storyteller, text_to_text
from jnets.systems.actions import ClipSpec, SeriesSpec, clip_answers, series_answers
from jnets.systems.document_classifier import DocumentSpec
from jnets.systems.steps import StepsSpec
from jnets.systems.steps import answers as step_answers
from jnets.systems.tagger import TaggerSpec
from jnets.systems.tagger import answers as tagged
from jnets.typing import PyTree

Inputs = tuple[np.ndarray, ...]


class Spec(Protocol):
    """From an input as a person gives it, a text or a path, to the model's inputs.

    `encode` gives them with a batch axis of 1, `example` inputs of the same kinds and
    shapes for `model.init`. `from_json` is the inverse of `to_json`. Errors: InputError
    for what is no such input, or no such data.
    """

    def encode(self, text: str) -> Inputs: ...

    def example(self) -> Inputs: ...

    def to_json(self) -> dict[str, Any]: ...

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self: ...


# (model, variables, spec, texts) -> an answer to each text
Answers = Callable[[nn.Module, PyTree, Any, Sequence[str]], list[str]]
# (model, spec) -> search(variables, *inputs) -> tokens
Searches = Callable[[nn.Module, Any], Callable[..., Any]]


class System(NamedTuple):
    """`answers` is None where an answer is the likeliest class of the run's.

    `search` is of systems whose answer is looked for symbol by symbol: a function to be
    compiled, of variables and of what the spec's `encode` gives but for the last, which
    is the start mark.
    """

    spec: type[Spec]
    answers: Answers | None = None
    search: Searches | None = None


SYSTEMS: dict[str, System] = {
    "tagger": System(TaggerSpec, tagged),
    "document": System(DocumentSpec),
    "clips": System(ClipSpec, clip_answers),
    "series": System(SeriesSpec, series_answers),
    "steps": System(StepsSpec, step_answers),
    "language_model": System(language_model.LanguageSpec, language_model.answers),
    "picture to caption": System(
        captioner.CaptionSpec, captioner.answers, captioner.teller
    ),
    "album to story": System(
        storyteller.StorySpec, storyteller.answers, storyteller.teller
    ),
    "text_to_text": System(
        text_to_text.TextSpec, text_to_text.answers, text_to_text.searcher
    ),
}


def kind_of(spec: object) -> str | None:
    """The name of a spec's system; None for what is of no system."""
    kinds = (kind for kind, system in SYSTEMS.items() if type(spec) is system.spec)
    return next(kinds, None)
