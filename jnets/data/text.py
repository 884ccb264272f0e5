"""Files of text: plain, gzipped or zipped, of a stated encoding, line by line."""

import gzip
import io
import os
import zipfile
import zlib
from pathlib import Path

from jnets.errors import InputError


def read_text(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> str:
    """The whole of a file; one that ends in .gz, or .zip with one file in it, is
    unpacked first.

    A byte order mark is left out, and line ends are \\n. Raises InputError for a file
    that is not there, is not packed as its name says, or is not of the encoding
    (where: the line).
    """
    path = Path(path)
    kind, unpack = _PACKED.get(path.suffix, ("", bytes))
    try:
        data = unpack(path.read_bytes())
    except _BROKEN:
        raise InputError(f"{path} is not a whole {kind}") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); expected a file of text"
        ) from None
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}: line {line} is not {encoding}; give the file's encoding"
        ) from None
    except LookupError:
        raise InputError(f"encoding={encoding!r} is unknown; for example utf-8") from (
            None
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> list[str]:
    """The lines of a file without their ends, empty ones too; \\n alone ends a line."""
    lines = read_text(path, encoding=encoding).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _unzip(raw: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if len(names) != 1:
            raise zipfile.BadZipFile
        return archive.read(names[0])


_PACKED = {
    ".gz": ("gzip file", gzip.decompress),
    ".zip": ("zip file with one file in it", _unzip),
}
# RuntimeError: a password is needed; NotImplementedError, one of its kind: a way of
# packing that is not known.
_BROKEN = (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
