"""Sequences of vectors in files, and what a net says at their end."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from jnets.data import steps
from jnets.data.vocabulary import fields_of
from jnets.errors import InputError
from jnets.typing import PyTree

Inputs = tuple[np.ndarray, ...]


class StepsSpec(NamedTuple):
    """Steps of `features` numbers each, `length` of them in training; the answer is one
    of `classes`, or where there are none it is numbers."""

    length: int
    features: int
    classes: tuple[str, ...]

    def encode(self, text: str) -> Inputs:
        """The steps of a file (`jnets.data.steps`), however many: float32 [1, T, F]."""
        x = steps.read(text)
        if x.shape[1] != self.features:
            raise InputError(
                f"{text}: {x.shape[1]} numbers a step; expected {self.features}"
            )
        return (x[None],)

    def example(self) -> Inputs:
        return (np.ones((1, self.length, self.features), np.float32),)

    def to_json(self) -> dict[str, Any]:
        return self._asdict() | {"classes": list(self.classes)}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> "StepsSpec":
        kinds = {"length": int, "features": int, "classes": list}
        fields_of(fields, kinds, "steps")
        if min(fields["length"], fields["features"]) < 1:
            raise InputError(f"steps: a size below 1 in {dict(fields)}")
        return StepsSpec(**fields)._replace(classes=tuple(fields["classes"]))


def answers(
    model: nn.Module, variables: PyTree, spec: StepsSpec, texts: Sequence[str]
) -> list[str]:
    """The likeliest class of each file's steps, or the numbers that they come to."""
    found = []
    for inputs in [spec.encode(text) for text in texts]:
        outputs: Any = model.apply(variables, *inputs)
        row = np.asarray(outputs)[0]
        if spec.classes:
            found.append(spec.classes[int(row.argmax())])
        else:
            found.append(", ".join(f"{value:.4f}" for value in row))
    return found
