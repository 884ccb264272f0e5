"""Pairs of a text and what it is to become: translations, summaries.

Aligned files   one text a line, line i of one file for line i of the other
Tables          source<TAB>target a line, or a zip with such a .txt in it
JSON lines      {"source": text or list of texts, "target": text or list of texts}

Each may be gzipped but the zip.
"""

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jnets.data.dataset import permutation
from jnets.data.text import read_lines
from jnets.errors import InputError

PARTS = ("train", "val", "test")
Where = str | os.PathLike[str]


class Pairs(NamedTuple):
    """N texts, and for each the texts that it may become; one in most corpora."""

    sources: list[str]
    targets: list[list[str]]

    def flat(self) -> tuple[list[str], list[str]]:
        """Every (source, target), one by one."""
        both = zip(self.sources, self.targets, strict=True)
        each = [(source, t) for source, targets in both for t in targets]
        return [source for source, _ in each], [target for _, target in each]

    def take(self, rows: Sequence[int]) -> "Pairs":
        return Pairs([self.sources[i] for i in rows], [self.targets[i] for i in rows])


def read_aligned(source: Where, target: Where) -> Pairs:
    """Two files of as many lines. Pairs with an empty side are left out."""
    sources, targets = read_lines(source), read_lines(target)
    if len(sources) != len(targets):
        raise InputError(
            f"{source} has {len(sources)} lines and {target} has {len(targets)}; "
            f"expected as many, each with its translation"
        )
    both = [
        (s.strip(), t.strip())
        for s, t in zip(sources, targets, strict=True)
        if s.strip() and t.strip()
    ]
    return Pairs([s for s, _ in both], [[t] for _, t in both])


def read_folder(directory: Where, pair: str) -> dict[str, Pairs]:
    """train, val and test of a folder as Multi30k's (or its task1/raw), where `pair`
    is "de-en": files called train.de and train.en, val, and of those whose names start
    with test the first; .gz or not."""
    directory, (source, target) = Path(directory), languages(pair)
    inner = directory / "task1" / "raw"
    folder = inner if inner.is_dir() else directory
    found = {}
    for part in PARTS:
        stem = _first_stem(folder, part, source)
        paths = [_either(folder, f"{stem}.{side}") for side in (source, target)]
        found[part] = read_aligned(*paths)
    return found


def languages(pair: str) -> tuple[str, str]:
    source, dash, target = pair.partition("-")
    if not (source and dash and target):
        raise InputError(f"pair={pair!r} is not usable; expected two as in de-en")
    return source, target


def _first_stem(folder: Path, part: str, language: str) -> str:
    pattern = f"{part}*" if part == "test" else part
    names = (path.name.removesuffix(".gz") for path in folder.glob(f"{pattern}.*"))
    stems = {
        n.removesuffix(f".{language}") for n in names if n.endswith(f".{language}")
    }
    if not stems:
        raise InputError(
            f"data_dir={folder} has no {part}.{language} or {part}.{language}.gz"
        )
    return min(stems)


def _either(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise InputError(f"{folder} has no {name} or {name}.gz")


def read_table(path: Where) -> Pairs:
    """A table of two columns or more; the first of them are source and target.

    Rows of one source become one, with all its targets, each once.
    """
    found: dict[str, dict[str, None]] = {}
    for number, line in enumerate(_table_lines(Path(path)), 1):
        if not line.strip():
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) < 2 or not (columns[0] and columns[1]):
            raise InputError(
                f"{path}: line {number} is {line[:40]!r}; expected a source, a tab and "
                f"a target"
            )
        found.setdefault(columns[0], {})[columns[1]] = None
    return Pairs(list(found), [list(targets) for targets in found.values()])


def _table_lines(path: Path) -> list[str]:
    if path.suffix != ".zip":
        return read_lines(path)
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [
                n for n in archive.namelist() if n.endswith(".txt") and n[0] != "_"
            ]
            if len(texts) != 1:
                raise InputError(f"{path} holds {texts}; expected one .txt")
            with io.TextIOWrapper(archive.open(texts[0]), "utf-8") as file:
                return file.read().splitlines()
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError):
        raise InputError(f"{path} is no zip with a table in UTF-8") from None


def held_out(pairs: Pairs, count: int, seed: int) -> dict[str, Pairs]:
    """train, val and test of pairs; the latter two of `count` sources each."""
    if len(pairs.sources) <= 2 * count:
        raise InputError(
            f"there are {len(pairs.sources)} pairs; expected more than {2 * count}, of "
            f"which {count} each are held out twice"
        )
    order = permutation(len(pairs.sources), seed, 1).tolist()
    cut = order[2 * count :], order[:count], order[count : 2 * count]
    return {part: pairs.take(rows) for part, rows in zip(PARTS, cut, strict=True)}


def read_json_lines(path: Where) -> Pairs:
    """One object a line; sentences of a source are joined by spaces.

    Every text of a list of targets is one that the source may become.
    """
    sources, targets = [], []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            source, target = (_texts(raw, name) for name in ("source", "target"))
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {_why(error)}") from None
        sources.append(" ".join(source))
        targets.append(target)
    return Pairs(sources, targets)


def _texts(raw: Any, name: str) -> list[str]:
    """A field's texts that are not empty, without spaces around them."""
    value = raw.get(name) if isinstance(raw, Mapping) else None
    value = [value] if isinstance(value, str) else value
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        texts = [text.strip() for text in value if text.strip()]
        if texts:
            return texts
    raise InputError(f"{name} is missing or empty; expected a text or a list of texts")


def _why(error: ValueError) -> str:
    return str(error) if isinstance(error, InputError) else "is not JSON"
