"""Made pictures of coloured shapes: a data set of photographs' format, no download.

Ten shapes, upright to 23 degrees, each at a random place, size and colour, on a
textured and noisy ground of another colour, so that neither colour nor position tells
the class, and a small net learns them in a minute. Pixels are drawn by additions,
products, quotients and square roots alone, which are exact to the bit everywhere, from
bits that never change: a seed means the same arrays on every machine.
"""

import math
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jnets.data.dataset import Dataset, random_bits
from jnets.data.pictures import pillow
from jnets.errors import InputError

_TEXTURE = (4, 9)  # grid points along a side, coarse and fine
_NOISE = 16.0  # largest change of one pixel
_CONTRAST = 130.0  # least distance between the two colours, of 441 in RGB
_QUALITY = 90  # of JPEG, as photographs have


def _polygon(points: list[tuple[float, float]]) -> Callable:
    """Distance to the edge of a polygon, negative inside."""

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        nearest = np.full(x.shape, np.inf)
        inside = np.zeros(x.shape, bool)
        ends = zip(points, points[1:] + points[:1], strict=True)
        for (x0, y0), (x1, y1) in ends:
            along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / (
                (x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)
            )
            along = np.clip(along, 0, 1)
            dx, dy = x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)
            nearest = np.minimum(nearest, dx * dx + dy * dy)
            if y0 != y1:
                crosses = (y0 > y) != (y1 > y)
                inside ^= crosses & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))
        return np.where(inside, -1, 1) * np.sqrt(nearest)

    return distance


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y) - 0.9


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.sqrt(x * x + y * y) - 0.72) - 0.24


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    away = x - 0.55
    return np.maximum(np.sqrt(x * x + y * y) - 1, 0.8 - np.sqrt(away * away + y * y))


def _semicircle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    up = y - 0.4
    return np.maximum(np.sqrt(x * x + up * up) - 1, up)


# Every shape lies in the circle of radius 1, to 7 %. The points of the star are by
# hand, as cosines differ between machines in their last bit.
_STAR = [
    (0.0, 1.0),
    (-0.235, 0.324),
    (-0.951, 0.309),
    (-0.38, -0.124),
    (-0.588, -0.809),
    (0.0, -0.4),
    (0.588, -0.809),
    (0.38, -0.124),
    (0.951, 0.309),
    (0.235, 0.324),
]
_CROSS = [
    (0.28, 0.28),
    (0.28, 0.95),
    (-0.28, 0.95),
    (-0.28, 0.28),
    (-0.95, 0.28),
    (-0.95, -0.28),
    (-0.28, -0.28),
    (-0.28, -0.95),
    (0.28, -0.95),
    (0.28, -0.28),
    (0.95, -0.28),
    (0.95, 0.28),
]
_ARROW = [
    (1.0, 0.0),
    (0.15, 0.75),
    (0.15, 0.25),
    (-0.95, 0.25),
    (-0.95, -0.25),
    (0.15, -0.25),
    (0.15, -0.75),
]
SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "arrow": _polygon(_ARROW),
    "bar": _polygon([(0.95, 0.27), (-0.95, 0.27), (-0.95, -0.27), (0.95, -0.27)]),
    "circle": _circle,
    "crescent": _crescent,
    "cross": _polygon(_CROSS),
    "ring": _ring,
    "semicircle": _semicircle,
    "square": _polygon([(0.75, 0.75), (-0.75, 0.75), (-0.75, -0.75), (0.75, -0.75)]),
    "star": _polygon(_STAR),
    "triangle": _polygon([(0.0, 1.0), (-0.87, -0.5), (0.87, -0.5)]),
}
CLASSES = tuple(SHAPES)  # in alphabetical order, as a folder of them is read


def arrays(count: int, *, side: int = 32, seed: int = 0) -> Dataset:
    """`count` pictures, uint8 [count, side, side, 3]; label i is i mod 10.

    Picture i depends on (seed, i, side) alone; training and test sets take different
    seeds. Raises InputError for a negative count or seed, or a side below 16.
    """
    if count < 0:
        raise InputError(f"count: {count} is negative; expected 0 or more")
    images = np.zeros((count, side, side, 3), np.uint8)
    for index in range(count):
        images[index] = draw(CLASSES[index % len(CLASSES)], side, seed, 0, index)
    labels = np.arange(count, dtype=np.int32) % len(CLASSES)
    return Dataset((images,), labels, CLASSES)


