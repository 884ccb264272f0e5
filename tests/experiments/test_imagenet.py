"""A net on a folder of pictures, as a process: its run, stops on the way, refusals."""

import json
import shlex
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jnets
from experiments import harness, imagenet, inputs
from jnets import cli
from jnets.data import image_folder
from jnets.data.crops import Evaluation
from jnets.data.stream import OrderedPass

EXPERIMENT = "imagenet"
UPDATES = 5  # of an epoch


def test_the_run(whole, rows, pictures):
    run = whole(EXPERIMENT)
    result = run.result
    assert [*result] == [
        *("test_loss", "test_accuracy", "top5_accuracy"),
        *("memory_mb", "ms_per_update", "skipped", "seconds", "run"),
    ]
    assert result["run"] == str(run.directory) and result["skipped"] == "0"
    last = rows(run.directory)[-1]
    for name in ("test_loss", "test_accuracy", "top5_accuracy"):
        assert float(result[name]) == pytest.approx(last[name], abs=6e-5)
    assert [row["step"] for row in rows(run.directory)] == [5, 10, 15, 20]
    assert 1 < float(result["ms_per_update"]) < 60_000
    assert 50 < float(result["memory_mb"]) < 60_000
    drawn = {"curves.png", "confusion.png", "mistakes.png"}
    assert pictures(run.directory) == drawn
    assert [line.split()[1] for line in run.err.splitlines()] == [
        f"{epoch}/4" for epoch in range(1, 5)
    ]
    config = json.loads((run.directory / "config.json").read_text())
    assert config["model"] == {
        "name": "cifar_resnet20",
        "fields": {"classes": 10},
    }
    assert config["input"] == {"size": 32, "shorter": 37, "pixels": "torchvision"}


def test_what_is_loaded_gives_the_figures_of_the_run(whole, rows, shapes_folder):
    run = whole(EXPERIMENT).directory
    model, variables, encode = jnets.load(run)
    val = image_folder.read(shapes_folder).val
    inputs = jnp.concatenate([encode(path)[0] for path in val.paths])
    logits = model.apply(variables, inputs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, val.labels)
    last = rows(run)[-1]
    np.testing.assert_allclose(losses.mean(), last["test_loss"], rtol=1e-5)
    hits = np.argmax(logits, -1) == val.labels
    np.testing.assert_allclose(hits.mean(), last["test_accuracy"], rtol=1e-6)
    order = np.argsort(-np.asarray(logits), axis=-1)[:, :5]
    top5 = np.mean([label in row for label, row in zip(val.labels, order, strict=True)])
    np.testing.assert_allclose(top5, last["top5_accuracy"], rtol=1e-6)


def test_the_command_gives_the_same_answers(whole, shapes_folder, monkeypatch, capsys):
    run = whole(EXPERIMENT)
    monkeypatch.chdir(shapes_folder)  # short names, whole lines
    picture = "val/star/0000.jpg"
    assert cli.main(["predict", str(run.directory), picture]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    model, variables, encode = jnets.load(run.directory)
    p = jax.nn.softmax(model.apply(variables, jnp.asarray(*encode(picture)))[0])
    for place in np.argsort(-p)[:3]:
        assert f"{encode.classes[place]} {p[place]:.3f}" in out
    flags = ("--weights", run.directory, "--data", shapes_folder)
    assert cli.main(["evaluate", "cifar_resnet20", *map(str, flags)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name in ("test_accuracy", "top5_accuracy"):
        assert f"{100 * float(run.result[name]):.2f} %" in out


def test_stopped_with_processes_that_read(
    whole, start, resume, same, rows, flags, tmp_path
):
    """Ctrl-C reaches the readers as well, a kill does not. How many they are, and
    where a run was stopped, changes no bit."""
    run = tmp_path / "my run"
    keep = ("--save-seconds", 0)
    process = start(EXPERIMENT, *flags[EXPERIMENT], *keep, "--workers", 2, "--out", run)
    process.wait_for(run / "metrics.jsonl", 1)
    stopped = process.stop(signal.SIGINT)
    assert (stopped.returncode, stopped.stdout) == (130, "")
    assert "Traceback" not in stopped.stderr
    message = stopped.stderr.splitlines()[-1]
    command = shlex.split(message.partition("go on with: ")[2])
    expected = ["python", "-m", "experiments.imagenet", "--resume", str(run)]
    assert command == expected
    done = len(rows(run))
    assert 1 <= done < 4
    process = start(EXPERIMENT, "--resume", run, *keep)
    process.wait_for(run / "metrics.jsonl", done + 1)
    assert process.stop(signal.SIGKILL).returncode == -signal.SIGKILL
    finished = resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)
    for name in ("test_loss", "test_accuracy", "top5_accuracy", "skipped"):
        assert finished.result[name] == whole(EXPERIMENT).result[name]


def test_killed(whole, start, resume, same, rows, flags, tmp_path):
    run = tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run, "--save-seconds", 0)
    process.wait_for(run / "metrics.jsonl", 2)
    assert process.stop(signal.SIGKILL).returncode == -signal.SIGKILL
    assert len(rows(run)) < 4
    resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)


