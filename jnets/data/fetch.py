"""One file from the network, pinned by its checksum: resumed, verified, then named.

Bytes go to `<name>.part`; only a file with the right SHA-256 ever gets its own name.
A lock on the .part (flock, so POSIX only) keeps two processes from mixing their
bytes, and is released by the system when its holder is killed.
"""

import hashlib
import os
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.error import HTTPError, URLError

from jnets.errors import InputError

_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 16

Progress: TypeAlias = Callable[[int, int], None]  # (bytes done, bytes in all)


class RemoteFile(NamedTuple):
    """A file known by content: `size` bytes with this hexadecimal `sha256`, at any of
    the mirrors `urls`, kept under `name`."""

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int


def fetch(
    file: RemoteFile,
    directory: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> Path:
    """The path of `file` in `directory`, downloaded unless it is there and right.

    The mirrors are tried in turn, going on from the bytes that an earlier attempt
    left in `<name>.part` (a server without ranges starts over). `progress` is called
    with (bytes done, bytes in all) as bytes arrive. A second process that asks for
    the same file waits for the first. Raises InputError when no mirror delivers: it
    gives each mirror's reason, and with a wrong checksum both digests. Bytes with a
    wrong checksum are deleted; bytes of a broken connection are kept.
    """
    target = Path(directory) / file.name
    part = target.with_name(file.name + ".part")
    try:
        if _is_complete(target, file):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part) as stream:
            if _is_complete(target, file):  # by the process that we waited for
                stream.truncate(0)
                return target
            _fill(file, stream, target, progress)
            os.fsync(stream.fileno())
            os.replace(part, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})") from None
    return target


def _is_complete(path: Path, file: RemoteFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with open(path, "rb") as stream:
        return _sha256(stream) == file.sha256


@contextmanager
def _locked(part: Path) -> Iterator[BufferedRandom]:
    """`part` open for appending and ours alone; removed afterwards if left empty."""
    try:
        import fcntl  # here: files that are there are read on any system
    except ImportError:
        target = part.with_suffix("")
        raise InputError(
            f"{target}: downloading needs POSIX file locks; put the file there by hand"
        ) from None
    while True:
        with open(part, "a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            # While we waited its holder may have renamed it: then it is not ours.
            if not _is_named(stream, part):
                continue
            try:
                yield stream
            finally:
                if _is_named(stream, part) and _length(stream) == 0:
                    part.unlink()
            return


def _is_named(stream: BufferedRandom, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _fill(
    file: RemoteFile, stream: BufferedRandom, target: Path, progress: Progress | None
) -> None:
    if _length(stream) >= file.size and _sha256(stream) != file.sha256:
        stream.truncate(0)
    reasons = []
    for url in file.urls:
        reason = _try_mirror(url, file, stream, progress)
        if reason is None:
            return
        reasons.append(f"{url}: {reason}")
    raise InputError(
        f"{file.name}: download failed: {'; '.join(reasons)}; the same command resumes "
        f"({_length(stream)} of {file.size} bytes kept), or put the file at {target} "
        "by hand"
    )


def _try_mirror(
    url: str, file: RemoteFile, stream: BufferedRandom, progress: Progress | None
) -> str | None:
    """None when `stream` holds the whole file, otherwise why it does not."""
    resumed = 0 < _length(stream) < file.size
    try:
        _download(url, file, stream, progress)
    except HTTPError as error:
        error.close()
        return f"HTTP {error.code} {error.reason}"
    except URLError as error:
        return str(error.reason)
    except (HTTPException, ConnectionError, TimeoutError) as error:
        return str(error) or type(error).__name__
    found = _sha256(stream)
    if found == file.sha256:
        return None
    stream.truncate(0)
    if resumed:  # the bytes we went on from may be the wrong ones
        return _try_mirror(url, file, stream, progress)
    return f"sha256 {found}, expected {file.sha256}"


def _download(
    url: str, file: RemoteFile, stream: BufferedRandom, progress: Progress | None
) -> None:
    done = _length(stream)
    if done == file.size:
        return
    request = urllib.request.Request(url)
    if done:
        request.add_header("Range", f"bytes={done}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        done = _check_offer(response, done, file.size)
        stream.truncate(done)
        while chunk := _receive(response):
            done += len(chunk)
            if done > file.size:
                stream.truncate(0)
                raise HTTPException(f"more than the {file.size} bytes expected")
            stream.write(chunk)
            stream.flush()
            if progress is not None:
                progress(done, file.size)
    if done < file.size:
        raise HTTPException(f"connection closed at {done} of {file.size} bytes")


def _check_offer(response: HTTPResponse, wanted: int, size: int) -> int:
    """The position the server sends from; refuses what cannot become the file."""
    start = wanted if response.status == 206 else 0
    offered = response.headers.get("Content-Range", f"bytes {start}-")
    if response.status == 206 and not offered.startswith(f"bytes {start}-"):
        raise HTTPException(f"sends {offered}, asked for bytes from {start}")
    length = response.headers.get("Content-Length")
    if length is not None and length.isdigit() and start + int(length) != size:
        raise HTTPException(f"offers {start + int(length)} bytes, expected {size}")
    return start


def _receive(response: HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except OSError as error:  # told apart from an error of our own disk
        raise HTTPException(str(error)) from None


def _length(stream: BufferedRandom) -> int:
    return os.fstat(stream.fileno()).st_size


def _sha256(stream: BufferedReader | BufferedRandom) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()
