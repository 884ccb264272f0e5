"""The translator: on numbers, stopped and gone on with, on files, and in use."""

import gzip
import io
import json
import signal

import numpy as np
import pytest

import jnets
from experiments import text_to_text
from jnets import cli
from jnets.systems.text_to_text import translate

EXPERIMENT = "translator"


def test_the_run(whole, rows, pictures):
    run = whole(EXPERIMENT)
    names = ["exact", "perplexity", "seconds", "run"]
    assert list(run.result) == names
    assert pictures(run.directory) == {"learning.png", "alignments.png"}
    first, last = rows(run.directory)
    assert [first["step"], last["step"]] == [60, 120]
    assert last["val_loss"] < first["val_loss"]
    lines = (run.directory / "written.jsonl").read_text().splitlines()
    assert len(lines) == 1000
    assert list(json.loads(lines[0])) == ["source", "references", "written"]


def test_killed(whole, start, resume, same, flags, tmp_path):
    run = tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run, "--save-seconds", 0)
    process.wait_for(run / "metrics.jsonl", 1)
    process.stop(signal.SIGKILL)
    resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)


def test_the_commands(whole, capsys, monkeypatch):
    """`translate` line by line, as searched for from Python, and `predict`."""
    run = whole(EXPERIMENT).directory
    texts = ["twenty-one", "", "march the third nineteen oh five"]
    model, variables, encode = jnets.load(run)
    expected = translate(model, variables, encode.spec, texts, beam=2)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(texts) + "\n"))
    assert cli.main(["translate", str(run), "--beam", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == expected
    assert expected[1] == "" and expected[0]
    assert cli.main(["predict", str(run), "twenty-one"]) == 0
    assert "answer" in capsys.readouterr().out
    for given in (
        ["predict", str(run), " "],
        ["translate", str(run), "--beam", "0"],
        ["translate", str(run), "--alpha", "-1"],
        ["translate", str(run.parent)],
    ):
        assert cli.main(given) == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_a_text_does_not_depend_on_those_beside_it(whole):
    model, variables, encode = jnets.load(whole(EXPERIMENT).directory)
    texts = ["four", "nine hundred and two thousand and seventy-one", "eighty"] * 12
    together = translate(model, variables, encode.spec, texts, beam=2)
    assert together == together[:3] * 12
    assert translate(model, variables, encode.spec, texts[1:2], beam=2) == together[1:2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two languages whose words are each other's, turned round."""
    directory = tmp_path_factory.mktemp("pairs")
    words = ["mann", "hund", "rot", "geht"]
    rng = np.random.default_rng(0)
    for part, count in (("train", 60), ("val", 9), ("test_a", 9)):
        lines = [" ".join(rng.choice(words, rng.integers(1, 6))) for _ in range(count)]
        turned = [line[::-1] for line in lines]
        for language, texts in (("de", lines), ("en", turned)):
            raw = ("\n".join(texts) + "\n").encode()
            (directory / f"{part}.{language}.gz").write_bytes(gzip.compress(raw))
    return directory


@pytest.mark.parametrize(
    "more",
    [
        ("--units", "pieces", "--own-symbols", "0.5", "--most-units", "30"),
        ("--variant", "seq2seq", "--units", "characters"),
    ],
)
def test_files(inside, folder, monkeypatch, tmp_path, more, rows):
    monkeypatch.setattr(text_to_text, "BUCKETS", 1)  # one program
    small = ("--embedding", 6, "--hidden", 6, "--batch-size", 8, "--epochs", 2)
    given = ("--data-dir", folder, "--longest", 40, *small, *more)
    status, out, err = inside(EXPERIMENT, *given, "--out", tmp_path / "run")
    assert status == 0, err
    assert "60 texts to learn from, 0 pairs too long" in err
    assert "nrefs:1|case:mixed" in err and "bleu=" in out and "chrf=" in out
    assert {"val_bleu", "val_loss"} <= set(rows(tmp_path / "run")[-1])
    model, variables, encode = jnets.load(tmp_path / "run")
    assert len(translate(model, variables, encode.spec, ["rot"], beam=1)) == 1


def test_a_corpus_that_is_not_aligned(refused, folder, tmp_path):
    bad = tmp_path.parent / f"{tmp_path.name}_bad"
    bad.mkdir()
    for path in folder.iterdir():
        (bad / path.name).write_bytes(path.read_bytes())
    (bad / "val.en.gz").write_bytes(gzip.compress(b"one\n"))
    assert "has 9 lines and" in refused(EXPERIMENT, "--data-dir", bad)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--variant", "mlp"),
        ("--units", "syllables"),
        ("--own-symbols", "2"),
        ("--dropout", "1"),
        ("--learning-rate", "0"),
        ("--beam", "0"),
        ("--data-dir", "/nowhere"),
    ],
)
def test_mistakes(refused, wrong):
    name = wrong[0].removeprefix("--").replace("-", "_")
    assert name in refused(EXPERIMENT, *wrong)
