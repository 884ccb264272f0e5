"""The `jnets` command on models and on two small runs that were really trained."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import jnets
from jnets import cli, doctor
from jnets.data import digits, names
from jnets.data.images import prepare
from jnets.models import MODELS, create
from jnets.runs import Description, Run
from jnets.training import (
    create_state,
    epoch_order,
    fit,
    make_step,
    minibatch,
)
from jnets.training.fit import Plan

ROOT = Path(__file__).parents[1]
SPEC = digits.DIGITS._replace(resize=8, size=8, low=0.0, high=1.0)
cross_entropy = optax.softmax_cross_entropy_with_integer_labels


def train(directory, description, data, epochs, rate, examples):
    """A run directory with the model that these epochs of minibatches make."""
    model = create(description.model, **description.fields)
    inputs, labels = tuple(map(jnp.asarray, data.inputs)), jnp.asarray(data.labels)
    descent, optimizer = minibatch(examples), optax.sgd(rate, momentum=0.9)
    state = create_state(model, tuple(x[:1] for x in inputs), optimizer)
    updates = descent.updates(data.size)
    plan = Plan(
        lambda state, epoch: epoch_order(state.epoch_key(epoch), data.size, descent),
        updates,
        epochs,
        per_call=updates,
    )
    run = Run.create(directory, description)
    with run.checkpoints() as checkpoints:
        step = make_step(model, cross_entropy, optimizer, descent)
        fit(state, step, (inputs, labels), plan, checkpoints=checkpoints)
    return directory


@pytest.fixture(scope="module")
def digit_run(tmp_path_factory):
    train_set, _ = digits.load()
    data = train_set._replace(inputs=(prepare(train_set.inputs[0], SPEC),))
    fields = {"hidden": [32]}
    described = Description("none", {}, "mlp", fields, data.classes, SPEC)
    return train(tmp_path_factory.mktemp("digits") / "run", described, data, 8, 0.1, 32)


@pytest.fixture(scope="module")
def name_run(tmp_path_factory):
    """Names that end in -ov are of one class, names that end in -son of the other."""
    folder = tmp_path_factory.mktemp("names")
    stems = ("Karl", "Anders", "Pet", "Iv", "Mikhail", "Niels", "Tom", "Robert")
    for name, end in (("East", "ov"), ("North", "son")):
        (folder / f"{name}.txt").write_text("\n".join(stem + end for stem in stems))
    data = names.read_folder(folder)
    fields = {"hidden": 8, "classes": 2}
    described = Description("none", {}, "surname_rnn", fields, data.classes, None)
    return train(folder / "run", described, data, 40, 0.05, 4)


@pytest.fixture
def call(capsys):
    """call(*arguments): what the command prints when it succeeds."""

    def run(*arguments):
        status = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert (status, err) == (0, "")
        assert all(len(line) <= 80 for line in out.splitlines())
        return out

    return run


@pytest.fixture
def refused(capsys):
    """refused(*arguments): the one line that says why it cannot."""

    def run(*arguments):
        status = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert (status, out) == (2, "")
        assert re.fullmatch(r"error: [^\n]+\n", err), err
        return err

    return run


def cells(table):
    """The rows of a printed table as lists of cells, wrapped cells joined."""
    rows: list[list[str]] = []
    for line in table.splitlines():
        if line.startswith("│"):
            row = [cell.strip() for cell in line.strip("│").split("│")]
            if row[0] or not rows:
                rows.append(row)
            else:
                joined = zip(rows[-1], row, strict=True)
                rows[-1] = [f"{a} {b}".strip() for a, b in joined]
    return rows


def test_list(call):
    title, *lines = call("list").splitlines()
    assert title.split() == ["model", "parameters", "about"]
    assert max(map(len, lines)) <= 80
    rows = [line.split(maxsplit=2) for line in lines]
    assert [row[0] for row in rows] == list(MODELS)
    counts = {row[0]: row[1] for row in rows}
    assert counts["lenet5_1998"] == "60,000"
    assert counts["lenet_caffe"] == "431,080"
    assert counts["surname_rnn"] == "27,156"


def test_summary_of_lenet_is_the_table_of_the_paper(call):
    out = call("summary", "lenet5_1998")
    assert out.splitlines()[0].strip() == "lenet5_1998"
    rows = {row[0]: row for row in cells(out)}
    assert list(rows) == ["C1", "S2", "C3", "S4", "C5", "F6", "RBF", "total"]
    # LeCun et al. 1998, section II-B: trainable parameters and connections.
    paper = {
        "C1": ("156", "122,304"),
        "S2": ("12", "5,880"),
        "C3": ("1,516", "151,600"),
        "S4": ("32", "2,000"),
        "C5": ("48,120", "48,120"),
        "F6": ("10,164", "10,164"),
        "total": ("60,000", "340,908"),
    }
    for name, figures in paper.items():
        assert tuple(rows[name][4:6]) == figures


@pytest.mark.parametrize("model", MODELS)
def test_every_summary_fits_a_screen(call, model):
    assert model in call("summary", model)


def test_doctor(call, monkeypatch):
    monkeypatch.setattr(doctor, "report", lambda: [("backend", "cpu"), ("a", "[b]")])
    assert call("doctor").splitlines() == [f"{'backend':<32}cpu", f"{'a':<32}[b]"]


def test_doctor_for_real(capsys):
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(doctor.report())
    for line, (name, value) in zip(lines, doctor.report(), strict=True):
        assert line.startswith(name) and line.endswith(value)


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"{jnets.__version__}\n"


def pictures(folder, count):
    """Test digits as PNG files: the data set's own pixels, and drawn large in black."""
    _, test = digits.load()
    for i in range(count):
        ink = np.uint8(np.rint(test.inputs[0][i] * (255 / 16)))
        image = Image.fromarray(ink)
        if i % 2:
            image = Image.fromarray(255 - ink).resize(
                (96, 96), Image.Resampling.BICUBIC
            )
            image = Image.fromarray(np.pad(image, 40, constant_values=255))
        image.save(folder / f"{i}.png")
        yield folder / f"{i}.png", test.classes[test.labels[i]]


