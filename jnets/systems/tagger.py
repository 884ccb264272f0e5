"""The part-of-speech tagger: from a sentence to words with their tags."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jnets.data import python_tokens
from jnets.data.vocabulary import Vocabulary, fields_of, padded
from jnets.errors import InputError
from jnets.typing import PyTree

SPLITS = ("spaces", "python")


class Table(NamedTuple):
    """Different words as the model takes them; row 0 is padding.

    `row_of` gives a word's row in `numbers` int32 [n] and `letters` int32 [n, C].
    """

    row_of: dict[str, int]
    numbers: np.ndarray
    letters: np.ndarray

    def inputs(
        self, sentences: Sequence[Sequence[str]], width: int | None = None
    ) -> tuple[np.ndarray, ...]:
        """Sentences of words of the table as words [N, T], letters [N, T, C] and
        lengths [N]; T is `width`, or the longest sentence's."""
        rows = [[self.row_of[word] for word in sentence] for sentence in sentences]
        table, lengths = padded(rows, width)
        return self.numbers[table], self.letters[table], lengths


class TaggerSpec(NamedTuple):
    """What turns a sentence into numbers.

    `words` are in small letters, as capitals are the letters' business; `letters` are
    those that a word may have, and `longest` how many of a word are read: of a longer
    one the first and last halves of that. `split` says what separates words: "spaces",
    or "python", whose tokenizer does.
    """

    words: Vocabulary
    letters: Vocabulary
    tags: tuple[str, ...]
    longest: int
    split: str

    def table(self, words: Iterable[str]) -> Table:
        """The different ones among `words`."""
        different = sorted(set(words))
        numbers = self.words.encode([[word.lower() for word in different]])[0]
        spelled = self.letters.encode(map(self._shortened, different))
        letters, _ = padded([[], *spelled], self.longest)
        row_of = {word: row for row, word in enumerate(different, 1)}
        return Table(row_of, np.array([0, *numbers], np.int32), letters)

    def words_of(self, text: str) -> list[str]:
        """The words of a sentence as a person types it. Errors: InputError for none."""
        if self.split == "python":
            words = [word for one in python_tokens.read(text) for word in one.words]
        else:
            words = text.split()
        if not words:
            raise InputError(f"{text!r} has no words; expected a sentence")
        return words

    def encode(self, text: str) -> tuple[np.ndarray, ...]:
        words = self.words_of(text)
        return self.table(words).inputs([words])

    def example(self) -> tuple[np.ndarray, ...]:
        words, length = np.ones((1, 2), np.int32), np.full(1, 2, np.int32)
        return words, np.ones((1, 2, self.longest), np.int32), length

    def to_json(self) -> dict[str, Any]:
        return {
            "words": self.words.to_json(),
            "letters": self.letters.to_json(),
            "tags": list(self.tags),
            "longest": self.longest,
            "split": self.split,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TaggerSpec":
        kinds = {"words": list, "letters": list, "tags": list}
        fields_of(fields, kinds | {"longest": int, "split": str}, "tagger")
        if fields["split"] not in SPLITS or fields["longest"] < 2:
            raise InputError(
                f"tagger: split={fields['split']!r}, longest={fields['longest']}; "
                f"expected one of {list(SPLITS)}, at least 2"
            )
        return cls(
            Vocabulary.from_json(fields["words"]),
            Vocabulary.from_json(fields["letters"]),
            tuple(fields["tags"]),
            fields["longest"],
            fields["split"],
        )

    def _shortened(self, word: str) -> str:
        if len(word) <= self.longest:
            return word
        first = self.longest // 2
        return word[:first] + word[first - self.longest :]


def answers(
    model: nn.Module, variables: PyTree, spec: TaggerSpec, texts: Sequence[str]
) -> list[str]:
    """Each sentence as word/TAG word/TAG ..."""
    sentences = [spec.words_of(text) for text in texts]
    table = spec.table(word for sentence in sentences for word in sentence)
    logits = np.asarray(jax.jit(model.apply)(variables, *table.inputs(sentences)))
    best = logits.argmax(axis=-1)
    return [
        " ".join(f"{w}/{spec.tags[t]}" for w, t in zip(words, row, strict=False))
        for words, row in zip(sentences, best, strict=True)
    ]
