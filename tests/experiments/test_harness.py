"""What every experiment shares: flags, run directories, and refusals in one line."""

import dataclasses
import json
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import gradient_descent, harness, lenet5, surname_classifier
from jnets.errors import InputError
from jnets.models import create, example_inputs
from jnets.runs import Description, Run
from jnets.training import Checkpoints, NonFiniteLoss, create_state


@dataclasses.dataclass(frozen=True)
class Config:
    """An experiment that does nothing."""

    epochs: int = 2
    """Passes."""
    rate: float = 0.1
    """Factor."""
    data_dir: Path | None = None
    """Data."""
    seed: int = 0
    """Seed."""


def body(config, session):
    harness.at_least(1, config, "epochs")
    run = session.start(model="mlp", fields={}, classes=("a", "b"), spec=None)
    return {"epochs": config.epochs, "share": 1 / 3, "none": 0.0, "tiny": 1e-7} | (
        {"data": str(config.data_dir)} if config.data_dir else {"where": str(run.plots)}
    )


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """call(*flags, body): status, standard output, standard error, in tmp_path."""
    monkeypatch.chdir(tmp_path)

    def run(*flags, body=body):
        monkeypatch.setattr("sys.argv", ["nothing", *map(str, flags)])
        status = harness.main("nothing", Config(), body)
        return status, *capsys.readouterr()

    return run


def test_the_result_line(call):
    status, out, err = call("--out", "a run", "--data-dir", "d")
    assert (status, err) == (0, "")
    start, seconds = out.split(" seconds=")
    assert start == "result: epochs=2 share=0.3333 none=0 tiny=0 data=d"
    assert seconds.endswith(" run='a run'\n")


def test_a_run_gets_a_directory_of_its_own(call, tmp_path):
    for _ in range(3):
        assert call()[0] == 0
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) == 3 and all((run / "config.json").exists() for run in runs)
    assert all(run.name.startswith("nothing-20") for run in runs)


def test_a_run_is_gone_on_with_under_its_own_configuration(call, tmp_path):
    call("--out", "run", "--epochs", 5, "--rate", 0.25, "--data-dir", "d")
    config = json.loads((tmp_path / "run/config.json").read_text())["config"]
    expected = {"epochs": 5, "rate": 0.25, "data_dir": f"{tmp_path}/d", "seed": 0}
    assert config == expected
    status, out, _ = call("--resume", "run")
    assert status == 0 and f" data={tmp_path}/d " in out and "epochs=5" in out
    # Flags that agree do not contradict.
    status, out, _ = call("--resume", "run", "--epochs", 5, "--data-dir", "d")
    assert status == 0, out


def test_help(call, capsys):
    with pytest.raises(SystemExit) as stop:
        call("--help")
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for flag in ("--epochs", "--rate", "--data-dir", "--out", "--resume"):
        assert flag in out


CONTRADICTIONS = [
    ("--epochs", 2, "epochs=2 differs from the run's 5"),  # the default, yet given
    ("--rate", 0.5, "rate=0.5 differs from the run's 0.1"),
    ("--seed", 1, "seed=1 differs from the run's 0"),
    ("--data-dir", "elsewhere", "data_dir="),
]


@pytest.mark.parametrize(("flag", "value", "says"), CONTRADICTIONS)
def test_a_contradicting_flag(call, flag, value, says):
    call("--out", "run", "--epochs", 5)
    status, out, err = call("--resume", "run", flag, value)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {says}") and err.count("\n") == 1


def test_interrupted_before_there_is_a_run(call, tmp_path):
    def body(config, session):
        raise KeyboardInterrupt

    assert call(body=body) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_not_finite(call):
    def body(config, session):
        raise NonFiniteLoss(7, 1, math.nan, np.array([3, 1]))

    status, out, err = call(body=body)
    assert (status, out) == (1, "")
    assert err.startswith("error: update 7 (epoch 2) is not finite: loss nan on 2")
    assert err.count("\n") == 1


def test_a_defect_keeps_its_traceback(call):
    def body(config, session):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(body=body)


def test_checks():
    harness.at_least(1, Config(epochs=1, seed=9), "epochs", "seed", "data_dir")
    for value in (0, -3, math.nan):
        with pytest.raises(InputError, match=f"^epochs={value} is not usable"):
            harness.at_least(1, Config(epochs=value), "epochs")
    harness.fraction(Config(rate=0.0), "rate", "data_dir")
    for value in (1.0, -0.1, math.nan, math.inf):
        with pytest.raises(InputError, match=f"^rate={value} is not usable"):
            harness.fraction(Config(rate=value), "rate")


CONFIGS = {
    "lenet5": lenet5.Config(),
    "gradient_descent": gradient_descent.Config(),
    "surname_classifier": surname_classifier.Config(),
}

