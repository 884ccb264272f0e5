"""Three descents of a network with dropout, stopped in any of them."""

import json
import random
import signal
import time

import pytest

EXPERIMENT = "gradient_descent"
PARTS = ("online", "minibatch", "batch")


def test_the_run(whole, rows, pictures):
    run = whole(EXPERIMENT)
    result = run.result
    accuracies = [f"{part}_test_accuracy" for part in PARTS]
    assert list(result) == [*accuracies, "seconds", "run"]
    assert pictures(run.directory) == {"flavours.png"}
    described = json.loads((run.directory / "config.json").read_text())
    assert described["config"]["dropout"] > 0
    updates = {"online": 1437, "minibatch": 45, "batch": 1}
    for part, name in zip(PARTS, accuracies, strict=True):
        found = rows(run.directory / part)
        assert [row["epoch"] for row in found] == [1, 2, 3, 4]
        assert found[-1]["step"] == 4 * updates[part]
        last = found[-1]["test_accuracy"]
        assert float(result[name]) == pytest.approx(last, abs=6e-5)
        assert last > 0.2
        kept = json.loads((run.directory / part / "config.json").read_text())
        assert kept["model"] == described["model"]
    assert len(run.err.splitlines()) == 12


def killed(start, flags, run, part, epochs, delay):
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run, "--save-seconds", 0)
    process.wait_for(run / part / "metrics.jsonl", epochs)
    time.sleep(delay)
    assert process.stop(signal.SIGKILL).returncode == -signal.SIGKILL


def all_the_same(same, run, whole):
    for part in PARTS:
        same(run / part, whole(EXPERIMENT).directory / part)


def test_killed_in_the_second_of_three(whole, start, resume, same, flags, tmp_path):
    killed(start, flags, tmp_path / "run", "minibatch", 2, 0.0)
    done = resume(EXPERIMENT, tmp_path / "run")
    all_the_same(same, tmp_path / "run", whole)
    assert "online" not in done.err  # what was finished is not trained again
    for part in PARTS:
        name = f"{part}_test_accuracy"
        assert done.result[name] == whole(EXPERIMENT).result[name]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment(whole, start, resume, same, flags, tmp_path, seed):
    rng, run = random.Random(seed), tmp_path / "run"
    part = rng.choice(PARTS[:2])
    killed(start, flags, run, part, rng.randint(1, 2), rng.uniform(0, 0.3))
    resume(EXPERIMENT, run)
    all_the_same(same, run, whole)
