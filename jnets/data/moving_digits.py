"""Handwritten digits that move: videos whose action no single frame gives away.

A digit of scikit-learn's goes over a black square in one of eight directions and comes
in again at the other side. It starts anywhere with equal chances, so that at every
frame it is anywhere with equal chances, whatever its direction: what one frame shows is
independent of the action, and nobody can do better than chance from it.

Axes: B videos, T frames, then height, width, channels.
"""

from collections.abc import Generator
from typing import NamedTuple, TypeAlias

import numpy as np

from jnets.data.dataset import Dataset, random_bits
from jnets.data.digits import DIGITS
from jnets.data.images import prepare

# Rows down, columns to the right, per step. The first four are the actions where four
# are wanted.
DIRECTIONS = {
    "right": (0, 1),
    "down": (1, 0),
    "left": (0, -1),
    "up": (-1, 0),
    "down-right": (1, 1),
    "down-left": (1, -1),
    "up-left": (-1, -1),
    "up-right": (-1, 1),
}
SIDE, DIGIT = 32, 12  # pixels of the square, and of a digit in it
STEPS = (3, 4, 5)  # pixels that one moves from frame to frame
STRETCH = (4, 5, 6, 7, 8)  # frames from turn to turn
_DRAWS = 64  # numbers for each video: 8 and then a pair for every turn

Batch: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Motion(NamedTuple):
    """What is to be seen: `frames` of each video, one of the first `directions`; with
    `turns` the direction changes every few frames, and is asked for at each."""

    frames: int = 16
    directions: int = 8
    turns: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(DIRECTIONS)[: self.directions]


class MovingDigits:
    """Videos of `digits` without end; what `fit` calls a feed.

    `batches(first)` yields (x uint8 [B, T, 32, 32, 3], lengths int32 [B], labels int32
    [B, T], weights float32 [B]) of update first, first + 1, ... A label is the
    direction from the frame before; the first frame of videos with turns has none, -1.
    Batch u depends on (seed, u) alone.
    """

    def __init__(self, digits: Dataset, motion: Motion, *, batch: int, seed: int):
        self._digits, self._motion = digits, motion
        self._batch, self._seed = batch, seed

    def examples(self, update: int) -> list[int]:
        """Which of the digits an update sees."""
        return _draw(self._digits, self._batch, self._seed, update)[0].tolist()

    def batches(self, first: int = 0) -> Generator[Batch, None, None]:
        """The batches of update `first` and all that follow."""
        update, full = first, np.full(self._batch, self._motion.frames, np.int32)
        while True:
            x, labels = videos(
                self._digits, self._motion, self._batch, self._seed, update
            )
            yield x, full, labels, np.ones(self._batch, np.float32)
            update += 1


def videos(
    digits: Dataset, motion: Motion, count: int, seed: int, *stream: int
) -> tuple[np.ndarray, np.ndarray]:
    """`count` videos, uint8 [count, T, 32, 32, 3], and labels, int32 [count, T]."""
    which, bits = _draw(digits, count, seed, *stream)
    labels = _labels(bits[:, 8:], motion)
    steps = np.array(list(DIRECTIONS.values()))[labels]
    speed = np.array(STEPS)[bits[:, 0] % len(STEPS)]
    moved = np.cumsum(steps[:, 1:] * speed[:, None, None], axis=1)
    start = bits[:, None, 1:3] % SIDE
    corners = (np.concatenate([start, start + moved], axis=1)) % SIDE
    spec = DIGITS._replace(resize=DIGIT, size=DIGIT, low=0.0, high=1.0)
    ink = prepare(digits.inputs[0][which], spec)[..., 0]
    colours = 96 + bits[:, 3:6] % 160
    if motion.turns:
        labels[:, 0] = -1  # nothing has moved yet
    return _draw_frames(ink, corners, colours), labels.astype(np.int32)


def _draw(digits: Dataset, count: int, seed: int, *stream: int):
    """Which digits, int [count], and whole numbers below 2^32, [count, _DRAWS]."""
    bits = random_bits(count * _DRAWS, seed, *stream) >> np.uint64(32)
    bits = bits.astype(np.int64).reshape(count, _DRAWS)
    return bits[:, 6] % digits.size, bits


def _labels(bits: np.ndarray, motion: Motion) -> np.ndarray:
    """The direction at each frame, int [B, T]: one, or one after the other."""
    if not motion.turns:
        one = bits[:, :1] % motion.directions
        return np.repeat(one, motion.frames, axis=1)
    labels = np.zeros((len(bits), motion.frames), np.int64)
    for row, draws in zip(labels, bits.reshape(len(bits), -1, 2), strict=True):
        start, at = 0, 0
        while start < motion.frames:
            direction, stretch = draws[at % len(draws)]
            end = start + STRETCH[stretch % len(STRETCH)]
            row[start:end] = direction % motion.directions
            start, at = end, at + 1
    return labels


def _draw_frames(
    ink: np.ndarray, corners: np.ndarray, colours: np.ndarray
) -> np.ndarray:
    """Ink [B, 12, 12] of 0 to 1 at corners [B, T, 2], which wraps around."""
    b, t = corners.shape[:2]
    canvas = np.zeros((b, t, SIDE, SIDE), np.float32)
    rows, columns = ((corners[..., i, None] + np.arange(DIGIT)) % SIDE for i in (0, 1))
    video, frame = np.arange(b)[:, None, None, None], np.arange(t)[:, None, None]
    canvas[video, frame, rows[..., :, None], columns[..., None, :]] = ink[:, None]
    pixels = canvas[..., None] * colours[:, None, None, None, :]
    return np.rint(pixels).astype(np.uint8)