# Flags, and what the line must name.
BAD_FLAGS = {
    "lenet5": [
        (("--epochs", "abc"), ["--epochs", "'abc'"]),
        (("--epochs", "0"), ["epochs=0"]),
        (("--batch-size", "0"), ["batch_size=0"]),
        (("--learning-rate", "-0.1"), ["learning_rate=-0.1"]),
        (("--learning-rate", "0"), ["learning_rate=0.0"]),
        (("--learning-rate", "nan"), ["learning_rate=nan"]),
        (("--momentum", "1"), ["momentum=1.0"]),
        (("--weight-decay", "nan"), ["weight_decay=nan"]),
        (("--variant", "lenet6"), ["variant='lenet6'", "lenet5_1998"]),
        (("--dropout", "0.1"), ["--dropout"]),
        (("leftover",), ["leftover"]),
        (("--epochs",), ["--epochs"]),
        (("--seed", "9" * 20), ["seed=9999"]),
        (("--save-seconds", "nan"), ["save_seconds=nan"]),
    ],
    "gradient_descent": [
        (("--online-rate", "nan"), ["online_rate=nan"]),
        (("--minibatch-rate", "0"), ["minibatch_rate=0.0"]),
        (("--batch-rate", "-2", "--reduction", "sum"), ["batch_rate=-2.0"]),
        (("--reduction", "max"), ["reduction='max'"]),
        (("--activation", "relo"), ["'relo'", "relu"]),
        (("--dropout", "1"), ["dropout=1.0"]),
        (("--hidden", "0"), ["hidden=0"]),
        (("--seed", "9" * 20), ["seed=9999"]),
    ],
    "surname_classifier": [
        (("--updates", "1500"), ["updates=1500", "1000"]),
        (("--updates", "0"), ["updates=0"]),
        (("--held-out", "1"), ["held_out=1.0"]),
        (("--learning-rate", "0"), ["learning_rate=0.0"]),
        (("--variant", "lstm"), ["variant='lstm'"]),
        (("--seed", "-1"), ["seed", "-1"]),
        (("--seed", "9" * 20), ["seed=9999"]),
    ],
}


@pytest.mark.parametrize(
    ("experiment", "flags", "names"),
    [(name, *row) for name, rows in BAD_FLAGS.items() for row in rows],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_flags(refused, experiment, flags, names):
    message = refused(experiment, *flags)
    assert all(name in message for name in names), message


@pytest.fixture
def described(tmp_path):
    """described(experiment, name, **config): a run directory as it is at its start."""

    def make(experiment, name="run", **config):
        values = dataclasses.asdict(CONFIGS[experiment]) | config
        description = Description(
            experiment, values, "lenet5", {}, tuple("0123456789"), None
        )
        return Run.create(tmp_path / name, description).directory

    return make


def test_resuming_what_is_no_run(refused, tmp_path):
    for path in ("nothing here", "a directory", "a file"):
        (tmp_path / "a directory").mkdir(exist_ok=True)
        (tmp_path / "a file").write_text("")
        message = refused("lenet5", "--resume", path)
        assert path in message and "config.json" in message


def test_resuming_a_run_of_another_experiment(refused, described):
    run = described("surname_classifier")
    message = refused("lenet5", "--resume", run)
    assert f"resume={run}" in message and "surname_classifier" in message


def test_resuming_and_making_at_once(refused, described, tmp_path):
    run = described("lenet5")
    message = refused("lenet5", "--resume", run, "--out", tmp_path / "b")
    assert f"out={tmp_path / 'b'}" in message and f"resume={run}" in message


def test_making_a_run_where_one_is(refused, described):
    run = described("gradient_descent")
    message = refused("gradient_descent", "--out", run)
    assert f"out={run}" in message and f"--resume {run}" in message


def test_making_a_run_below_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("")
    message = refused("gradient_descent", "--out", tmp_path / "file" / "run")
    assert f"out={tmp_path / 'file' / 'run'}" in message and "cannot be" in message


@pytest.mark.parametrize("text", ['{"format": 1, "exper', "", "[]", '{"format": 1}'])
def test_an_unfinished_description(refused, described, text):
    run = described("lenet5")
    (run / "config.json").write_text(text)
    message = refused("lenet5", "--resume", run)
    assert str(run / "config.json") in message


def test_a_description_of_another_version(refused, described):
    run = described("lenet5", rho=3)
    message = refused("lenet5", "--resume", run)
    assert "rho" in message and "another version" in message


def test_a_checkpoint_of_another_model(refused, described):
    run = described("lenet5")
    state = create_state(create("mlp"), example_inputs("mlp"), optax.sgd(0.1))
    with Checkpoints(run / "checkpoints") as checkpoints:
        checkpoints.save(state.replace(step=jnp.int32(5)))
    message = refused("lenet5", "--resume", run)
    assert "another model" in message and "params/C1/bias" in message


def test_as_processes(start, described, tmp_path):
    """What a person sees: status 2 and one line, whatever Python adds at its exit."""
    run = described("surname_classifier")
    cases = {
        ("lenet5", "--epochs", "abc"): "--epochs",
        ("gradient_descent", "--data-dir", tmp_path / "none"): "none",
        ("surname_classifier", "--out", run): f"--resume {run}",
    }
    processes = [start(*command) for command in cases]
    for process, says in zip(processes, cases.values(), strict=True):
        done = process.result()
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert says in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [run.name]
    assert [path.name for path in run.iterdir()] == ["config.json"]
