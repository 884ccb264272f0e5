"""Experiments as processes, and as calls where a process adds nothing."""

import importlib
import json
import os
import re
import shutil
from contextlib import closing
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from PIL import Image

import jnets
from experiments import harness, imagenet, measured
from jnets.data import shapes
from jnets.data.stream import Stream
from jnets.interop import rows
from jnets.models import MODELS
from tests.experiments.processes import ROOT, Finished, Process, finish, locked

TIMES = ("seconds", "ms_per_update")  # the figures that no two runs share

# Short, but long enough to be killed in.
FLAGS = {
    "lenet5": ("--epochs", "10", "--seed", "3"),
    "gradient_descent": ("--epochs", "4", "--seed", "3"),
    "surname_classifier": ("--updates", "2000", "--seed", "3"),
    "imagenet": (
        *("--model", "cifar_resnet20", "--batch-size", "16"),
        *("--epochs", "4", "--seed", "3"),
    ),
    "cifar": ("--batch-size", "16", "--epochs", "6", "--seed", "3"),
    "pos_tagger": (
        *("--hidden", "12", "--letter-hidden", "8", "--word-features", "8"),
        *("--batch-size", "4", "--learning-rate", "0.02", "--epochs", "4"),
        *("--seed", "3"),
    ),
    "document_classifier": (
        *("--hidden", "12", "--features", "8", "--learning-rate", "0.02"),
        *("--batch-size", "8", "--epochs", "6", "--dropout", "0", "--seed", "3"),
    ),
    "action_recogniser": (
        *("--frames", "4", "--batch-size", "4", "--hidden", "8"),
        *("--epochs", "2", "--seed", "3"),
    ),
    "language_model": (
        *("--hidden", "16", "--layers", "1", "--batch-size", "4", "--steps", "16"),
        *("--epochs", "6", "--dropout", "0.1", "--seed", "3"),
    ),
    "captioner": (
        *("--pictures", "64", "--test-pictures", "12", "--hidden", "16"),
        *("--least", "1"),
        *("--model", "captioner_attention", "--fine-tune-after", "1"),
        *("--batch-size", "16", "--epochs", "4", "--seed", "3"),
    ),
    "storyteller": (
        *("--pictures", "24", "--test-pictures", "8", "--hidden", "16", "--least", "1"),
        *("--once", "--batch-size", "8", "--epochs", "4", "--seed", "3"),
    ),
    "translator": (
        *("--embedding", "8", "--hidden", "8", "--batch-size", "8"),
        *("--epochs", "2", "--beam", "2", "--seed", "3"),
    ),
}
# The run of imagenet of a net that compiles fast, of the fixture `nets`.
SHORT = (
    *("--model", "cifar_resnet8", "--batch-size", "16"),
    *("--epochs", "4", "--seed", "3"),
)
# (name, what it is a variant of, the fields that differ)
NETS = (
    ("cifar_resnet8", "cifar_resnet20", {"blocks": (1, 1, 1)}),
    (
        *("vgg11", "vgg11"),
        {"blocks": ((8,), (8, 8)), "hidden": (16,), "map_size": 2, "dropout": 0.0},
    ),
    ("resnet18", "resnet18", {"blocks": (1,) * 4, "widths": (4, 8, 8, 16)}),
)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """A directory that all workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def shapes_folder(root):
    """A folder of train/ and val/ with 8 and 3 pictures of each of 10 shapes."""
    folder = root / "shapes"
    with locked(folder):
        if not folder.exists():
            shapes.write_folder(folder, per_class_train=8, per_class_val=3, side=40)
    return folder


@pytest.fixture(scope="session")
def shapes_file(root):
    """80 and 40 of them in CIFAR's format."""
    path = root / "cifar.npz"
    with locked(path):
        if not path.exists():
            train, test = shapes.arrays(80, seed=0), shapes.arrays(40, seed=1)
            arrays = {
                f"{axis}_{part}": array
                for part, data in (("train", train), ("test", test))
                for axis, array in (("x", data.inputs[0]), ("y", data.labels))
            }
            np.savez(path, **arrays)
    return path


