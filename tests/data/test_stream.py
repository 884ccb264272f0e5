"""Batches of pictures: exact in seed and update, however read; failures; passes."""

import itertools
import sys
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from jnets.data.augmentation import augmentation
from jnets.data.crops import Evaluation
from jnets.data.dataset import Dataset
from jnets.data.image_folder import Examples, read
from jnets.data.pictures import PictureError, decode, view_of
from jnets.data.stream import OrderedPass, Stream
from jnets.errors import InputError

PLAIN = augmentation("none", 24)
RANDOM = augmentation("torchvision", 24)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Eleven pictures; the red of the first pixel tells them apart."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for index in range(11):
        path = root / f"{'abc'[index % 3]}/{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (30 + index, 40 - index, 3), np.uint8)
        pixels[..., 0] = 20 * index
        Image.fromarray(pixels).save(path)
    return read(root, val_fraction=0.01).train.take(np.arange(8))


def arrays(count=10, side=24):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    images[..., 0] = np.arange(count)[:, None, None]
    return Dataset((images,), np.arange(count, dtype=np.int32) % 3, ("a", "b", "c"))


def taken(stream, count, first=0):
    with closing(stream.batches(first)) as batches:
        return list(itertools.islice(batches, count))


def same(some, others):
    assert len(some) == len(others)
    for a, b in zip(some, others, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y, strict=True)


def test_every_epoch_takes_each_example_once():
    data = arrays(10)
    stream = Stream(data, augmentation("cifar", 24)._replace(pad=0), batch=4, seed=3)
    assert stream.per_epoch == 3
    batches = taken(stream, 12)
    orders = []
    for epoch in range(4):
        three = batches[3 * epoch : 3 * epoch + 3]
        assert [weights.tolist() for *_, weights in three] == [
            [1, 1, 1, 1],
            [1, 1, 1, 1],
            [1, 1, 0, 0],
        ]
        images = np.concatenate([b[0][b[2] == 1] for b in three])
        labels = np.concatenate([b[1][b[2] == 1] for b in three])
        order = images[:, 0, 0, 0]
        assert sorted(order) == list(range(10))
        np.testing.assert_array_equal(labels, order % 3)
        np.testing.assert_array_equal(three[2][1][2:], [0, 0])
        orders.append(tuple(order))
    assert len(set(orders)) == 4
    for images, labels, weights in batches:
        assert images.shape == (4, 24, 24, 3) and images.dtype == np.uint8
        assert labels.dtype == np.int32 and weights.dtype == np.float32
    assert not stream.failures


def test_filled_places_show_pictures_of_the_batch():
    images, _, weights = taken(Stream(arrays(10), PLAIN, batch=7, seed=0), 2)[1]
    assert weights.tolist() == [1, 1, 1, 0, 0, 0, 0]
    np.testing.assert_array_equal(images[3:], images[[0, 1, 2, 0]])


def test_order_and_draws_stay_the_same():
    """A run that is resumed after an upgrade goes on with the same batches."""
    images, _, _ = taken(Stream(arrays(10), PLAIN, batch=10, seed=0), 1)[0]
    assert images[:, 0, 0, 0].tolist() == [5, 3, 0, 1, 8, 2, 4, 9, 6, 7]
    stream = Stream(arrays(10, 40), augmentation("vgg", 24), batch=10, seed=3)
    images, _, _ = taken(stream, 1, first=5)[0]
    expected = [148, 76, 133, 160, 209, 127, 87, 143, 199, 141]
    assert images[:, 3, 5, 1].tolist() == expected


def test_few_examples_are_shuffled_under_every_seed():
    """Of a random order one example stays in its place on average; Grain's shuffle,
    done once, leaves all of 10 there under seed 3, and 28 of 100 under another."""
    orders = [
        Stream(arrays(30), PLAIN, batch=30, seed=s).examples(0) for s in range(60)
    ]
    kept = [sum(int(e) == i for i, e in enumerate(order)) for order in orders]
    assert max(kept) <= 6 and 0.6 < np.mean(kept) < 1.5
    following = [np.sum(np.diff(np.array(order, int)) == 1) for order in orders]
    assert max(following) <= 6


@pytest.mark.parametrize("first", [0, 1, 5, 100_000_007])
def test_resumes_in_the_middle_of_an_epoch(examples, first):
    stream = Stream(examples, RANDOM, batch=3, seed=1)
    whole = taken(stream, 7, first)
    for k in (1, 4):
        same(
            whole[k:],
            taken(Stream(examples, RANDOM, batch=3, seed=1), 7 - k, first + k),
        )


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_give_the_same_batches(examples, workers):
    """From the middle of an epoch through two more: order, crops, mirrors, weights."""
    expected = taken(Stream(examples, RANDOM, batch=3, seed=1), 7, 1)
    found = taken(Stream(examples, RANDOM, batch=3, seed=1, workers=workers), 7, 1)
    same(found, expected)
    assert all(type(array) is np.ndarray for batch in found for array in batch)


