"""Pictures and what people wrote of them: COCO's captions and Flickr8k's token file."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jnets.data.text import read_lines, read_text
from jnets.errors import InputError

_WORD = re.compile(r"\[\w+\]|[^\W_]+(?:'[^\W_]+)?")


class Captioned(NamedTuple):
    """N pictures, the captions of each, and pictures that were left out.

    `missing` are the names of those that have captions but are not in the folder.
    """

    paths: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    missing: tuple[str, ...] = ()


def words(text: str) -> list[str]:
    """The words of a sentence, in lower case without punctuation.

    >>> words("A dog's ball, and [male].")
    ['a', "dog's", 'ball', 'and', '[male]']
    """
    return _WORD.findall(text.lower())


def read(path: str | os.PathLike[str], images: str | os.PathLike[str]) -> Captioned:
    """The captions in `path` of the pictures in the folder `images`.

    A file that ends in .json is COCO's: {"images": [{"id", "file_name"}],
    "annotations": [{"image_id", "caption"}]}; any other is Flickr8k's, lines of
    `name.jpg#0<TAB>caption`. Pictures come in the order of their first mention,
    captions in that of the file. A picture that is not in the folder is left out, with
    all its captions, and named in `missing`: captions of all of COCO may be read with a
    part of its pictures.

    Raises InputError for a file that is neither, with its line or its entry; for a
    caption of a picture that the file does not know, or without a word; for a folder
    that has none of the pictures.
    """
    path, images = Path(path), Path(images)
    pairs = _coco(path) if path.suffix == ".json" else _flickr(path)
    captions: dict[str, list[str]] = {}
    for where, name, caption in pairs:
        if not words(caption):
            raise InputError(f"{path}: {where}: no word in the caption {caption!r}")
        captions.setdefault(name, []).append(caption)
    here = {name: (images / name).is_file() for name in captions}
    if not any(here.values()):
        first = next(iter(captions), None)
        raise InputError(
            f"{path}: none of its {len(captions)} pictures is in {images}; expected "
            f"for example {first}"
        )
    found = [name for name in captions if here[name]]
    return Captioned(
        tuple(str(images / name) for name in found),
        tuple(tuple(captions[name]) for name in found),
        tuple(name for name in captions if not here[name]),
    )


def read_json(path: Path) -> Any:
    """The value in a file of JSON; InputError says at which line it is none."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: line {error.lineno}: no JSON ({error.msg})"
        ) from None


def entry_of(raw: Any, kinds: dict[str, Sequence[type]], where: str) -> dict[str, Any]:
    """`raw`, if it is an object with these fields of these kinds; else InputError."""
    good = isinstance(raw, dict) and all(
        type(raw.get(name)) in types for name, types in kinds.items()
    )
    if not good:
        raise InputError(f"{where}: {str(raw)[:60]}; expected fields {list(kinds)}")
    return raw


def list_in(raw: Any, name: str, path: Path) -> list[Any]:
    """The list `name` of a file's value; else InputError."""
    if not isinstance(raw, dict) or not isinstance(raw.get(name), list):
        raise InputError(f'{path}: no list "{name}" in it')
    return raw[name]


def _coco(path: Path) -> Iterator[tuple[str, str, str]]:
    raw = read_json(path)
    names = {}
    for i, image in enumerate(list_in(raw, "images", path)):
        where = f"{path}: images[{i}]"
        image = entry_of(image, {"id": (int, str), "file_name": (str,)}, where)
        names[image["id"]] = image["file_name"]
    kinds = {"image_id": (int, str), "caption": (str,)}
    for i, note in enumerate(list_in(raw, "annotations", path)):
        where = f"annotations[{i}]"
        note = entry_of(note, kinds, f"{path}: {where}")
        if note["image_id"] not in names:
            raise InputError(
                f"{path}: {where}: image_id {note['image_id']!r} is none of its images"
            )
        yield where, names[note["image_id"]], note["caption"]


def _flickr(path: Path) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"(.+)#\d+\t(.*)", line)
        if match is None:
            raise InputError(
                f"{path}: line {number}: {line[:60]!r}; expected name.jpg#0, a tab and "
                f"a caption"
            )
        yield f"line {number}", match[1], match[2]
