"""Made albums to tell of: five pictures of one shape, and a sentence for each.

From picture to picture the shape changes in one way, and each sentence tells what is
about to happen: "the small red circle moves left". The last tells how it ends. So a
story follows from the order of its pictures, and from that alone.
"""

from typing import NamedTuple

import numpy as np

from jnets.data.scenes import (
    COLOURS,
    SHAPES,
    SIZES,
    Thing,
    paint,
    placed,
    uniform_numbers,
)
from jnets.data.stories import PICTURES

CELLS = 3  # places along each axis
RADII = {"small": (0.13, 0.15), "large": (0.2, 0.22)}  # parts of the side
_STEPS = {
    "moves left": (-1, 0),
    "moves right": (1, 0),
    "moves up": (0, -1),
    "moves down": (0, 1),
}
_SIZES = {"grows": "large", "shrinks": "small"}


class Look(NamedTuple):
    """A shape in a picture: what it is, and its place in the grid (across, down)."""

    thing: Thing
    place: tuple[int, int]


class Albums(NamedTuple):
    """N albums, uint8 [N, 5, side, side, 3], and the five sentences of each."""

    images: np.ndarray
    stories: tuple[tuple[str, ...], ...]


def draw(count: int, *, side: int, seed: int, part: int) -> Albums:
    """`count` albums at random; they depend on these arguments alone, and `part` names
    an independent set of the same seed."""
    draws = uniform_numbers(count * 16, seed, part, 0).reshape(count, 16)
    told = [_album(list(each)) for each in draws]
    looks = [look for album, _ in told for look in album]
    uniform = uniform_numbers(len(looks) * 6, seed, part, 1).reshape(-1, 6)
    # One shade and size through an album; places a little off the grid's.
    uniform[:, :4] = np.repeat(uniform[::PICTURES, :4], PICTURES, axis=0)
    things = placed([look.thing for look in looks], side, uniform[:, :4], RADII)
    cells = np.array([look.place for look in looks])
    off = 0.06 * (uniform[:, 4:] - 0.5)
    centre = side * (0.24 + 0.52 * cells / (CELLS - 1) + off)
    images = paint([things._replace(centre=centre)], side, seed, part, 2)
    images = images.reshape(count, PICTURES, side, side, 3)
    return Albums(images, tuple(story for _, story in told))


def _album(draws: list[float]) -> tuple[list[Look], tuple[str, ...]]:
    """Five looks and their story, from 16 uniform numbers."""

    def pick(choices):
        return choices[int(draws.pop() * len(choices))]

    thing = Thing(pick(SIZES), pick([*COLOURS]), pick(SHAPES))
    looks = [Look(thing, (pick(range(CELLS)), pick(range(CELLS))))]
    story = []
    for _ in range(PICTURES - 1):
        changes = possible(looks[-1])
        kind = pick([*dict.fromkeys(name.split()[0] for name in changes)])
        name = pick([name for name in changes if name.split()[0] == kind])
        story.append(f"{_the(looks[-1].thing)} {name}")
        looks.append(changes[name])
    return looks, (*story, f"{_the(looks[-1].thing)} rests")


def possible(look: Look) -> dict[str, Look]:
    """What may happen next, by what is told of it."""
    thing, (x, y) = look
    found = {}
    for name, (dx, dy) in _STEPS.items():
        if 0 <= x + dx < CELLS and 0 <= y + dy < CELLS:
            found[name] = look._replace(place=(x + dx, y + dy))
    for colour in COLOURS:
        if colour != thing.colour:
            found[f"turns {colour}"] = look._replace(
                thing=thing._replace(colour=colour)
            )
    for name, size in _SIZES.items():
        if size != thing.size:
            found[name] = look._replace(thing=thing._replace(size=size))
    return found


def _the(thing: Thing) -> str:
    return f"the {thing.size} {thing.colour} {thing.shape}"