def sentence(number: int, new: str) -> str:
    """Two verbs in -ing, two nouns in -ur and a full stop, as CoNLL-U."""
    stem = "bcdfgh"[number % 6] + "aeiou"[number // 6 % 5] + "na"
    words = [
        *((f"{stem}ing", "VERB"), (f"{stem}ur", "NOUN")),
        *((f"mel{new}ing", "VERB"), ("dogur", "NOUN"), (".", "PUNCT")),
    ]
    rows = (f"{i}\t{w}\t_\t{tag}" for i, (w, tag) in enumerate(words, 1))
    return "".join(row + "\t_" * 6 + "\n" for row in rows)


TAGGED = {
    "train": "\n".join(sentence(i, "") for i in range(60)),
    "dev": "\n".join(sentence(i, "i") for i in range(10)),
    "test": "\n".join(sentence(i, "ot") for i in range(10)),
}


@pytest.fixture(scope="session")
def tagged_folder(root):
    """Three small files in CoNLL-U; one word in five of test is in no other."""
    folder = root / "tagged"
    with locked(folder):
        folder.mkdir(exist_ok=True)
        for part, text in TAGGED.items():
            (folder / f"x-{part}.conllu").write_text(text)
    return folder


@pytest.fixture(scope="session")
def texts_file(root):
    """300 texts of two classes: left before right, and right before left."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(300):
        words = rng.choice(list("abcde"), 5).tolist()
        at = sorted(rng.choice(5, 2, replace=False))
        for place, word in zip(at, ("left", "right")[:: 1 - 2 * (i % 2)], strict=True):
            words[place] = word
        lines.append(f"{('lr', 'rl')[i % 2]}\t{' '.join(words)}\n")
    path = root / "texts"
    with locked(path):
        path.write_text("".join(lines))
    return path


@pytest.fixture
def start(root):
    """start(experiment, *flags): a running process, ended with the test."""
    running: list[Process] = []

    def begin(experiment, *flags):
        running.append(Process(root, experiment, *flags))
        return running[-1]

    yield begin
    for process in running:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.communicate()


@pytest.fixture
def resume(start):
    """resume(experiment, directory): the run, gone on with to its end."""

    def go_on(experiment, directory):
        return finish(directory, start(experiment, "--resume", directory))

    return go_on


@pytest.fixture(scope="session")
def whole(root, flags):
    """whole(experiment): its run without a stop, made once for all workers."""

    def make(experiment):
        # A space, to see that paths are quoted where they are printed.
        directory, kept = root / f"a {experiment} run", root / f"{experiment}.json"
        with locked(kept):
            if not kept.exists():
                shutil.rmtree(directory, ignore_errors=True)
                given = (*flags[experiment], "--out", directory)
                done = finish(directory, Process(root, experiment, *given))
                kept.write_text(json.dumps([done.out, done.err]))
        return Finished(directory, *json.loads(kept.read_text()))

    return make


@pytest.fixture(scope="session")
def flags(shapes_folder, shapes_file, tagged_folder, texts_file):
    """The flags of each experiment's whole run."""
    data = {
        "imagenet": shapes_folder,
        "cifar": shapes_file,
        "pos_tagger": tagged_folder,
        "document_classifier": texts_file,
        "language_model": ROOT / "LICENSE",
    }
    given = {name: ("--data-dir", str(path)) for name, path in data.items()}
    return {name: FLAGS[name] + given.get(name, ()) for name in FLAGS}


@pytest.fixture
def inside(root, monkeypatch, capsys):
    """inside(experiment, *flags): (status, out, err) of a run in this process, whose
    programs are compiled once for all of them."""
    options = {
        "jax_compilation_cache_dir": str(root / "compiled"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in options}

    def use(values):
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()

    def call(experiment, *flags):
        module = importlib.import_module(f"experiments.{experiment}")
        monkeypatch.setattr("sys.argv", [experiment, *map(str, flags)])
        status = harness.main(experiment, module.Config(), module.run)
        return status, *capsys.readouterr()

    use(options)
    yield call
    use(before)


@pytest.fixture
def nets(monkeypatch):
    """Nets of this process alone, which compile fast: cifar_resnet8; vgg11 of three
    convolutions, without a norm or dropout; resnet18 of four blocks and few maps."""
    for name, row, fields in NETS:
        entry = MODELS[row]
        changed = entry._replace(fields={**entry.fields, **fields})
        monkeypatch.setitem(MODELS, name, changed)
    monkeypatch.setitem(rows.MODELS, "resnet18", partial(rows.resnet, (1,) * 4, 2))
    for known in (rows.rows, rows.shapes):
        known.cache_clear()
    yield
    for known in (rows.rows, rows.shapes):
        known.cache_clear()


@pytest.fixture
def undrawn(monkeypatch):
    """Runs in this process draw no pictures, which takes seconds."""
    monkeypatch.setattr(measured, "draw", lambda *given, **more: None)


@pytest.fixture
def short(shapes_folder):
    """Flags of imagenet in this process."""
    return (*SHORT, "--data-dir", shapes_folder)


@pytest.fixture
def unbroken(inside, nets, undrawn, root, short):
    """The run of `short` in this process, whose two devices make other sums."""
    run, mark = root / "unbroken", root / "unbroken.json"
    with locked(mark):
        if not mark.exists():
            shutil.rmtree(run, ignore_errors=True)
            given = (*short, "--out", run)
            status, out, err = inside("imagenet", *given)
            assert status == 0, err
            mark.write_text(out)
    return run


def _rows(run: Path):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


@pytest.fixture
def at_batch(monkeypatch):
    """at_batch(number, act): act when a run reads that batch, once."""
    seen = set()

    def arrange(number, act):
        class Watched(Stream):
            def batches(self, first=0):
                with closing(super().batches(first)) as batches:
                    for at, batch in enumerate(batches, first):
                        if at == number and not seen:
                            seen.add(at)
                            act()
                        yield batch

        monkeypatch.setattr(imagenet, "Stream", Watched)

    return arrange


@pytest.fixture
def same():
    """same(a, b): the last parameters of two runs, bit for bit, and their rows."""

    def check(a: Path, b: Path):
        first, second = (jnets.load(run).variables for run in (a, b))
        for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
        assert _rows(a) == _rows(b)

    return check


@pytest.fixture(name="rows")
def figures():
    """rows(run): its metrics without the seconds."""
    return _rows


@pytest.fixture
def pictures():
    """pictures(run): the names of its plots, each an image that shows something."""

    def look(run: Path):
        for path in (run / "plots").iterdir():
            with Image.open(path) as image:
                assert image.format == "PNG"
                assert min(image.size) > 100
                assert np.ptp(np.asarray(image.convert("L"))) > 100
        return {path.name for path in (run / "plots").iterdir()}

    return look


def listing(directory: Path) -> dict[str, int]:
    """Everything below a directory, with sizes and times."""
    return {
        str(path.relative_to(directory)): path.stat().st_mtime_ns
        for path in directory.rglob("*")
    }


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """refused(experiment, *flags): the one line of complaint; nothing is touched."""
    monkeypatch.chdir(tmp_path)

    def call(experiment, *flags):
        module = importlib.import_module(f"experiments.{experiment}")
        monkeypatch.setattr("sys.argv", [experiment, *map(str, flags)])
        before = listing(tmp_path)
        status = harness.main(experiment, module.Config(), module.run)
        out, err = capsys.readouterr()
        assert (status, out) == (2, "")
        assert re.fullmatch(r"error: [^\n]+\n", err), err
        assert "Traceback" not in err
        assert listing(tmp_path) == before
        return err

    return call
