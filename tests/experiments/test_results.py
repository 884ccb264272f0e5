"""Finished runs as rows, and rows as the table."""

import json
import re

import pytest

from experiments import results
from jnets.errors import InputError
from jnets.runs import Description, Run

ON = {"device": "Abacus", "cores": 2, "python": "3.11.7", "jax": "0.10.2"}


@pytest.fixture(autouse=True)
def own_files(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROWS", tmp_path / "rows.jsonl")
    monkeypatch.setattr(results, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text(f"# Page\n\n{results.MARK}\nold\n")


def finished(directory, result, on=ON, **config):
    """A run of the language model that came to its end."""
    from experiments.language_model import Config

    plain = json.loads(json.dumps(vars(Config()), default=str)) | config
    Run.create(directory, Description("language_model", plain, "mlp", {}, (), None))
    done = {"result": result, "on": on}
    (directory / "result.json").write_text(json.dumps(done))
    return directory


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["results", *map(str, arguments)])
    return results.main()


def test_a_row_has_what_differs_from_the_defaults(tmp_path):
    run = finished(
        tmp_path / "a", {"nats": 1.5}, data_dir="/some/where/plays", seed=3, epochs=7
    )
    assert results.row(run) == {
        "experiment": "language_model",
        "options": {"data_dir": "plays", "epochs": 7},
        "seed": 3,
        "result": {"nats": 1.5},
        "on": ON,
    }


def test_seeds_are_one_line_and_machines_are_not(tmp_path, monkeypatch, capsys):
    runs = [
        finished(
            tmp_path / "a", {"nats": 1.5, "seconds": 99.5, "ratio": "1e-9"}, seed=1
        ),
        finished(
            tmp_path / "b", {"nats": 1.0, "seconds": 1234.0, "ratio": "2e-9"}, seed=2
        ),
        finished(tmp_path / "c", {"nats": 2.0}, on=ON | {"cores": 4}),
    ]
    assert call(monkeypatch, "--check") == 1
    assert call(monkeypatch, *runs) == 0
    assert call(monkeypatch, "--check") == 0
    page = results.PAGE.read_text()
    assert page.startswith("# Page\n\n") and "old" not in page
    head, rule, *lines = page.split(f"{results.MARK}\n")[1].splitlines()
    assert sorted(lines) == [
        "| `language_model` | nats 1.25 (1.5, 1); seconds 667 (99.5, 1,234); "
        "ratio 1e-9, 2e-9 | Abacus, 2 cores, jax 0.10.2; seeds 1, 2 |",
        "| `language_model` | nats 2 | Abacus, 4 cores, jax 0.10.2; seed 0 |",
    ]


def test_bars_in_figures_leave_the_columns_whole(tmp_path):
    run = finished(tmp_path / "a", {"signature": "nrefs:1|case:mixed"})
    *_, line = results.table([results.row(run)]).splitlines()
    assert re.split(r"(?<!\\)\|", line)[1:-1] == [
        " `language_model` ",
        r" signature nrefs:1\|case:mixed ",
        " Abacus, 2 cores, jax 0.10.2; seed 0 ",
    ]


def test_a_later_run_takes_the_place_of_an_earlier_one(tmp_path):
    for name, nats in (("a", 3.0), ("b", 2.0)):
        results.keep([results.row(finished(tmp_path / name, {"nats": nats}))])
    assert [row["result"]["nats"] for row in results.rows()] == [2.0]


def test_a_run_that_is_not_finished_is_refused(tmp_path, monkeypatch, capsys):
    run = finished(tmp_path / "a", {})
    (run / "result.json").unlink()
    with pytest.raises(InputError, match="result.json"):
        results.row(run)
    assert call(monkeypatch, run) == 2
    assert "came to its end" in capsys.readouterr().err
    assert results.rows() == []


def test_the_table_that_is_here_is_that_of_the_rows(monkeypatch):
    monkeypatch.undo()
    page = results.PAGE.read_text("utf-8")
    assert results.filled(page) == page, "run: python -m experiments.results"
