"""Pairs from every kind of file, and what is said of a file that is none."""

import gzip
import json
import zipfile

import pytest

from jnets.data.parallel import (
    Pairs,
    held_out,
    read_aligned,
    read_folder,
    read_json_lines,
    read_table,
)
from jnets.errors import InputError


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def test_aligned_lines(tmp_path):
    source = write(tmp_path / "a.de.gz", "Ein Hund\n\nZwei\u2028Hunde \n")
    target = write(tmp_path / "a.en", "A dog\nnothing\n Two dogs\n")
    pairs = read_aligned(source, target)
    assert pairs == Pairs(["Ein Hund", "Zwei\u2028Hunde"], [["A dog"], ["Two dogs"]])


def test_both_counts_are_told(tmp_path):
    source, target = write(tmp_path / "a.de", "x\ny\n"), write(tmp_path / "a.en", "x\n")
    with pytest.raises(InputError, match=r"a\.de has 2 lines and .*a\.en has 1; "):
        read_aligned(source, target)


@pytest.mark.parametrize("inner", ["", "task1/raw"])
def test_a_folder(tmp_path, inner):
    for part, ending in (("train", ".gz"), ("val", ""), ("test_2016", ".gz")):
        for language in ("de", "en"):
            write(tmp_path / inner / f"{part}.{language}{ending}", f"{part} {language}")
    write(tmp_path / inner / "test_2017.de", "other")
    found = read_folder(tmp_path, "en-de")
    assert found["train"] == Pairs(["train en"], [["train de"]])
    assert found["test"] == Pairs(["test_2016 en"], [["test_2016 de"]])
    with pytest.raises(InputError, match=r"no train\.fr or train\.fr\.gz"):
        read_folder(tmp_path, "fr-en")
    with pytest.raises(InputError, match=r"no train\.cs"):
        read_folder(tmp_path, "en-cs")
    with pytest.raises(InputError, match="pair='de'"):
        read_folder(tmp_path, "de")


def test_a_table(tmp_path):
    text = "Hi.\tSalut.\nRun!\tCours !\tmore\n\nHi.\tSalut !\nHi.\tSalut.\n"
    expected = Pairs(["Hi.", "Run!"], [["Salut.", "Salut !"], ["Cours !"]])
    assert read_table(write(tmp_path / "a.tsv", text)) == expected
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("fra.txt", text)
        archive.writestr("_about.txt", "about")
    assert read_table(tmp_path / "a.zip") == expected
    sources, targets = expected.flat()
    assert sources == ["Hi.", "Hi.", "Run!"] and targets[1:] == ["Salut !", "Cours !"]


@pytest.mark.parametrize("line", ["no tab", "a\t", "\tb"])
def test_a_bad_line_of_a_table_is_told(tmp_path, line):
    path = write(tmp_path / "a.tsv", f"a\tb\n{line}\n")
    with pytest.raises(InputError, match="line 2 is"):
        read_table(path)


def test_a_zip_that_is_none(tmp_path):
    with pytest.raises(InputError, match="no zip"):
        read_table(write(tmp_path / "a.zip", "x"))


def test_json_lines(tmp_path):
    rows = [
        {"source": ["One. ", "", "Two."], "target": [" a ", "b"], "title": "t"},
        {"source": "Three.", "target": "c"},
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    expected = Pairs(["One. Two.", "Three."], [["a", "b"], ["c"]])
    assert read_json_lines(path) == expected


@pytest.mark.parametrize(
    "line, why",
    [
        ("{", "is not JSON"),
        ("[1]", "source is missing"),
        ('{"source": "a"}', "target is missing"),
        ('{"source": [], "target": "b"}', "source is missing or empty"),
        ('{"source": "a", "target": [1]}', "target is missing"),
    ],
)
def test_a_bad_line_of_json_is_told(tmp_path, line, why):
    path = write(tmp_path / "a.jsonl", '{"source": "a", "target": "b"}\n' + line)
    with pytest.raises(InputError, match=f"line 2: {why}"):
        read_json_lines(path)


def test_what_is_held_out():
    pairs = Pairs(list("abcdefgh"), [[c.upper()] for c in "abcdefgh"])
    parts = held_out(pairs, 2, seed=1)
    assert [len(parts[name].sources) for name in ("train", "val", "test")] == [4, 2, 2]
    every = [s for part in parts.values() for s in part.sources]
    assert sorted(every) == pairs.sources and parts == held_out(pairs, 2, seed=1)
    assert parts != held_out(pairs, 2, seed=2)
    for part in parts.values():
        assert [[s.upper()] for s in part.sources] == part.targets
    with pytest.raises(InputError, match="8 pairs"):
        held_out(pairs, 4, seed=1)
