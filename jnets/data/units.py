"""What texts are cut into: words, characters, or pieces of words learned from them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jnets.data.vocabulary import MARKS, Vocabulary, fields_of
from jnets.errors import InputError

KINDS = ("words", "characters", "pieces")

# A number with its points and commas, a word with what an apostrophe or hyphen joins to
# it, or one other sign.
WORD = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:['’\-]\w+)*|[^\w\s]")
# Where words are written after each other, signs lean on the word before, or after.
_LEFT, _RIGHT = re.compile(r" ([.,;:!?%)\]}])"), re.compile(r"([(\[{]) ")


class Units(NamedTuple):
    """One of three ways to number a text, and back; the marks are a vocabulary's.

    `words`: those of `WORD`; `characters`: code points; both by a `Vocabulary`.
    `pieces`: byte-pair pieces (Sennrich, Haddow & Birch 2016) by the `tokenizers`
    library, whose JSON is `model`. With `lower` texts are lower-cased first.
    """

    kind: str
    lower: bool
    vocabulary: Vocabulary
    model: str = ""

    @staticmethod
    def of(
        texts: Sequence[str],
        kind: str,
        *,
        lower: bool = False,
        most: int | None = None,
        least: int = 1,
    ) -> "Units":
        """Those that texts are made of: `most` of them with the marks, and of words
        and characters those that come at least `least` times."""
        if kind not in KINDS:
            raise InputError(f"units={kind!r} is unknown; expected one of {KINDS}")
        texts = [text.lower() for text in texts] if lower else texts
        if kind == "pieces":
            model = _learned(texts, most or 8000, least)
            return _with_pieces(lower, model)
        cut = list if kind == "characters" else WORD.findall
        vocabulary = Vocabulary.of(map(cut, texts), least=least, most=most)
        return Units(kind, lower, vocabulary)

    @property
    def size(self) -> int:
        """How many there are, the marks among them."""
        return self.vocabulary.size

    def split(self, text: str) -> list[str]:
        """The units of a text as strings; those that are not known too."""
        text = text.lower() if self.lower else text
        if self.kind == "characters":
            return list(text)
        if self.kind == "words":
            return WORD.findall(text)
        return _tokenizer(self.model).encode(text).tokens

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """The numbers of each text's units, without ends."""
        if self.kind == "pieces":
            given = [text.lower() if self.lower else text for text in texts]
            return [e.ids for e in _tokenizer(self.model).encode_batch(given)]
        return self.vocabulary.encode(map(self.split, texts))

    def decode(self, rows: Iterable[Iterable[int]]) -> list[str]:
        """Each row's text up to END; words and signs are put as they are written."""
        cut = [self.vocabulary.decode(row) for row in rows]
        if self.kind == "characters":
            return ["".join(symbols) for symbols in cut]
        if self.kind == "pieces":
            return ["".join(s).replace(SPACE, " ").strip() for s in cut]
        return [_RIGHT.sub(r"\1", _LEFT.sub(r"\1", " ".join(s))) for s in cut]

    def to_json(self) -> dict[str, Any]:
        symbols = [] if self.model else self.vocabulary.to_json()
        return {
            "kind": self.kind,
            "lower": self.lower,
            "symbols": symbols,
            "model": self.model,
        }

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> "Units":
        """Errors: InputError for what `to_json` did not write."""
        kinds = {"kind": str, "lower": bool, "symbols": list, "model": str}
        fields_of(raw, kinds, "units")
        if raw["kind"] not in KINDS:
            raise InputError(f"units: kind {raw['kind']!r}; expected one of {KINDS}")
        if raw["kind"] == "pieces":
            return _with_pieces(raw["lower"], raw["model"])
        vocabulary = Vocabulary.from_json(raw["symbols"])
        return Units(raw["kind"], raw["lower"], vocabulary)


SPACE = "\u2581"  # stands in a piece for the space before a word


def _learned(texts: Iterable[str], size: int, least: int) -> str:
    """Byte-pair pieces of words, each with the space before it, and of signs."""
    tokenizers = _library()
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=MARKS[1]))
    made.normalizer = tokenizers.normalizers.NFC()
    kinds = tokenizers.pre_tokenizers
    made.pre_tokenizer = kinds.Sequence(
        [kinds.Metaspace(replacement=SPACE), kinds.Punctuation("isolated")]
    )
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=list(MARKS),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return made.to_str()


def _with_pieces(lower: bool, model: str) -> Units:
    made = _tokenizer(model)
    ranked = sorted(made.get_vocab().items(), key=lambda item: item[1])
    symbols = tuple(symbol for symbol, _ in ranked)
    if symbols[: len(MARKS)] != MARKS:
        raise InputError(f"units: pieces that do not start with {MARKS}")
    return Units("pieces", lower, Vocabulary(symbols), model)


_READ: dict[str, Any] = {}  # the tokenizers that were read, by their JSON


def _tokenizer(model: str) -> Any:
    if model not in _READ:
        tokenizers = _library()
        try:
            json.loads(model)
            _READ[model] = tokenizers.Tokenizer.from_str(model)
        except Exception:  # the library raises plain Exception
            raise InputError("units: no model of the tokenizers library") from None
    return _READ[model]


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise InputError(
            'units=pieces needs tokenizers: pip install "jnets[experiments]"'
        ) from None
    return tokenizers
