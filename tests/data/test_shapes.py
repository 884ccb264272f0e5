"""Made shapes: fixed pixels, geometry, folders that appear whole or not at all."""

import hashlib

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from jnets.data import shapes
from jnets.data.image_folder import read
from jnets.data.pictures import decode
from jnets.errors import InputError


def test_pixels_stay_the_same():
    """Results are stated for these pictures: another digest is another data set."""
    content = shapes.arrays(30, side=32, seed=7).inputs[0].tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "02493152f53d167c"
    content = shapes.draw("star", 96, 3, 1, 4).tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "0f041c5a2a2c36b0"


def test_arrays_are_a_data_set():
    data = shapes.arrays(25, side=32, seed=0)
    assert data.inputs[0].shape == (25, 32, 32, 3) and data.inputs[0].dtype == np.uint8
    np.testing.assert_array_equal(
        data.labels, np.int32(np.arange(25) % 10), strict=True
    )
    assert list(data.classes) == sorted(shapes.SHAPES) and len(data.classes) == 10
    more = shapes.arrays(30, side=32, seed=0)
    np.testing.assert_array_equal(more.inputs[0][:25], data.inputs[0])
    other = shapes.arrays(25, side=32, seed=1)
    assert not any(
        np.array_equal(a, b)
        for a in data.inputs[0]
        for b in (*other.inputs[0], *more.inputs[0][25:])
    )
    assert shapes.arrays(0).inputs[0].shape == (0, 32, 32, 3)


# Areas of the shapes of radius 1, by hand.
AREAS = {
    "arrow": 0.5 * 1.1 + 0.85 * 1.5 / 2,
    "bar": 1.9 * 0.54,
    "circle": np.pi * 0.81,
    "cross": 4 * 0.67 * 0.56 + 0.56**2,
    "ring": np.pi * (0.96**2 - 0.48**2),
    "semicircle": None,
    "crescent": None,
    "square": 1.5**2,
    "star": None,
    "triangle": 0.87 * 1.5,
}


@pytest.mark.parametrize("shape", sorted(AREAS))
def test_shapes_lie_in_their_circle(shape):
    y, x = np.mgrid[-1.5:1.5:601j, -1.5:1.5:601j]
    inside = shapes.SHAPES[shape](x, y) < 0
    assert np.sqrt(x * x + y * y)[inside].max() < 1.075
    area = inside.mean() * 3.005**2
    if AREAS[shape] is not None:
        assert abs(area - AREAS[shape]) < 0.02
    assert 0.5 < area < 3


@pytest.mark.parametrize(
    "name", ["arrow", "circle", "cross", "ring", "square", "star", "triangle"]
)
def test_distances_are_to_the_nearest_point_of_the_other_side(name):
    """So edges are equally smooth; scipy knows which points are inside, no more."""
    step = 0.01
    y, x = np.mgrid[-1.4:1.4:281j, -1.4:1.4:281j]
    distance = shapes.SHAPES[name](x, y)
    inside = distance < 0
    found = np.where(inside, -1, 1) * (
        distance_transform_edt(inside) + distance_transform_edt(~inside)
    )
    # The edge is up to a diagonal nearer than that point, in a sharp corner two.
    assert np.abs(found * step - distance).max() < 2 * np.sqrt(2) * step
    assert np.median(np.abs(found * step - distance)) < step


@pytest.mark.parametrize("side", [16, 33, 96])
def test_no_class_is_told_by_its_mean(side):
    """Colours are drawn alike for all classes, and shapes stand out."""
    pictures = np.stack(
        [
            [shapes.draw(shape, side, 0, k).astype(float) for k in range(40)]
            for shape in ("bar", "ring")
        ]
    )
    means = pictures.mean((2, 3))
    assert np.abs(means[0].mean(0) - means[1].mean(0)).max() < 30
    assert pictures.std((2, 3)).mean() > 25


def test_folder_is_read_back(tmp_path):
    root = shapes.write_folder(
        tmp_path / "made", per_class_train=3, per_class_val=1, side=40, seed=5
    )
    folder = read(root)
    assert folder.classes == shapes.CLASSES
    assert (folder.train.size, folder.val.size) == (30, 10)
    assert folder.train.paths[4] == str(root / "train/bar/0001.jpg")
    found = decode(folder.train.paths[4]).astype(int)
    expected = shapes.draw("bar", 40, 5, 1, 11)
    assert found.shape == (40, 40, 3) and np.abs(found - expected).mean() < 12
    contents = {decode(p).tobytes() for p in folder.train.paths + folder.val.paths}
    assert len(contents) == 40
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    options = {"per_class_train": 1, "per_class_val": 1, "side": 16}
    real, calls = shapes.draw, []

    def draw(*arguments):
        calls.append(arguments)
        assert [p for p in tmp_path.iterdir() if not p.name.startswith(".")] == []
        if len(calls) == 13:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(shapes, "draw", draw)
    with pytest.raises(InputError, match=r"made: cannot be written \(No space"):
        shapes.write_folder(tmp_path / "made", **options)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    shapes.write_folder(tmp_path / "made", **options)
    with pytest.raises(InputError, match="made: exists; expected a new one"):
        shapes.write_folder(tmp_path / "made", **options)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda path: shapes.arrays(-1), "count: -1"),
        (lambda path: shapes.arrays(1, side=8), "side: 8"),
        (lambda path: shapes.arrays(1, seed=-2), "seed: -2"),
        (
            lambda path: shapes.write_folder(path, per_class_train=0, per_class_val=1),
            "per_class_train: 0",
        ),
        (
            lambda path: shapes.write_folder(path, per_class_train=1, per_class_val=0),
            "per_class_val: 0",
        ),
    ],
)
def test_numbers_that_make_no_pictures(tmp_path, call, expected):
    with pytest.raises(InputError, match=expected):
        call(tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
