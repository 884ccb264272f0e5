"""Odd, broken and missing pictures: used, left out and named, or refused."""

import json
import re
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

EXPERIMENT = "imagenet"


def test_interrupted_in_the_middle_of_an_epoch(
    unbroken, inside, at_batch, same, short, tmp_path
):
    at_batch(9, lambda: signal.raise_signal(signal.SIGINT))
    run = tmp_path / "run"
    status, out, _ = inside(EXPERIMENT, *short, "--out", run)
    assert (status, out) == (130, "")
    step = max(int(path.name) for path in (run / "checkpoints").iterdir())
    assert step % 5 and 5 < step < 10
    assert inside(EXPERIMENT, "--resume", run)[0] == 0
    same(run, unbroken)


@pytest.fixture
def odd_folder(shapes_folder, tmp_path):
    """A copy of the shapes, to be spoiled."""
    return shutil.copytree(shapes_folder, tmp_path / "odd")


def odd_pictures(folder):
    """What is in folders of photographs: no two of a kind, one of few pixels."""
    image = Image.open(folder / "0000.jpg")
    image.convert("L").save(folder / "grey.png")
    image.convert("1").save(folder / "bits.png")
    image.convert("P").save(folder / "palette.PNG")
    image.convert("RGBA").save(folder / "alpha.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    sixteen = np.asarray(image.convert("L")).astype(np.uint16) * 257
    Image.fromarray(sixteen).save(folder / "sixteen.png")
    image.resize((5, 3)).save(folder / "tiny.jpg")
    image.resize((200, 30)).save(folder / "wide.bmp")
    (folder / "notes.txt").write_text("no picture, and not named as one")
    return 8


def test_odd_pictures_are_used_and_broken_ones_left_out_and_named(
    inside, nets, short, odd_folder, rows, pictures, tmp_path
):
    """Also with a class that has no picture in val/: it keeps its place."""
    shutil.rmtree(odd_folder / "val/star")
    more = odd_pictures(odd_folder / "train/bar") and odd_pictures(
        odd_folder / "val/bar"
    )
    cut, text = odd_folder / "train/bar/0003.jpg", odd_folder / "val/ring/0001.jpg"
    cut.write_bytes(cut.read_bytes()[:500])
    text.write_text("no picture")
    run = tmp_path / "run"
    given = (*short, "--epochs", 2, "--data-dir", odd_folder, "--out", run)
    status, out, err = inside(EXPERIMENT, *given)
    assert status == 0, err
    assert " skipped=2 " in out
    named = err.splitlines()[2:]
    assert len(named) == 2
    assert named[0].startswith(f"left out: {cut} (") and "runcated" in named[0]
    assert named[1].startswith(f"left out: {text} (cannot identify image file")
    # The share of all that could be read, of which no star was.
    count = 27 + more - 1
    hits = rows(run)[-1]["test_accuracy"] * count
    assert hits == pytest.approx(round(hits), abs=1e-4)
    assert pictures(run) == {"curves.png", "confusion.png", "mistakes.png"}
    described = json.loads((run / "config.json").read_text())
    assert "star" in described["classes"]
    # A run that goes on does not meet them again: it knows.
    status, out, err = inside(EXPERIMENT, "--resume", run)
    assert (status, err.splitlines()) == (0, named)
    assert " skipped=2 " in out


def test_strict_stops_and_goes_on_once_mended(
    unbroken, inside, at_batch, short, odd_folder, same, tmp_path
):
    path = odd_folder / "train/bar/0003.jpg"
    kept = path.read_bytes()
    at_batch(6, lambda: path.write_bytes(b""))
    run = tmp_path / "run"
    given = (*short, "--data-dir", odd_folder, "--strict", "--save-seconds", 0)
    status, out, err = inside(EXPERIMENT, *given, "--out", run)
    assert (status, out) == (2, "")
    message = err.splitlines()[-1]
    assert message.startswith(f"error: {path}: not a readable picture (")
    assert "Traceback" not in err
    assert (run / "checkpoints/5").is_dir()
    path.write_bytes(kept)
    assert inside(EXPERIMENT, "--resume", run)[0] == 0
    same(run, unbroken)


def test_no_validation_picture_can_be_read(
    inside, nets, undrawn, short, odd_folder, tmp_path
):
    for path in (odd_folder / "val").glob("*/*.jpg"):
        path.write_text("no picture")
    given = (*short, "--data-dir", odd_folder, "--out", tmp_path / "run")
    status, out, err = inside(EXPERIMENT, *given)
    assert (status, out) == (2, "")
    assert re.fullmatch(
        r"error: none of the validation pictures can be read; .*0000.jpg is [^\n]+\n",
        err,
    )


def test_refused_for_the_data(refused, odd_folder, tmp_path):
    def look(directory):
        return refused(EXPERIMENT, "--data-dir", directory)

    assert "not a folder" in look(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no class folders in it" in look(tmp_path / "empty")
    (odd_folder / "train/zebra").mkdir()
    assert "class 'zebra' has no pictures" in look(odd_folder)
    (odd_folder / "train/zebra").rmdir()
    (odd_folder / "train/star").rename(tmp_path / "star")
    assert "class 'star' is not in train/" in look(odd_folder)
    for path in list((odd_folder / "train").iterdir())[1:]:
        shutil.rmtree(path)
    assert "one class" in look(odd_folder)
