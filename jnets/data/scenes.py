"""Made pictures to tell of: coloured shapes on noise, with a sentence for each.

A scene has two objects, each of a size, a colour and a shape, and is told from the left
or from above: "a small red circle left of a large blue square". So a picture has one
right sentence, whose every word must be seen. All is drawn from bits that never change:
a seed means the same pictures on every machine.
"""

import itertools
from typing import NamedTuple, TypeAlias

import numpy as np

from jnets.data.dataset import permutation, random_bits
from jnets.data.shapes import SHAPES as DRAWN
from jnets.errors import InputError

SIZES = ("small", "large")
Radii: TypeAlias = dict[str, tuple[float, float]]
RADII: Radii = {"small": (0.10, 0.125), "large": (0.185, 0.22)}  # parts of the side
COLOURS = {
    "red": (225, 50, 40),
    "green": (60, 190, 80),
    "blue": (60, 100, 235),
    "yellow": (240, 215, 60),
}
SHAPES = ("circle", "cross", "ring", "square", "triangle")
RELATIONS = ("left of", "above")
_GROUND = (10.0, 80.0)  # grey levels
_NOISE = 14.0  # largest change of one pixel
_SHADE = 22.0  # largest change of an object's colour


class Thing(NamedTuple):
    """What an object is called by."""

    size: str
    colour: str
    shape: str

    def __str__(self) -> str:
        return f"a {self.size} {self.colour} {self.shape}"


class Scene(NamedTuple):
    """What is to be seen: the left or the upper object first."""

    first: Thing
    relation: str
    second: Thing

    @property
    def caption(self) -> str:
        return f"{self.first} {self.relation} {self.second}"


class Placed(NamedTuple):
    """An object of each of N pictures: shape by number [N], colour [N, 3], and centre
    [N, 2] (across, down) and radius [N] in pixels."""

    shape: np.ndarray
    colour: np.ndarray
    centre: np.ndarray
    radius: np.ndarray


class Scenes(NamedTuple):
    """N pictures, uint8 [N, side, side, 3], and what is in them."""

    images: np.ndarray
    scenes: tuple[Scene, ...]


def every_scene() -> list[Scene]:
    """All 3,200 combinations of two objects and a relation."""
    things = [Thing(*each) for each in itertools.product(SIZES, COLOURS, SHAPES)]
    return [Scene(*each) for each in itertools.product(things, RELATIONS, things)]


def split(held_out: float, seed: int) -> tuple[list[Scene], list[Scene]]:
    """The combinations to train on, and those never to be trained on.

    Raises InputError unless `held_out`, the share of these, leaves some of both.
    """
    known = every_scene()
    count = round(held_out * len(known))
    if not 0 < count < len(known):
        raise InputError(f"held_out={held_out} is not usable; expected 0 to 1, between")
    order = permutation(len(known), seed, 7)
    return [known[i] for i in order[count:]], [known[i] for i in order[:count]]


def draw(known: list[Scene], count: int, *, side: int, seed: int, part: int) -> Scenes:
    """`count` pictures of scenes from `known`, in turn, each at other places.

    They depend on these arguments alone; `part` names an independent set of the same
    seed. Raises InputError for a side below 32.
    """
    scenes = tuple(known[i % len(known)] for i in range(count))
    uniform = uniform_numbers(count * 12, seed, part, 0).reshape(count, 12)
    first = placed([s.first for s in scenes], side, uniform[:, :4])
    second = placed([s.second for s in scenes], side, uniform[:, 4:8])
    across = np.array([s.relation == RELATIONS[0] for s in scenes])
    centres = _centres(first.radius, second.radius, side, across, uniform[:, 8:])
    both = [a._replace(centre=c) for a, c in zip((first, second), centres, strict=True)]
    return Scenes(paint(both, side, seed, part), scenes)


def placed(
    things: list[Thing], side: int, uniform: np.ndarray, radii: Radii = RADII
) -> Placed:
    """Objects of these kinds at the picture's centre; uniform numbers [N, 4] decide
    shade and radius."""
    shape = np.array([SHAPES.index(thing.shape) for thing in things])
    colour = np.array([COLOURS[thing.colour] for thing in things], np.float64)
    colour = colour + _SHADE * (2 * uniform[:, :3] - 1)
    low, high = np.array([radii[thing.size] for thing in things]).T
    radius = side * (low + (high - low) * uniform[:, 3])
    return Placed(shape, colour, np.full((len(things), 2), side / 2), radius)


def paint(things: list[Placed], side: int, seed: int, *stream: int) -> np.ndarray:
    """Pictures uint8 [N, side, side, 3] of objects on grounds of noise."""
    if side < 32:
        raise InputError(f"side: {side}; expected at least 32 pixels")
    count = len(things[0].shape)
    grounds = uniform_numbers(count, seed, *stream, 1)
    images = np.empty((count, side, side, 3), np.uint8)
    for start in range(0, count, 256):  # which bounds the memory
        rows = slice(start, start + 256)
        level = _GROUND[0] + (_GROUND[1] - _GROUND[0]) * grounds[rows]
        image = np.tile(level[:, None, None, None], (1, side, side, 3))
        for each in things:
            one = Placed(*(a[rows] for a in each))
            cover = _cover(one, side)[..., None]
            image += (one.colour[:, None, None] - image) * cover
        bits = random_bits(-(-image.size // 8), seed, *stream, 2, start)
        noise = bits.astype("<u8").view(np.uint8)[: image.size].reshape(image.shape)
        image += _NOISE * (noise / 127.5 - 1)
        images[rows] = np.rint(np.clip(image, 0, 255))
    return images


def uniform_numbers(count: int, seed: int, *stream: int) -> np.ndarray:
    """float64 [count] in [0, 1), fixed for ever."""
    return (random_bits(count, seed, *stream) >> np.uint64(11)) * 2.0**-53


def _centres(r1, r2, side: int, across: np.ndarray, uniform: np.ndarray):
    """Centres [N, 2] of both: one after the other along one axis, never touching, and
    apart by less than half of that along the other."""
    free = side - 2 * r1 - 2 * r2 - 2
    before, gap = np.sort(uniform[:, :2], axis=1).T
    at1 = 1 + r1 + free * before
    at2 = at1 + r1 + r2 + 1 + (free - 1) * (gap - before)
    shift = (uniform[:, 2] - 0.5) * 0.5 * (at2 - at1)
    edge = np.maximum(r1, r2) + np.abs(shift) / 2
    middle = edge + (side - 2 * edge) * uniform[:, 3]
    for along, aside in ((at1, middle - shift / 2), (at2, middle + shift / 2)):
        yield np.where(
            across[:, None], np.stack([along, aside], 1), np.stack([aside, along], 1)
        )


def _cover(thing: Placed, side: int) -> np.ndarray:
    """How much of each pixel the objects cover, 0 to 1: [N, side, side]."""
    at = np.arange(side) + 0.5
    cover = np.zeros((len(thing.radius), side, side))
    for number, name in enumerate(SHAPES):
        rows = np.flatnonzero(thing.shape == number)
        radius = thing.radius[rows, None, None]
        x = (at[None, None, :] - thing.centre[rows, 0, None, None]) / radius
        y = (at[None, :, None] - thing.centre[rows, 1, None, None]) / radius
        x, y = np.broadcast_arrays(x, -y)  # up, for the triangle to stand
        cover[rows] = np.clip(0.5 - DRAWN[name](x, y) * radius, 0, 1)
    return cover
