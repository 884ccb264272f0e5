import json

import pytest

from benchmarks import timing


def test_alternate_takes_turns_after_one_call_each():
    calls = []
    cases = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = timing.alternate(cases, rounds=2)
    assert "".join(calls) == "ab" + "abab"
    assert {name: len(s) for name, s in seconds.items()} == {"a": 2, "b": 2}


def test_rates_are_of_the_median_second():
    found = timing.rates(10, [1.0, 2.0, 5.0])
    assert found == {"median": 5.0, "slowest": 2.0, "fastest": 10.0, "runs": 3}


@pytest.mark.parametrize("also,left", [((), [2, 3]), (("model",), [1, 2, 3])])
def test_write_replaces_rows_of_the_same_keys(also, left, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    stack = {"device": "d", "cores": 4, "jax": "1"}
    other = stack | {"jax": "2"}
    first = [stack | {"model": "a", "n": 1}, other | {"model": "a", "n": 2}]
    first.append(stack | {"model": "b", "n": 0})
    timing.write("x", first, also=also)
    path = timing.write("x", [stack | {"model": "b", "n": 3}], also=also)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["n"] for row in rows] == left
