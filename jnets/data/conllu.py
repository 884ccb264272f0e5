"""Sentences with a tag for every word: the CoNLL-U files of Universal Dependencies.

A word is a line of ten columns between tabs, ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL
DEPS MISC; an empty line ends a sentence, and # starts a comment. Source:
universaldependencies.org/format.html.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from jnets.data.text import read_lines
from jnets.errors import InputError

COLUMNS = {"upos": 3, "xpos": 4}
PARTS = ("train", "dev", "test")


class Tagged(NamedTuple):
    """A sentence: `tags[i]` is the tag of `words[i]`."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


def read(path: str | os.PathLike[str], *, tags: str = "upos") -> list[Tagged]:
    """The sentences of a file, plain or .gz, tagged by a column of `COLUMNS`.

    Ranges of words that are written as one (1-2) and empty nodes (1.1) are no words and
    are passed over. Raises InputError, with file and line, for a line without ten
    columns, a word out of its turn, a word without form or tag, and for a file without
    sentences.
    """
    if tags not in COLUMNS:
        raise InputError(f"tags={tags!r} is unknown; expected one of {list(COLUMNS)}")
    sentences, words = [], []
    for number, line in enumerate([*read_lines(path), ""], 1):
        if not line.strip():
            if words:
                sentences.append(Tagged(*zip(*words, strict=True)))
            words = []
        elif not line.startswith("#"):
            try:
                words += _word(line.split("\t"), len(words) + 1, tags)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
    if not sentences:
        raise InputError(f"{path}: no sentences; expected a file in CoNLL-U")
    return sentences


def read_folder(
    directory: str | os.PathLike[str], *, tags: str = "upos"
) -> dict[str, list[Tagged]]:
    """The sentences of each of `PARTS`, from the one file that has it in its name.

    Files end in .conllu or .conllu.gz. Raises InputError where a part has no file, or
    several, and what `read` raises.
    """
    directory = Path(directory)
    paths = [
        path
        for ending in ("*.conllu", "*.conllu.gz")
        for path in sorted(directory.glob(ending))
        if not path.name.startswith(".")
    ]
    found = {}
    for part in PARTS:
        named = [path for path in paths if part in path.name]
        if len(named) != 1:
            names = [path.name for path in named] or "none"
            raise InputError(
                f"data directory {directory}: expected one file *{part}*.conllu or "
                f"*{part}*.conllu.gz; found {names}"
            )
        found[part] = read(named[0], tags=tags)
    return found


def _word(columns: list[str], expected: int, tags: str) -> list[tuple[str, str]]:
    """[(form, tag)] of a line, or []; a ValueError says what is wrong with it."""
    if len(columns) != 10:
        raise ValueError(f"{len(columns)} columns between tabs; expected 10")
    number, form, tag = columns[0], columns[1], columns[COLUMNS[tags]]
    if re.fullmatch(r"[0-9]+(-|\.)[0-9]+", number):
        return []
    if number != str(expected):
        raise ValueError(f"word {number!r}; expected word {expected}")
    # An underscore is the sign of an empty column, but may be a word.
    if not form or not tag or tag == "_":
        raise ValueError(f"word {number} has no form or no {tags} tag")
    return [(form, tag)]
