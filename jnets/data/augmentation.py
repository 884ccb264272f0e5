"""Random views of pictures for training, as data that a checkpoint can carry."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jnets.data.crops import (
    View,
    area_crop,
    centre_crop,
    random_crop,
    random_crop_of_square,
)
from jnets.errors import InputError

CROPS = ("centre", "square", "random", "area")
LAWS = ("log", "uniform")
FILTERS = ("nearest", "box", "bilinear", "bicubic")
_COLOUR = ("brightness", "contrast", "saturation")


class Augmentation(NamedTuple):
    """How training looks at a picture.

    crop: "centre"; "square", anywhere in the central square; "random", anywhere;
    "area", a box of random area and shape (`jnets.data.crops` has each).
    size: side of the square that the model takes, in pixels.
    shorter: the shorter side is resized to a whole number in this range, both
    included ("centre" and "square" take the first; "area" ignores it).
    pad: pixels that a "random" crop may reach over each edge.
    area, aspect, law: of an "area" crop.
    flip: mirrored left to right half of the time.
    jitter: brightness, contrast and saturation in random order, each times a factor
    U(1 - jitter, 1 + jitter); 0 for none.
    filters: one is drawn for each picture.
    """

    crop: str
    size: int
    shorter: tuple[int, int] = (256, 256)
    pad: int = 0
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    law: str = "log"
    flip: bool = True
    jitter: float = 0.0
    filters: tuple[str, ...] = ("bilinear",)

    def draw(self, rng: np.random.Generator, width: int, height: int) -> View:
        """A random view of a picture of this size."""
        view = _crop(self, rng, width, height)
        if self.flip:
            view = view._replace(flip=bool(rng.integers(2)))
        chosen = rng.integers(len(self.filters)) if len(self.filters) > 1 else 0
        view = view._replace(filter=self.filters[chosen])
        if self.jitter:
            factors = rng.uniform(1 - self.jitter, 1 + self.jitter, len(_COLOUR))
            steps = [(_COLOUR[i], float(factors[i])) for i in rng.permutation(3)]
            view = view._replace(colour=tuple(steps))
        return view

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; `from_json` is the inverse."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self._asdict().items()
        }

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> "Augmentation":
        """The augmentation with these fields. Raises InputError for any other set of
        fields, or for values that do not fit together."""
        if set(fields) != set(Augmentation._fields):
            raise InputError(
                f"augmentation: fields {sorted(fields)}, "
                f"expected {sorted(Augmentation._fields)}"
            )
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        result = Augmentation(**values)
        check(result)
        return result


def _crop(
    spec: Augmentation, rng: np.random.Generator, width: int, height: int
) -> View:
    size = spec.size
    if spec.crop == "area":
        area, aspect, law = spec.area, spec.aspect, spec.law
        return area_crop(
            rng, width, height, size=size, area=area, aspect=aspect, law=law
        )
    if spec.crop == "random":
        shorter, pad = spec.shorter, spec.pad
        return random_crop(rng, width, height, size=size, shorter=shorter, pad=pad)
    if spec.crop == "square":
        return random_crop_of_square(
            rng, width, height, size=size, shorter=spec.shorter[0]
        )
    return centre_crop(width, height, size=size, shorter=spec.shorter[0])


def check(spec: Augmentation) -> None:
    """Raises InputError unless the fields of `spec` fit together."""
    try:
        rules = _rules(spec)
    except TypeError:
        raise InputError(
            f"augmentation: a value of the wrong type in {spec.to_json()}"
        ) from None
    for rule, holds in rules.items():
        if not holds:
            raise InputError(f"augmentation: {rule}; got {spec.to_json()}")


def _rules(spec: Augmentation) -> dict[str, bool]:
    whole = (spec.size, spec.pad, *spec.shorter)
    return {
        f"crop must be one of {', '.join(CROPS)}": spec.crop in CROPS,
        f"law must be one of {', '.join(LAWS)}": spec.law in LAWS,
        "size, pad and shorter must be whole numbers": all(
            isinstance(value, int) for value in whole
        ),
        "flip must be true or false": isinstance(spec.flip, bool),
        "shorter must be two sizes, smaller first": _is_range(spec.shorter),
        "size must be at least 1": spec.size >= 1,
        "pad must be at least 0": spec.pad >= 0,
        "size must be at most shorter[0] + 2 pad": (
            spec.crop == "area" or spec.size <= spec.shorter[0] + 2 * spec.pad
        ),
        "only a random crop has a pad": spec.pad == 0 or spec.crop == "random",
        "area must be in (0, 1], smaller first": (
            _is_range(spec.area) and spec.area[1] <= 1
        ),
        "aspect must be two positive numbers, smaller first": (
            _is_range(spec.aspect) and math.isfinite(spec.aspect[1])
        ),
        "jitter must be in [0, 1]": 0 <= spec.jitter <= 1,
        f"filters must be of {', '.join(FILTERS)}": (
            len(spec.filters) > 0 and set(spec.filters) <= set(FILTERS)
        ),
    }


def _is_range(pair: tuple[float, ...]) -> bool:
    return len(pair) == 2 and 0 < pair[0] <= pair[1]


# At the size of each source: 224, and 32 for CIFAR.
AUGMENTATIONS: Mapping[str, Augmentation] = MappingProxyType(
    {
        # Krizhevsky et al. 2012, section 4.1.
        "alexnet": Augmentation("square", 224),
        # Simonyan and Zisserman 2015, section 3.1, multi-scale.
        "vgg": Augmentation("random", 224, (256, 512)),
        # He et al. 2016, section 3.4.
        "resnet": Augmentation("random", 224, (256, 480)),
        # Szegedy et al. 2015, section 6; jitter of .4 from fb.resnet.torch.
        "inception": Augmentation(
            "area", 224, law="uniform", jitter=0.4, filters=FILTERS
        ),
        # torchvision's reference training: RandomResizedCrop and a mirror.
        "torchvision": Augmentation("area", 224),
        # Of a few thousand pictures: a crop shows at least a quarter.
        "small": Augmentation("area", 224, area=(0.25, 1.0)),
        # He et al. 2016, section 4.2.
        "cifar": Augmentation("random", 32, (32, 32), pad=4),
        "none": Augmentation("centre", 224, flip=False),
    }
)


def augmentation(name: str, size: int) -> Augmentation:
    """The row `name` of AUGMENTATIONS for a model that takes `size` x `size`.

    Lengths keep their proportion to the size: at 112 pixels "alexnet" crops from 128.
    Raises InputError for an unknown name or a size below 1.
    """
    if name not in AUGMENTATIONS:
        raise InputError(
            f"augmentation: {name!r}; expected one of {', '.join(AUGMENTATIONS)}"
        )
    if size < 1:
        raise InputError(f"size: {size}; expected at least 1")
    row = AUGMENTATIONS[name]
    low, high = (round(side * size / row.size) for side in row.shorter)
    pad = round(row.pad * size / row.size)
    return row._replace(size=size, shorter=(low, high), pad=pad)
