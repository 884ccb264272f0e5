"""Folders of pictures: layouts, order, splits, and every way one can be wrong."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.data.image_folder import read
from jnets.errors import InputError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(examples, root):
    return [os.path.relpath(path, root) for path in examples.paths]


def fails(root, *parts, **options):
    with pytest.raises(InputError) as caught:
        read(root, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_train_and_val(tmp_path):
    touch(tmp_path, "train/dog/b.JPEG", "train/dog/a.png", "train/cat/x/y/c.webp")
    touch(tmp_path, "train/cat/notes.txt", "train/cat/z.jpg", "train/ape/1.tif")
    touch(tmp_path, "val/dog/q.jpg", "val/ape/r.PPM", "test/fox/s.jpg")
    folder = read(tmp_path)
    assert folder.classes == ("ape", "cat", "dog")
    assert names(folder.train, tmp_path / "train") == [
        "ape/1.tif",
        "cat/z.jpg",
        "cat/x/y/c.webp",
        "dog/a.png",
        "dog/b.JPEG",
    ]
    np.testing.assert_array_equal(
        folder.train.labels, np.array([0, 1, 1, 2, 2], np.int32), strict=True
    )
    # val/ lacks the cat: the dog keeps its label.
    assert names(folder.val, tmp_path / "val") == ["ape/r.PPM", "dog/q.jpg"]
    assert folder.val.labels.tolist() == [0, 2]
    assert folder.val.classes == folder.classes


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_names_of_validation(tmp_path, name):
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", f"{name}/a/2.jpg")
    folder = read(tmp_path)
    assert (folder.train.size, folder.val.size) == (2, 1)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.floats(0.05, 0.95),
    st.integers(0, 99),
)
def test_split_is_stratified_and_a_partition(tmp_path_factory, sizes, fraction, seed):
    root = tmp_path_factory.mktemp("split")
    for label, size in enumerate(sizes):
        touch(root, *(f"c{label}/{i}.jpg" for i in range(size)))
    folder = read(root, val_fraction=fraction, seed=seed)
    both = folder.train.paths + folder.val.paths
    assert len(set(both)) == len(both) == sum(sizes)
    for part in (folder.train, folder.val):
        assert list(part.paths) == sorted(part.paths)
        for path, label in zip(part.paths, part.labels, strict=True):
            assert os.path.basename(os.path.dirname(path)) == f"c{label}"
    for label, size in enumerate(sizes):
        held_out = int((folder.val.labels == label).sum())
        assert held_out == min(max(1, int(size * fraction + 0.5)), size - 1)


def test_split_depends_on_seed_and_names_alone(tmp_path):
    files = [f"{c}/{i}.jpg" for c in "ab" for i in range(20)]
    touch(tmp_path / "x", *files)
    touch(tmp_path / "y", *reversed(files))  # another order of creation
    held_out = [
        names(read(tmp_path / place, val_fraction=0.3, seed=seed).val, tmp_path / place)
        for place, seed in (("x", 0), ("y", 0), ("x", 1))
    ]
    assert held_out[0] == held_out[1] != held_out[2]
    assert len(held_out[0]) == len(held_out[2]) == 12


def test_a_split_that_stays(tmp_path):
    touch(tmp_path, *(f"{c}/{i}.jpg" for c in "ab" for i in range(6)))
    folder = read(tmp_path, val_fraction=0.34, seed=0)
    assert names(folder.val, tmp_path) == ["a/1.jpg", "a/4.jpg", "b/2.jpg", "b/3.jpg"]


def test_take_keeps_the_classes(tmp_path):
    touch(tmp_path, *(f"{c}/{i}.jpg" for c in "ab" for i in range(3)))
    train = read(tmp_path).train
    some = train.take(np.array([3, 0, 0]))
    assert names(some, tmp_path) == [names(train, tmp_path)[i] for i in (3, 0, 0)]
    assert some.labels.tolist() == [1, 0, 0] and some.classes == ("a", "b")


def test_links_are_followed_and_loops_are_not(tmp_path):
    touch(tmp_path, "root/a/1.jpg", "elsewhere/2.jpg", "root/b/4.jpg")
    (tmp_path / "root/a/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/a/loop").symlink_to(tmp_path / "root")
    (tmp_path / "root/a/self").symlink_to(tmp_path / "root/a")
    (tmp_path / "root/c").symlink_to(tmp_path / "elsewhere")
    root = tmp_path / "root"
    folder = read(root)
    assert folder.classes == ("a", "b", "c")
    found = sorted(names(folder.train, root) + names(folder.val, root))
    assert found == ["a/1.jpg", "a/more/2.jpg", "b/4.jpg", "c/2.jpg"]


def test_a_class_called_train(tmp_path):
    touch(tmp_path, "train/1.jpg", "plane/1.jpg", "car/1.jpg")
    assert read(tmp_path).classes == ("car", "plane", "train")


def test_folders_that_are_wrong(tmp_path):
    fails(tmp_path / "none", "not a folder")
    touch(tmp_path, "file", "empty/readme.txt", "one/a/1.jpg", "hollow/a/1.jpg")
    fails(tmp_path / "file", "not a folder")
    fails(tmp_path / "empty", "no class folders")
    fails(tmp_path / "one", "one class, 'a'")
    touch(tmp_path, "hollow/b/1.txt")
    fails(tmp_path / "hollow", "class 'b' has no pictures", ".jpg")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/a").mkdir()
    (tmp_path / "bare/b").mkdir()
    fails(tmp_path / "bare", "class 'a' has no pictures")


def test_parts_that_do_not_fit(tmp_path):
    touch(tmp_path, "x/train/a/1.jpg", "x/train/b/1.jpg", "x/val/c/1.jpg")
    fails(tmp_path / "x", "x/val", "class 'c' is not in train/")
    touch(tmp_path, "y/train/a/1.jpg", "y/train/b/1.jpg", "y/val/b/notes")
    fails(tmp_path / "y", "y/val", "class 'b' has no pictures")
    touch(tmp_path, "z/train/a/1.jpg", "z/train/b/1.jpg", "z/test/b/1.jpg")
    fails(tmp_path / "z", "train/ without val/", str(tmp_path / "z/train"))
    (tmp_path / "z/val").mkdir()
    fails(tmp_path / "z", "z/val: no class folders")
    (tmp_path / "z/valid").mkdir()
    fails(tmp_path / "z", "val/, valid/; expected one")


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_fractions_that_are_none(tmp_path, fraction):
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    fails(tmp_path, "val_fraction", str(fraction), val_fraction=fraction)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.jpg", "b/more/1.jpg")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("more"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    fails(tmp_path, "b/more: cannot be read (Permission denied)")
