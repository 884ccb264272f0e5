"""What reader processes may do, and that nothing is left of them, however it ends."""

import gc
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from jnets.data import shapes
from jnets.data.augmentation import augmentation
from jnets.data.image_folder import Examples
from jnets.data.stream import Stream
from jnets.data.workers import grain_module, run
from jnets.errors import InputError

# The workers cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # seconds until something is taken for hung
LARGE = 1 << 17  # bytes; such an element goes through shared memory
SHARED = Path("/dev/shm")


def in_turn(function):
    """Elements (function(index),) of indices 0 to 999."""
    return grain_module().MapDataset.range(1000).map(lambda index: (function(index),))


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def facts(prefix, index):
    """What a worker can say of itself, in shared memory that is called by the prefix:
    index, process, JAX's backends, whether Ctrl-C is masked, and JAX kept on the CPU.
    """
    from multiprocessing import shared_memory

    shared_memory._SHM_NAME_PREFIX = prefix
    bridge = sys.modules.get("jax._src.xla_bridge")
    found = np.zeros(LARGE, np.int64)
    found[:3] = index, os.getpid(), len(bridge._backends) if bridge else 0
    found[3] = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    found[4] = os.environ["JAX_PLATFORMS"] == "cpu"
    return found


def test_workers_leave_the_accelerator_and_ctrl_c_alone(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    prefix = f"/j{os.getpid()}_"
    running = run(in_turn(partial(facts, prefix)), 2, 8 * LARGE)
    found = np.stack([element[:5] for (element,) in itertools.islice(running, 8)])
    children = {child.pid for child in multiprocessing.active_children()}
    blocks = list(SHARED.glob(f"{prefix[1:]}*"))
    del running
    assert not multiprocessing.active_children()
    assert blocks and not list(SHARED.glob(f"{prefix[1:]}*"))
    assert found[:, 0].tolist() == list(range(8))
    assert len(children) == 2 and set(found[:, 1]) == children
    assert found[:, 2].tolist() == [0] * 8  # not even the CPU's
    assert found[:, 3:].all()
    assert os.environ["JAX_PLATFORMS"] == "cuda,cpu"


def test_a_killed_worker_is_told(tmp_path, monkeypatch):
    """What it had in shared memory goes when the program does."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    running = run(in_turn(partial(np.full, LARGE)), 2, 8 * LARGE)
    taken = [next(running)[0] for _ in range(2)]
    assert len(list(tmp_path.glob("jnets-*"))) == 1
    victim = multiprocessing.active_children()[0]
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(InputError) as caught:
        for _ in running:
            pass
    message = str(caught.value)
    assert message.startswith("workers: 2; one ended with exit code -9")
    assert "take fewer" in message and "\n" not in message
    assert not multiprocessing.active_children()
    assert not list(tmp_path.glob("jnets-*"))
    assert [set(element) for element in taken] == [{0}, {1}]


def failing(index):
    if index == 3:
        raise RuntimeError("a defect")
    return np.array([index])


def test_a_defect_in_a_worker_keeps_its_own_error():
    running = run(in_turn(failing), 1, 8)
    assert [element.item() for (element,) in itertools.islice(running, 3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="a defect"):
        next(running)
    assert not multiprocessing.active_children()


SCRIPT = """
import multiprocessing, sys, time
from jnets.data import shapes
from jnets.data.augmentation import augmentation
from jnets.data.stream import Stream

if __name__ == "__main__":
    data = shapes.arrays(20, side=32)
    stream = Stream(data, augmentation("cifar", 32), batch=4, seed=0, workers=1)
    batches = stream.batches()
    next(batches)
    (child,) = multiprocessing.active_children()
    print(child.pid, flush=True)
    if sys.argv[1] == "killed":
        time.sleep(1000)
"""


def test_no_process_outlives_its_program(tmp_path):
    """One that ends with an iterator still open, and one that is killed."""
    (tmp_path / "script.py").write_text(SCRIPT)
    programs = {}
    for how in ("left", "killed"):
        (tmp_path / how).mkdir()
        programs[how] = subprocess.Popen(
            [sys.executable, tmp_path / "script.py", how],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / how)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    for how, program in programs.items():
        worker = int(program.stdout.readline())
        if how == "killed":
            assert alive(worker) and list((tmp_path / how).glob("jnets-*"))
            program.kill()
        _, errors = program.communicate(timeout=PATIENCE)
        if how == "left":
            assert (program.returncode, errors) == (0, "")
        wait_until(lambda worker=worker: not alive(worker))
        wait_until(lambda how=how: not list((tmp_path / how).glob("jnets-*")))


def handles():
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()


@pytest.fixture
def torn(tmp_path):
    """Ten pictures; every other one is torn."""
    root = shapes.write_folder(
        tmp_path / "made", per_class_train=1, per_class_val=1, side=32
    )
    paths = sorted(map(str, root.glob("train/*/*.jpg")))
    for path in paths[::2]:
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: len(content) // 2])
    return Examples(tuple(paths), np.arange(10, dtype=np.int32), tuple("abcdefghij"))


@pytest.mark.parametrize("workers, times", [(0, 20), (1, 1)])
def test_no_handle_is_left(torn, workers, times):
    stream = Stream(torn, augmentation("cifar", 32), batch=5, seed=0, workers=workers)

    def some():
        batches = stream.batches()
        for _ in range(6):
            next(batches)
        batches.close()

    some()  # the tracker of shared memory, and threads that stay, come with the first
    before = handles()
    for _ in range(times):
        some()
    assert all(
        now < then + max(times, 4) for now, then in zip(handles(), before, strict=True)
    )
    assert sorted(stream.failures) == list(torn.paths[::2])


def test_no_handle_is_left_within_a_pass(torn):
    """A file that fails is closed at once, not when the garbage is collected."""
    stream = Stream(torn, augmentation("cifar", 32), batch=5, seed=0)
    batches = stream.batches()
    gc.disable()
    try:
        for _ in range(10):
            next(batches)
        first = len(os.listdir("/proc/self/fd"))
        for _ in range(100):
            next(batches)
        assert len(os.listdir("/proc/self/fd")) < first + 20
    finally:
        gc.enable()
        batches.close()