def test_seeds_differ_and_are_not_shifted_epochs():
    data, orders = arrays(30), set()
    for seed in range(6):
        stream = Stream(data, PLAIN, batch=30, seed=seed)
        orders |= {tuple(stream.examples(epoch)) for epoch in range(6)}
    assert len(orders) == 36


def test_a_draw_belongs_to_the_example_and_its_epoch():
    """One picture, many times: what is seen depends on example and epoch alone."""
    one = arrays(1, 60).inputs[0][0]
    same_ones = Dataset(
        (np.stack([one] * 6),), np.arange(6, dtype=np.int32), tuple("abcdef")
    )

    def seen(batch, seed=0):
        stream = Stream(same_ones, RANDOM, batch=batch, seed=seed)
        batches = taken(stream, 2 * stream.per_epoch)
        found = [
            (label, image.tobytes())
            for images, labels, weights in batches
            for image, label, weight in zip(images, labels, weights, strict=True)
            if weight
        ]
        return sorted(found[:6]), sorted(found[6:])

    first, second = seen(6)
    assert len({image for _, image in first + second}) == 12
    assert seen(4) == seen(1) == (first, second)
    assert seen(6, seed=1) != (first, second)


def test_examples_of_an_update(examples):
    stream = Stream(examples, PLAIN, batch=3, seed=1)
    for update in (0, 2, 4):
        paths = stream.examples(update)
        images, _, weights = taken(stream, 1, update)[0]
        assert len(paths) == int(weights.sum())
        for path, image in zip(paths, images, strict=False):
            assert decode(path)[0, 0, 0] == image[0, 0, 0]


@pytest.fixture
def torn(examples, tmp_path):
    """The examples with the third one a JPEG whose end is missing."""
    path = tmp_path / "torn.jpg"
    with Image.open(examples.paths[2]) as image:
        image.save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-500])
    with Image.open(path) as image:
        assert image.size  # its head is whole: only decoding tells
    paths = (*examples.paths[:2], str(path), *examples.paths[3:])
    return Examples(paths, examples.labels, examples.classes), str(path)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_torn_file_has_weight_0_and_is_told_once(examples, torn, workers):
    data, path = torn
    stream = Stream(data, RANDOM, batch=8, seed=1, workers=workers)
    good = taken(Stream(examples, RANDOM, batch=8, seed=1), 3)
    for (images, labels, weights), expected in zip(taken(stream, 3), good, strict=True):
        np.testing.assert_array_equal(labels, expected[1])
        (place,) = np.flatnonzero(weights == 0)
        assert labels[place] == data.labels[2]
        rest = np.arange(8) != place
        np.testing.assert_array_equal(images[rest], expected[0][rest])
        np.testing.assert_array_equal(images[place], images[rest][0])
    assert list(stream.failures) == [path]
    assert "truncated" in stream.failures[path]


def test_a_batch_of_torn_files_is_black(torn):
    data, _ = torn
    only = data.take(np.array([2]))
    images, labels, weights = taken(Stream(only, PLAIN, batch=3, seed=0), 1)[0]
    assert not images.any() and not weights.any()
    assert labels.tolist() == [data.labels[2], 0, 0]


@pytest.mark.parametrize("workers", [0, 1])
def test_strict_raises_with_the_name(torn, workers):
    data, path = torn
    stream = Stream(data, RANDOM, batch=4, seed=1, workers=workers, strict=True)
    with pytest.raises(PictureError) as caught:
        taken(stream, 2)
    assert caught.value.path == path and "\n" not in str(caught.value)
    with pytest.raises(InputError):
        list(
            OrderedPass(
                data, Evaluation(size=9, shorter=9), batch=4, strict=True
            ).batches()
        )


