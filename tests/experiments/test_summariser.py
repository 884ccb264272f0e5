"""The summariser: on made-up reports, and on files of JSON lines."""

import json

import pytest

from experiments import alignment_plots, summariser, text_to_text
from jnets import cli

EXPERIMENT = "summariser"
SMALL = ("--embedding", 6, "--hidden", 6, "--batch-size", 4, "--epochs", 1)


def test_reports(inside, monkeypatch, tmp_path, pictures, capsys):
    monkeypatch.setattr(summariser, "HELD_OUT", 20)
    monkeypatch.setattr(summariser, "PASS", 3)
    run = tmp_path / "run"
    status, out, err = inside(EXPERIMENT, *SMALL, "--out", run)
    assert status == 0, err
    for name in ("exact", "rouge1", "rouge2", "rougeL", "lead1_rouge1", "perplexity"):
        assert f" {name}=" in out
    assert pictures(run) == {"learning.png", "alignments.png"}
    assert cli.main(["predict", str(run), "Ajax met Porto in Oslo on Friday."]) == 0
    assert "answer" in capsys.readouterr().out


def test_files(inside, monkeypatch, tmp_path, pictures):
    monkeypatch.setattr(text_to_text, "BUCKETS", 1)  # one program
    monkeypatch.setattr(alignment_plots, "LONGEST", 2)  # longer than can be named
    rows = [
        {
            "source": [f"The cat {i} sat.", "It slept."],
            "target": [f"Cat {i}.", "A cat."],
        }
        for i in range(10)
    ]
    for name in ("train", "dev", "test"):
        text = "\n".join(map(json.dumps, rows))
        (tmp_path / f"{name}.jsonl").write_text(text + "\n")
    how = ("--data-dir", tmp_path, "--units", "words", "--longest", 5)
    how += ("--epochs", 20, "--learning-rate", 0.02)  # until it writes something
    status, out, err = inside(EXPERIMENT, *SMALL, *how, "--out", tmp_path / "run")
    assert status == 0, err
    assert "10 texts to learn from" in err
    # "the cat 1 sat." beside "cat 1.": two of its four words, all of the other's.
    assert " lead1_rouge1=66.6667" in out
    assert pictures(tmp_path / "run") == {"learning.png", "alignments.png"}


@pytest.mark.parametrize("wrong", [("--data-dir", "/nowhere"), ("--longest", "1")])
def test_mistakes(refused, wrong):
    name = wrong[0].removeprefix("--").replace("-", "_")
    assert name in refused(EXPERIMENT, *wrong)
