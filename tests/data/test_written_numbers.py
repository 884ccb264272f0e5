"""Words and digits: by hand, and back again by reading the words."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jnets.data import written_numbers as written
from jnets.data.units import WORD, Units


def test_by_hand():
    assert written.cardinal(0) == "zero"
    assert written.cardinal(115) == "one hundred and fifteen"
    assert written.cardinal(1_000_001) == "one million and one"
    assert written.cardinal(20_300, joined=False) == "twenty thousand three hundred"
    days = {1: "first", 2: "second", 3: "third", 12: "twelfth", 20: "twentieth"}
    assert all(written.ordinal(day) == words for day, words in days.items())
    assert written.ordinal(31) == "thirty-first"
    assert written.year(1066 + 100) == "eleven sixty-six"
    assert written.year(2000) == "two thousand"
    day = date(1984, 3, 23)
    assert [written.written_date(day, form) for form in range(4)] == [
        "the twenty-third of march nineteen eighty-four",
        "march the twenty-third nineteen eighty-four",
        "friday twenty-third march nineteen eighty-four",
        "march twenty-three nineteen eighty-four",
    ]


def value(words):
    """Of a cardinal: units add up, scales multiply."""
    total = part = 0
    for word in words.replace("-", " ").split():
        if word in written.ONES:
            part += written.ONES.index(word)
        elif word in written.TENS:
            part += 10 * (written.TENS.index(word) + 2)
        elif word == "hundred":
            part *= 100
        elif word != "and":
            total += part * {"million": 10**6, "thousand": 1000}[word]
            part = 0
    return total + part


@given(st.integers(0, 10**9 - 1), st.booleans())
def test_a_number_is_what_its_words_say(number, joined):
    words = written.cardinal(number, joined=joined)
    assert value(words) == number
    assert len(WORD.findall(words)) <= written.MOST_WORDS


def test_pairs_depend_on_the_seed_and_the_stream():
    pairs = written.draw(300, 5, 1)
    assert pairs == written.draw(300, 5, 1) and len(pairs) == 300
    assert pairs != written.draw(300, 5, 2) and pairs != written.draw(300, 6, 1)
    dates = [digits for _, digits in pairs if "-" in digits]
    assert 100 < len(dates) < 200
    assert all(date.fromisoformat(digits) for digits in dates)
    for words, digits in pairs:
        if "-" not in digits:
            assert value(words) == int(digits)


def test_what_is_avoided_is_not_drawn():
    first = written.draw(50, 0, 1)
    avoid = frozenset(digits for _, digits in first)
    others = written.draw(50, 0, 1, avoid=avoid)
    assert len(others) == 50 and not avoid & {digits for _, digits in others}


@pytest.mark.parametrize("seed", range(3))
def test_every_unit_is_known(seed):
    words, digits = written.every_unit()
    source, target = Units.of(words, "words"), Units.of(digits, "characters")
    pairs = written.draw(500, seed, 1)
    for units, texts in zip((source, target), written.columns(pairs), strict=True):
        assert all(1 not in row for row in units.encode(texts))
    assert (
        max(map(len, target.encode(written.columns(pairs)[1]))) <= written.MOST_DIGITS
    )