@pytest.mark.parametrize(
    ("crops", "views", "size", "workers"),
    [("centre", 1, 16, 0), ("ten", 10, 16, 2), ("googlenet", 144, 16, 0)],
)
def test_a_pass_sees_every_example_in_order(examples, crops, views, size, workers):
    evaluation = Evaluation(crops, size, 20)
    run = OrderedPass(examples, evaluation, batch=3, workers=workers)
    batches = list(run.batches())
    assert len(batches) == run.count == 3
    labels = np.concatenate([labels for _, labels, _ in batches])
    np.testing.assert_array_equal(labels[:8], examples.labels)
    weights = np.concatenate([weights for *_, weights in batches])
    assert weights.tolist() == [1] * 8 + [0]
    images = np.concatenate([images for images, *_ in batches])
    assert images.shape == (9, views, size, size, 3) and images.dtype == np.uint8
    for path, found in zip(examples.paths, images, strict=False):
        pixels = decode(path)
        chosen = evaluation.views(pixels.shape[1], pixels.shape[0])
        expected = np.stack([view_of(pixels, view) for view in chosen])
        np.testing.assert_array_equal(found, expected)
    same(batches, list(OrderedPass(examples, evaluation, batch=3).batches()))


def test_whole_pictures_one_at_a_time(torn):
    data, path = torn
    run = OrderedPass(data, Evaluation("whole", shorter=20), batch=1)
    batches = list(run.batches())
    for place, (images, _, weights) in enumerate(batches):
        assert weights.tolist() == [float(place != 2)]
        height, width = images.shape[2:4]
        assert min(height, width) == 20 and images.shape[:2] == (1, 1)
    assert len({images.shape for images, *_ in batches}) > 2
    assert list(run.failures) == [path]


def test_pictures_of_every_kind_in_one_pass(tmp_path):
    """Grey, 16-bit grey, palette, transparent, CMYK and turned by EXIF."""
    rng = np.random.default_rng(0)
    plain = Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "grey.jpg": (plain.convert("L"), {}),
        "deep.png": (Image.fromarray(rng.integers(0, 65536, (40, 60), np.uint16)), {}),
        "palette.gif": (plain.quantize(32), {"transparency": 3}),
        "alpha.webp": (plain.convert("RGBA"), {"lossless": True}),
        "cmyk.jpg": (plain.convert("CMYK"), {}),
        "turned.jpg": (plain, {"exif": turned}),
    }
    for name, (image, options) in kinds.items():
        image.save(tmp_path / name, **options)
    paths = tuple(str(tmp_path / name) for name in kinds)
    data = Examples(paths, np.arange(6, dtype=np.int32), tuple(kinds))
    run = OrderedPass(data, Evaluation("whole", shorter=40), batch=1, strict=True)
    for path, (images, _, weights) in zip(paths, run.batches(), strict=True):
        np.testing.assert_array_equal(images[0, 0], decode(path), strict=True)
        assert images.shape[2:] == (40, 60, 3) and weights.tolist() == [1]
    assert not run.failures


def test_arrays_in_memory_are_augmented():
    data = arrays(6, 32)
    row = augmentation("cifar", 32)
    images, _, _ = taken(Stream(data, row, batch=6, seed=0), 1)[0]
    order = images[:, 16, 16, 0]
    assert sorted(order) == list(range(6))
    for image, index in zip(images, order, strict=True):
        padded = np.pad(data.inputs[0][index], ((4, 4), (4, 4), (0, 0)))
        windows = [padded[y : y + 32, x : x + 32] for y in range(9) for x in range(9)]
        windows += [window[:, ::-1] for window in windows]
        assert sum(np.array_equal(image, window) for window in windows) == 1


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda data: Stream(data, PLAIN, batch=0, seed=0), "batch: 0"),
        (lambda data: Stream(data, PLAIN, batch=1, seed=-1).batches(), "seed: -1"),
        (lambda data: Stream(data, PLAIN, batch=1, seed=0, workers=-1), "workers: -1"),
        (
            lambda data: Stream(data, PLAIN._replace(size=0), batch=1, seed=0),
            "size must",
        ),
        (
            lambda data: Stream(data.take(np.arange(0)), PLAIN, batch=1, seed=0),
            "examples: none",
        ),
        (lambda data: Stream(data, PLAIN, batch=1, seed=0).batches(-1), "first: -1"),
        (
            lambda data: OrderedPass(data, Evaluation("whole"), batch=2),
            "batch: 2; whole",
        ),
        (lambda data: OrderedPass(data, Evaluation("six"), batch=2), "crops: 'six'"),
        (
            lambda data: Stream(
                Dataset((np.zeros((3, 8, 8)),), data.labels[:3], data.classes),
                PLAIN,
                batch=1,
                seed=0,
            ),
            "float64 [3, 8, 8]; expected uint8 [N, H, W, 3]",
        ),
    ],
)
def test_what_cannot_be_streamed(examples, make, expected):
    with pytest.raises(InputError) as caught:
        make(examples)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_without_grain(monkeypatch, examples):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(InputError, match=r"pip install jnets\[experiments\]"):
        next(Stream(examples, PLAIN, batch=1, seed=0).batches())
