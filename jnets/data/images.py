"""How an image becomes what a model takes, as data.

An `ImageSpec` says both halves: how a data set draws its images (native size, range,
where the ink sits) and how a model sees them (size, values). It is plain data, so a
checkpoint can carry it and a picture can be prepared later exactly as in training.
"""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jnets.errors import InputError

_CHUNK = 4096  # images at a time: bounds the temporaries to tens of MB
_MAX_PIXELS = 50_000_000  # beyond any phone's photograph of a digit
_MIN_CONTRAST = 26  # of 255: less between paper and ink is noise
_RINGING = 0.05  # of full ink: less is what JPEG leaves around strokes


class ImageSpec(NamedTuple):
    """One grey image, from the data set to the model.

    native: (height, width) of the data set's images, in pixels.
    maximum: value of full ink in the data set; the background is 0.
    resize: side of the square that the native image is resized to.
    size: side of the square that the model takes; the rest is background.
    low, high: values that background and full ink have for the model.
    box: side of the square that the data set fits the ink into.
    centre: "mass" puts the ink's centre of mass at the centre, "box" its bounding box.
    """

    native: tuple[int, int]
    maximum: int
    resize: int
    size: int
    low: float
    high: float
    box: int
    centre: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; `from_json` is the inverse."""
        return self._asdict() | {"native": list(self.native)}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> "ImageSpec":
        """The spec with these fields. Raises InputError for any other set of fields,
        or for values that do not fit together."""
        if set(fields) != set(ImageSpec._fields):
            raise InputError(
                f"image spec: fields {sorted(fields)}, "
                f"expected {sorted(ImageSpec._fields)}"
            )
        try:
            spec = ImageSpec(**fields)._replace(native=tuple(fields["native"]))
            check(spec)
        except TypeError:
            raise InputError(
                f"image spec: a value of the wrong type in {dict(fields)}"
            ) from None
        return spec


def check(spec: ImageSpec) -> None:
    """Raises InputError unless the fields of `spec` fit together."""
    whole = (*spec.native, spec.maximum, spec.resize, spec.size, spec.box)
    rules = {
        "native, maximum, resize, size and box must be whole numbers": all(
            isinstance(value, int) for value in whole
        ),
        "native must be two sizes of at least 1": (
            len(spec.native) == 2 and min(spec.native) >= 1
        ),
        "maximum must be 1 to 255": 1 <= spec.maximum <= 255,
        "resize must be 1 to size": 1 <= spec.resize <= spec.size,
        "low must be below high": spec.low < spec.high,
        "box must be 1 to the smaller native side": 1 <= spec.box <= min(spec.native),
        "centre must be 'mass' or 'box'": spec.centre in ("mass", "box"),
    }
    for rule, holds in rules.items():
        if not holds:
            raise InputError(f"image spec: {rule}; got {spec.to_json()}")


def prepare(images: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Native uint8 [N, h, w] to float32 [N, size, size, 1].

    With x = images / maximum resized and padded with zeros, the result is
    low (1 - x) + high x: exactly low on the background and high on full ink. Resizing
    is bilinear with half-pixel centres when enlarging, and the mean over each
    pixel's area when shrinking. Padding is equal on all sides (an odd pixel goes to
    the end). Raises InputError for images that are not what `spec` calls native.
    """
    check(spec)
    if images.dtype != np.uint8 or images.shape[1:] != tuple(spec.native):
        raise InputError(
            f"images: {images.dtype} {list(images.shape)}, expected uint8 "
            f"[N, {spec.native[0]}, {spec.native[1]}]"
        )
    if images.size and images.max() > spec.maximum:
        raise InputError(
            f"images: value {images.max()} is above the maximum {spec.maximum}"
        )
    low, high = np.float32(spec.low), np.float32(spec.high)
    start = (spec.size - spec.resize) // 2
    inner = slice(start, start + spec.resize)
    result = np.full((len(images), spec.size, spec.size, 1), low, np.float32)
    for first in range(0, len(images), _CHUNK):
        chunk = images[first : first + _CHUNK] / np.float32(spec.maximum)
        x = np.clip(_resize(chunk, (spec.resize, spec.resize)), 0, 1)
        result[first : first + _CHUNK, inner, inner, 0] = low * (1 - x) + high * x
    return result


