"""LeNet-5 from the command line: its run, its ends, and stops on the way."""

import json
import random
import shlex
import shutil
import signal
import time

import pytest

import jnets
from experiments import harness, lenet5

EXPERIMENT = "lenet5"


def test_the_run(whole, rows, pictures):
    run = whole(EXPERIMENT)
    result = run.result
    assert result.keys() == {"test_accuracy", "test_error_percent", "seconds", "run"}
    assert result["run"] == str(run.directory)
    accuracy = float(result["test_accuracy"])
    assert accuracy == pytest.approx(rows(run.directory)[-1]["test_accuracy"], abs=6e-5)
    assert float(result["test_error_percent"]) == pytest.approx(
        100 - 100 * accuracy, abs=0.01
    )
    assert accuracy > 0.5
    assert [row["epoch"] for row in rows(run.directory)] == list(range(1, 11))
    assert all("test_loss" in row for row in rows(run.directory))
    assert pictures(run.directory) == {
        "curves.png",
        "confusion.png",
        "filters.png",
        "feature_maps.png",
    }
    config = json.loads((run.directory / "config.json").read_text())
    assert config["experiment"] == EXPERIMENT
    assert config["config"]["epochs"] == 10 and config["config"]["seed"] == 3
    assert [line.split()[1] for line in run.err.splitlines()] == [
        f"{epoch}/10" for epoch in range(1, 11)
    ]


def test_the_trained_model_reads(whole):
    model, variables, encode = jnets.load(whole(EXPERIMENT).directory)
    assert encode.classes == tuple("0123456789")
    assert type(model).__name__ == "LeNet"
    assert variables["params"]["C1"]["kernel"].shape == (5, 5, 1, 6)


def test_interrupted_twice(whole, start, same, rows, flags, tmp_path):
    """Ctrl-C, then the end of a batch system's patience."""
    run, epochs = tmp_path / "my run", 0
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run)
    for number in (signal.SIGINT, signal.SIGTERM):
        process.wait_for(run / "metrics.jsonl", 1 + epochs)
        stopped = process.stop(number)
        epochs = len(rows(run))
        assert (stopped.returncode, stopped.stdout) == (130, "")
        assert "Traceback" not in stopped.stderr
        message = stopped.stderr.splitlines()[-1]
        python, *command = shlex.split(message.partition("go on with: ")[2])
        assert python == "python"
        expected = ["-m", "experiments.lenet5", "--resume", str(run)]
        assert command == expected
        process = start(EXPERIMENT, *command[2:])
    done = process.result()
    assert done.returncode == 0, done.stderr
    same(run, whole(EXPERIMENT).directory)


def test_killed_before_the_first_checkpoint_and_after(
    whole, start, resume, same, flags, tmp_path
):
    run = tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run, "--save-seconds", 0)
    process.wait_for(run / "config.json")
    assert process.stop(signal.SIGKILL).returncode == -signal.SIGKILL
    process = start(EXPERIMENT, "--resume", run, "--save-seconds", 0)
    process.wait_for(run / "metrics.jsonl", 4)
    assert process.stop(signal.SIGKILL).returncode == -signal.SIGKILL
    done = resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)
    expected, found = whole(EXPERIMENT).result, done.result
    assert found["test_accuracy"] == expected["test_accuracy"]


def test_a_finished_run_is_shown_again(whole, monkeypatch, capsys, rows, tmp_path):
    shutil.copytree(whole(EXPERIMENT).directory, tmp_path / "run")
    monkeypatch.setattr("sys.argv", ["lenet5", "--resume", str(tmp_path / "run")])
    assert harness.main(EXPERIMENT, lenet5.Config(), lenet5.run) == 0
    out, err = capsys.readouterr()
    assert err == ""
    expected = whole(EXPERIMENT).result["test_accuracy"]
    assert out.startswith(f"result: test_accuracy={expected} ")
    assert rows(tmp_path / "run") == rows(whole(EXPERIMENT).directory)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment(whole, start, resume, same, flags, tmp_path, seed):
    rng, run = random.Random(seed), tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run, "--save-seconds", 0)
    process.wait_for(run / "metrics.jsonl", rng.randint(1, 6))
    time.sleep(rng.uniform(0, 0.3))
    assert process.stop(signal.SIGKILL).returncode == -signal.SIGKILL
    resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)
