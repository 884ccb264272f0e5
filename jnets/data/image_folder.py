"""A folder of labelled pictures, one folder per class, as ImageNet is kept on disk.

`root` holds train/ and val/ (also validation/ or valid/) with the class folders in
each, or the class folders themselves, which are then split. What counts as a picture
and the order of classes and pictures are those of torchvision's `ImageFolder`, so
labels agree with models trained there.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jnets.data.dataset import permutation
from jnets.errors import InputError

EXTENSIONS = (
    ".jpg",
    ".jpeg",
    ".png",
    ".ppm",
    ".bmp",
    ".pgm",
    ".tif",
    ".tiff",
    ".webp",
)
VALIDATION_NAMES = ("val", "validation", "valid")


class Examples(NamedTuple):
    """N labelled picture files: `labels` is int32 [N], an index into `classes`."""

    paths: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]

    @property
    def size(self) -> int:
        """N. (`len` of a NamedTuple is its number of fields.)"""
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Examples":
        """The examples at `indices` (int [M], may repeat), in that order."""
        paths = tuple(self.paths[index] for index in indices)
        return Examples(paths, self.labels[indices], self.classes)


class Folder(NamedTuple):
    """A folder read: the classes of training, and the two lists of examples."""

    classes: tuple[str, ...]
    train: Examples
    val: Examples


def read(
    root: str | os.PathLike[str], *, val_fraction: float = 0.1, seed: int = 0
) -> Folder:
    """The training and the validation pictures of `root`; no file is opened.

    With train/ and val/ in `root` those are the two parts (anything else there, such
    as test/, is left alone, and `val_fraction` and `seed` do not matter). Otherwise
    the folders in `root` are the classes, and of each class `val_fraction` of its
    pictures, rounded, are held out: at least one, never all (a class of one picture
    stays in training). Which ones depends on `seed` and the names alone.

    Classes are the names of the folders in train/, sorted; labels are places in that
    list, in both parts. So a class that val/ lacks keeps its label and has no
    validation pictures, and shifts nobody else's. Below a class folder pictures may
    lie at any depth; links are followed; a file counts by its extension (one of
    EXTENSIONS, in any case). Order: by class, then by folder, then by name.

    Raises InputError when `root` is no folder, holds no class folders or only one,
    for a class folder without pictures, for a class of val/ that train/ lacks, for a
    train/ without val/ beside it, and for a `val_fraction` outside (0, 1).
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"data directory {root}: not a folder")
    parts = _parts(root)
    if parts is None:
        return _split(_read_part(root), val_fraction, seed)
    train = _read_part(parts[0])
    return Folder(train.classes, train, _read_part(parts[1], train.classes))


def read_for_evaluation(root: str | os.PathLike[str]) -> Examples:
    """The pictures of `root` to measure a trained model on; no file is opened.

    Those of val/ (validation/, valid/) where `root` has it, else all those of the
    class folders in `root`. Labels are places among the folders of train/ where that
    lies beside val/, as `read` has them, else among the classes found. The order is
    that of `read`.

    Raises InputError as `read` does.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"data directory {root}: not a folder")
    parts = _parts(root)
    if parts is not None:
        return _read_part(parts[1], tuple(_folders(parts[0])))
    found = [root / name for name in VALIDATION_NAMES if (root / name).is_dir()]
    return _read_part(found[0] if len(found) == 1 else root)


def _parts(root: Path) -> tuple[Path, Path] | None:
    """The folders of training and validation; None when `root` holds the classes."""
    train = root / "train"
    found = [root / name for name in VALIDATION_NAMES if (root / name).is_dir()]
    if train.is_dir() and len(found) == 1:
        return train, found[0]
    if train.is_dir() and found:
        names = ", ".join(f"{path.name}/" for path in found)
        raise InputError(f"data directory {root}: {names}; expected one of them")
    others = set(_folders(root)) - {"train", "test"}
    if train.is_dir() and not others:
        raise InputError(
            f"data directory {root}: train/ without val/; pass {train} to hold out a "
            "part of it, or add val/"
        )
    return None


def _folders(directory: Path) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as error:
        raise _unreadable(error) from None


def _read_part(directory: Path, classes: tuple[str, ...] | None = None) -> Examples:
    """All pictures of a folder of class folders; `classes` are those of training."""
    names = _folders(directory)
    if not names:
        raise InputError(
            f"data directory {directory}: no class folders in it; expected one folder "
            "of pictures per class"
        )
    if classes is None and len(names) == 1:
        raise InputError(
            f"data directory {directory}: one class, {names[0]!r}; expected at least 2"
        )
    known = tuple(names) if classes is None else classes
    paths, labels = [], []
    for name in names:
        if name not in known:
            raise InputError(
                f"data directory {directory}: class {name!r} is not in train/"
            )
        pictures = list(_pictures(directory / name))
        if not pictures:
            raise InputError(
                f"data directory {directory}: class {name!r} has no pictures; expected "
                f"files ending in {', '.join(EXTENSIONS)}"
            )
        paths += pictures
        labels += [known.index(name)] * len(pictures)
    return Examples(tuple(paths), np.array(labels, np.int32), known)


def _pictures(directory: Path) -> Iterator[str]:
    for here, names in sorted(_walk(directory)):
        for name in sorted(names):
            if name.lower().endswith(EXTENSIONS):
                yield os.path.join(here, name)


def _walk(directory: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of its files) for every folder below, links followed."""

    def fail(error: OSError):
        raise _unreadable(error) from None

    for here, folders, files in os.walk(directory, onerror=fail, followlinks=True):
        above = Path(here).resolve()
        # A link to a folder that holds it would be walked for ever.
        folders[:] = [
            name
            for name in folders
            if not above.is_relative_to(Path(here, name).resolve())
        ]
        yield here, files


def _unreadable(error: OSError) -> InputError:
    return InputError(
        f"data directory {error.filename}: cannot be read ({error.strerror})"
    )


def _split(data: Examples, val_fraction: float, seed: int) -> Folder:
    if not 0 < val_fraction < 1:
        raise InputError(
            f"val_fraction: {val_fraction} is not between 0 and 1, both excluded"
        )
    held_out = np.zeros(data.size, bool)
    for label in range(len(data.classes)):
        members = np.flatnonzero(data.labels == label)
        wanted = int(len(members) * val_fraction + 0.5)
        count = min(max(wanted, 1), len(members) - 1)
        order = permutation(len(members), seed, label)
        held_out[members[order[:count]]] = True
    train, val = (data.take(np.flatnonzero(part)) for part in (~held_out, held_out))
    return Folder(data.classes, train, val)
