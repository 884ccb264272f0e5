"""Reading text: as it is stored, and what is said of what cannot be read."""

import gzip
import io
import zipfile

import pytest

from jnets.data.text import read_lines, read_text
from jnets.errors import InputError


def zipped(**files):
    """A zip file of these."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("folder")
        for name, data in files.items():
            archive.writestr(f"folder/{name}", data)
    return buffer.getvalue()


PACK = {"": bytes, ".gz": gzip.compress, ".zip": lambda data: zipped(a=data)}


@pytest.mark.parametrize("suffix", PACK)
def test_lines(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    data = "\ufeffÄ\r\n\nx\u2028y\n".encode()
    path.write_bytes(PACK[suffix](data))
    assert read_lines(path) == ["Ä", "", "x\u2028y"]
    assert read_text(path) == "Ä\n\nx\u2028y\n"


def test_other_encodings_and_no_text(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("né".encode("latin-1"))
    assert read_lines(path, encoding="latin-1") == ["né"]
    path.write_bytes(b"")
    assert read_lines(path) == []


@pytest.mark.parametrize(
    "name, data, encoding, message",
    [
        ("a", b"x\ny\n\xff\n", "utf-8", "line 3 is not utf-8"),
        ("a.gz", b"plain", "utf-8", "not a whole gzip file"),
        ("a.gz", gzip.compress(b"text" * 99)[:-9], "utf-8", "not a whole gzip file"),
        ("a.zip", b"plain", "utf-8", "not a whole zip file"),
        ("a.zip", zipped(a=b"text")[:-9], "utf-8", "not a whole zip file"),
        ("a.zip", zipped(a=b"x", b=b"y"), "utf-8", "with one file in it"),
        ("a", b"x", "utf-99", "utf-99"),
        ("a", None, "utf-8", "No such file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # zips have times
)
def test_what_cannot_be_read(tmp_path, name, data, encoding, message):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        read_text(tmp_path / name, encoding=encoding)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_text(tmp_path):
    with pytest.raises(InputError, match="directory"):
        read_text(tmp_path)
