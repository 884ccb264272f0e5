"""Folders, random crops and evaluation views beside torchvision's, live."""

import itertools

import numpy as np
import pytest
from PIL import Image

from jnets.data.crops import area_crop, centre_crop
from jnets.data.image_folder import read_for_evaluation
from jnets.data.pictures import decode, view_of

pytestmark = pytest.mark.parity

DRAWS = 10_000
# Two samples of 10,000 of one law are this far apart once in 10,000 times, by
# Kolmogorov and Smirnov: sqrt(-ln(1e-4 / 2) / 2) * sqrt(2 / 10000).
BOUND = np.sqrt(-np.log(1e-4 / 2) / DRAWS)


@pytest.fixture(scope="module")
def torch_loader():
    """The benchmark's module, by which torchvision can be imported."""
    import torch

    from benchmarks import torch_loader

    torch.set_num_threads(2)
    return torch_loader


def made(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)


def test_classes_and_order_are_those_of_image_folder(tmp_path, torch_loader):
    """Of odd nestings and names; links, too."""
    made(tmp_path, "elsewhere/0.png", "elsewhere/in/1.png")
    root = tmp_path / "root"
    made(root, "b/z.png", "b/A.png", "b/a.png", "b/9.png", "b/10.png", "b/é.png")
    made(root, "b/x/y/z/deep.png", "b/x/y.png", "b/x.d/y.png", "b/x y/1.png")
    made(root, "B/1.PNG", "B/2.Jpg", "a b/1.jpeg", "a-b/1.bmp", "a_b/1.webp", "a/1.tif")
    made(root, "10/1.ppm", "9/1.tiff", ".hidden/1.png", "Ä/.dot.png", "b/.in/1.png")
    (root / "b/notes.txt").touch()
    (root / "b/x/list.json").touch()
    (root / "b/linked").symlink_to(tmp_path / "elsewhere")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    ours = read_for_evaluation(root)
    theirs = torch_loader.Pictures(str(root))
    assert list(ours.classes) == theirs.classes
    assert list(zip(ours.paths, ours.labels, strict=True)) == theirs.samples


SIZES = [(500, 375), (375, 500), (224, 224), (1200, 300), (40, 30)]


def apart(some, others):
    """The largest distance of two empirical distribution functions."""
    some, others = np.sort(some), np.sort(others)
    points = np.concatenate([some, others])
    heights = [np.searchsorted(x, points, "right") / len(x) for x in (some, others)]
    return np.abs(heights[0] - heights[1]).max()


@pytest.mark.parametrize("size", SIZES)
def test_random_crops_have_the_law_of_torchvision(size, torch_loader):
    """Area, shape and place; 1200 x 300 takes the fallback in most draws."""
    import torch
    from torchvision.transforms import RandomResizedCrop

    width, height = size
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    picture = Image.new("RGB", size)
    laws = {"scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3)}
    ours, theirs = [], []
    for _ in range(DRAWS):
        left, top, right, bottom = area_crop(rng, *size, size=224).region
        ours.append((left, top, right - left, bottom - top))
        top, left, high, wide = RandomResizedCrop.get_params(picture, *laws.values())
        theirs.append((left, top, wide, high))
    measured = []
    for boxes in (np.array(ours, float), np.array(theirs, float)):
        left, top, wide, high = boxes.T
        places = (left + wide / 2) / width, (top + high / 2) / height
        measured.append((wide * high, wide / high, left, top, *places))
    for a, b in zip(*measured, strict=True):
        assert apart(a, b) < BOUND


def test_the_bound_tells_laws_apart():
    """What the test above would say of slightly other laws."""
    rng = np.random.default_rng(0)

    def areas(**law):
        boxes = [area_crop(rng, 500, 375, size=9, **law).region for _ in range(DRAWS)]
        left, top, right, bottom = np.array(boxes, float).T
        return (right - left) * (bottom - top), (right - left) / (bottom - top)

    usual, again = areas(), areas()
    assert apart(usual[0], again[0]) < BOUND and apart(usual[1], again[1]) < BOUND
    assert apart(usual[0], areas(area=(0.16, 1.0))[0]) > BOUND
    assert apart(usual[1], areas(aspect=(0.67, 1.5))[1]) > BOUND


def pictures():
    """Of every proportion, noise and smooth: uint8 [H, W, 3]."""
    rng = np.random.default_rng(0)
    for width, height in [(500, 375), (333, 501), (256, 256), (640, 427), (97, 60)]:
        noise = rng.integers(0, 256, (height, width, 3), np.uint8)
        y, x = np.mgrid[:height, :width]
        waves = [np.sin(x / 17 + k) * np.cos(y / 13 - k) for k in range(3)]
        smooth = np.rint(127 + 100 * np.stack(waves, -1)).astype(np.uint8)
        yield from (noise, smooth)


def test_evaluation_views_are_those_of_torchvision(torch_loader):
    """Resize(256), CenterCrop(224) of Pillow's pictures, to 1 of 255: here only what
    the window shows is resized. Pillow takes the direction first that is less work,
    rounds, and takes the other: for tall pictures the window turns that round, and up
    to a quarter of the values, of noise, are 1 apart."""
    from torchvision import transforms

    theirs = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    for image in pictures():
        height, width = image.shape[:2]
        found = view_of(image, centre_crop(width, height, size=224, shorter=256))
        expected = np.asarray(theirs(Image.fromarray(image))).astype(int)
        difference = found - expected
        assert np.abs(difference).max() <= 1
        assert (difference != 0).mean() < (0.26 if height > width else 0.003)
        assert abs(difference.mean()) < 0.005


def test_decoding_is_that_of_image_folder(tmp_path, torch_loader):
    """Of every kind but 16-bit grey, which theirs clips to white."""
    rng = np.random.default_rng(0)
    plain = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    plain.save(tmp_path / "turned.jpg", exif=turned)
    plain.convert("L").save(tmp_path / "grey.jpg")
    plain.convert("CMYK").save(tmp_path / "cmyk.jpg")
    plain.quantize(9).save(tmp_path / "palette.png", transparency=2)
    plain.convert("RGBA").save(tmp_path / "alpha.png")
    from torchvision.datasets.folder import pil_loader

    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(decode(path), np.asarray(pil_loader(path)))


def test_the_loader_that_is_timed(tmp_path, torch_loader):
    made(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(3)))
    found = list(itertools.islice(torch_loader.batches(tmp_path, 2, 8, 0), 7))
    assert all(b.shape == (2, 3, 8, 8) and b.dtype == np.uint8 for b in found)
