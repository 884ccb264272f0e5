"""The lecture's program on names, and the same on names held out."""

import json
import signal

import pytest

import jnets

EXPERIMENT = "surname_classifier"


def test_the_run(whole, rows, pictures):
    run = whole(EXPERIMENT)
    result = run.result
    assert list(result) == [
        "online_loss",
        "online_accuracy",
        "macro_recall",
        "training_seconds",
        "held_out_accuracy",
        "held_out_macro_recall",
        "seconds",
        "run",
    ]
    assert pictures(run.directory) == {
        "curve.png",
        "confusion.png",
        "confusion_held_out.png",
    }
    for part in (run.directory, run.directory / "held_out"):
        assert [row["step"] for row in rows(part)] == [1000, 2000]
    first, last = rows(run.directory)
    mean = (first["loss"] + last["loss"]) / 2
    assert float(result["online_loss"]) == pytest.approx(mean, abs=6e-5)
    assert last["loss"] < first["loss"]
    held_out = rows(run.directory / "held_out")[-1]["held_out_accuracy"]
    assert float(result["held_out_accuracy"]) == pytest.approx(held_out, abs=6e-5)
    described = json.loads((run.directory / "config.json").read_text())
    assert described["input"] == "name"
    assert 1 / len(described["classes"]) < held_out < 1


def test_the_trained_model_takes_names(whole):
    model, variables, encode = jnets.load(whole(EXPERIMENT).directory / "held_out")
    logits = model.apply(variables, *encode(" Łukasiewicz "))
    assert logits.shape == (1, len(encode.classes))


def test_interrupted(whole, start, resume, same, flags, tmp_path):
    """Each call of the device is an epoch: the run stops after its row."""
    run = tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run)
    process.wait_for(run / "metrics.jsonl", 1)
    stopped = process.stop(signal.SIGINT)
    assert stopped.returncode == 130
    resume(EXPERIMENT, run)
    for part in (".", "held_out"):
        same(run / part, whole(EXPERIMENT).directory / part)
