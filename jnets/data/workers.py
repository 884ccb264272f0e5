"""Grain's readers in threads or processes that come and go without a trace."""

import atexit
import contextlib
import functools
import gc
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import tempfile
import threading
import weakref
from collections.abc import Generator, Iterator
from multiprocessing import resource_tracker
from types import ModuleType
from typing import Any

import numpy as np

from jnets.errors import InputError

_MAX_THREADS = 8  # each holds a batch of its own
_SMALL = 1 << 16  # bytes; arrays below go through a pipe
_AHEAD = 4  # batches of each worker in shared memory at once, at most
_SHARED = "/dev/shm"

_starting = threading.Lock()
_open: weakref.WeakSet[Generator[Any, None, None]] = weakref.WeakSet()


def grain_module() -> ModuleType:
    """Grain, ready for use. Raises InputError when it is not installed."""
    try:
        import grain
        from absl import flags
    except ImportError:
        raise InputError(
            "pictures: Grain is missing; pip install jnets[experiments]"
        ) from None
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # or Grain refuses to start processes
    return grain


def check_workers(workers: int) -> None:
    """Raises InputError unless `workers` is 0 or more."""
    if workers < 0:
        raise InputError(f"workers: {workers} is negative; expected 0 or more")


def run(data: Any, workers: int, nbytes: int) -> Generator[Any, None, None]:
    """The elements of a Grain MapDataset, in order, read ahead.

    With workers == 0 by threads of this process, as many as cores (8 at most);
    otherwise by `workers` processes, which end when the generator is closed or this
    process dies. `nbytes` is the size of one element: the processes hand elements over
    in shared memory, or through pipes where that is too small. Raises InputError when
    one of the processes is killed.
    """
    if workers:
        running = _run_processes(data, workers, nbytes)
    else:
        running = _run_threads(data)
    _open.add(running)
    return running


@atexit.register
def _close_all() -> None:
    """What a program leaves open, while the modules that closing takes are there."""
    for running in list(_open):
        with contextlib.suppress(ValueError):  # it is at work, in another thread
            running.close()


def _run_threads(data: Any) -> Generator[Any, None, None]:
    grain = grain_module()
    threads = min(len(os.sched_getaffinity(0)), _MAX_THREADS)
    running = iter(data.to_iter_dataset(grain.ReadOptions(threads, threads)))
    try:
        yield from running
    finally:
        running.close()


def _run_processes(data: Any, workers: int, nbytes: int) -> Generator[Any, None, None]:
    count = len(data)
    with _stored(data) as path:
        running = iter(_in_processes(path, count, workers, nbytes))
        try:
            with _start_up():
                with _interrupts_held():
                    running.get_state()  # makes what the next line starts
                    running.start_prefetch()
                first = _own(next(running)) if count else None
            if first is not None:
                yield first
            for _ in range(count - 1):
                yield _own(next(running))
        except (InputError, KeyboardInterrupt) as error:
            raise error.with_traceback(None) from None
        except RuntimeError as error:
            # Grain's words for a process that ended without an exception.
            ended = re.search(r"terminated unexpectedly.* code (-?\d+)", str(error))
            if ended is None:
                raise
            raise InputError(
                f"workers: {workers}; one ended with exit code {ended[1]} (-9: perhaps "
                "memory ran out, take fewer; 1: see what it wrote)"
            ) from None
        finally:
            running.close()
            # The end of a worker leaves its last element in a cycle of a traceback
            # and its frames, and so in shared memory.
            gc.collect()
            _wait_for_memory()


def _wait_for_memory() -> None:
    """Grain gives shared memory back in a thread, which a program's end would stop."""
    try:
        from grain._src.python.ipc.shared_memory_array import SharedMemoryArray

        pool = SharedMemoryArray._del_thread_pool
    except (ImportError, AttributeError):  # another Grain, which may do without
        return
    if pool is not None:
        pool.apply(int)  # its one thread takes what was asked before first


def _in_processes(path: str, count: int, workers: int, nbytes: int) -> Any:
    grain = grain_module()
    shared = _fits(nbytes * (_AHEAD * workers + 1))
    options = grain.experimental.DatasetOptions(
        min_shm_size=_SMALL if shared else 1 << 62
    )
    data = grain.MapDataset.range(count).map(functools.partial(_element, path))
    data = data.to_iter_dataset(grain.ReadOptions(0, 0))
    data = grain.experimental.WithOptionsIterDataset(data, options)
    pool = grain.multiprocessing.MultiprocessingOptions(workers)
    return data.mp_prefetch(pool, functools.partial(_begin, path))


@contextlib.contextmanager
def _stored(data: Any) -> Iterator[str]:
    """A file that holds `data` for the workers, who are told its name.

    A process that fails as it starts, say in importing the main script, leaves its
    parent for ever in writing to it whatever a pipe does not hold at once (64 KiB);
    the paths of a million pictures would be that.
    """
    import cloudpickle  # Grain's own

    with tempfile.NamedTemporaryFile(prefix="jnets-", suffix=".pickle") as stream:
        cloudpickle.dump(data, stream)
        stream.flush()
        yield stream.name


def _element(path: str, index: int) -> Any:
    return _load(path)[index]


@functools.cache
def _load(path: str) -> Any:
    with open(path, "rb") as stream:
        return pickle.load(stream)


def _own(element: tuple[Any, ...]) -> tuple[Any, ...]:
    """Plain arrays: memory shared with a worker would have to be given back."""
    return tuple(np.array(part) if hasattr(part, "shm") else part for part in element)


def _fits(nbytes: int) -> bool:
    try:
        return shutil.disk_usage(_SHARED).free > nbytes
    except OSError:
        return False


@contextlib.contextmanager
def _start_up() -> Iterator[None]:
    """Processes started within take JAX, if anything makes them use it, on the CPU.

    They may import the main script again, and it may make arrays when imported: that
    must not claim the accelerator.
    """
    with _starting:
        before = os.environ.get("JAX_PLATFORMS")
        os.environ["JAX_PLATFORMS"] = "cpu"
        try:
            yield
        finally:
            if before is None:
                del os.environ["JAX_PLATFORMS"]
            else:
                os.environ["JAX_PLATFORMS"] = before


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Threads and processes started within never see Ctrl-C, from their first moment:
    they inherit the mask. An interrupt of this thread waits until the end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # as its start would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(path: str, worker: int, workers: int) -> None:
    """In a worker, at its start: end when the parent does, however it ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave():
        parent.join()
        with contextlib.suppress(OSError):
            os.unlink(path)  # which a parent that was killed could not
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