def test_without_a_folder_it_draws_one_once(
    inside, nets, undrawn, monkeypatch, tmp_path
):
    """The default, of fewer pictures: two runs on one folder."""
    monkeypatch.chdir(tmp_path)
    write, written = inputs.shapes.write_folder, []

    def fewer(directory, *, per_class_train, per_class_val, side, seed):
        written.append(per_class_train)
        return write(
            directory, per_class_train=3, per_class_val=1, side=side, seed=seed
        )

    monkeypatch.setattr(inputs.shapes, "write_folder", fewer)
    for name in ("first", "second"):
        given = ("--model", "cifar_resnet8", "--updates", 1, "--seed", 3)
        assert inside(EXPERIMENT, *given, "--out", name)[0] == 0
    assert len(written) == 1 and written[0] >= 100
    assert len(list((tmp_path / "data/shapes/train").glob("*/*.jpg"))) == 30
    config = json.loads((tmp_path / "first/config.json").read_text())
    assert config["config"]["data_dir"] is None


def test_val_is_held_out_where_there_is_none(shapes_folder):
    folder = imagenet.inputs.pictures(shapes_folder / "train", 0.25, 3)
    assert (folder.train.size, folder.val.size) == (60, 20)
    again = imagenet.inputs.pictures(shapes_folder / "train", 0.25, 3)
    assert folder.val.paths == again.val.paths


def test_validation_sees_the_centre(shapes_folder):
    """The views of `jnets predict` are those that a run is measured on."""
    val = image_folder.read(shapes_folder).val
    images, *_ = next(OrderedPass(val, Evaluation("centre", 32, 37), batch=4).batches())
    spec = imagenet.PictureSpec(32, 37, "torchvision")
    for image, path in zip(images[:, 0], val.paths, strict=False):
        assert np.array_equal(image, spec.load(path))


def test_refused_before_anything_is_made(refused):
    assert "unknown; expected one of" in refused(EXPERIMENT, "--model", "nonsense")
    message = refused(EXPERIMENT, "--model", "lenet5")
    assert "does not take colour pictures" in message and "vgg16" in message
    assert "recipe='x'" in refused(EXPERIMENT, "--recipe", "x")
    assert "chunks=3 does not divide" in refused(EXPERIMENT, "--chunks", 3)
    for name in ("batch-size", "epochs", "chunks", "image-size", "updates"):
        message = refused(EXPERIMENT, f"--{name}", 0)
        assert f"{name.replace('-', '_')}=0 is not usable" in message
    assert "workers=-1" in refused(EXPERIMENT, "--workers", -1)
    assert "image_size=-3" in refused(EXPERIMENT, "--image-size", -3)
    for rate in ("nan", "0", "-1", "inf"):
        assert "learning_rate=" in refused(EXPERIMENT, "--learning-rate", rate)
    for share in ("0", "1", "nan", "-0.5"):
        assert "val_fraction=" in refused(EXPERIMENT, "--val-fraction", share)
    assert "compute='float16'" in refused(EXPERIMENT, "--compute", "float16")
    both = ("--exact-statistics", "--freeze-until", "fc")
    assert "cannot go with freeze_until='fc'" in refused(EXPERIMENT, *both)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--model", "vgg16", "--image-size", 16), ("vgg16", "16x16")),
        (("--model", "googlenet_paper", "--image-size", 32), ("32x32", "79x79")),
        (
            ("--model", "vgg11", "--image-size", 32, "--exact-statistics"),
            ("no batch",),
        ),
        (
            ("--model", "cifar_resnet8", "--freeze-until", "x"),
            ("freeze_until='x'", "fc"),
        ),
        (("--weights", "none.pth"), ("weights=none.pth is neither",)),
    ],
)
def test_refused_for_the_model(refused, nets, shapes_folder, flags, words):
    message = refused(EXPERIMENT, "--data-dir", shapes_folder, *flags)
    assert all(word in message for word in words)


def test_the_help_keeps_its_lines(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [EXPERIMENT, "--help"])
    with pytest.raises(SystemExit):
        harness.main(EXPERIMENT, imagenet.Config(), imagenet.run)
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.endswith("data/shapes"))
    assert lines[start].startswith("    python -m experiments.imagenet   ")
    assert lines[start + 1].startswith("    python -m experiments.imagenet --data-dir")
