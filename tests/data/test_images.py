"""From a picture to the numbers a model takes, against Pillow and by hand."""

import json
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from jnets.data import digits
from jnets.data.digits import DIGITS
from jnets.data.images import ImageSpec, load_digit_image, prepare
from jnets.data.mnist import MNIST
from jnets.errors import InputError

CAFFE = MNIST._replace(size=28, low=0.0, high=255 / 256)  # LeNet of Caffe's examples


def spec(side, resize, size=None):
    return ImageSpec(
        (side, side), 255, resize, size or resize, 0.0, 1.0, side, centre="box"
    )


def resized(row, new):
    """A row [n] resized to [new], through an image that is constant along the other
    axis."""
    image = np.tile(np.array(row, np.uint8), (len(row), 1))[None]
    out = prepare(image, spec(len(row), new))[0, :, :, 0] * 255
    np.testing.assert_allclose(out, np.tile(out[:1], (new, 1)), atol=1e-4)
    return out[0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0, 100], [0, 25, 75, 100]),  # half-pixel centres: -1/4, 1/4, 3/4, 5/4
        ([10, 30, 50, 70], [20, 60]),
        ([30, 60, 90], [40, 80]),  # (30 + 60/2) / 1.5 and (60/2 + 90) / 1.5
        ([30, 60, 90], [60]),
        ([7, 9], [7, 9]),
    ],
)
def test_resize_literals(row, expected):
    np.testing.assert_allclose(resized(row, len(expected)), expected, atol=1e-4)


@pytest.mark.parametrize(("side", "new"), [(8, 28), (28, 32), (5, 13)])
def test_enlarging_agrees_with_pillow(side, new):
    image = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
    found = prepare(image[None], spec(side, new))[0, :, :, 0]
    expected = Image.fromarray(image.astype(np.float32)).resize(
        (new, new), Image.Resampling.BILINEAR
    )
    np.testing.assert_allclose(found, np.asarray(expected) / 255, atol=1e-6)


def test_shrinking_by_a_whole_factor_is_the_mean_of_blocks():
    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    found = prepare(image[None], spec(28, 7))[0, :, :, 0]
    expected = image.reshape(7, 4, 7, 4).mean((1, 3)) / 255
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(hnp.arrays(np.uint8, (2, 9, 9)), st.integers(1, 8))
def test_shrinking_keeps_the_mean(images, new):
    found = prepare(images, spec(9, new)).mean((1, 2, 3))
    np.testing.assert_allclose(found, images.mean((1, 2)) / 255, atol=1e-5)


def test_prepare_for_lenet_5():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 3, 5], image[0, 4, 5] = 255, 51
    out = prepare(image, MNIST)
    expected = np.full((1, 32, 32, 1), -0.1, np.float32)
    expected[0, 5, 7], expected[0, 6, 7] = 1.175, 0.155
    np.testing.assert_allclose(out, expected, atol=1e-7)
    assert (out.dtype, out.min(), out[0, 5, 7, 0]) == (
        np.float32,
        np.float32(-0.1),
        np.float32(1.175),
    )


def test_prepare_without_padding_and_with_an_odd_pixel():
    image = np.arange(784, dtype=np.uint16).reshape(1, 28, 28).astype(np.uint8)
    np.testing.assert_allclose(
        prepare(image, CAFFE)[..., 0], image / 256, atol=1e-7, strict=False
    )
    out = prepare(image, MNIST._replace(size=29))
    np.testing.assert_array_equal(
        out[:, :28, :28], prepare(image, MNIST)[:, 2:30, 2:30]
    )
    assert (out[:, 28] == np.float32(-0.1)).all()


def test_prepare_digits_and_chunks_and_nothing():
    images = np.random.default_rng(0).integers(0, 17, (5000, 8, 8), np.uint8)
    out = prepare(images, DIGITS)
    assert out.shape == (5000, 32, 32, 1)
    for index in (0, 4095, 4096, 4999):
        alone = prepare(images[index : index + 1], DIGITS)
        np.testing.assert_allclose(out[index : index + 1], alone, atol=1e-6)
    assert prepare(images[:0], DIGITS).shape == (0, 32, 32, 1)


