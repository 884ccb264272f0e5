"""What `jnets evaluate` refuses: one line each, which says what is wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jnets import cli
from jnets.data.picture_spec import PictureSpec
from jnets.interop import torchvision, weights
from jnets.models import create
from tests.fixtures import tiny
from tests.interop import pickles

ROOT = Path(__file__).parents[1]
NAMES = tuple("abc")


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory):
    """A folder to stand in, with weights, a run and pictures of three classes."""
    folder = tmp_path_factory.mktemp("here")
    with tiny.registered(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trained = tiny.variables(0, classes=3)
        tiny.write_run(Path("run"), trained, NAMES, PictureSpec(12, 18, "cifar"))
        write_files(torchvision.to_state_dict("tiny", trained))
        rng = np.random.default_rng(0)
        for i in range(6):
            path = Path("data", NAMES[i % 3], f"{i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
        shutil.copytree("data", "other")
        Path("other/c").rename("other/zebra")
        Path("empty").mkdir()
        yield folder


def write_files(state):
    """Weights good and bad."""
    first = state["features.0.weight"]
    seven = torchvision.to_state_dict("tiny", tiny.variables(0, classes=7))
    weights.write("good.pth", state)
    weights.write("seven.safetensors", seven)
    weights.write("less.pth", {k: v for k, v in state.items() if v is not first})
    weights.write("more.pth", state | {"extra.weight": first})
    weights.write("shape.pth", state | {"features.0.weight": first[:2]})
    weights.write("nan.pth", state | {"classifier.3.bias": np.full(8, np.nan, "f4")})
    Path("text.pth").write_text("weights")
    Path("table.npz").write_bytes(b"")
    code = b"cos\nsystem\n" + pickles.code(("touch hacked",)) + b"R"
    Path("code.pth").write_bytes(pickles.archive(pickles.Raw(code), {}))


@pytest.fixture
def refused(capsys):
    """refused(*arguments): the one line that says why it cannot."""

    def run(*arguments):
        status = cli.main(["evaluate", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert (status, out) == (2, "")
        assert re.fullmatch(r"error: [^\n]+\n", err), err
        return err.removeprefix("error: ").removesuffix("\n")

    return run


@pytest.mark.parametrize(
    "file, message",
    [
        (
            "less.pth",
            "weights=less.pth: state_dict fits tiny in 9 of 10 tensors: 1 missing "
            "(features.0.weight)",
        ),
        (
            "more.pth",
            "weights=more.pth: state_dict fits tiny in 10 of 10 tensors: 1 unknown "
            "(extra.weight)",
        ),
        (
            "shape.pth",
            "weights=shape.pth: state_dict is not of tiny: features.0.weight is "
            "(2, 3, 3, 3), expected (4, 3, 3, 3)",
        ),
        ("nan.pth", "weights=nan.pth give probabilities that are not finite"),
        (
            "seven.safetensors",
            "data has 3 classes, the weights 7; expected a folder of the classes that "
            "the weights were trained on",
        ),
        ("text.pth", "path 'text.pth' is damaged or no file of torch.save ("),
        ("table.npz", "path 'table.npz' is of no known kind; expected .safetensors"),
        (
            "code.pth",
            "path 'code.pth' holds os.system, which is not a tensor and is never "
            "loaded: save the state_dict alone",
        ),
        ("none.pth", "weights=none.pth is neither a file nor a directory"),
        ("empty", "run directory empty has no config.json; expected a directory that"),
    ],
)
def test_weights(refused, file, message):
    found = refused("tiny", "--weights", file, "--data", "data")
    assert found.startswith(message)
    assert not Path("hacked").exists()


@pytest.mark.parametrize(
    "model, file, message",
    [
        (
            "resnet18",
            "good.pth",
            "weights=good.pth: state_dict fits resnet18 in 0 of 102 tensors: 10 "
            "unknown (classifier.0.bias, classifier.0.weight, classifier.3.bias and 7 "
            "more), 102 missing (conv1.weight, bn1.weight, bn1.bias and 99 more); it "
            "is one of tiny",
        ),
        ("resnet18", "run", "weights=run is a run of tiny; expected one of resnet18"),
        (
            "zfnet",
            "good.pth",
            "weights=good.pth is a file, and torchvision has no zfnet; expected the "
            "directory of a run that trained one",
        ),
        ("lenet5", "good.pth", "model 'lenet5' does not take colour pictures"),
        ("resnet19", "good.pth", "model 'resnet19' is unknown; expected one of ["),
    ],
)
def test_another_model(refused, model, file, message):
    assert refused(model, "--weights", file, "--data", "data").startswith(message)


@pytest.mark.parametrize(
    "data, message",
    [
        ("none", "data directory none: not a folder"),
        ("good.pth", "data directory good.pth: not a folder"),
        ("empty", "data directory empty: no class folders in it; expected one folder"),
        (
            "other",
            "data has the class 'zebra', which the weights lack; they were trained on "
            "a, b, c",
        ),
    ],
)
def test_data(refused, data, message):
    assert refused("tiny", "--weights", "run", "--data", data).startswith(message)


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--size 0", "argument --size: '0' is not a whole number above 0; see jnets "),
        (
            "--size=-3",
            "argument --size: '-3' is not a whole number above 0; see jnets ",
        ),
        ("--shorter 9 x", "argument --shorter: 'x' is not a whole number above 0; see"),
        ("--shorter", "argument --shorter: expected at least one argument; see jnets"),
        ("--batch 0", "argument --batch: '0' is not a whole number above 0; see jnets"),
        ("--workers=-1", "workers: -1 is negative; expected 0 or more"),
        ("--crops 5", "argument --crops: invalid choice: '5' (choose from"),
        ("--pixels rgb", "argument --pixels: invalid choice: 'rgb' (choose from"),
        ("--crops 10 --shorter 14 9", "size: 12 does not fit into a side of 9 pixels"),
        (
            "--crops 144 --shorter 9",
            "--shorter has no meaning for 144 crops, of scales of its own",
        ),
        (
            "--crops dense --size 9",
            "--size has no meaning for whole pictures; give --shorter",
        ),
        (
            "--crops dense --shorter 11",
            "pictures of 11x11 do not fit the model (kernel",
        ),
        (
            "--size 2",
            "pictures of 2x2 do not fit the model (kernel 2 with dilation 1 is",
        ),
        (
            "--weights run seven.safetensors",
            "weights=seven.safetensors have 7 classes, run 3; expected an ensemble for",
        ),
    ],
)
def test_flags(refused, flags, message):
    found = refused("tiny", "--weights", "run", "--data", "data", *flags.split())
    assert found.startswith(message)


def test_what_must_be_said(refused):
    weights = ("--weights", "good.pth")
    assert refused("tiny", *weights).startswith(
        "the following arguments are required: --data; see jnets evaluate --help"
    )
    assert "required: --weights" in refused("tiny", "--data", "data")


def spoil(description, what):
    if what == "pixels":
        description["input"]["pixels"] = "sepia"
    if what == "size":
        description["input"]["size"] = 0
    if what == "fields":
        description["model"]["fields"] = [1]
    if what == "field":
        description["model"]["fields"]["clases"] = 3


@pytest.mark.parametrize(
    "what, message",
    [
        ("pixels", "/config.json: pixels: 'sepia'; expected one of torchvision, caffe"),
        ("size", "/config.json: picture spec: sizes below 1 in {'size': 0,"),
        ("fields", "/config.json is not the description of a run; expected the file"),
        ("field", "/config.json: model 'tiny' has no field 'clases'; expected ["),
    ],
)
def test_runs_that_are_none(refused, what, message, tmp_path):
    shutil.copytree("run", tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    description = json.loads(path.read_text())
    spoil(description, what)
    path.write_text(json.dumps(description))
    found = refused("tiny", "--weights", tmp_path / "run", "--data", "data")
    assert found.startswith(f"{tmp_path}/run{message}")


def test_a_run_without_a_checkpoint(refused, tmp_path):
    shutil.copytree("run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    found = refused("tiny", "--weights", tmp_path / "run", "--data", "data")
    assert found == f"run directory {tmp_path}/run has no checkpoint; resume it first"


def process(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "jnets.cli", "evaluate", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_as_a_process(here):
    """Weights of torchvision's layout, and a damaged picture."""
    model, x = create("resnet18", classes=3), jnp.zeros((1, 32, 32, 3))
    like = jax.eval_shape(model.init, jax.random.key(0), x)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), like)
    weights.write("resnet18.pth", torchvision.to_state_dict("resnet18", zeros))
    shutil.copytree("data", "spoilt")
    Path("spoilt/b/9.jpg").write_bytes(b"")
    flags = ("--weights", "resnet18.pth", "--data", "spoilt", "--size", 32)
    done = process("resnet18", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "left out: spoilt/b/9.jpg (cannot identify image file)\n"
    # All classes are alike: the first is chosen, of six pictures twice rightly.
    row = [cell.strip() for cell in done.stdout.splitlines()[4].split("│")[1:-1]]
    assert row == ["1", "37", "6", "33.33 %", "", "1"]
    assert max(map(len, done.stdout.splitlines())) <= 80