def _resize(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """float32 [..., h, w] to [..., *shape], one small matrix product per axis."""
    if images.shape[-2:] == shape:
        return images
    down = _interpolation(images.shape[-2], shape[0])
    across = _interpolation(images.shape[-1], shape[1])
    return down @ (images @ across.T)


def _interpolation(old: int, new: int) -> np.ndarray:
    """float32 [new, old], rows that sum to 1: an axis of `old` pixels seen as `new`."""
    if new >= old:
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        weights = 1 - np.abs(at[:, None] - np.arange(old))
    else:
        edges = np.arange(new + 1) * old / new
        pixels = np.arange(old)
        covered = np.minimum(edges[1:, None], pixels + 1)
        weights = (covered - np.maximum(edges[:-1, None], pixels)) * new / old
    return np.maximum(weights, 0).astype(np.float32)


def load_digit_image(path: str | os.PathLike[str], spec: ImageSpec) -> np.ndarray:
    """A picture of one digit as the data set would draw it: uint8 [h, w], native.

    Takes any file Pillow reads: colour becomes grey, transparency white paper, EXIF
    orientation is applied, of several frames the first counts. The median of the
    border is the paper; ink is what differs from it, dark on light or light on dark,
    by at least 5 % of the strongest ink or three times the border's own variation.
    An image that already has the native size and a dark background is taken pixel for
    pixel (values 0..255 scaled to `maximum`, unless none is above it). Any other is
    cropped to its ink, fitted into `box` with its proportions kept, and centred;
    its strongest ink becomes `maximum`. One digit and nothing else should be in the
    picture. Raises InputError when Pillow is missing, or the file is missing, too
    large, damaged, no image, or blank.
    """
    check(spec)
    grey = _read_grey(Path(path))
    border = np.append(grey[[0, -1]], grey[:, [0, -1]])
    paper = float(np.median(border))
    dark, light = float(grey.min()), float(grey.max())
    is_native = grey.shape == tuple(spec.native) and paper < (dark + light) / 2
    if is_native:
        scale = 1 if light <= spec.maximum else spec.maximum / 255
        return np.rint(grey * scale).astype(np.uint8)
    full = dark if paper - dark > light - paper else light
    if abs(full - paper) < _MIN_CONTRAST:
        raise InputError(
            f"{path}: blank: grey values {dark:.0f} to {light:.0f} of 255, "
            "expected a digit on plain paper"
        )
    ink = np.clip((grey.astype(np.float32) - paper) / (full - paper), 0, 1)
    # Three times what 95 % of the border stays within: 6 sigma of a normal grain.
    grain = 3 * np.percentile(np.abs(border - paper), 95) / abs(full - paper)
    ink[ink < np.clip(grain, _RINGING, 0.5)] = 0
    return np.rint(_fit(ink, spec) * spec.maximum).astype(np.uint8)


def _read_grey(path: Path) -> np.ndarray:
    """uint8 [H, W], upright, white paper where the picture is transparent."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise InputError(
            "image: Pillow is missing; pip install jnets[experiments]"
        ) from None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise Image.DecompressionBombError
            upright = ImageOps.exif_transpose(image)
            if upright.mode[0] in "IF":  # 16-bit and float have no fixed maximum
                return _stretch(np.asarray(upright, np.float64))
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright)
            return np.asarray(upright.convert("L"))
    except Image.DecompressionBombError:
        raise InputError(
            f"{path}: too large; expected at most {_MAX_PIXELS} pixels"
        ) from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, expected a picture") from None
    except Exception as error:  # Pillow's readers let any exception out of bad files
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable image ({reason})") from None


def _stretch(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return np.rint((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)


def _fit(ink: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Ink 0..1 [H, W], cropped and placed as the data set does: [h, w]."""
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = spec.box / max(crop.shape)
    height, width = (max(1, round(side * scale)) for side in crop.shape)
    small = _resize(crop, (height, width))
    small = small / small.max()  # a thin pen would fade when shrunk
    top = _offset(small.sum(1), spec.native[0], spec.centre)
    left = _offset(small.sum(0), spec.native[1], spec.centre)
    field = np.zeros(spec.native, np.float32)
    field[top : top + height, left : left + width] = small
    return field


def _offset(profile: np.ndarray, side: int, centre: str) -> int:
    """Where ink with this profile along an axis of `side` pixels begins.

    MNIST has its centre of mass at pixel side/2 (14.0 of 0..27, to the nearest whole
    pixel). Ink never leaves the field.
    """
    room = side - len(profile)
    if centre == "box":
        return (room + 1) // 2
    mass = np.average(np.arange(len(profile)), weights=profile)
    return min(max(round(side / 2 - float(mass)), 0), room)
