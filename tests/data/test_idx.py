"""idx files: hand-made bytes, round trips, and every way a file can be damaged."""

import gzip
import os
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jnets.data.idx import read_idx, write_idx
from jnets.errors import InputError

# 2 x 3 bytes; two 16-bit integers; one double.
MATRIX = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 253, 254, 255])
SHORTS = bytes([0, 0, 0x0B, 1, 0, 0, 0, 2, 0x01, 0x02, 0xFF, 0xFE])
DOUBLE = bytes([0, 0, 0x0E, 1, 0, 0, 0, 1, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0])

DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


def fails(path, content, *parts):
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (MATRIX, np.array([[1, 2, 3], [253, 254, 255]], np.uint8)),
        (SHORTS, np.array([258, -2], np.int16)),
        (DOUBLE, np.array([1.5])),
    ],
)
def test_reads_hand_made_bytes(tmp_path, pack, content, expected):
    path = tmp_path / "any.name"
    path.write_bytes(pack(content))
    array = read_idx(path)
    np.testing.assert_array_equal(array, expected, strict=True)
    assert array.dtype.isnative and array.flags.writeable


def test_writes_those_bytes(tmp_path):
    write_idx(tmp_path / "a", np.array([[1, 2, 3], [253, 254, 255]], np.uint8))
    assert (tmp_path / "a").read_bytes() == MATRIX
    write_idx(tmp_path / "b.gz", np.array([258, -2], np.int16))
    assert gzip.decompress((tmp_path / "b.gz").read_bytes()) == SHORTS


@given(ARRAYS, st.sampled_from(["a.idx", "a.gz"]))
def test_round_trip(folder, array, name):
    write_idx(folder / name, array)
    found = read_idx(folder / name)
    np.testing.assert_array_equal(found, array, strict=True)
    assert [path.name for path in folder.glob(".*")] == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_truncation_is_an_input_error(tmp_path, pack):
    content = pack(MATRIX)
    for length in range(len(content)):
        fails(tmp_path / "cut", content[:length])


@given(st.data())
def test_any_damaged_byte_is_an_input_error_or_an_array(folder, data):
    content = bytearray(data.draw(st.sampled_from([MATRIX, gzip.compress(MATRIX)])))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path = folder / "damaged"
    path.write_bytes(content)
    try:
        assert isinstance(read_idx(path), np.ndarray)
    except InputError:
        pass


@given(st.binary(max_size=40))
def test_arbitrary_bytes(folder, content):
    path = folder / "arbitrary"
    for prefix in (b"", b"\0\0\x08", b"\x1f\x8b\x08"):
        path.write_bytes(prefix + content)
        try:
            assert isinstance(read_idx(path), np.ndarray)
        except InputError:
            pass


def test_messages_say_what_is_wrong(tmp_path):
    path = tmp_path / "x"
    fails(path, b"\x89PNG....", "not an idx file", "89 50 4e 47")
    fails(path, b"\0\0\x07\x01", "not an idx file", "00 00 07 01")
    fails(path, MATRIX[:9], "truncated header: 12 bytes expected, 9 found")
    fails(path, MATRIX[:-1], "truncated data: 6 bytes expected, 5 found")
    fails(path, MATRIX + b"x", "trailing bytes after the 6 data bytes")
    fails(path, b"\0\0\x08\x41", "65 axes, at most 64")
    packed = gzip.compress(MATRIX)
    fails(path, packed[:-3], "damaged gzip")
    fails(path, packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:], "CRC")
    fails(path, gzip.compress(MATRIX + b"x"), "trailing bytes")
    fails(path, packed + b"x", "damaged gzip")


def test_a_header_that_lies_costs_no_memory(tmp_path):
    header = b"\0\0\x0e\x03" + struct.pack(">3I", *[2**32 - 1] * 3)
    fails(tmp_path / "x", header + b"data", f"{8 * (2**32 - 1) ** 3} bytes expected")
    header = b"\0\0\x0e\x04" + struct.pack(">4I", 0, *[2**32 - 1] * 3)
    fails(tmp_path / "y", header, "impossible")


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(InputError, match=r"none: cannot be read \(No such file"):
        read_idx(tmp_path / "none")
    with pytest.raises(InputError, match="cannot be read"):
        read_idx(tmp_path)


def test_type_without_idx_code(tmp_path):
    with pytest.raises(InputError, match="dtype int64 has no idx type"):
        write_idx(tmp_path / "x", np.arange(3))
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_idx(path, np.zeros(3, np.uint8))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_idx(path, np.ones(4, np.uint8))
    monkeypatch.undo()
    assert read_idx(path).tolist() == [0, 0, 0]
    assert [each.name for each in tmp_path.iterdir()] == ["x"]