def test_predict_digits(call, digit_run, tmp_path, monkeypatch):
    expected = dict(pictures(tmp_path, 20))
    monkeypatch.chdir(tmp_path)
    rows = cells(call("predict", digit_run, *(path.name for path in expected)))
    assert [row[0] for row in rows] == [path.name for path in expected]
    right = [
        row[1] == label for row, label in zip(rows, expected.values(), strict=True)
    ]
    assert sum(right) >= 15


def test_probabilities_are_sorted_and_sum_to_1(call, digit_run, tmp_path, monkeypatch):
    (path,) = dict(pictures(tmp_path, 1))
    monkeypatch.chdir(tmp_path)
    (row,) = cells(call("predict", digit_run, path.name, "--top", 10))
    found = re.findall(r"(\d) ([01]\.\d{3})", row[2])
    assert sorted(name for name, _ in found) == list("0123456789")
    values = [float(value) for _, value in found]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=0.006)
    assert found[0][0] == row[1]
    (row,) = cells(call("predict", digit_run, path.name))
    assert re.findall(r"(\d) ([01]\.\d{3})", row[2]) == found[:3]


def test_predict_names(call, name_run):
    rows = cells(call("predict", name_run, "Ivanov", "Jónsson", "--top", 1))
    assert [row[:2] for row in rows] == [["Ivanov", "East"], ["Jónsson", "North"]]
    assert all(float(row[2].split()[1]) > 0.5 for row in rows)


def test_brackets_are_letters_like_others(call, name_run):
    rows = cells(call("predict", name_run, "[red]Ivanov", "Iva[/b]nov", "Karlson[1]"))
    assert [row[0] for row in rows] == ["[red]Ivanov", "Iva[/b]nov", "Karlson[1]"]


def test_one_bad_input_and_nothing_is_printed(refused, digit_run, tmp_path):
    (good,) = dict(pictures(tmp_path, 1))
    message = refused("predict", digit_run, good, tmp_path / "missing.png")
    assert str(tmp_path / "missing.png") in message


def test_bad_images(refused, digit_run, tmp_path):
    (good,) = dict(pictures(tmp_path, 1))
    text, cut, blank = (tmp_path / name for name in ("a.txt", "cut.png", "blank.png"))
    text.write_text("3")
    cut.write_bytes(good.read_bytes()[:60])
    Image.new("L", (40, 40), 255).save(blank)
    for path in (text, cut, blank, tmp_path):
        assert str(path) in refused("predict", digit_run, path)


def test_bad_names(refused, name_run):
    for name in ("123", "", "Иванов"):
        assert repr(name) in refused("predict", name_run, name)


def test_bad_arguments(refused, name_run):
    assert "--top=0" in refused("predict", name_run, "Ivanov", "--top", 0)
    assert "--top=-2" in refused("predict", name_run, "Ivanov", "--top=-2")
    message = refused("summary", "lenet6")
    assert "'lenet6'" in message and "lenet5_1998" in message


def test_runs_that_are_none(refused, digit_run, tmp_path):
    assert str(tmp_path / "none") in refused("predict", tmp_path / "none", "a.png")
    shutil.copytree(digit_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    message = refused("predict", tmp_path / "run", "a.png")
    assert str(tmp_path / "run") in message and "no checkpoint" in message


@pytest.mark.parametrize(
    "arguments", [(), ("paint",), ("predict",), ("predict", "run", "a", "--top", "x")]
)
def test_a_command_that_is_none(capsys, arguments):
    """One line, as for every other mistake."""
    status = cli.main(list(arguments))
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", err), err


def shell(command, **environment):
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_reader_that_has_seen_enough():
    done = shell(
        '"$PYTHON" -m jnets.cli list | head -n 1; "$PYTHON" -m jnets.cli list | true'
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def cut_arrays(checkpoints):
    for path in checkpoints.rglob("d/*"):
        path.write_bytes(path.read_bytes()[:50])


def lose_description(checkpoints):
    (path,) = checkpoints.glob("*/_CHECKPOINT_METADATA")
    path.unlink()


@pytest.mark.parametrize("damage", [cut_arrays, lose_description])
def test_a_damaged_checkpoint(digit_run, tmp_path, damage):
    """As a process: one line, and none of the library's own."""
    shutil.copytree(digit_run, tmp_path / "run")
    damage(tmp_path / "run" / "checkpoints")
    (good,) = dict(pictures(tmp_path, 1))
    command = f'"$PYTHON" -m jnets.cli predict "{tmp_path}/run" "{good}"'
    done = shell(command, PYTHONWARNINGS="default")
    assert (done.returncode, done.stdout) == (2, "")
    expected = r"error: checkpoint [^\n]+ cannot be read [^\n]+\n"
    assert re.fullmatch(expected, done.stderr), done.stderr


def test_as_a_process(digit_run, tmp_path):
    (good,) = dict(pictures(tmp_path, 1))
    done = shell(f'"$PYTHON" -m jnets.cli predict "{digit_run}" "{good}"')
    assert (done.returncode, done.stderr) == (0, "")
    assert "likeliest classes" in done.stdout
