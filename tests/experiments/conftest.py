"""Experiments as processes, and as calls where a process adds nothing."""

import fcntl
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from PIL import Image

import jnets
from experiments import harness

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds until a process is taken for hung
TIMES = ("seconds", "ms_per_update")  # the figures that no two runs share

# Short, but long enough to be killed in.
FLAGS = {
    "lenet5": ("--epochs", "10", "--seed", "3"),
    "gradient_descent": ("--epochs", "4", "--seed", "3"),
    "surname_classifier": ("--updates", "2000", "--seed", "3"),
}


def environment():
    """Without what the tests set for themselves: a person's plain shell."""
    return {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "MPLBACKEND")}


def count(path: Path) -> int:
    """Lines of a file, -1 if there is none."""
    return path.read_bytes().count(b"\n") if path.exists() else -1


class Process:
    """A running experiment."""

    def __init__(self, experiment: str, *flags: object):
        command = [sys.executable, "-m", f"experiments.{experiment}", *map(str, flags)]
        self.popen = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, path: Path, lines: int = 0) -> None:
        """Until a file is there, with at least so many lines."""
        end = time.monotonic() + PATIENCE
        while count(path) < lines:
            assert self.popen.poll() is None, self.popen.communicate()
            assert time.monotonic() < end, f"{path} has not {lines} lines"
            time.sleep(0.005)

    def stop(self, signal: int) -> subprocess.CompletedProcess:
        assert self.popen.poll() is None, "it was over before it could be stopped"
        self.popen.send_signal(signal)
        return self.result()

    def result(self) -> subprocess.CompletedProcess:
        out, err = self.popen.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(
            self.popen.args, self.popen.returncode, out, err
        )


class Finished(NamedTuple):
    """A run that came to its end."""

    directory: Path
    out: str
    err: str

    @property
    def result(self) -> dict[str, str]:
        """The pairs of the result line, which is all of standard output."""
        (line,) = self.out.splitlines()
        first, *pairs = shlex.split(line)
        assert first == "result:"
        return dict(pair.split("=", 1) for pair in pairs)


def finish(directory: Path, process: Process) -> Finished:
    done = process.result()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    return Finished(directory, done.stdout, done.stderr)


@pytest.fixture
def start():
    """start(experiment, *flags): a running process, ended with the test."""
    running: list[Process] = []

    def begin(experiment, *flags):
        running.append(Process(experiment, *flags))
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
def whole(tmp_path_factory):
    """whole(experiment): its run without a stop, made once for all workers."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def make(experiment):
        # A space, to see that paths are quoted where they are printed.
        directory, kept = root / f"a {experiment} run", root / f"{experiment}.json"
        with (root / f"{experiment}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                shutil.rmtree(directory, ignore_errors=True)
                flags = (*FLAGS[experiment], "--out", directory)
                done = finish(directory, Process(experiment, *flags))
                kept.write_text(json.dumps([done.out, done.err]))
        return Finished(directory, *json.loads(kept.read_text()))

    return make


@pytest.fixture
def flags():
    return FLAGS


def _rows(run: Path):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


@pytest.fixture
def same():
    """same(a, b): the last parameters of two runs, bit for bit, and their rows."""

    def check(a: Path, b: Path):
        first, second = (jnets.load(run).variables for run in (a, b))
        for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
        assert _rows(a) == _rows(b)

    return check


@pytest.fixture
def rows():
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