@pytest.mark.parametrize(
    ("images", "chosen", "expected"),
    [
        (np.zeros((1, 28, 28)), MNIST, "float64 [1, 28, 28], expected uint8"),
        (np.zeros((28, 28), np.uint8), MNIST, "uint8 [28, 28], expected"),
        (np.zeros((1, 8, 8), np.uint8), MNIST, "[N, 28, 28]"),
        (np.full((1, 8, 8), 17, np.uint8), DIGITS, "value 17 is above the maximum 16"),
    ],
)
def test_images_that_are_not_native(images, chosen, expected):
    with pytest.raises(InputError) as caught:
        prepare(images, chosen)
    assert expected in str(caught.value)


@pytest.mark.parametrize("chosen", [MNIST, DIGITS, CAFFE])
def test_spec_survives_json(chosen):
    assert ImageSpec.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"native": [28]}, "native must be two sizes"),
        ({"native": 28}, "wrong type"),
        ({"maximum": 256}, "maximum must be 1 to 255"),
        ({"resize": 33}, "resize must be 1 to size"),
        ({"resize": 27.5}, "whole numbers"),
        ({"low": 2.0}, "low must be below high"),
        ({"low": float("nan")}, "low must be below high"),
        ({"low": "0"}, "wrong type"),
        ({"box": 29}, "box must be"),
        ({"centre": "middle"}, "centre must be"),
        ({"extra": 1}, "fields"),
    ],
)
def test_spec_that_does_not_fit(change, expected):
    with pytest.raises(InputError) as caught:
        ImageSpec.from_json(MNIST.to_json() | change)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """A 28x28 digit drawn as MNIST draws: 20 high, centred by mass."""
    path = tmp_path_factory.mktemp("native") / "seven.png"
    drawing = np.full((300, 400), 255, np.uint8)
    drawing[50:80, 100:220] = 0
    for row in range(80, 250):
        left = 190 - (row - 80) // 2
        drawing[row, left : left + 30] = 0
    Image.fromarray(drawing).save(path)
    image = load_digit_image(path, MNIST)
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert image.shape == (28, 28) and image.dtype == np.uint8
    assert rows[-1] - rows[0] == 19 and columns[-1] - columns[0] == 11
    assert image.max() == 255
    for axis in (0, 1):
        mass = np.average(np.arange(28), weights=image.sum(1 - axis, dtype=float))
        assert abs(mass - 14) <= 0.5
    return image


def enlarged(image, factor=10, margin=37):
    big = np.kron(image, np.ones((factor, factor), np.uint8))
    return np.pad(big, ((margin, 0), (3, margin)))


def test_native_image_is_taken_pixel_for_pixel(native, tmp_path):
    odd = np.roll(native, 3, axis=0)  # not centred: taken all the same
    Image.fromarray(odd).save(tmp_path / "odd.png")
    np.testing.assert_array_equal(load_digit_image(tmp_path / "odd.png", MNIST), odd)


def as_rgba(grey):
    """Black ink on transparent black."""
    zeros = np.zeros_like(grey)
    return Image.fromarray(np.dstack([zeros, zeros, zeros, grey]))


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("dark.png", Image.fromarray),
        ("light.png", lambda grey: Image.fromarray(255 - grey)),
        ("native.png", lambda grey: Image.fromarray(255 - grey[37::10, 3:-37:10])),
        ("colour.png", lambda grey: Image.fromarray(255 - grey).convert("RGB")),
        ("palette.gif", lambda grey: Image.fromarray(255 - grey).convert("P")),
        ("clear.png", as_rgba),
        ("print.tif", lambda grey: Image.fromarray(255 - grey).convert("CMYK")),
        ("deep.png", lambda grey: Image.fromarray(grey.astype(np.uint16) * 257)),
        ("float.tif", lambda grey: Image.fromarray(grey / np.float32(255))),
    ],
)
def test_same_digit_from_every_kind_of_file(native, tmp_path, name, picture):
    picture(enlarged(native)).save(tmp_path / name)
    found = load_digit_image(tmp_path / name, MNIST)
    # Ink below 5 % counts as paper; everything else is the native pixel again.
    expected = np.where(native < 0.05 * 255, 0, native)
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


