"""Experiments as processes: started, waited for, stopped, and what they print."""

import fcntl
import os
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds until a process is taken for hung
# What takes seconds to compile: once for all processes.
COMPILED_ONCE = (
    "imagenet",
    "cifar",
    "pos_tagger",
    "document_classifier",
    "action_recogniser",
    "language_model",
    "captioner",
    "storyteller",
    "translator",
)


def environment(compiled: Path | None):
    """Without what the tests set for themselves: a person's plain shell. `compiled`
    is where compiled programs are kept."""
    own = ("XLA_FLAGS", "MPLBACKEND")
    plain = {k: v for k, v in os.environ.items() if k not in own}
    if compiled is None:
        return plain
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return plain | cache


def count(path: Path) -> int:
    """Lines of a file, -1 if there is none."""
    return path.read_bytes().count(b"\n") if path.exists() else -1


class Process:
    """A running experiment."""

    def __init__(self, root: Path, experiment: str, *flags: object):
        compiled = root / "compiled" if experiment in COMPILED_ONCE else None
        command = [sys.executable, "-m", f"experiments.{experiment}", *map(str, flags)]
        self.popen = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(compiled),
            start_new_session=True,
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
        """A kill is of one process; all else goes to the processes it has, too, as
        from a terminal."""
        assert self.popen.poll() is None, "it was over before it could be stopped"
        if signal == SIGKILL:
            self.popen.kill()
        else:
            os.killpg(self.popen.pid, signal)
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


@contextmanager
def locked(path: Path):
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
