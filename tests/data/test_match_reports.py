"""Made-up reports: the sentence follows from the report, and every word is known."""

import re

import pytest

from jnets.data import match_reports
from jnets.data.units import Units


def retold(report):
    """The sentence again, from the report's words."""
    one, two, city = re.search(r"(\w+) met (\w+) in (\w+) on", report).groups()
    scores = dict(re.findall(r"(\w+) scored (\w+) goal", report))
    a, b = (match_reports.GOALS.index(scores[team]) for team in (one, two))
    words = ["nil", *match_reports.GOALS[1:]]
    if a == b:
        return f"{one} and {two} drew {words[a]} all in {city}."
    if a < b:
        one, two, a, b = two, one, b, a
    return f"{one} beat {two} {words[a]} to {words[b]} in {city}."


def test_sentences_follow_from_reports():
    pairs = match_reports.draw(300, 4, 1)
    assert pairs == match_reports.draw(300, 4, 1) != match_reports.draw(300, 4, 2)
    assert all(retold(report) == sentence for report, sentence in pairs)
    assert len({report for report, _ in pairs}) == 300
    kinds = [sentence.split()[1] for _, sentence in pairs]
    assert 20 < kinds.count("and") < 80
    other = match_reports.draw(300, 4, 1, avoid=frozenset(r for r, _ in pairs[:9]))
    assert not {r for r, _ in other} & {r for r, _ in pairs[:9]}


@pytest.mark.parametrize("seed", range(2))
def test_every_unit_is_known(seed):
    pairs = match_reports.draw(500, seed, 1)
    sides = zip(match_reports.every_unit(), match_reports.columns(pairs), strict=True)
    sizes = []
    for texts, drawn in sides:
        rows = Units.of(texts, "words").encode(drawn)
        assert all(1 not in row for row in rows)
        sizes.append(max(map(len, rows)))
    assert sizes[0] <= match_reports.MOST_WORDS
    assert sizes[1] == match_reports.MOST_WRITTEN
