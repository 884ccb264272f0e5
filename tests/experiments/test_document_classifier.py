"""The classifier of documents as a person runs it, beside its bag of words."""

import json
import shlex

import numpy as np
import pytest

import jnets
from experiments import document_classifier
from jnets import cli
from jnets.data import documents, standard_library

EXPERIMENT = "document_classifier"
SMALL = ("--hidden", 4, "--features", 4, "--epochs", 2, "--longest", 8)


def test_the_run(whole, rows, pictures):
    """Order decides the classes of these texts: a bag cannot tell them apart."""
    run = whole(EXPERIMENT)
    result = run.result
    assert list(result) == ["test_accuracy", "bag_test_accuracy", "seconds", "run"]
    assert pictures(run.directory) == {"curves.png", "confusion.png", "words.png"}
    assert float(result["test_accuracy"]) > 0.9
    assert float(result["bag_test_accuracy"]) < 0.7
    for part, name in ((".", ""), ("bag", "bag_")):
        last = rows(run.directory / part)[-1]
        assert float(result[f"{name}test_accuracy"]) == pytest.approx(
            last["test_accuracy"], abs=6e-5
        )


def test_the_trained_classifier_is_asked(whole, capsys):
    run = whole(EXPERIMENT)
    texts = ["left a b right", "Right, b left!"]
    for part in (".", "bag"):
        assert cli.main(["predict", str(run.directory / part), *texts]) == 0
        out = capsys.readouterr().out
        assert "lr" in out and "rl" in out
    bag = json.loads((run.directory / "bag" / "config.json").read_text())["model"]
    assert bag["name"] == "bag_of_words"
    model = jnets.load(run.directory / "bag").model
    assert model == jnets.create("bag_of_words", **bag["fields"])
    assert cli.main(["predict", str(run.directory), " "]) == 2
    assert "has no words" in capsys.readouterr().err


def test_a_run_at_its_end_is_gone_on_with(whole, resume):
    run = whole(EXPERIMENT)
    again = resume(EXPERIMENT, run.directory)
    for name in ("test_accuracy", "bag_test_accuracy"):
        assert again.result[name] == run.result[name]


def test_folds(inside, tmp_path, rows, monkeypatch):
    """A task without a test set: a model and a bag for each part, tested on it."""
    monkeypatch.setattr(documents, "FOLDS", 3)
    lines = (f"{i % 2} {('good', 'bad')[i % 2]} w{i % 5}" for i in range(40))
    (tmp_path / "custrev.all").write_text("\n".join(lines))
    given = (*SMALL, "--task", "CR", "--data-dir", tmp_path, "--out", tmp_path / "run")
    status, out, err = inside(EXPERIMENT, *given)
    assert status == 0, err
    result = dict(pair.split("=") for pair in shlex.split(out)[1:])
    for name, part in (("", "fold"), ("bag_", "bag")):
        runs = [tmp_path / "run" / f"{part}{i}" for i in range(3)]
        found = [rows(run)[-1]["test_accuracy"] for run in runs]
        mean, spread = np.mean(found), np.std(found)
        assert float(result[f"{name}test_accuracy"]) == pytest.approx(mean, abs=6e-5)
        assert float(result[f"{name}spread"]) == pytest.approx(spread, abs=6e-5)
    fold = jnets.load(tmp_path / "run" / "fold1")
    assert fold.encode.classes == ("negative", "positive")
    assert fold.model.vocabulary == fold.encode.spec.words.size


def test_folders_and_lines_are_read(inside, tmp_path):
    """A folder of train and test, and a file of lines."""
    for part, count in (("train", 3), ("test", 1)):
        for label in ("neg", "pos"):
            folder = tmp_path / "texts" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                (folder / f"{i}.txt").write_text(f"{label} word {i}")
    (tmp_path / "lines").write_text("a x y\nb y z\n" * 5)
    for name in ("texts", "lines"):
        given = (*SMALL, "--data-dir", tmp_path / name, "--out", tmp_path / f"{name}_")
        status, _, err = inside(EXPERIMENT, *given)
        assert status == 0, err
    described = json.loads((tmp_path / "texts_" / "config.json").read_text())
    assert described["classes"] == ["neg", "pos"]


def test_docstrings_are_read_without_data(inside, tmp_path, monkeypatch):
    texts = {"email": ["a mail"] * 5, "xml": ["a tree"] * 5}
    monkeypatch.setattr(standard_library, "docstrings", lambda: texts)
    status, _, err = inside(EXPERIMENT, *SMALL, "--out", tmp_path / "run")
    assert status == 0, err
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert described["classes"] == ["email", "xml"]


@pytest.mark.parametrize(
    "given, updates, passes", [(None, 53, 15), (None, 300, 8), (3, 300, 3)]
)
def test_passes(given, updates, passes):
    config = document_classifier.Config(epochs=given)
    assert document_classifier.passes(config, updates) == passes


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--pooling", "min"), "pooling='min'"),
        (("--cell", "rnn"), "cell='rnn'"),
        (("--task", "TREC"), "task=TREC without data_dir"),
        (("--task", "IMDB", "--data-dir", "."), "task='IMDB'"),
        (("--data-dir", "nowhere"), "no such directory"),
        (("--held-out", "0"), "held_out=0"),
        (("--pairs", "-1"), "pairs=-1"),
        (("--epochs", "0"), "epochs=0"),
    ],
)
def test_bad_flags(refused, flags, message):
    assert message in refused(EXPERIMENT, *flags)
