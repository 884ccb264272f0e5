"""Series in the .ts format: what is read, and what is said about what cannot be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.data import series
from jnets.errors import InputError

SHARED = Path(__file__).parents[3] / "shared/data/timeseries"
HEADER = (
    "# Words: of any kind",
    "@problemName  Small",
    "@timestamps false",
    "@Univariate false",
    "@dimensions 2",
    "@classLabel true walk run",
    "",
    "@DATA",
)


@pytest.fixture
def written(tmp_path):
    """written(*lines, header=...): a file of these lines."""

    def write(*lines, header=HEADER, name="a.ts"):
        path = tmp_path / name
        path.write_text("\n".join((*header, *lines)) + "\n", encoding="utf-8")
        return path

    return write


def refusal(path, call=series.read):
    with pytest.raises(InputError) as error:
        call(path)
    (message,) = error.value.args
    assert "\n" not in message
    return message


def test_cases_of_different_lengths(written):
    found = series.read(written("1,2.5,-3e-1:4,5,6:run", "# between", "7 : 8 : walk"))
    first, second = found.cases
    np.testing.assert_array_equal(
        first, np.array([[1, 4], [2.5, 5], [-0.3, 6]], np.float32), strict=True
    )
    np.testing.assert_array_equal(second, [[7, 8]])
    assert found.labels.tolist() == [1, 0] and found.labels.dtype == np.int32
    assert found.classes == ("walk", "run") and found.channels == 2


def test_without_classes(written):
    header = ("@problemName x", "@classLabel false", "@data")
    found = series.read(written("1,2:3,4", "5,6:7,8", header=header))
    assert found.classes == () and found.labels.tolist() == []
    np.testing.assert_array_equal(found.cases[1], [[5, 7], [6, 8]])


def test_stacked():
    x, lengths = series.stacked([np.ones((1, 2)), np.full((3, 2), 2.0)])
    assert x.dtype == np.float32 and lengths.dtype == np.int32
    assert x[..., 0].tolist() == [[1, 0, 0], [2, 2, 2]] and lengths.tolist() == [1, 3]


def test_statistics_are_of_steps_not_of_cases():
    cases = [np.array([[0.0, 5], [2, 5]]), np.array([[4.0, 5]])]
    mean, deviation = series.statistics(cases)
    assert mean.tolist() == [2, 5]
    np.testing.assert_allclose(deviation, [np.sqrt(8 / 3), 1])


BAD = {
    "1,?:3,4:run": "line 9: a missing value, '?'",
    "1,nan:3,4:run": "'nan'; expected finite",
    "1,inf:3,4:run": "'inf'; expected finite",
    "1,two:3,4:run": "'two' is not a number",
    "1,,2:3,4,5:run": "'' is not a number",
    "1,2:3:run": "channels of lengths 1, 2",
    "1,2:3,4:fly": "class 'fly'; expected one of walk, run",
    "1,2:3,4": "class '3,4'",
    "run": "channels of lengths none",
    "1:2:run\n1:2:3:run": "line 10: 3 channels; expected 2",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_lines(written, line):
    path = written(line)
    message = refusal(path)
    assert message.startswith(f"{path}: line ") and BAD[line] in message


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (("@problemName x",), "no line @data"),
        (("1,2,3",), "line 1: '1,2,3' before @data"),
        (("@timestamps TRUE", "@data"), "line 1: a file with time stamps"),
        (("@targetLabel true", "@data"), "line 1: a file with target values"),
        (("", "@classLabel true a a", "@data"), "line 2: classes ['a', 'a']"),
        (HEADER, "no cases"),
    ],
)
def test_bad_headers(written, header, says):
    assert says in refusal(written(header=header))


def test_no_file(tmp_path):
    assert "a.ts cannot be read" in refusal(tmp_path / "a.ts")


def test_pairs(written):
    path = written("1:2:run", name="A_TRAIN.ts")
    assert "A_TEST.ts cannot be read" in refusal(path, series.read_pair)
    written("3:4:walk", "5:6:run", name="A_TEST.ts")
    train, test = series.read_pair(path)
    assert (len(train.cases), len(test.cases)) == (1, 2)
    written("3:walk", name="A_TEST.ts")
    assert "A_TEST.ts: 1 channels" in refusal(path, series.read_pair)
    other = written("1:2:run", name="B.ts")
    assert "ends in _TRAIN.ts" in refusal(other, series.read_pair)
    header = ("@classLabel false", "@data")
    path = written("1", header=header, name="C_TRAIN.ts")
    written("1", header=header, name="C_TEST.ts")
    assert "no classes to learn" in refusal(path, series.read_pair)


values = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def cases(draw):
    channels = draw(st.integers(1, 3))
    row = st.lists(st.lists(values, min_size=channels, max_size=channels), min_size=1)
    return draw(st.lists(row, min_size=1, max_size=4))


@settings(deadline=None)
@given(cases())
def test_what_is_written_is_read(tmp_path_factory, rows):
    lines = [
        ":".join(",".join(map(repr, channel)) for channel in zip(*case, strict=True))
        for case in rows
    ]
    path = tmp_path_factory.mktemp("ts") / "a.ts"
    path.write_text("@data\n" + "\n".join(lines))
    for case, found in zip(rows, series.read(path).cases, strict=True):
        np.testing.assert_array_equal(found, np.float32(case))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the archive's files")
def test_files_of_the_archive():
    train, test = series.read_pair(SHARED / "JapaneseVowels_TRAIN.ts")
    assert (len(train.cases), len(test.cases)) == (270, 370)
    lengths = [len(case) for case in (*train.cases, *test.cases)]
    assert (train.channels, min(lengths), max(lengths)) == (12, 7, 29)
    assert np.bincount(train.labels).tolist() == [30] * 9
    assert train.cases[0][0, :2].tolist() == np.float32([1.860936, -0.207383]).tolist()
