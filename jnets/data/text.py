"""Files of text: plain or gzipped, of a stated encoding, line by line."""

import gzip
import os
import zlib
from pathlib import Path

from jnets.errors import InputError


def read_text(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> str:
    """The whole of a file; one that ends in .gz is unpacked first.

    A byte order mark is left out, and line ends are \\n. Raises InputError for a file
    that is not there, is no gzip file, or is not of the encoding (where: the line).
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{path} is not a whole gzip file") from None
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
