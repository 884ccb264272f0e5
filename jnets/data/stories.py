"""Stories of albums: VIST's, "stories in sequence" (Huang et al. 2016)."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jnets.data.captions import entry_of, list_in, read_json, words
from jnets.data.image_folder import EXTENSIONS
from jnets.errors import InputError

PICTURES = 5  # of an album; a story has a sentence for each

_ID = (str, int)
_KINDS = {
    "story_id": _ID,
    "photo_flickr_id": _ID,
    "worker_arranged_photo_order": (int,),
    "text": (str,),
}
# Words that a story cannot do without twice.
FUNCTION_WORDS = frozenset(
    "a an the this that these those some any all no not each every both other another "
    "i you he she it we they me him her us them my your his its our their mine ours "
    "who which what there here where when while then than so too very just also only "
    "and or but if as because of at by for with about into to from in out on off over "
    "under up down again before after until during through am is are was were be been "
    "being have has had having do does did doing will would can could may might must "
    "shall should".split()
)


class Stories(NamedTuple):
    """N stories: paths of five pictures and the five sentences of each.

    `missing` are the ids of pictures that stories were left out for.
    """

    albums: tuple[tuple[str, ...], ...]
    sentences: tuple[tuple[str, ...], ...]
    missing: tuple[str, ...] = ()


def read(path: str | os.PathLike[str], images: str | os.PathLike[str]) -> Stories:
    """The stories in `path`, of pictures in the folder `images` called by their ids.

    `path` is VIST's SIS file: {"annotations": [[{"story_id", "photo_flickr_id",
    "worker_arranged_photo_order", "text"}]]}. Sentences are put in the order of the
    pictures as the worker arranged them, stories in that of the file. A story of which
    a picture is not in the folder is left out, and the picture named in `missing`.

    Raises InputError for a file that is no such one, with its entry; for a story that
    has not five sentences in the places 0 to 4, or one without a word; for a folder
    that has no story's pictures.
    """
    path, images = Path(path), Path(images)
    told: dict[str, dict[int, Any]] = {}
    for i, note in enumerate(list_in(read_json(path), "annotations", path)):
        where = f"{path}: annotations[{i}]"
        one = note[0] if isinstance(note, list) and len(note) == 1 else note
        one = entry_of(one, _KINDS, where)
        if not words(one["text"]):
            raise InputError(f"{where}: no word in the text {one['text']!r}")
        places = told.setdefault(str(one["story_id"]), {})
        if one["worker_arranged_photo_order"] in places:
            raise InputError(
                f"{where}: story {one['story_id']} has another sentence in place "
                f"{one['worker_arranged_photo_order']}"
            )
        places[one["worker_arranged_photo_order"]] = one
    return _with_pictures(path, images, told)


def album(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """The five pictures of a folder, in the order of their names.

    Raises InputError unless it is a folder with five files that are pictures by their
    extensions.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"album {folder}: not a folder; expected five pictures in one")
    found = [p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS]
    if len(found) != PICTURES:
        raise InputError(
            f"album {folder}: {len(found)} pictures in it; expected {PICTURES}"
        )
    return tuple(str(p) for p in sorted(found, key=lambda p: p.name))


def _with_pictures(
    path: Path, images: Path, told: Mapping[str, Mapping[int, Any]]
) -> Stories:
    """The stories all of whose pictures are there."""
    if not images.is_dir():
        raise InputError(f"images {images}: not a folder")
    files = {p.stem: p for p in images.iterdir() if p.suffix.lower() in EXTENSIONS}
    albums, sentences, missing = [], [], {}
    for story, places in told.items():
        if sorted(places) != list(range(PICTURES)):
            raise InputError(
                f"{path}: story {story} has sentences in places {sorted(places)}; "
                f"expected 0 to {PICTURES - 1}"
            )
        ordered = [places[k] for k in range(PICTURES)]
        ids = [str(one["photo_flickr_id"]) for one in ordered]
        absent = dict.fromkeys(i for i in ids if i not in files)
        missing |= absent
        if not absent:
            albums.append(tuple(str(files[i]) for i in ids))
            sentences.append(tuple(one["text"] for one in ordered))
    if not albums:
        raise InputError(
            f"{path}: none of its {len(told)} stories has all pictures in {images}"
        )
    return Stories(tuple(albums), tuple(sentences), tuple(missing))
