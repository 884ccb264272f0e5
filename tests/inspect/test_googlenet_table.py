"""The paper's table row by row, against an audit of it made with other means."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from jnets.errors import InputError
from jnets.inspect import printed_table
from jnets.inspect.googlenet_table import DENSE, NOTES, SEPARABLE, TABLE, audit
from jnets.inspect.summary import summarize
from jnets.models import create, example_inputs

FACTS = json.loads(Path(__file__).with_name("googlenet_table.json").read_text())


@pytest.fixture(scope="module")
def rows():
    return audit()


@pytest.fixture(scope="module")
def lines():
    console = Console(width=80)
    with console.capture() as captured:
        console.print(printed_table(DENSE))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_printed_figures_are_those_of_the_paper():
    """All 19 rows; the first stands here twice."""
    kinds = {"convolution": "conv", "max pool": "max", "avg pool": "avg"}
    ours = [row for row in TABLE if row.type.strip() != "separable"]
    assert len(ours) == len(FACTS["printed"]) == 19
    for row, fact in zip(ours, FACTS["printed"], strict=True):
        kind, patch, output, depth, *features, params, ops = fact
        plain = kind.translate(str.maketrans("", "", "()"))
        assert row.type == f"{kinds.get(kind, plain)} {patch}".strip()
        assert (row.output, row.depth) == (output, int(depth))
        assert ["" if n is None else str(n) for n in row.features] == features
        assert (row.params, row.ops) == (params, ops.replace(" ", ""))


def test_counted_figures_are_those_of_the_audit(rows):
    counted = [row for row in rows if row.printed.params]
    assert len(counted) == len(FACTS["audit"]) == 13
    for row, fact in zip(counted, FACTS["audit"], strict=True):
        assert row.params == fact["K1024"], fact["row"]
        assert row.params * 1024 == fact["weights"]
        assert row.ops == pytest.approx(fact["macs"] / 1e6, rel=1e-12)
        assert float(row.printed.params[:-1]) == fact["printed_params_K"]
        assert float(row.printed.ops[:-1]) == fact["printed_ops_M"]
        if fact["printed_params_imply_ops_M"] is not None:
            assert row.implied == pytest.approx(fact["printed_params_imply_ops_M"])


def test_rows_that_are_off_are_those_of_the_audit(rows):
    """Figures that are neither rounded nor cut off; five rows differ by far."""
    off = {row.printed.type: row.off for row in rows if any(row.off)}
    assert off == {
        "conv 7x7/2": (True, True),
        "inception 3b": (True, False),
        "inception 4a": (True, False),
        "inception 4b": (True, False),
        "inception 4c": (True, False),
        "inception 4d": (True, False),
        "inception 4e": (True, False),
        "inception 5a": (True, True),
        "inception 5b": (True, False),
    }
    assert set(off) == set(NOTES)


@pytest.mark.parametrize("name", [DENSE, SEPARABLE])
def test_printed_sizes_and_channels_are_the_models(name):
    found = summarize(create(name), *example_inputs(name))
    ends = {layer.name: layer for layer in found.layers} | found.groups
    for row in TABLE:
        if row.layers and row.layers[-1] in ends:
            output = "x".join(map(str, ends[row.layers[-1]].output))
            assert row.output in (output, f"1x1x{output}")
        for group in row.layers:
            if group.startswith("inception"):
                names = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
                maps = tuple(ends[f"{group}/{part}"].output[-1] for part in names)
                assert row.features == maps


def test_the_table_fits_80_columns_with_a_note_for_every_mark(lines):
    assert max(map(len, lines)) <= 80
    body, notes = lines[2 : 2 + len(TABLE)], lines[2 + len(TABLE) :]
    assert len(body) == len(TABLE)
    marks = {mark for mark in "".join(body) if mark in "¹²³⁴⁵⁶⁷⁸⁹"}
    assert marks == {line[0] for line in notes if line[0] in "¹²³⁴⁵⁶⁷⁸⁹"}
    assert len(marks) == len(NOTES)


def test_rows_as_they_are_shown(lines):
    joined = " ".join(" ".join(lines).split())
    assert "conv 7x7/2 112x112x64 1 2.7K¹ 9.19 34M¹ 118.01" in joined
    assert "separable 112x112x64 1 2.7K 2.65 34M 34.02" in joined
    assert "4c 14x14x512 2 128 128 256 24 64 64 463K⁵ 497.50 100M 99.85" in joined
    assert "5a 7x7x832 2 256 160 320 32 128 128 1072K⁸ 1018.00 54M⁸ 51.08" in joined
    assert "⁵ 463K weights at 14x14 would take 92.9M; the 100M printed" in joined
    assert "22 layers" in joined
    assert "add up to 1,502M" in joined
    assert "1,499M with the separable convolution and 1,583M without" in joined


def test_a_model_without_a_table_is_told_which_have_one():
    with pytest.raises(InputError, match="'vgg16'.*'googlenet_paper'") as error:
        printed_table("vgg16")
    assert "\n" not in str(error.value)
