"""Videos as folders of frames, class/video/frame-0001.jpg, and clips of them.

UCF101's videos are kept so once their frames have been taken out
(`ffmpeg -i v.avi v/frame-%04d.jpg`). Frames are in natural order: frame-10 comes after
frame-9. Which pictures count, and the order of classes, are those of `image_folder`.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jnets.data.dataset import permutation
from jnets.data.image_folder import EXTENSIONS, VALIDATION_NAMES
from jnets.data.picture_spec import PictureSpec
from jnets.errors import InputError

TEST_NAMES = ("test", *VALIDATION_NAMES)


class Videos(NamedTuple):
    """N videos: the files of each one's frames in order, `labels` int32 [N], indices
    into `classes`, and the folder that each video is."""

    frames: tuple[tuple[str, ...], ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    folders: tuple[str, ...]

    @property
    def size(self) -> int:
        """N. (`len` of a NamedTuple is its number of fields.)"""
        return len(self.labels)

    def take(self, indices: Sequence[int] | np.ndarray) -> "Videos":
        """The videos at `indices`, in that order."""
        frames = tuple(self.frames[i] for i in indices)
        folders = tuple(self.folders[i] for i in indices)
        labels = self.labels[np.asarray(indices, int)]
        return Videos(frames, labels, self.classes, folders)


def read_video(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """The frames in a folder, in natural order; none is opened. Raises InputError
    where there are none."""
    names = [name for name in _names(Path(folder)) if name.lower().endswith(EXTENSIONS)]
    if not names:
        raise InputError(
            f"{folder}: no frames; expected files such as frame-0001.jpg, of kinds "
            f"{', '.join(EXTENSIONS)}"
        )
    return tuple(os.path.join(folder, name) for name in names)


def natural(name: str) -> list[str | int]:
    """What names are ordered by: numbers in them by their value."""
    parts = re.split("([0-9]+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def read(
    root: str | os.PathLike[str],
    *,
    split: int = 1,
    held_out: float = 0.2,
    seed: int = 0,
) -> tuple[Videos, Videos]:
    """The videos to train on and those to test on.

    `root` holds train/ and test/ (or val/, validation/, valid/) with the classes in
    each; or the classes alone, and UCF101's lists trainlist01.txt and testlist01.txt,
    of which `split` is the number; or the classes and nothing else. Then `held_out` of
    the groups of each class, rounded, at least one and not all, are held out. Groups
    are of videos cut from one recording, v_Name_g01_c01, v_Name_g01_c02; a video of
    another name is a group of its own.

    Raises InputError where there is nothing of this, for a video of a list that is not
    there, for a class to test on that is not trained on, and for one group in a class.
    """
    root = Path(root)
    if (root / "train").is_dir():
        found = [root / name for name in TEST_NAMES if (root / name).is_dir()]
        if len(found) != 1:
            raise InputError(
                f"data directory {root}: train/ and {len(found)} folders beside it to "
                f"test on; expected one of {', '.join(TEST_NAMES)}"
            )
        train = _part(root / "train")
        return train, _part(found[0], train.classes)
    lists = [root / f"{part}list{split:02d}.txt" for part in ("train", "test")]
    videos = _part(root)
    if any(root.glob("trainlist*.txt")):
        train, test = (videos.take(_listed(path, videos)) for path in lists)
        return train, test
    if not 0 < held_out < 1:
        raise InputError(f"held_out={held_out} is not usable; expected between 0 and 1")
    return _split(videos, held_out, seed)


def load(frames: Sequence[str], spec: PictureSpec) -> np.ndarray:
    """Frames as uint8 [T, size, size, 3], each seen as `spec` says."""
    return np.stack([spec.load(path) for path in frames])


def starts(count: int, frames: int, stride: int) -> list[int]:
    """Where the clips of a video of `count` frames start: every `stride` (or `frames`,
    if that is less), as long as `frames` fit in, and at the end, so that every frame is
    in a clip.

    Donahue et al. 2015, section 4.1: clips of 16 frames with a stride of 8. A video
    shorter than a clip is one, of its own length.
    """
    last = max(count - frames, 0)
    return [*range(0, last, min(stride, frames)), last]


def clips(video: np.ndarray, frames: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """A video [n, ...] as its clips [m, frames, ...] and their lengths, int32 [m].

    All are of `frames` frames, but that of a video that is shorter is filled up with
    zeros.
    """
    at = starts(len(video), frames, stride)
    length = min(len(video), frames)
    cut = np.zeros((len(at), frames, *video.shape[1:]), video.dtype)
    for clip, start in zip(cut, at, strict=True):
        clip[:length] = video[start : start + length]
    return cut, np.full(len(at), length, np.int32)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder), key=natural)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be read ({error.strerror}); expected a folder of frames"
        ) from None


def _folders(folder: Path) -> list[Path]:
    return [folder / name for name in _names(folder) if (folder / name).is_dir()]


def _part(root: Path, known: tuple[str, ...] | None = None) -> Videos:
    """The videos of a folder of classes; `known` are those of training."""
    names = tuple(sorted(path.name for path in _folders(root)))
    classes = names if known is None else known
    if len(classes) < 2 or not names:
        raise InputError(
            f"data directory {root}: {len(names)} class folders; expected at least 2, "
            f"as class/video/frame-0001.jpg"
        )
    frames, labels, folders = [], [], []
    for name in names:
        if name not in classes:
            raise InputError(f"data directory {root}: class {name!r} is not in train/")
        videos = _folders(root / name)
        if not videos:
            raise InputError(
                f"data directory {root}: class {name!r} has no videos; expected a "
                f"folder of frames for each"
            )
        frames += map(read_video, videos)
        labels += [classes.index(name)] * len(videos)
        folders += map(str, videos)
    return Videos(tuple(frames), np.array(labels, np.int32), classes, tuple(folders))


def _listed(path: Path, videos: Videos) -> list[int]:
    """The videos of a list: lines of Class/name.avi, and what may follow a space."""
    places = {tuple(Path(f).parts[-2:]): i for i, f in enumerate(videos.folders)}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read; expected UCF101's list") from None
    listed = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            name = line.split()[0].removesuffix(".avi")
            place = places.get(tuple(name.split("/")))
            if place is None:
                raise InputError(f"{path}: line {number}: no folder {name} of frames")
            listed.append(place)
    if not listed:
        raise InputError(f"{path}: no videos; expected lines of Class/name.avi")
    return listed


def _split(videos: Videos, held_out: float, seed: int) -> tuple[Videos, Videos]:
    groups = [re.sub(r"_c[0-9]+$", "", folder) for folder in videos.folders]
    tested = set()
    for label, name in enumerate(videos.classes):
        own = dict.fromkeys(
            g for g, k in zip(groups, videos.labels, strict=True) if k == label
        )
        if len(own) < 2:
            raise InputError(
                f"class {name!r}: one video, or one recording; expected at least 2, "
                f"one of them to test on"
            )
        count = min(max(int(len(own) * held_out + 0.5), 1), len(own) - 1)
        names = list(own)
        tested |= {names[i] for i in permutation(len(own), seed, label)[:count]}
    there = np.array([group in tested for group in groups])
    return videos.take(np.flatnonzero(~there)), videos.take(np.flatnonzero(there))
