"""The document classifier: from a text to the class it is of."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jnets.data.documents import words
from jnets.data.vocabulary import Vocabulary, fields_of, padded
from jnets.errors import InputError


class DocumentSpec(NamedTuple):
    """What turns a text into numbers: its words, of which the first `longest` count."""

    words: Vocabulary
    longest: int

    def inputs(
        self, texts: Sequence[str], steps: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """tokens int32 [N, T] and lengths [N]; T is `steps`, or that of the longest
        text, and at most `longest`. Errors: InputError for a text without words."""
        split = [words(text)[: self.longest] for text in texts]
        for text, found in zip(texts, split, strict=True):
            if not found:
                raise InputError(f"{text!r} has no words; expected a text")
        return padded(self.words.encode(split), steps)

    def encode(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        return self.inputs([text])

    def example(self) -> tuple[np.ndarray, np.ndarray]:
        return np.ones((1, 2), np.int32), np.full(1, 2, np.int32)

    def to_json(self) -> dict[str, Any]:
        return {"words": self.words.to_json(), "longest": self.longest}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "DocumentSpec":
        fields_of(fields, {"words": list, "longest": int}, "document classifier")
        if fields["longest"] < 1:
            raise InputError(f"longest={fields['longest']}; expected at least 1")
        return cls(Vocabulary.from_json(fields["words"]), fields["longest"])
