"""Actions of digits that move, of a folder of frames, and of series."""

import json
from signal import SIGKILL

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jnets
from experiments import action_clips, action_series
from experiments.action_clips import Answers
from jnets import cli
from jnets.data import digits, moving_digits
from jnets.data.moving_digits import Motion

EXPERIMENT = "action_recogniser"
SMALL = ("--frames", 4, "--batch-size", 4, "--hidden", 8, "--epochs", 1)


def predicted(capsys, *arguments):
    assert cli.main(["predict", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_run(whole, rows, pictures, capsys):
    run = whole(EXPERIMENT)
    assert list(run.result) == [
        *("test_accuracy", "single_frame_accuracy", "averaged_frames_accuracy"),
        *("classes", "training_seconds", "seconds", "run"),
    ]
    assert pictures(run.directory) == {"curves.png", "confusion.png", "frames.png"}
    alone = run.directory / "single_frame"
    for part in (run.directory, alone):
        found = rows(part)
        assert [row["step"] for row in found] == [100, 200]
        assert "test_loss" in found[-1] and "test_loss" not in found[0]
    # No net can do better than chance from one frame, 1/8; here three standard errors.
    assert abs(float(run.result["single_frame_accuracy"]) - 1 / 8) < 0.037
    described = json.loads((alone / "config.json").read_text())
    assert described["model"]["fields"]["frames_only"]
    folder = run.directory / "examples" / "left"
    for part in (run.directory, alone):
        model, variables, encode = jnets.load(part)
        x, lengths = encode(str(folder))
        assert x.shape == (1, 4, 32, 32, 3) and lengths.tolist() == [4]
        assert model.apply(variables, x, lengths).shape == (1, 4, 8)
    out = predicted(capsys, run.directory, folder)
    assert sum(out.count(name) for name in encode.classes) >= 3


def test_a_run_that_is_killed(whole, start, resume, same, flags, tmp_path):
    run = tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run, "--save-seconds", 0)
    process.wait_for(run / "metrics.jsonl", 1)
    process.stop(SIGKILL)
    resume(EXPERIMENT, run)
    for part in (".", "single_frame"):
        same(run / part, whole(EXPERIMENT).directory / part)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two directions of moving digits as UCF101 would have them."""
    root = tmp_path_factory.mktemp("videos")
    train, _ = digits.load()
    videos, labels = moving_digits.videos(train, Motion(6, directions=4), 40, 0)
    for i, (video, label) in enumerate(zip(videos, labels[:, 0], strict=True)):
        if label in (0, 2):
            name = ("Right", "", "Left")[label]
            place = root / name / f"v_{name}_g{i:02d}_c01"
            place.mkdir(parents=True)
            for number, frame in enumerate(video[: 6 if i % 2 else 3], 1):
                Image.fromarray(frame).save(place / f"frame-{number}.png")
    return root


def test_a_folder_of_frames(inside, folder, tmp_path, capsys, rows):
    run = tmp_path / "run"
    flags = (*SMALL, "--data-dir", folder, "--size", 28, "--stride", 2, "--epochs", 2)
    status, out, err = inside(EXPERIMENT, *flags, "--no-single-frame", "--out", run)
    assert status == 0, err
    assert "classes=2" in out and "single_frame" not in out
    assert len(rows(run)) == 2 and not (run / "examples").exists()
    videos = sorted(folder.glob("Left/*"))[:3]
    assert predicted(capsys, run, *videos).count("Left") >= 3
    x, lengths = jnets.load(run).encode(str(videos[0]))
    assert x.shape[1:] == (4, 28, 28, 3) and len(x) == len(lengths)


def test_turns(inside, tmp_path, capsys):
    flags = (*SMALL, "--fine-grained", "--no-single-frame", "--directions", 4)
    status, out, err = inside(EXPERIMENT, *flags, "--out", tmp_path / "run")
    assert status == 0, err
    assert "classes=4" in out
    out = predicted(capsys, tmp_path / "run", tmp_path / "run" / "examples" / "up")
    assert "1-" in out and "-4" in out


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Series that rise or fall, of different lengths."""
    folder, rng = tmp_path_factory.mktemp("series"), np.random.default_rng(0)
    for part in ("TRAIN", "TEST"):
        lines = ["@classLabel true rises falls", "@data"]
        for i in range(24):
            steps = np.arange(rng.integers(4, 9))
            values = (1, -1)[i % 2] * steps + rng.normal(size=len(steps)) / 4
            other = rng.normal(size=len(steps)) + 100
            channels = (",".join(f"{v:.3f}" for v in c) for c in (values, other))
            lines.append(":".join((*channels, ("rises", "falls")[i % 2])))
        (folder / f"Slopes_{part}.ts").write_text("\n".join(lines))
    return folder / "Slopes_TRAIN.ts"


def test_series(inside, pair, tmp_path, capsys, pictures):
    run = tmp_path / "run"
    flags = ("--series", pair, "--hidden", 8, "--epochs", 20, "--batch-size", 8)
    status, out, err = inside(EXPERIMENT, *flags, "--learning-rate", 0.02, "--out", run)
    assert status == 0, err
    assert "test_accuracy=1 test_errors=0" in out
    assert pictures(run) == {"curves.png", "confusion.png"}
    out = predicted(capsys, run, pair)
    assert "24 of 24 as in the file" in out
    assert inside(EXPERIMENT, "--resume", run)[0] == 0


def test_windows_of_series():
    """Steps in a row of a series, at least half of it; noise is told from it."""
    rows = 100.0 * jnp.arange(1, 9).reshape(1, 8, 1)
    lengths = jnp.repeat(jnp.array([8, 5, 1]), 400)
    x = jnp.where(jnp.arange(8)[None, :, None] < lengths[:, None, None], rows, 0)
    found, kept = action_series.disturbed(jax.random.key(0), (x, lengths))
    starts = set()
    for series, length, whole in zip(found, kept, lengths, strict=True):
        steps = np.rint(np.asarray(series[:length, 0]) / 100)
        assert np.ceil(whole / 2) <= length <= whole
        assert np.all(np.diff(steps) == 1) and 1 <= steps[0] and steps[-1] <= whole
        starts.add((int(whole), int(steps[0]), int(length)))
    # Of 8: lengths 4 to 8 from 5 to 1 places; of 5: 3 to 5 from 3 to 1; of 1: one.
    assert len(starts) == 15 + 6 + 1
    noise = np.asarray(found - jnp.round(found / 100) * 100)
    assert 0.25 < noise[: len(kept)].std() < 0.35


def test_measures_by_hand():
    p = np.array([[0.9, 0.1], [0.4, 0.6]])
    found = Answers([p, p[:1]], np.array([[0.8, 0.2], [0.5, 0.5]]))
    labels = [[-1, 1], [1]]
    videos = action_clips.measure(found, labels, False)
    assert videos.accuracy == 0 and videos.confusion.tolist() == [[0, 0], [2, 0]]
    assert videos.loss == pytest.approx(-(np.log(0.2) + np.log(0.5)) / 2)
    each = action_clips.measure(found, labels, True)
    assert each.accuracy == 0.5 and each.confusion.tolist() == [[0, 0], [1, 1]]
    assert each.loss == pytest.approx(-(np.log(0.6) + np.log(0.1)) / 2)


BAD = {
    ("--model", "lenet5"): "'lenet5' recognises no actions",
    ("--model", "series_recogniser"): "expected one of action_recogniser, lrcn",
    ("--encoder", "lenet6"): "'lenet6' is unknown",
    ("--encoder", "surname_rnn"): "encoder='surname_rnn' reads no pictures",
    ("--directions", "5"): "directions=5",
    ("--frames", "0"): "frames=0",
    ("--size", "64"): "size=64",
    ("--dropout", "1"): "dropout=1.0",
    ("--learning-rate", "0"): "learning_rate=0.0",
    ("--series", "x.ts"): "ends in _TRAIN.ts",
    ("--data-dir", "none"): "none: cannot be read",
    ("--data-dir", ".", "--series", "x"): "expected one of them",
    ("--data-dir", ".", "--fine-grained"): "fine_grained is of moving digits",
}


@pytest.mark.parametrize("given", BAD, ids=" ".join)
def test_bad_flags(refused, given):
    assert BAD[given] in refused(EXPERIMENT, *given)
