"""The loader's benchmark reads what it says, and its table shows its rows."""

import itertools
import json
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from benchmarks import loader, tables, timing
from jnets.data.image_folder import read_for_evaluation

STACK = {"device": "a chip", "cores": 4, "jax": "1.2"}
KIND = {"pixels": "500 x 375", "kib": 110, "pictures": 1024, "batch": 32, "size": 224}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    loader.write_pictures(root, 4)
    return root


def test_pictures_are_as_large_as_imagenets(folder):
    examples = read_for_evaluation(folder)
    assert examples.labels.tolist() == [0, 0, 1, 1]
    for path in examples.paths:
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (500, 375))
    sizes = [path.stat().st_size for path in folder.glob("*/*")]
    assert 80e3 < np.mean(sizes) < 140e3
    assert loader._pixels(examples) == "500 x 375"


@pytest.mark.parametrize("program", [loader.ours, loader.by_pillow])
def test_programs_hand_over_batches_of_views(folder, program):
    with closing(program(read_for_evaluation(folder), 3, 48, 0)) as batches:
        found = list(itertools.islice(batches, 3))
    # Of jnets' second batch, the end of an epoch, two places are filled up.
    assert all(b.shape == (3, 48, 48, 3) and b.dtype == np.uint8 for b in found)
    assert len({image.tobytes() for image in np.concatenate(found)}) >= 7
    assert min(batch.std() for batch in found) > 20


def test_a_run_writes_rows_that_the_table_shows(results, monkeypatch, capsys):
    monkeypatch.setattr(loader, "PEER", False)
    monkeypatch.setattr(loader, "WORKERS", (0,))
    flags = "--pictures 4 --batch 2 --size 32 --rounds 1".split()
    monkeypatch.setattr("sys.argv", ["loader", *flags])
    loader.main()
    rows = list(map(json.loads, (results / "loader.jsonl").read_text().splitlines()))
    assert [(row["program"], row["workers"]) for row in rows] == [
        ("jnets", 0),
        ("Pillow", 0),
    ]
    assert all(row["images_per_second"]["median"] > 0 for row in rows)
    assert "0 workers, jnets: " in capsys.readouterr().out
    assert "4 JPEGs of 500 x 375" in tables.loader()


def test_the_table_has_a_row_per_number_of_workers(results):
    rate = {"slowest": 900.0, "fastest": 1200.0, "runs": 3}
    medians = {
        (0, "jnets"): 1000.0,
        (0, "Pillow"): 800.0,
        (2, "jnets"): 1100.0,
        (2, "Pillow"): 1000.0,
        (2, "torchvision"): 550.0,
    }
    rows = [
        STACK
        | KIND
        | {"workers": workers, "program": program}
        | {"images_per_second": rate | {"median": median}}
        for (workers, program), median in medians.items()
    ]
    (results / "loader.jsonl").write_text("\n".join(map(json.dumps, rows)))
    setting, _, head, line, first, second = tables.loader().splitlines()
    assert setting == (
        "a chip, 4 cores, jax 1.2; 1,024 JPEGs of 500 x 375, 110 KiB each, to 224 "
        "pixels in batches of 32:"
    )
    assert head.count("|") == line.count("|") == first.count("|") == second.count("|")
    assert first == (
        "| threads | 1,000 (900 to 1,200) | 800 (900 to 1,200) | 1.25 |  |  |"
    )
    assert second == (
        "| 2 | 1,100 (900 to 1,200) | 1,000 (900 to 1,200) | 1.10 "
        "| 550 (900 to 1,200) | 2.00 |"
    )


def test_without_rows_it_says_so(results):
    assert tables.loader() == "Not measured yet."
