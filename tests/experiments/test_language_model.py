"""Language models from text to samples, stopped and gone on with on the way."""

import json
import re
import signal

import numpy as np
import pytest

import jnets
from jnets import cli
from jnets.systems.language_model import LanguageSpec, costs

EXPERIMENT = "language_model"
TINY = ("--hidden", 8, "--embedding", 4, "--layers", 1, "--epochs", 1, "--steps", 8)


def text_of(run):
    """The part of the run's text that it was validated on."""
    config = json.loads((run / "config.json").read_text())["config"]
    with open(config["data_dir"], encoding="utf-8") as file:
        text = file.read()
    return text[round(0.9 * len(text)) :]


def test_the_run(whole, rows, pictures):
    run = whole(EXPERIMENT)
    assert list(run.result) == [
        "valid_nats",
        "valid_bits",
        "valid_accuracy",
        "training_seconds",
        "seconds",
        "run",
    ]
    assert pictures(run.directory) == {"curve.png", "surprise.png"}
    figures = rows(run.directory)
    assert figures[-1]["valid_loss"] < figures[0]["valid_loss"] < np.log(72)
    nats = float(run.result["valid_nats"])
    assert nats == pytest.approx(figures[-1]["valid_loss"], abs=6e-5)
    assert float(run.result["valid_bits"]) == pytest.approx(nats / np.log(2), abs=1e-4)
    samples = (run.directory / "samples.txt").read_text(encoding="utf-8")
    assert re.findall("--- temperature (.*)", samples) == ["0.0", "0.5", "0.8", "1.0"]
    assert samples.split("--- ")[3].partition("\n")[2].strip() in run.err


def test_the_trained_model_costs_what_it_said(whole):
    """Read again from the run, on the text that it was validated on."""
    run = whole(EXPERIMENT)
    model, variables, encode = jnets.load(run.directory)
    assert isinstance(encode.spec, LanguageSpec)
    (tokens,) = encode(text_of(run.directory))
    each = np.asarray(costs(model, variables, tokens[:, 1:]))  # the first is given
    assert float(run.result["valid_nats"]) == pytest.approx(each.mean(), rel=1e-4)


def test_commands(whole, capsys):
    run = str(whole(EXPERIMENT).directory)

    def call(*arguments):
        assert cli.main(list(arguments)) == 0
        out, err = capsys.readouterr()
        assert not err
        return out

    how = ("--prime", "[b]The é", "--length", "90", "--seed", "5")
    first, again = call("sample", run, *how), call("sample", run, *how)
    assert first == again and first.startswith("[b]The é")
    assert len(first) == len("[b]The é") + 90 + 1  # with the line's end
    assert call("sample", run, *how, "--seed", "6") != first
    cold = ("--prime", "of the", "--temperature", "0", "--length", "40")
    greedy = call("sample", run, *cold).removeprefix("of the")
    answer = " ".join(call("predict", run, "of the").split())
    assert "bits a character; then" in answer
    assert greedy[:3].strip() in answer


@pytest.mark.parametrize(
    "asked, message",
    [
        (("--length", "0"), "length=0"),
        (("--temperature", "-1"), "temperature=-1.0"),
        (("--seed", "-1"), "--seed=-1"),
    ],
)
def test_samples_that_are_refused(whole, capsys, asked, message):
    assert cli.main(["sample", str(whole(EXPERIMENT).directory), *asked]) == 2
    out, err = capsys.readouterr()
    assert not out and re.fullmatch(r"error: [^\n]+\n", err) and message in err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped(whole, start, resume, same, flags, tmp_path, how):
    """An interrupt saves in the middle of an epoch, with what is carried; a kill goes
    back to the last checkpoint. Either way the run ends in the same bits."""
    run = tmp_path / "run"
    saved = "--save-seconds", 0
    process = start(EXPERIMENT, *flags[EXPERIMENT], *saved, "--out", run)
    process.wait_for(run / "metrics.jsonl", 2)
    stopped = process.stop(how)
    assert stopped.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)


def test_words_that_come_divided(inside, tmp_path, rows):
    """Perplexities of words, and of the test set; the embeddings read out, too."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "wiki"
    folder.mkdir()
    for part, lines in (("train", 60), ("valid", 20), ("test", 20)):
        drawn = [" ".join(rng.choice(["the", "man", "<unk>"], 5)) for _ in range(lines)]
        text = "".join(f" {line} \n" for line in drawn)
        (folder / f"wiki.{part}.tokens").write_text(text)
    run = tmp_path / "run"
    tied = ("--tied", "--embedding", 8, "--batch-size", 4, "--units", "words")
    status, out, err = inside(
        EXPERIMENT, *TINY, *tied, "--data-dir", folder, "--out", run
    )
    assert status == 0, err
    assert "360 words to train on, 120 to validate on" in err
    result = dict(re.findall(r"(\w+)=(\S+)", out))
    perplexity = np.exp(rows(run)[-1]["valid_loss"])
    assert float(result["valid_perplexity"]) == pytest.approx(perplexity, rel=1e-3)
    assert 1 < float(result["test_perplexity"]) < 8
    described = json.loads((run / "config.json").read_text())
    assert described["input"]["kind"] == "language_model"
    assert set(described["input"]["vocabulary"]) == {"<eos>", "the", "man"}


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--units", "letters"), "units='letters' is unknown"),
        (("--cell", "lsmt"), "cell='lsmt' is unknown"),
        (("--epochs", 0), "epochs=0"),
        (("--dropout", 1), "dropout=1"),
        (("--clip", 0), "clip=0"),
        (("--data-dir", "missing"), "missing cannot be read"),
        (("--data-dir", "short"), "too short for 64 rows"),
        (("--data-dir", "short", "--encoding", "utf-99"), "utf-99"),
        (("--data-dir", "short", "--least", 1000), "least=1000 leaves no symbol"),
        (
            ("--data-dir", "short", "--batch-size", 1, "--tied", "--embedding", 3),
            "embedding=3",
        ),
    ],
)
def test_what_cannot_be_run(refused, tmp_path, flags, message):
    tmp_path.joinpath("short").write_text("a b c d\n" * 9)
    assert message in refused(EXPERIMENT, *flags)
