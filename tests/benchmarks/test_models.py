"""The benchmark of models runs, and what it writes is what its table shows."""

import json
import math

import pytest

from benchmarks import models, principles, tables, timing
from benchmarks.timing import Run

STACK = {"device": "a chip", "cores": 4, "jax": "1.2", "torch": "3.4"}
KIND = {"slowest": 9.0, "fastest": 12.0, "runs": 3}


def rate(median: float) -> dict:
    return {"median": median} | KIND


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    return tmp_path


def test_a_run_writes_a_row_that_the_table_shows(results, monkeypatch, capsys):
    monkeypatch.setattr(models, "PEER", False)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "")
    flags = "--models resnet18 --batch 2 --size 32 --rounds 1".split()
    monkeypatch.setattr("sys.argv", ["models", *flags])
    models.main()
    (row,) = map(json.loads, (results / "models.jsonl").read_text().splitlines())
    assert (row["model"], row["batch"], row["size"]) == ("resnet18", 2, 32)
    assert row["note"] == "torch and torchvision are not installed"
    for kind in ("train", "infer"):
        assert 0 < row[kind]["median"] < math.inf and row[kind]["runs"] == 1
    # Parameters and momentum, 11.7 million numbers each, are arguments of a step.
    assert row["mib"]["plan"] > 2 * 11_689_512 * 4 / 2**20
    assert "resnet18, jnets: training" in capsys.readouterr().out
    assert "| resnet18, 32 |" in tables.models()


def test_the_table_shows_the_faster_form_of_torch(results):
    run = STACK | Run("resnet50", 8, 224)._asdict()
    rows = [
        run | {"program": "jnets", "train": rate(10), "infer": rate(30.0)},
        run | {"program": "torch eager", "train": rate(20), "infer": rate(15)},
        run | {"program": "torch channels_last", "train": rate(25), "infer": rate(12)},
        STACK | run | {"model": "zfnet", "program": "jnets"},
    ]
    rows[3] |= {"train": rate(1), "infer": rate(2), "note": "no such model"}
    sizes = {"plan": 900}, {"resident": 1200}, {}, {"plan": 7}
    for row, mib in zip(rows, sizes, strict=True):
        row |= {"mib": mib, "compile_seconds": 5.6}
    (results / "models.jsonl").write_text("\n".join(map(json.dumps, rows)))
    setting, _, head, line, first, second = tables.models().splitlines()
    assert setting == ("a chip, 4 cores, jax 1.2, torch 3.4; batches of 8, float32:")
    assert head.count("|") == line.count("|") == first.count("|") == second.count("|")
    assert first == (
        "| resnet50, 224 | 10.0 (9.0 to 12.0) | 25.0 (9.0 to 12.0), NHWC | 0.40 "
        "| 30.0 (9.0 to 12.0) | 15.0 (9.0 to 12.0) | 2.00 | 900 | 1,200 | 6 s |"
    )
    assert second == (
        "| zfnet, 224 | 1.0 (9.0 to 12.0) |  |  | 2.0 (9.0 to 12.0) |  |  "
        "| 7 |  | 6 s |"
    )


def test_tables_without_rows_say_so(results):
    assert tables.models() == tables.principles() == "Not measured yet."


def test_forms_of_a_body(results, monkeypatch):
    blocks = {"blocks": ((4,), ((4, 7),)), "hidden": (), "map_size": 1}
    forms = {
        name: ("vgg11", blocks | {"filters": name}) for name in ("full", "stacked")
    }
    monkeypatch.setattr(principles, "BODIES", {"small": forms})
    rows = principles.measure("small", batch=2, size=16, rounds=1)
    ends = (3 * 3 * 3 * 4 + 4) + (4 * 1000 + 1000)
    weights = {"full": 7 * 7 * 16 + 4, "stacked": 3 * (3 * 3 * 16 + 4)}
    assert {row["form"]: row["parameters"] - ends for row in rows} == weights
    macs = {"full": 7 * 7 * 16, "stacked": 3 * 3 * 3 * 16}
    for row in rows:
        first = 16 * 16 * 3 * 3 * 3 * 4 + 4 * 1000
        assert row["macs"] == first + 8 * 8 * macs[row["form"]]
    assert rows[0]["ms_to_first"] == 1
    timing.write("principles", rows)
    shown = tables.principles().splitlines()
    assert [line.split(" | ")[1] for line in shown[2:]] == ["full", "stacked"]
