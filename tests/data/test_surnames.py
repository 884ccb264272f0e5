"""The surname lists that ship in the package, checked straight from the files."""

import re
import string
import unicodedata
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "jnets" / "data" / "surnames"
ALPHABET = frozenset(string.ascii_letters + " .,;'")
LANGUAGES = sorted(path.stem for path in FOLDER.glob("*.txt"))


def read(language: str) -> list[str]:
    """The lines of one file, decoded from its bytes; each one must end with LF."""
    text = (FOLDER / f"{language}.txt").read_bytes().decode("utf-8")
    assert text.endswith("\n"), language
    return text[:-1].split("\n")


def base_characters(name: str) -> str:
    """`name` in NFD without its combining marks: what the alphabet must cover."""
    decomposed = unicodedata.normalize("NFD", name)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def plain(name: str) -> str:
    """`name` as a classifier over the 57-character alphabet sees it."""
    return "".join(c for c in base_characters(name) if c in ALPHABET)


NAMES = {language: read(language) for language in LANGUAGES}


def test_normalisation_keeps_accented_letters_and_drops_the_others():
    assert plain("Dvořák") == "Dvorak"
    assert plain("Van 't Hoff") == "Van 't Hoff"
    assert plain("Kłos-Søby") == "KosSby"


def test_files_are_one_per_language():
    assert len(LANGUAGES) == 18
    stray = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert stray == {f"{language}.txt" for language in LANGUAGES} | {"README.md"}


def test_every_language_has_at_least_120_surnames():
    few = {k: len(v) for k, v in NAMES.items() if len(set(map(plain, v))) < 120}
    assert not few


def test_lines_are_composed_utf8_without_stray_spaces():
    for language, names in NAMES.items():
        for name in names:
            assert name == unicodedata.normalize("NFC", name), (language, name)
            assert name == " ".join(name.split()), (language, name)
            assert name[:1].isupper(), (language, name)


def test_normalisation_loses_no_character():
    lossy = {
        (language, name): lost
        for language, names in NAMES.items()
        for name in names
        if (lost := set(base_characters(name)) - ALPHABET)
    }
    assert not lossy


def test_lengths():
    for language, names in NAMES.items():
        for name in names:
            letters = sum(c.isalpha() for c in plain(name))
            assert letters >= 2, (language, name)
            assert len(plain(name)) <= 20, (language, name)


def test_sorted_by_plain_lower_case_form():
    for language, names in NAMES.items():
        assert names == sorted(names, key=lambda n: plain(n).lower()), language


def test_each_surname_occurs_once_over_all_languages():
    """Neither twice in a language nor in two: no pair can leak across a split."""
    count = Counter(plain(n).lower() for names in NAMES.values() for n in names)
    assert not {name: c for name, c in count.items() if c > 1}


def test_readme_table_states_the_counts():
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) +\| +(\d+) \|$", table, flags=re.MULTILINE)
    expected = {language: len(names) for language, names in NAMES.items()}
    expected["Total"] = sum(expected.values())
    assert {name: int(count) for name, count in rows} == expected