def write_folder(
    directory: str | os.PathLike[str],
    *,
    per_class_train: int,
    per_class_val: int,
    side: int = 96,
    seed: int = 0,
) -> Path:
    """Writes train/<shape>/0000.jpg, ... and val/<shape>/0000.jpg, ...; its path.

    The folder appears whole or not at all, and must not be there before. Pictures are
    square; their pixels before JPEG are fixed by `seed`. Raises InputError for a
    directory that exists or cannot be written, for fewer than 1 picture per class, a
    side below 16, a negative seed, or when Pillow is missing.
    """
    directory = Path(directory)
    for name, count in (("train", per_class_train), ("val", per_class_val)):
        if count < 1:
            raise InputError(f"per_class_{name}: {count}; expected at least 1")
    _check(side, seed)
    if directory.exists():
        raise InputError(f"directory {directory}: exists; expected a new one")
    temporary = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        _write_part(temporary / "train", per_class_train, side, seed, 1)
        _write_part(temporary / "val", per_class_val, side, seed, 2)
        temporary.rename(directory)
    except OSError as error:
        raise InputError(
            f"directory {directory}: cannot be written ({error.strerror or error})"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def _write_part(folder: Path, count: int, side: int, seed: int, part: int) -> None:
    from_array = pillow().fromarray
    for label, shape in enumerate(CLASSES):
        (folder / shape).mkdir(parents=True)
        for index in range(count):
            image = draw(shape, side, seed, part, index * len(CLASSES) + label)
            path = folder / shape / f"{index:04d}.jpg"
            from_array(image).save(path, quality=_QUALITY)


def draw(shape: str, side: int, seed: int, *stream: int) -> np.ndarray:
    """One picture of `shape`: uint8 [side, side, 3].

    The shape's radius is 24 to 44 % of the side, and all of it is in the picture but
    perhaps for the tip of a corner.
    `stream` names an independent picture of the same seed.
    """
    _check(side, seed)
    points = sum(n * n for n in _TEXTURE)
    bits = random_bits(16 + 3 * points + 3 * side * side, seed, *stream)
    uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    choices, rest = uniform[:16], uniform[16:]
    ground, ink = _two_colours(choices[:9])
    cover = _cover(shape, side, choices[9:])[..., None]
    image = ground + (ink - ground) * cover
    texture = rest[: 3 * points] - 0.5
    for n, strength in zip(_TEXTURE, (50.0, 25.0), strict=True):
        grid, texture = texture[: 3 * n * n], texture[3 * n * n :]
        image = image + strength * _enlarged(grid.reshape(n, n, 3), side)
    noise = rest[3 * points :].reshape(side, side, 3) * 2 - 1
    image = image + _NOISE * noise
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def _check(side: int, seed: int) -> None:
    if side < 16:
        raise InputError(f"side: {side}; expected at least 16 pixels")
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; expected 0 or more")


def _two_colours(uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ground and ink from nine uniform numbers, far enough apart: [3] each, 0..255."""
    ground = 255 * uniform[:3]
    for ink in (255 * uniform[3:6], 255 * uniform[6:9]):
        if _distance(ground, ink) >= _CONTRAST:
            return ground, ink
    # The opposite corner of the cube is at least half of its diagonal away.
    return ground, np.where(ground < 127.5, 255.0, 0.0)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    red, green, blue = (float(each) for each in a - b)
    return math.sqrt(red * red + green * green + blue * blue)


def _cover(shape: str, side: int, uniform: np.ndarray) -> np.ndarray:
    """How much of each pixel the shape covers, 0..1: [side, side]."""
    radius = side * (0.24 + 0.2 * uniform[0])
    across, down = radius + uniform[1:3] * (side - 2 * radius)
    # A turn by 2 atan(t), to either side: no sine is needed.
    t = 0.4 * uniform[3] - 0.2
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    x = (np.arange(side) + 0.5 - across)[None, :]
    y = (np.arange(side) + 0.5 - down)[:, None]
    turned = (cosine * x + sine * y) / radius, (cosine * y - sine * x) / radius
    return np.clip(0.5 - SHAPES[shape](*turned) * radius, 0, 1)


def _enlarged(grid: np.ndarray, side: int) -> np.ndarray:
    """[n, n, 3] to [side, side, 3], linear between the points."""
    at = np.arange(side) * ((len(grid) - 1) / (side - 1))
    low = np.minimum(at.astype(int), len(grid) - 2)
    part = (at - low)[:, None, None]
    rows = grid[low] + (grid[low + 1] - grid[low]) * part
    part = (at - low)[None, :, None]
    return rows[:, low] + (rows[:, low + 1] - rows[:, low]) * part
