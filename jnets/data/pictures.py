"""Picture files to uint8 RGB [H, W, 3], and views of them.

What torchvision's `ImageFolder` would give (Pillow's `convert("RGB")`), but for
16-bit grey, which Pillow clips to white. Needs Pillow.
"""

import functools
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from jnets.data.crops import View
from jnets.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

PathLike: TypeAlias = str | os.PathLike[str]
Choose: TypeAlias = Callable[[int, int], Iterable[View]]  # (width, height) -> views

_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class PictureError(InputError):
    """A picture file that cannot be read: `path`, and `reason` on one line."""

    def __init__(self, path: str, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: not a readable picture ({self.reason})"


def decode(path: PathLike) -> np.ndarray:
    """The picture in `path`, whole: uint8 [H, W, 3], RGB.

    As torchvision's loader: grey is repeated, a palette looked up, CMYK converted by
    Pillow's formula (no colour profiles), transparency dropped (the colour under it
    stays), the first frame taken, and EXIF orientation NOT applied. Different from
    it: 16-bit grey v becomes v / 257, rounded, where Pillow clips at 255. Raises
    PictureError, with path and reason, for a file that is missing, truncated, no
    picture, above Pillow's limit of 179 million pixels, or of values without a fixed
    range (floats, 32-bit integers above 65535).
    """
    return np.array(_decode(path, lambda width, height: (), False)[0])


def read_views(path: PathLike, choose: Choose, *, draft: bool = False) -> np.ndarray:
    """Views of the picture in `path`: uint8 [views, h, w, 3], all of one size.

    `choose(width, height)` says which; each is what `view_of(decode(path), view)` is.
    With `draft` a JPEG that is needed at a half (a quarter, an eighth) of its size or
    less is decoded at that size: less work, the same on every call, but the mean of
    2x2 (4x4, 8x8) pixels in place of a filter over all of them changes values a
    little. Raises PictureError as `decode` does.
    """
    image, views, factor = _decode(path, choose, draft)
    return np.stack([_look(image, view, factor) for view in views])


def view_of(array: np.ndarray, view: View) -> np.ndarray:
    """What `view` shows of uint8 [H, W, 3]: uint8 [h, w, 3].

    Cut, resized (Pillow, with antialiasing; "bilinear" is a triangle as wide as the
    scale), windowed on black, mirrored, then its colours changed.
    """
    return np.array(_look(pillow().fromarray(array), view, 1))


@functools.cache
def pillow() -> ModuleType:
    """PIL.Image, with its warnings about odd but readable files turned off."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError(
            "pictures: Pillow is missing; pip install jnets[experiments]"
        ) from None
    # Once and for all: switching filters around each file is not safe in threads.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return Image


@contextmanager
def _reading(path: PathLike) -> Iterator[None]:
    try:
        yield
    except MemoryError:  # the machine's fault, not the file's
        raise
    except Exception as error:  # Pillow's readers let any exception out of bad files
        text = error.strerror if isinstance(error, OSError) else None
        reason = " ".join((text or str(error) or type(error).__name__).split())
        reason = reason.replace(f" {os.fspath(path)!r}", "")
        raise PictureError(os.fspath(path), reason) from None


def _decode(
    path: PathLike, choose: Choose, draft: bool
) -> tuple["Picture", Sequence[View], int]:
    """The picture in RGB, its views, and how many times smaller it was decoded."""
    opened = pillow().open
    with _reading(path):
        image = opened(path)
    with image:
        width, height = image.size
        views = tuple(choose(width, height))
        factor = _reduction(views) if draft else 1
        with _reading(path):
            if factor > 1:
                size = max(1, width // factor), max(1, height // factor)
                # Only JPEG knows how; it gives the factor that `size` came from.
                if image.draft(None, size) is None:
                    factor = 1
            return _to_rgb(image), views, factor


def _reduction(views: Sequence[View]) -> int:
    """How many times smaller, 1, 2, 4 or 8, all the views may be taken from."""
    room = 8.0
    for view in views:
        left, top, right, bottom = view.region
        room = min(room, (right - left) / view.resized[0])
        room = min(room, (bottom - top) / view.resized[1])
    return 2 ** max(0, int(math.log2(room)))


def _to_rgb(image: "Picture") -> "Picture":
    if image.mode[0] == "F":
        raise ValueError("floating-point values have no fixed range")
    if image.mode[0] == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(
                f"values {values.min()} to {values.max()}, expected 0 to 65535"
            )
        grey = np.rint(values / 257).astype(np.uint8)
        return pillow().fromarray(grey).convert("RGB")
    image.load()
    image.info.pop("transparency", None)  # dropped in any case, but with a warning
    return image if image.mode == "RGB" else image.convert("RGB")  # not even copied


def _look(image: "Picture", view: View, factor: int) -> np.ndarray:
    """`image` is `factor` times smaller than the picture that the view is of. The
    result may be read-only."""
    region = view.region
    if factor == 1 and region != (0, 0, *image.size):
        image = image.crop(region)  # nothing beyond its edges may bleed into it
        region = (0, 0, *image.size)
    spans = [_span(view, region, axis) for axis in (0, 1)]
    (x0, x1, left, right), (y0, y1, top, bottom) = spans
    part = None
    if x1 > x0 and y1 > y0:  # the window may lie beside the picture altogether
        box = (left / factor, top / factor, right / factor, bottom / factor)
        resample = pillow().Resampling[view.filter.upper()]
        part = image.resize((x1 - x0, y1 - y0), resample, box)
        if view.flip:  # by Pillow: NumPy takes ten times as long for triples of bytes
            part = part.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)
            x0, x1 = view.size[0] - x1, view.size[0] - x0
    if part is not None and part.size == view.size:
        field = np.asarray(part)
    else:
        field = np.zeros((view.size[1], view.size[0], 3), np.uint8)
        if part is not None:
            field[y0:y1, x0:x1] = np.asarray(part)
    return change_colours(field, view.colour) if view.colour else field


def _span(
    view: View, region: tuple[int, int, int, int], axis: int
) -> tuple[int, int, float, float]:
    """Along one axis: window pixels that see the picture, and where they see it."""
    start, length = region[axis], region[axis + 2] - region[axis]
    resized, corner, size = view.resized[axis], view.corner[axis], view.size[axis]
    low, high = max(0, -corner), min(size, resized - corner)
    unit = length / resized
    first = start + (corner + low) * unit
    last = min(start + (corner + high) * unit, region[axis + 2])
    return low, high, first, last


def change_colours(image: np.ndarray, steps: Iterable[tuple[str, float]]) -> np.ndarray:
    """uint8 [H, W, 3] with its brightness, contrast and saturation changed, in order.

    A step (what, a) is a x + (1 - a) y, with y black for "brightness", the picture's
    mean grey for "contrast", and each pixel's grey for "saturation"; grey is
    .299 R + .587 G + .114 B. Values are clipped and rounded once, at the end, as
    fb.resnet.torch, which works on floats, does not clip between the steps (Howard,
    "Some improvements on deep convolutional neural network based image
    classification", 2013, section 2.2).
    """
    x = image.astype(np.float32)
    for what, factor in steps:
        a = np.float32(factor)
        if what == "brightness":
            x = a * x
            continue
        grey = x @ _GREY
        y = grey.mean() if what == "contrast" else grey[..., None]
        x = a * x + (1 - a) * y
    return np.rint(np.clip(x, 0, 255)).astype(np.uint8)
