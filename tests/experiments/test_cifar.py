"""Residual nets on small pictures: the run, a stop on the way, every form of data."""

import json
import pickle
import signal

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jnets
from experiments import inputs
from jnets.data.cifar import CIFAR10, load

EXPERIMENT = "cifar"
SHORT = ("--model", "cifar_resnet8", "--batch-size", 16, "--epochs", 2, "--seed", 3)


def test_the_run(whole, rows, pictures, shapes_file):
    run = whole(EXPERIMENT)
    result, last = run.result, rows(run.directory)[-1]
    assert [*result] == [
        *("test_loss", "test_accuracy", "top5_accuracy"),
        *("memory_mb", "ms_per_update", "seconds", "run"),
    ]
    assert [row["step"] for row in rows(run.directory)] == [5, 10, 15, 20, 25, 30]
    assert pictures(run.directory) == {"curves.png", "confusion.png", "mistakes.png"}
    described = json.loads((run.directory / "config.json").read_text())
    assert described["model"] == {"name": "cifar_resnet20", "fields": {"classes": 10}}
    assert described["input"] == {"size": 32, "shorter": 32, "pixels": "cifar"}
    assert tuple(described["classes"]) == CIFAR10
    # What is loaded gives the figures of the run.
    model, variables, _ = jnets.load(run.directory)
    test = load(shapes_file)[1]
    mean, std = np.array([125.3, 123.0, 113.9]), np.array([63.0, 62.1, 66.7])
    pixels = jnp.asarray((test.inputs[0] - mean) / std, jnp.float32)
    logits = model.apply(variables, pixels)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, test.labels)
    order = np.argsort(-np.asarray(logits), axis=-1)
    hits = order == test.labels[:, None]
    known = loss.mean(), hits[:, 0].mean(), hits[:, :5].any(-1).mean()
    names = ("test_loss", "test_accuracy", "top5_accuracy")
    for name, value in zip(names, known, strict=True):
        assert last[name] == pytest.approx(float(value), rel=2e-3)
        assert float(result[name]) == pytest.approx(last[name], abs=6e-5)


def test_killed(whole, start, resume, same, rows, flags, tmp_path):
    run = tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run, "--save-seconds", 0)
    process.wait_for(run / "metrics.jsonl", 2)
    assert process.stop(signal.SIGKILL).returncode == -signal.SIGKILL
    assert len(rows(run)) < 6
    resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)


def batches(shapes_file):
    """(name, rows of pixels, labels) of the six files that CIFAR-10 has."""
    with np.load(shapes_file) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    for name, part, at in (
        *(
            (f"data_batch_{n + 1}", "train", slice(16 * n, 16 * n + 16))
            for n in range(5)
        ),
        ("test_batch", "test", slice(None)),
    ):
        images = parts[f"x_{part}"][at].transpose(0, 3, 1, 2)
        yield name, images.reshape(-1, 3072), parts[f"y_{part}"][at]


@pytest.fixture
def places(shapes_file, tmp_path):
    """The same pictures in three forms."""
    python, binary = tmp_path / "python", tmp_path / "binary"
    python.mkdir()
    binary.mkdir()
    for name, images, labels in batches(shapes_file):
        batch = {b"data": images, b"labels": labels.tolist()}
        (python / name).write_bytes(pickle.dumps(batch, protocol=2))
        records = np.column_stack([labels.astype(np.uint8), images])
        (binary / f"{name}.bin").write_bytes(records.tobytes())
    return {"npz": shapes_file, "python": python, "binary": binary}


def test_every_form_gives_the_same_run(inside, nets, undrawn, same, places, tmp_path):
    for name, place in places.items():
        given = (*SHORT, "--data-dir", place, "--out", tmp_path / f"run {name}")
        status, out, err = inside(EXPERIMENT, *given)
        assert status == 0, err
        assert out.startswith("result: ") and out.count("\n") == 1
    same(tmp_path / "run npz", tmp_path / "run python")
    same(tmp_path / "run npz", tmp_path / "run binary")


def test_without_a_place_it_draws_shapes(
    inside, nets, undrawn, monkeypatch, rows, tmp_path
):
    """The default, of fewer pictures."""
    draw, counts = inputs.shapes.arrays, []

    def fewer(count, *, seed):
        counts.append((count, seed))
        return draw(count // 50, seed=seed)

    monkeypatch.setattr(inputs.shapes, "arrays", fewer)
    given = ("--model", "cifar_resnet8", "--batch-size", 16, "--out", tmp_path / "run")
    assert inside(EXPERIMENT, *given)[0] == 0
    (train, seed), (test, other) = counts
    assert train >= 1000 and test >= 500 and seed != other
    assert len(rows(tmp_path / "run")) < 24  # of the recipe
    described = json.loads((tmp_path / "run/config.json").read_text())
    assert described["classes"] == list(inputs.shapes.CLASSES)
    assert described["config"]["data_dir"] is None


def test_refused_before_anything_is_made(refused, nets, places, tmp_path):
    def look(*flags):
        return refused(EXPERIMENT, *map(str, flags))

    assert "no such file" in look("--data-dir", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "found none" in look("--data-dir", tmp_path / "empty")
    cut = places["binary"] / "data_batch_2.bin"
    cut.write_bytes(cut.read_bytes()[:-1])
    assert "data_batch_2.bin" in look("--data-dir", places["binary"])
    (places["python"] / "data_batch_3").unlink()
    assert "data_batch_3 is missing" in look("--data-dir", places["python"])
    known = ("--data-dir", places["npz"])
    assert "model 'x' is unknown" in look(*known, "--model", "x")
    assert "does not take colour pictures" in look(*known, "--model", "lenet5")
    assert "recipe='x'" in look(*known, "--recipe", "x")
    assert "chunks=3 does not divide" in look(*known, "--chunks", 3)
    stage = ("--model", "cifar_resnet8", "--freeze-until", "x")
    assert "freeze_until='x'" in look(*known, *stage)
    file = ("--weights", places["npz"])
    assert "torchvision has no cifar_resnet20" in look(*known, *file)
    assert "cannot take pictures of 32x32" in look(*known, "--model", "googlenet_paper")
    for name in ("epochs", "batch-size", "chunks"):
        assert "=0 is not usable" in look(*known, f"--{name}", 0)
