"""The tagger as a person runs it: trained, stopped, gone on with, and asked."""

import json
import re
import signal

import pytest

from jnets import cli
from jnets.data import standard_library
from tests.experiments.conftest import TAGGED

EXPERIMENT = "pos_tagger"


def test_the_run(whole, rows, pictures):
    run = whole(EXPERIMENT)
    result = run.result
    assert list(result) == [
        "test_accuracy",
        "macro_f1",
        "dev_accuracy",
        "unknown_share",
        "unknown_accuracy",
        "seconds",
        "run",
    ]
    assert pictures(run.directory) == {
        "curves.png",
        "confusion.png",
        "tags.png",
        "sentences.png",
    }
    found = rows(run.directory)
    assert [row["epoch"] for row in found] == [1, 2, 3, 4]
    assert found[-1]["loss"] < found[0]["loss"]
    # Epochs are looked at by the development set; the test set waits for the end.
    assert not any("test_loss" in row for row in found)
    assert float(result["dev_accuracy"]) == pytest.approx(
        found[-1]["dev_accuracy"], abs=6e-5
    )
    # The endings tell of the tag, also of words that were never seen.
    assert float(result["test_accuracy"]) > 0.9
    assert float(result["unknown_accuracy"]) > 0.9
    assert float(result["unknown_share"]) == pytest.approx(0.2, abs=1e-4)


def test_the_table_of_tags(whole):
    run = whole(EXPERIMENT)
    title, *lines = (run.directory / "tags.txt").read_text().splitlines()
    assert title.split() == ["tag", "precision", "recall", "F1", "count"]
    counts = {line.split()[0]: int(line.split()[-1]) for line in lines}
    assert counts == {"VERB": 20, "NOUN": 20, "PUNCT": 10}


def test_the_trained_tagger_is_asked(whole, capsys):
    run = whole(EXPERIMENT)
    assert cli.main(["predict", str(run.directory), "banaing dogur", "."]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "banaing/VERB dogur/NOUN" in out and "./PUNCT" in out
    assert cli.main(["predict", str(run.directory), " "]) == 2
    assert "has no words" in capsys.readouterr().err


def test_killed(whole, start, resume, same, flags, tmp_path):
    run = tmp_path / "run"
    more = ("--out", run, "--save-seconds", "0")
    process = start(EXPERIMENT, *flags[EXPERIMENT], *more)
    process.wait_for(run / "metrics.jsonl", 2)
    process.stop(signal.SIGKILL)
    done = resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)
    assert done.result["test_accuracy"] == whole(EXPERIMENT).result["test_accuracy"]


def test_source_code_is_tagged_without_data(inside, monkeypatch, tmp_path):
    source = "def f(x):\n    return x + 1  # one\n"
    monkeypatch.setattr(standard_library, "source", lambda name: source)
    small = ("--hidden", 4, "--letter-hidden", 4, "--epochs", 1)
    status, out, err = inside(EXPERIMENT, *small, "--out", tmp_path / "run")
    assert status == 0, err
    assert "unknown_share=0" in out and "unknown_accuracy" not in out
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert described["input"]["split"] == "python"
    assert described["input"]["words"] == []
    assert not described["model"]["fields"]["use_words"]
    assert "definition" in described["classes"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--tags", "lemma"), "tags='lemma'"),
        (("--longest", "1"), "longest=1"),
        (("--word-dropout", "1"), "word_dropout=1"),
        (("--epochs", "0"), "epochs=0"),
        (("--data-dir", "nowhere"), r"\*train\*"),
        (("--learning-rate", "0"), "learning_rate=0"),
    ],
)
def test_bad_flags(refused, flags, message):
    assert re.search(message, refused(EXPERIMENT, *flags))


def test_a_malformed_line(refused, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conllu")
    for part, text in TAGGED.items():
        text = text if part != "dev" else text.replace("\t_\t_\n", "\n", 1)
        (folder / f"x-{part}.conllu").write_text(text)
    assert "x-dev.conllu, line 1: 8 columns" in refused(
        EXPERIMENT, "--data-dir", folder
    )
