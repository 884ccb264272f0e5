"""Which part of a picture is looked at, as numbers: no pixels are touched here.

A `View` says how a square (or the whole) is taken out of a picture of a given size.
Random views are drawn from a NumPy generator for training; fixed ones are listed for
evaluation. Lengths are whole pixels, points count from the left and the top.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jnets.errors import InputError

_TRIES = 10  # of an area crop, before the centre is taken


class View(NamedTuple):
    """A way to look at one picture, in this order.

    region: (left, top, right, bottom) cut out of the picture.
    resized: (width, height) that the region is resized to.
    corner: (left, top) of the window in that; outside of it, the window is black.
    size: (width, height) of the window.
    flip: whether it is mirrored left to right.
    filter: how it is resized: "nearest", "box", "bilinear" or "bicubic".
    colour: (what, factor) of "brightness", "contrast" and "saturation", in order.
    """

    region: tuple[int, int, int, int]
    resized: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]
    flip: bool = False
    filter: str = "bilinear"
    colour: tuple[tuple[str, float], ...] = ()


def shorter_side(width: int, height: int, shorter: int) -> tuple[int, int]:
    """(width, height) with the shorter side `shorter` and the proportions kept.

    The longer side is cut to a whole number, as torchvision's `Resize` does.
    """
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def whole(width: int, height: int, shorter: int) -> View:
    """All of the picture, its shorter side resized: for dense evaluation (VGG, 3.2)."""
    resized = shorter_side(width, height, shorter)
    return View((0, 0, width, height), resized, (0, 0), resized)


def centre_crop(width: int, height: int, *, size: int, shorter: int) -> View:
    """The central square of side `size`, after the shorter side became `shorter`.

    A square that is larger than the picture is filled up with black on both sides
    (an odd pixel goes to the right or bottom). Rounding is torchvision's `CenterCrop`
    (half to even) in both cases.
    """
    view = whole(width, height, shorter)
    corner = tuple(_centre(side, size) for side in view.resized)
    return view._replace(corner=corner, size=(size, size))


def _centre(side: int, size: int) -> int:
    return round((side - size) / 2) if side >= size else -((size - side) // 2)


def ten_crops(width: int, height: int, *, size: int, shorter: int) -> tuple[View, ...]:
    """Top left, top right, bottom left, bottom right, centre; then the five mirrored.

    The corners are those of the central square of side `shorter` (AlexNet, sec. 4.1).
    Raises InputError when `size` is above `shorter`.
    """
    _check_fits(size, shorter)
    square = centre_crop(width, height, size=shorter, shorter=shorter)
    return _with_mirrors(_five(square, size))


def googlenet_crops(width: int, height: int, *, size: int) -> tuple[View, ...]:
    """The 144 crops of GoogLeNet (section 7): 4 scales x 3 squares x 6 crops x 2.

    The shorter side becomes 256, 288, 320 and 352 (in proportion when `size` is not
    224); of each scale the left, central and right square (top, central, bottom of an
    upright picture); of each square 4 corners and the centre, then the square itself
    resized to `size`; then all that mirrored. The squares are resized from the picture
    in one step, and so are the same at the four scales.
    """
    views = []
    for base in (256, 288, 320, 352):
        scale = round(base * size / 224)
        resized = shorter_side(width, height, scale)
        for third in range(3):
            middle = _centre(max(resized), scale)
            start = (0, middle, max(resized) - scale)[third]
            corner = (start, 0) if width > height else (0, start)
            square = whole(width, height, scale)
            square = square._replace(corner=corner, size=(scale, scale))
            views += [*_five(square, size), _square(width, height, size, third)]
    return _with_mirrors(views)


def _five(square: View, size: int) -> list[View]:
    """Four corners and the centre of the window of `square`."""
    left, top = square.corner
    room = square.size[0] - size
    middle = _centre(square.size[0], size)
    places = ((0, 0), (room, 0), (0, room), (room, room), (middle, middle))
    return [
        square._replace(corner=(left + x, top + y), size=(size, size))
        for x, y in places
    ]


def _square(width: int, height: int, size: int, third: int) -> View:
    """The first, central or last square of a picture, resized to `size`."""
    side, room = min(width, height), abs(width - height)
    start = (0, _centre(side + room, side), room)[third]
    left, top = (start, 0) if width > height else (0, start)
    region = (left, top, left + side, top + side)
    return View(region, (size, size), (0, 0), (size, size))


def _with_mirrors(views: list[View]) -> tuple[View, ...]:
    return (*views, *(view._replace(flip=True) for view in views))


def random_crop(
    rng: np.random.Generator,
    width: int,
    height: int,
    *,
    size: int,
    shorter: tuple[int, int],
    pad: int = 0,
) -> View:
    """A square of side `size` anywhere in the picture, its shorter side resized to S.

    S is drawn from shorter[0] to shorter[1], both included (VGG section 3.1; ResNet
    section 3.4), then every place that holds the square, up to `pad` pixels over each
    edge, is as likely as any other. Raises InputError when none holds it.
    """
    _check_fits(size, shorter[0] + 2 * pad)
    view = whole(width, height, _between(rng, *shorter))
    corner = tuple(_between(rng, -pad, side + pad - size) for side in view.resized)
    return view._replace(corner=corner, size=(size, size))


def random_crop_of_square(
    rng: np.random.Generator, width: int, height: int, *, size: int, shorter: int
) -> View:
    """A square of side `size` anywhere in the central square of side `shorter`
    (AlexNet, sections 2 and 4.1). Raises InputError when `size` is above `shorter`."""
    _check_fits(size, shorter)
    square = centre_crop(width, height, size=shorter, shorter=shorter)
    corner = tuple(at + _between(rng, 0, shorter - size) for at in square.corner)
    return square._replace(corner=corner, size=(size, size))


def area_crop(
    rng: np.random.Generator,
    width: int,
    height: int,
    *,
    size: int,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    law: str = "log",
) -> View:
    """A box of random area and shape, anywhere, resized to a square of side `size`.

    Its area is U(area) of the picture's, its width over height is drawn from `aspect`
    by the `law`, and its sides are rounded. Ten tries to fit it in, then a fallback.
    "log": log(width / height) is uniform; the fallback is the largest central box
    with an aspect in range. This is torchvision's RandomResizedCrop.
    "uniform": width / height is uniform and the sides are swapped half of the time;
    the fallback is the centre crop at shorter side `size`. This is the crop of
    "Going deeper with convolutions" (section 6) as fb.resnet.torch has it.
    """
    for _ in range(_TRIES):
        target = width * height * rng.uniform(*area)
        if law == "log":
            ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
            wide, high = _sides(target, ratio)
        else:
            wide, high = _sides(target, rng.uniform(*aspect))
            if rng.random() < 0.5:
                wide, high = high, wide
        if 0 < wide <= width and 0 < high <= height:
            left, top = _between(rng, 0, width - wide), _between(rng, 0, height - high)
            return _box(left, top, wide, high, size)
    if law == "uniform":
        return centre_crop(width, height, size=size, shorter=size)
    wide = min(width, max(1, round(height * aspect[1])))
    high = min(height, max(1, round(width / aspect[0])))
    return _box((width - wide) // 2, (height - high) // 2, wide, high, size)


def _sides(area: float, ratio: float) -> tuple[int, int]:
    return round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))


def _box(left: int, top: int, wide: int, high: int, size: int) -> View:
    region = (left, top, left + wide, top + high)
    return View(region, (size, size), (0, 0), (size, size))


def _between(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def _check_fits(size: int, shorter: int) -> None:
    if size > shorter:
        raise InputError(f"size: {size} does not fit into a side of {shorter} pixels")


EVALUATIONS = ("centre", "ten", "googlenet", "whole")


class Evaluation(NamedTuple):
    """How a picture is looked at in evaluation, as data.

    crops: "centre" (1 view), "ten", "googlenet" (144), or "whole" (one view of all of
    the picture, as large as the picture's proportions make it).
    size: side of a crop; `shorter`: what the shorter side is resized to. ("googlenet"
    has its own scales, "whole" has no size.)
    """

    crops: str = "centre"
    size: int = 224
    shorter: int = 256

    def views(self, width: int, height: int) -> Iterator[View]:
        """The views of a picture of this size. Raises InputError for other `crops`,
        and for a size that does not fit (see each function)."""
        size, shorter = self.size, self.shorter
        if min(size, shorter) < 1:
            raise InputError(f"size, shorter: {size}, {shorter}; expected at least 1")
        if self.crops == "centre":
            yield centre_crop(width, height, size=size, shorter=shorter)
        elif self.crops == "ten":
            yield from ten_crops(width, height, size=size, shorter=shorter)
        elif self.crops == "googlenet":
            yield from googlenet_crops(width, height, size=size)
        elif self.crops == "whole":
            yield whole(width, height, shorter)
        else:
            raise InputError(
                f"crops: {self.crops!r}; expected one of {', '.join(EVALUATIONS)}"
            )