def test_jpeg_with_orientation(native, tmp_path):
    turned = np.rot90(255 - enlarged(native), 1)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn clockwise
    Image.fromarray(turned).save(tmp_path / "x.jpg", exif=exif, quality=95)
    found = load_digit_image(tmp_path / "x.jpg", MNIST).astype(int)
    assert np.abs(found - native).mean() < 5


def test_photograph_with_uneven_paper_and_grain(native, tmp_path):
    grey = enlarged(native)
    paper = 200 + np.linspace(-8, 8, grey.shape[1])[None]
    grain = np.random.default_rng(0).normal(0, 3, grey.shape)
    photo = np.clip(paper - grey / 255 * 150 + grain, 0, 255).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "x.png")
    found = load_digit_image(tmp_path / "x.png", MNIST).astype(int)
    assert np.abs(found - native).mean() < 8


def test_uci_digits_come_back_up_to_their_column(tmp_path):
    _, test = digits.load()
    for image in test.inputs[0][:40]:
        big = np.kron(255 - image.astype(int) * 15, np.ones((12, 12), int))
        big = np.pad(big, 30, constant_values=255).astype(np.uint8)
        Image.fromarray(big).save(tmp_path / "x.png")
        found = load_digit_image(tmp_path / "x.png", DIGITS).astype(int)
        expected = image / image.max() * 16
        shifts = [np.roll(expected, shift, axis=1) for shift in (-1, 0, 1)]
        assert min(np.abs(found - each).max() for each in shifts) <= 0.51


@pytest.mark.parametrize("factor", [1, 15])
def test_native_uci_digit_as_a_file(tmp_path, factor):
    image = digits.load()[1].inputs[0][0]
    Image.fromarray(image * np.uint8(factor)).save(tmp_path / "x.png")
    found = load_digit_image(tmp_path / "x.png", DIGITS).astype(int)
    np.testing.assert_allclose(found, image, atol=0 if factor == 1 else 1)


@pytest.mark.parametrize(("wide", "first", "last"), [(45, 13, 15), (75, 12, 16)])
def test_bar_is_centred_on_pixel_14(tmp_path, wide, first, last):
    picture = Image.new("L", (500, 400), 255)
    picture.paste(0, (20, 30, 20 + wide, 330))
    picture.save(tmp_path / "x.png")
    expected = np.zeros((28, 28), np.uint8)
    expected[4:24, first : last + 1] = 255
    np.testing.assert_array_equal(load_digit_image(tmp_path / "x.png", MNIST), expected)


@pytest.mark.parametrize("shape", [(1, 300), (300, 1)])
def test_ink_that_fills_a_thin_picture(tmp_path, shape):
    grey = np.linspace(255, 0, 300).astype(np.uint8).reshape(shape)
    Image.fromarray(grey).save(tmp_path / "x.png")
    assert load_digit_image(tmp_path / "x.png", MNIST).max() == 255


def fails(path, expected):
    with pytest.raises(InputError) as caught:
        load_digit_image(path, MNIST)
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def chunk(kind, data):
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_huge_image_is_refused_unread(tmp_path, side):
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = (
        chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    fails(tmp_path / "x.png", "too large; expected at most 50000000 pixels")


def test_files_that_hold_no_digit(tmp_path):
    fails(tmp_path / "none.png", "no such file")
    fails(tmp_path, "not a readable image")
    (tmp_path / "text.png").write_text("a seven")
    fails(tmp_path / "text.png", "not a readable image")
    (tmp_path / "empty.png").write_bytes(b"")
    fails(tmp_path / "empty.png", "not a readable image")
    for name, value in (("white", 255), ("black", 0)):
        Image.new("L", (28, 28), value).save(tmp_path / f"{name}.png")
        fails(tmp_path / f"{name}.png", "blank")
    faint = np.random.default_rng(0).integers(240, 256, (99, 99), np.uint8)
    Image.fromarray(faint).save(tmp_path / "faint.png")
    fails(tmp_path / "faint.png", "blank: grey values 240 to 255")


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "tif"])
def test_any_truncation_is_an_input_error(native, tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    Image.fromarray(enlarged(native)).save(path)
    content = path.read_bytes()
    for part in np.linspace(0, 0.9, 25):
        path.write_bytes(content[: int(part * len(content))])
        fails(path, "not a readable image")


def test_without_pillow(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r"pip install jnets\[experiments\]"):
        load_digit_image(tmp_path / "x.png", MNIST)
