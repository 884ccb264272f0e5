"""Sequences of vectors in files of text and of NumPy."""

import numpy as np
import pytest

from jnets.data import steps
from jnets.errors import InputError


def test_text_and_arrays(tmp_path):
    x = np.array([[0.5, -1], [2, 3e-2], [4, 5]], np.float32)
    (tmp_path / "a.csv").write_text("0.5,-1\n\n 2 , 3e-2\n4,5\n")
    np.save(tmp_path / "a.npy", x.astype(np.float64))
    for name in ("a.csv", "a.npy"):
        np.testing.assert_array_equal(steps.read(tmp_path / name), x, strict=True)
    (tmp_path / "a.csv").write_text("1\n2\n")
    np.save(tmp_path / "a.npy", np.array([1, 2]))
    for name in ("a.csv", "a.npy"):
        assert steps.read(tmp_path / name).tolist() == [[1], [2]]


BAD = {
    b"1,2\n3\n": "line 2: '3'; expected 2 finite numbers",
    b"1,2\n3,nan\n": "line 2: '3,nan'",
    b"a,b\n1,2\n": "line 1: 'a,b'; expected numbers separated by commas",
    b"\n": "expected finite numbers",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_text(tmp_path, text):
    (tmp_path / "a.txt").write_bytes(text)
    with pytest.raises(InputError) as error:
        steps.read(tmp_path / "a.txt")
    assert BAD[text] in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.ones((1, 2, 3)), "float64 [1, 2, 3]"),
        (np.array(["a"]), "<U1 [1]"),
        (np.array([[np.inf]]), "expected finite numbers"),
        (np.ones((0, 2)), "expected finite numbers"),
        (np.array([None]), "cannot be read"),
    ],
)
def test_bad_arrays(tmp_path, array, says):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError) as error:
        steps.read(tmp_path / "a.npy")
    assert says in str(error.value)


def test_no_file(tmp_path):
    for name in ("a.npy", "a.csv"):
        with pytest.raises(InputError, match="cannot be read"):
            steps.read(tmp_path / name)
