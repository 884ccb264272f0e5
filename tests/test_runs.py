"""Run directories: made whole, read back, cut short by a kill, loaded as models."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import jnets
from jnets.data import digits
from jnets.data.images import prepare
from jnets.errors import InputError
from jnets.models import create, example_inputs
from jnets.runs import Description, Run, load, probabilities
from jnets.training import create_state

SPEC = digits.DIGITS._replace(resize=8, size=8, low=0.0, high=1.0)
DIGITS = Description(
    "gradient_descent",
    {"epochs": 3, "data_dir": None, "rate": 0.1},
    "mlp",
    {"hidden": [7], "classes": 10},
    tuple("0123456789"),
    SPEC,
)
NAMES = Description(
    "surname_classifier",
    {},
    "surname_rnn",
    {"hidden": 5, "classes": 3},
    ("Arabic", "Czech", "Irish"),
    None,
)


def state_of(description):
    model = create(description.model, **description.fields)
    inputs = (
        (jnp.ones((1, 8, 8, 1)),)
        if description.spec
        else example_inputs(description.model)
    )
    return model, create_state(model, inputs, optax.sgd(0.1), seed=5)


@pytest.fixture
def saved(tmp_path):
    """saved(description): a run with one checkpoint, its model and variables."""

    def make(description):
        model, state = state_of(description)
        run = Run.create(tmp_path / "run", description)
        with run.checkpoints() as checkpoints:
            checkpoints.save(state.replace(step=jnp.int32(9)))
        return run, model, state.variables

    return make


def refusal(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("description", [DIGITS, NAMES])
def test_a_description_comes_back(tmp_path, description):
    Run.create(tmp_path / "new" / "run", description)
    found = Run.open(tmp_path / "new" / "run").description
    assert dataclasses.asdict(found) == dataclasses.asdict(description)
    raw = json.loads((tmp_path / "new/run/config.json").read_text())
    assert raw["format"] == 1
    assert raw["versions"]["jax"] == jax.__version__
    assert raw["versions"]["numpy"] == np.__version__
    assert [path.name for path in (tmp_path / "new/run").iterdir()] == ["config.json"]


def test_a_run_is_never_made_twice(tmp_path):
    Run.create(tmp_path, DIGITS)  # an empty directory is as good as none
    before = (tmp_path / "config.json").read_bytes()
    message = refusal(Run.create, tmp_path, NAMES)
    assert f"out={tmp_path}" in message and f"--resume {tmp_path}" in message
    assert (tmp_path / "config.json").read_bytes() == before


def test_checkpoints_of_another_run_are_not_gone_on_from(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match="checkpoints of a run without its config"):
        Run.create(tmp_path, DIGITS)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        assert f"out={place}" in refusal(Run.create, place, DIGITS)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"{}", b'"text"', b"\xff\xfe", b'{"experiment": "lenet5"}'],
)
def test_what_describes_no_run(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    assert str(tmp_path / "config.json") in refusal(Run.open, tmp_path)


@pytest.mark.parametrize("field", ["model", "classes", "input"])
@pytest.mark.parametrize("value", [None, 3, [], {}])
def test_fields_of_the_wrong_kind(tmp_path, field, value):
    """Whatever opens is of a kind that can be read; the rest is refused."""
    Run.create(tmp_path, DIGITS)
    raw = json.loads((tmp_path / "config.json").read_text()) | {field: value}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    if field == "classes" and value in ([], {}):
        Run.open(tmp_path)
    else:
        message = refusal(Run.open, tmp_path)
        assert "run" in message or "image spec" in message


def test_no_directory(tmp_path):
    message = refusal(Run.open, tmp_path / "none")
    assert str(tmp_path / "none") in message and "config.json" in message


def test_rows(tmp_path):
    run = Run.create(tmp_path, DIGITS)
    assert run.rows() == []
    rows = [{"step": 5, "loss": 0.1 + 0.2}, {"step": 10, "loss": 1e-30, "epoch": 2}]
    for row in rows:
        run.record(row)
    assert run.rows() == rows
    assert Run.open(tmp_path).rows() == rows
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_what_json_has_no_number_for_is_null(tmp_path, value):
    run = Run.create(tmp_path, DIGITS)
    run.record({"step": 5, "test_loss": value, "loss": 1.0})
    assert run.rows() == [{"step": 5, "test_loss": None, "loss": 1.0}]
    line = (tmp_path / "metrics.jsonl").read_text()
    assert "NaN" not in line and "Infinity" not in line


def test_a_line_cut_short_is_no_row(tmp_path):
    """At every byte where a kill may have cut the file."""
    run = Run.create(tmp_path, DIGITS)
    for step in (5, 10):
        run.record({"step": step, "loss": 0.5})
    path = tmp_path / "metrics.jsonl"
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    for size in range(len(content)):
        path.write_bytes(content[:size])
        whole = [{"step": 5, "loss": 0.5}] if size >= first else []
        assert run.rows() == whole
        run.rewind(10)
        run.record({"step": 15, "loss": 0.25})
        assert run.rows() == [*whole, {"step": 15, "loss": 0.25}]


def test_rewind(tmp_path):
    run = Run.create(tmp_path, DIGITS)
    run.rewind(0)  # before there is a row
    assert run.rows() == []
    for step in (5, 10, 15):
        run.record({"step": step})
    run.rewind(12)
    assert run.rows() == [{"step": 5}, {"step": 10}]
    run.rewind(10)
    assert run.rows() == [{"step": 5}, {"step": 10}]
    run.rewind(0)
    assert run.rows() == []
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.json", "metrics.jsonl"}


def test_a_model_of_images(saved, tmp_path):
    run, model, variables = saved(DIGITS)
    loaded = jnets.load(run.directory)
    assert loaded.model == model
    for a, b in zip(
        jax.tree.leaves(loaded.variables), jax.tree.leaves(variables), strict=True
    ):
        np.testing.assert_array_equal(a, b, strict=True)
    _, test = digits.load()
    image = test.inputs[0][3]
    Image.fromarray(np.uint8(image * 15.9375)).save(tmp_path / "digit.png")
    found = loaded.encode(str(tmp_path / "digit.png"))
    expected = prepare(image[None], SPEC)
    np.testing.assert_array_equal(found[0], expected)
    logits = loaded.model.apply(loaded.variables, *found)
    np.testing.assert_array_equal(logits, model.apply(variables, expected))
    assert loaded.encode.classes[int(np.argmax(logits))] in "0123456789"


def test_a_model_of_names(saved):
    run, model, variables = saved(NAMES)
    loaded = load(str(run.directory))
    tokens, lengths = loaded.encode("  Nový ")
    assert tokens.shape == (1, 4) and lengths.tolist() == [4]
    logits = loaded.model.apply(loaded.variables, *loaded.encode("Nový"))
    assert logits.shape == (1, 3)
    expected = model.apply(variables, jnp.asarray(tokens), jnp.asarray(lengths))
    np.testing.assert_array_equal(logits, expected)


def test_probabilities(saved):
    run, model, variables = saved(NAMES)
    loaded = load(run.directory)
    found = probabilities(loaded, jax.jit(loaded.model.apply), "Novak")
    logits = np.float64(
        model.apply(variables, *map(jnp.asarray, loaded.encode("Novak")))
    )
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert sorted(name for name, _ in found) == sorted(NAMES.classes)
    for name, value in found:
        assert value == pytest.approx(p[NAMES.classes.index(name)], rel=1e-5)
    assert all(a >= b for (_, a), (_, b) in zip(found, found[1:], strict=False))
    assert sum(value for _, value in found) == pytest.approx(1, abs=1e-6)


def test_loading_touches_nothing(saved):
    """A model may be read while it is trained: what is being written stays."""
    run, _, _ = saved(DIGITS)
    writing = run.directory / "checkpoints" / "12.orbax-checkpoint-tmp"
    writing.mkdir()
    (writing / "part").write_text("half")
    before = sorted(run.directory.rglob("*"))
    load(run.directory)
    assert sorted(run.directory.rglob("*")) == before


def test_what_cannot_be_loaded(saved, tmp_path):
    assert "config.json" in refusal(load, tmp_path)
    run = Run.create(tmp_path / "untrained", DIGITS)
    message = refusal(load, run.directory)
    assert str(run.directory) in message and "no checkpoint" in message
    (run.directory / "checkpoints").mkdir()
    message = refusal(load, run.directory)
    assert str(run.directory) in message and "no complete checkpoint" in message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": {"name": "lenet6", "fields": {}}}, "'lenet6' is unknown"),
        ({"model": {"name": "mlp", "fields": {"hiden": [7]}}}, "no field 'hiden'"),
        (
            {"model": {"name": "mlp", "fields": {"hidden": [8]}}},
            "params/hidden1/bias is (7,) there, (8,) in this model",
        ),
        (
            {"model": {"name": "mlp", "fields": {"hidden": [7, 7]}}},
            "params/hidden2/bias is absent there, (7,) in this model",
        ),
    ],
)
def test_a_description_of_another_model(saved, change, says):
    run, _, _ = saved(DIGITS)
    path = run.directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert says in refusal(load, run.directory)
