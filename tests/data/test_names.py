"""Names: the alphabet, folders of files, a split without leaks, balanced draws."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jnets.data import names
from jnets.data.dataset import Dataset
from jnets.data.names import (
    ALPHABET,
    balanced_draws,
    decode,
    encode,
    encode_one,
    normalise,
    read_folder,
    unique_split,
)
from jnets.errors import InputError

TEXTS = st.text(st.sampled_from(ALPHABET), max_size=12).map(lambda text: "a" + text)


def dataset(by_class):
    """A Dataset from {class: names}."""
    texts = [name for group in by_class.values() for name in group]
    sizes = [len(group) for group in by_class.values()]
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    return Dataset(encode(texts), labels, tuple(by_class))


def pairs(data):
    return list(zip(data.labels.tolist(), decode(*data.inputs), strict=True))


def test_alphabet_is_the_lectures():
    assert len(ALPHABET) == 57
    assert (ALPHABET[0], ALPHABET[26], ALPHABET[52:]) == ("a", "A", " .,;'")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ślusàrski", "Slusarski"),
        ("O'Néàl", "O'Neal"),
        ("Nguyễn", "Nguyen"),
        ("Béringer-Smith 3", "BeringerSmith "),
        ("Łukasz", "ukasz"),
        ("Иванов", ""),
        ("ﬁ", ""),
        ("", ""),
    ],
)
def test_normalise_literals(name, expected):
    assert normalise(name) == expected


@given(st.text())
def test_normalise_follows_its_definition(name):
    kept = [
        letter
        for letter in unicodedata.normalize("NFD", name)
        if unicodedata.category(letter) != "Mn" and letter in ALPHABET
    ]
    assert normalise(name) == "".join(kept)
    assert normalise(normalise(name)) == normalise(name)


def test_encode_literal():
    tokens, lengths = encode(["Abb", "Ó'", "z"])
    np.testing.assert_array_equal(
        tokens, np.array([[26, 1, 1], [40, 56, 0], [25, 0, 0]], np.int32), strict=True
    )
    np.testing.assert_array_equal(lengths, np.array([3, 2, 1], np.int32), strict=True)


@given(st.lists(TEXTS, min_size=1))
def test_decode_inverts_encode(texts):
    tokens, lengths = encode(texts)
    assert tokens.shape == (len(texts), max(map(len, texts)))
    assert decode(tokens, lengths) == tuple(texts)


def test_encode_one():
    tokens, lengths = encode_one(" Çelik\n")
    assert decode(tokens, lengths) == ("Celik",)
    assert tokens.shape == (1, 5)


@pytest.mark.parametrize("name", ["", "  ", "'.,", "Иванов", "42\n"])
def test_name_without_letters(name):
    with pytest.raises(InputError, match="has no letter") as caught:
        encode_one(name)
    assert "\n" not in str(caught.value)


def test_encode_nothing():
    with pytest.raises(InputError, match="at least one"):
        encode([])


def test_read_folder(tmp_path):
    (tmp_path / "Polish.txt").write_bytes("Ślusarski\r\n\r\nNowak".encode())
    (tmp_path / "Czech.txt").write_bytes("\ufeff\nAbl \n  \nAdsit\n".encode())
    (tmp_path / "._Czech.txt").write_bytes(b"\xff")
    (tmp_path / "README.md").write_text("not names")
    (tmp_path / "more").mkdir()
    data = read_folder(tmp_path)
    assert data.classes == ("Czech", "Polish")
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.labels.dtype == np.int32
    assert decode(*data.inputs) == ("Abl", "Adsit", "Slusarski", "Nowak")
    assert data.inputs[0].shape == (4, 9)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "0 .txt files; expected one <Class>.txt"),
        ({"A.txt": b"Abc"}, "1 .txt files"),
        ({"A.txt": b"Abc", "B.txt": b""}, "B.txt: no names"),
        ({"A.txt": b"Abc", "B.txt": b"\n \n"}, "B.txt: no names"),
        ({"A.txt": b"Abc", "B.txt": b"x\ny\xe9\n"}, "B.txt, line 2: not valid UTF-8"),
        ({"A.txt": b"Abc\n\n--\n", "B.txt": b"x"}, "A.txt, line 3: '--' has no letter"),
    ],
)
def test_bad_folder(tmp_path, files, expected):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path)
    assert expected in str(caught.value) and str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        read_folder(tmp_path / "none")


def test_shipped_surnames_can_be_split():
    data = names.shipped()
    train, test = unique_split(data)
    assert train.size + test.size <= data.size
    assert set(train.labels) == set(test.labels) == set(range(len(data.classes)))


def test_split_of_two_classes_that_share_a_name():
    data = dataset({"A": ["x", "y", "x", "X"], "B": ["x", "z", "z", "w"]})
    for seed in range(20):
        train, test = unique_split(data, held_out=0.5, seed=seed)
        distinct = set(pairs(data))
        assert sorted(pairs(train) + pairs(test)) == sorted(distinct)
        assert not {name for _, name in pairs(train)} & {n for _, n in pairs(test)}
        assert set(test.labels) == set(train.labels) == {0, 1}
        assert train.labels.dtype == np.int32 and train.classes == ("A", "B")


@st.composite
def overlapping(draw):
    """Classes whose own names are many enough, plus names that any may share."""
    shared = [f"s{'i' * place}" for place in range(6)]
    by_class = {}
    for label in "PQR":
        own = [f"{label}{'o' * place}" for place in range(draw(st.integers(8, 40)))]
        extra = draw(st.lists(st.sampled_from(shared + own), max_size=10))
        by_class[label] = draw(st.permutations(own + extra))
    return dataset(by_class)


@given(overlapping(), st.floats(0.05, 0.8), st.integers(0, 2**40))
def test_split_properties(data, held_out, seed):
    train, test = unique_split(data, held_out=held_out, seed=seed)
    assert sorted(pairs(train) + pairs(test)) == sorted(set(pairs(data)))
    assert not {name for _, name in pairs(train)} & {name for _, name in pairs(test)}
    sizes = [np.bincount(part.labels, minlength=3) for part in (train, test)]
    assert min(map(min, sizes)) >= 1
    for total, held in zip(sum(sizes), sizes[1], strict=True):
        # At most the six shared names can be decided by another class.
        assert abs(held - held_out * total) <= 6 + 1
    order = np.random.default_rng(seed).permutation(data.size)
    again = unique_split(data.take(order), held_out=held_out, seed=seed)
    assert (pairs(train), pairs(test)) == (pairs(again[0]), pairs(again[1]))


def test_split_without_shared_names_is_exact_and_depends_on_seed():
    data = dataset({"A": [f"a{'b' * n}" for n in range(50)], "B": ["x", "y"]})
    sizes = [np.bincount(part.labels).tolist() for part in unique_split(data)]
    assert sizes == [[40, 1], [10, 1]]
    assert pairs(unique_split(data, seed=1)[1]) != pairs(unique_split(data)[1])


def test_small_class_inside_a_large_one_gets_its_exact_share():
    large = [f"a{'b' * n}" for n in range(100)]
    for seed in range(10):
        _, test = unique_split(dataset({"A": large, "B": large[:10]}), seed=seed)
        assert np.bincount(test.labels).tolist() == [20, 2]


@pytest.mark.parametrize("held_out", [0, 1, -0.5, 2, float("nan")])
def test_held_out_out_of_range(held_out):
    with pytest.raises(InputError, match="held_out: .* between 0 and 1"):
        unique_split(dataset({"A": ["a", "b"], "B": ["c", "d"]}), held_out=held_out)


def test_class_that_cannot_be_split():
    with pytest.raises(InputError, match="class B: its 1 distinct names"):
        unique_split(dataset({"A": ["a", "b"], "B": ["c", "c"]}))


LABELS = np.repeat([2, 0, 3], [1000, 10, 90]).astype(np.int32)


def test_draws_are_uniform_over_classes_then_names():
    count = 60_000
    draws = balanced_draws(LABELS, count, seed=0)
    assert draws.dtype == np.int32 and draws.shape == (count,)
    by_class = np.bincount(LABELS[draws])
    assert by_class[1] == 0  # label 1 has no example
    expected = count / 3
    chi2 = np.sum((by_class[[0, 2, 3]] - expected) ** 2 / expected)
    assert chi2 < 9.2  # 1 % point at 2 degrees of freedom
    within = np.bincount(draws, minlength=len(LABELS))[1000:1010]
    assert within.sum() == by_class[0]
    chi2 = np.sum((within - expected / 10) ** 2 / (expected / 10))
    assert chi2 < 23.2  # 1 % point at 10 degrees of freedom


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 2**40))
def test_draws_have_the_prefix_property(count, more, seed):
    longer = balanced_draws(LABELS, count + more, seed=seed)
    np.testing.assert_array_equal(
        balanced_draws(LABELS, count, seed=seed), longer[:count]
    )
    assert ((0 <= longer) & (longer < len(LABELS))).all()


def test_draws_are_pinned_and_depend_on_seed():
    first = balanced_draws(LABELS, 5, seed=0).tolist()
    assert first == [1002, 91, 1033, 1027, 1000]
    assert balanced_draws(LABELS, 5, seed=1).tolist() != first


@pytest.mark.parametrize(
    ("labels", "count", "seed", "expected"),
    [
        (LABELS[:0], 3, 0, "3 from 0 examples"),
        (LABELS, -1, 0, "-1 from 1100 examples"),
        (LABELS, 3, -1, "seed: -1"),
    ],
)
def test_bad_draws(labels, count, seed, expected):
    with pytest.raises(InputError, match=expected):
        balanced_draws(labels, count, seed=seed)
