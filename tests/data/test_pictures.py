"""Picture files of every kind against Pillow itself, and every way one can be bad."""

import pickle
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jnets.data.augmentation import AUGMENTATIONS, augmentation
from jnets.data.crops import Evaluation, View, centre_crop
from jnets.data.pictures import (
    PictureError,
    change_colours,
    decode,
    pillow,
    read_views,
    view_of,
)
from jnets.errors import InputError

RGB = np.random.default_rng(0).integers(0, 256, (23, 31, 3), np.uint8)


def smooth(height, width):
    """A picture that filters hardly change, so that sizes can be compared."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 37 + k) * np.cos(y / 29 - k) for k in range(3)]
    return np.rint(127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def saved(path, image, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("kind", ["png", "ppm", "bmp", "tif", "webp"])
def test_lossless_files_give_their_pixels(tmp_path, kind):
    options = {"lossless": True} if kind == "webp" else {}
    path = saved(tmp_path / f"x.{kind}", RGB, **options)
    np.testing.assert_array_equal(decode(path), RGB, strict=True)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_modes_are_converted_as_pillow_does(tmp_path, mode):
    image = Image.fromarray(RGB).convert("RGBA")
    image.putalpha(Image.fromarray(RGB[..., 0]))
    image = image.convert("RGB").convert(mode) if mode in ("1", "P") else image
    image = image if image.mode == mode else image.convert(mode)
    path = saved(tmp_path / f"x.{'tif' if mode in ('CMYK', 'YCbCr') else 'png'}", image)
    with Image.open(path) as again:
        assert again.mode == mode
        expected = np.asarray(again.convert("RGB"))
    np.testing.assert_array_equal(decode(path), expected)


def test_transparency_is_dropped_not_blended(tmp_path):
    rgba = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    np.testing.assert_array_equal(decode(saved(tmp_path / "x.png", rgba)), RGB)


def test_palette_with_transparent_colours(tmp_path):
    image = Image.fromarray(RGB).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    for transparency in (3, bytes(range(16))):
        path = saved(tmp_path / "x.png", image, transparency=transparency)
        np.testing.assert_array_equal(decode(path), expected)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_16_bit_grey_is_scaled(tmp_path, kind):
    values = np.array([[0, 128, 129, 257], [25700, 32768, 65407, 65535]], np.uint16)
    grey = np.array([[0, 0, 1, 1], [100, 128, 255, 255]], np.uint8)
    path = saved(tmp_path / f"x.{kind}", values)
    np.testing.assert_array_equal(decode(path), np.dstack([grey] * 3))


def test_16_bit_portable_greymap(tmp_path):
    values = np.array([[0, 257], [51400, 65535]], ">u2")
    (tmp_path / "x.pgm").write_bytes(b"P5 2 2 65535\n" + values.tobytes())
    assert decode(tmp_path / "x.pgm")[..., 1].tolist() == [[0, 1], [200, 255]]


def test_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "x.jpg", smooth(40, 60), exif=exif)
    assert decode(path).shape == (40, 60, 3)


def fails(path, *parts):
    with pytest.raises(PictureError) as caught:
        decode(path)
    message = str(caught.value)
    assert message == f"{path}: not a readable picture ({caught.value.reason})"
    assert caught.value.path == str(path) and "\n" not in message
    assert message.count(str(path)) == 1
    for part in parts:
        assert part in caught.value.reason


def test_files_that_are_no_pictures(tmp_path):
    fails(tmp_path / "none.jpg", "No such file or directory")
    fails(tmp_path, "Is a directory")
    (tmp_path / "empty.jpg").write_bytes(b"")
    fails(tmp_path / "empty.jpg", "cannot identify image file")
    (tmp_path / "text.jpg").write_text("a dog")
    fails(tmp_path / "text.jpg", "cannot identify image file")
    fails(saved(tmp_path / "float.tif", np.zeros((3, 3), np.float32)), "no fixed range")
    wide = np.array([[0, 70000]], np.int32)
    fails(saved(tmp_path / "wide.tif", wide), "values 0 to 70000, expected 0 to 65535")
    below = np.array([[-5, 7]], np.int32)
    fails(saved(tmp_path / "below.tif", below), "values -5 to 7")


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
def test_any_truncation_is_told(tmp_path, kind):
    path = saved(tmp_path / f"x.{kind}", RGB)
    content = path.read_bytes()
    for part in np.linspace(0, 0.9, 19):
        path.write_bytes(content[: int(part * len(content))])
        fails(path)


def test_a_bomb_is_refused_unread(tmp_path):
    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
    path = tmp_path / "x.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))
    fails(path, "exceeds limit")


def test_the_error_passes_between_processes():
    error = pickle.loads(pickle.dumps(PictureError("a.jpg", "torn")))
    assert isinstance(error, InputError) and (error.path, error.reason) == (
        "a.jpg",
        "torn",
    )


def test_odd_but_readable_files_do_not_warn(tmp_path):
    """An EXIF block that is cut off: Pillow warns, and reads the picture."""
    exif = Image.Exif()
    exif[0x0112] = 1
    path = saved(tmp_path / "x.jpg", smooth(40, 60), exif=exif)
    content = path.read_bytes()
    at = content.index(b"Exif") + 6 + 4
    path.write_bytes(content[:at] + b"\xff\xff" + content[at + 2 :])
    pillow.cache_clear()
    with warnings.catch_warnings(record=True) as seen:
        assert decode(path).shape == (40, 60, 3)
    assert not seen


def test_without_pillow(monkeypatch, tmp_path):
    pillow.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r"pip install jnets\[experiments\]"):
        decode(tmp_path / "x.png")


def by_steps(array, view):
    """The same view by separate steps of Pillow: cut, resize all, cut, mirror."""
    image = Image.fromarray(array)
    image = image.crop(view.region)
    image = image.resize(view.resized, Image.Resampling[view.filter.upper()])
    left, top = view.corner
    image = image.crop((left, top, left + view.size[0], top + view.size[1]))
    return np.asarray(image)[:, ::-1] if view.flip else np.asarray(image)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([name for name in sorted(AUGMENTATIONS) if name != "inception"]),
    st.integers(20, 90),
    st.integers(20, 90),
    st.integers(8, 64),
    st.integers(0, 2**32),
)
def test_views_agree_with_pillow_step_by_step(name, width, height, size, seed):
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 256, (height, width, 3), np.uint8)
    view = augmentation(name, size).draw(rng, width, height)
    found, expected = view_of(array, view), by_steps(array, view)
    assert found.dtype == np.uint8 and found.shape == (size, size, 3)
    # Only what the window shows is resized. Pillow keeps its edges as float32, so that
    # a half (simple proportions have many) may be rounded down, in each of two passes.
    np.testing.assert_allclose(found.astype(int), expected, atol=2)


@pytest.mark.parametrize("crops", ["centre", "ten", "googlenet", "whole"])
def test_evaluation_views_agree_with_pillow(crops):
    for view in Evaluation(crops, 20, 24).views(31, 23):
        found, expected = view_of(RGB, view), by_steps(RGB, view)
        np.testing.assert_allclose(found.astype(int), expected, atol=1)


@pytest.mark.parametrize("name", ["nearest", "box", "bicubic"])
def test_filters(name):
    view = centre_crop(31, 23, size=16, shorter=18)._replace(filter=name)
    np.testing.assert_allclose(
        view_of(RGB, view).astype(int), by_steps(RGB, view), atol=1
    )


def test_pad_and_crop_moves_pixels_and_leaves_black():
    image = RGB[:23, :23]
    view = View((0, 0, 23, 23), (23, 23), (-3, 2), (23, 23))
    expected = np.zeros_like(image)
    expected[:21, 3:] = image[2:, :20]
    np.testing.assert_array_equal(view_of(image, view), expected)
    flipped = view_of(image, view._replace(flip=True))
    np.testing.assert_array_equal(flipped, expected[:, ::-1])
    beside = view_of(image, view._replace(corner=(23, 0)))
    assert not beside.any()


def test_centre_crop_larger_than_the_picture():
    found = view_of(RGB, centre_crop(31, 23, size=28, shorter=23))
    np.testing.assert_array_equal(found[2:25], RGB[:, 2:30])
    assert not found[:2].any() and not found[25:].any()


def test_read_views_is_decode_then_view(tmp_path):
    path = saved(tmp_path / "x.jpg", smooth(90, 120))
    chosen = list(Evaluation("ten", 40, 48).views(120, 90))
    expected = np.stack([view_of(decode(path), view) for view in chosen])
    asked = []

    def choose(width, height):
        asked.append((width, height))
        return chosen

    np.testing.assert_array_equal(read_views(path, choose), expected, strict=True)
    assert asked == [(120, 90)]


@pytest.mark.parametrize(
    ("height", "width", "shorter", "factor"),
    [(400, 600, 48, 8), (401, 603, 100, 4), (399, 601, 199, 2), (400, 600, 201, 1)],
)
def test_draft_decodes_smaller_and_nearly_the_same(
    tmp_path, monkeypatch, height, width, shorter, factor
):
    path = saved(tmp_path / "x.jpg", smooth(height, width), quality=95)
    sizes = []
    original = Image.Image.resize

    def resize(image, *arguments):
        sizes.append(image.size)
        return original(image, *arguments)

    monkeypatch.setattr(Image.Image, "resize", resize)
    evaluation = Evaluation("centre", 40, shorter)
    drafts = [read_views(path, evaluation.views, draft=True) for _ in range(2)]
    full = read_views(path, evaluation.views)
    assert sizes[0] == (-(-width // factor), -(-height // factor))
    assert sizes[2] == (width, height)
    np.testing.assert_array_equal(*drafts)
    np.testing.assert_allclose(drafts[0].astype(int), full, atol=3)


def test_draft_of_a_small_region_keeps_its_pixels(tmp_path):
    path = saved(tmp_path / "x.jpg", smooth(400, 600), quality=95)
    view = View((100, 50, 196, 146), (96, 96), (0, 0), (96, 96))
    full = read_views(path, lambda w, h: [view])
    np.testing.assert_array_equal(
        read_views(path, lambda w, h: [view], draft=True), full
    )


def test_draft_of_other_formats_changes_nothing(tmp_path):
    path = saved(tmp_path / "x.png", RGB)
    views = Evaluation("centre", 5, 5).views
    np.testing.assert_array_equal(
        read_views(path, views, draft=True), read_views(path, views)
    )


def test_colour_steps_by_hand():
    image = np.array([[[100, 0, 200], [50, 50, 50]]], np.uint8)

    def changed(*steps):
        return change_colours(image, steps)[0].tolist()

    assert changed(("brightness", 1.5)) == [[150, 0, 255], [75, 75, 75]]
    # grey of the first: 29.9 + 22.8 = 52.7; the mean grey is 51.35
    assert changed(("saturation", 0.0)) == [[53, 53, 53], [50, 50, 50]]
    assert changed(("contrast", 0.0)) == [[51, 51, 51], [51, 51, 51]]
    assert changed(("contrast", 0.5)) == [[76, 26, 126], [51, 51, 51]]
    assert changed(("saturation", 0.5)) == [[76, 26, 126], [50, 50, 50]]
    # Not clipped between: 200 x 2 = 400 comes back to 200.
    assert changed(("brightness", 2.0), ("brightness", 0.5)) == image[0].tolist()
    order = [("brightness", 0.5), ("contrast", 0.2), ("saturation", 1.7)]
    assert change_colours(image, order).tolist() == by_floats(image, order)


def by_floats(image, steps):
    x = [[float(v) for v in pixel] for pixel in image[0]]
    for what, a in steps:
        greys = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in x]
        mean = sum(greys) / len(greys)
        other = {"brightness": [0] * 2, "contrast": [mean] * 2, "saturation": greys}
        x = [
            [a * v + (1 - a) * y for v in pixel]
            for pixel, y in zip(x, other[what], strict=True)
        ]
    return [[[round(min(max(v, 0), 255)) for v in pixel] for pixel in x]]


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_colours_agree_with_pillow(factor):
    from PIL import ImageEnhance

    image = smooth(30, 40)
    kinds = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }
    for what, kind in kinds.items():
        expected = np.asarray(kind(Image.fromarray(image)).enhance(factor))
        found = change_colours(image, [(what, factor)])
        # Pillow rounds the grey first and cuts the result.
        np.testing.assert_allclose(found.astype(int), expected, atol=2)
