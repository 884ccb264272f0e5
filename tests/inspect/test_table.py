"""Summaries as they are printed."""

import functools
import io

import pytest
from rich.console import Console

from jnets.inspect import Layer, Summary, summarize, to_table
from jnets.models import create, example_inputs
from jnets.ops import ReceptiveField

LECUN = ["lenet5_1998", "lenet5", "lenet_caffe"]
# One of every class and the widest numbers and names.
OTHERS = ["mlp", "surname_rnn", "alexnet_2012", "vgg19_bn", "googlenet_bn"] + [
    *("inception_v3", "resnet152", "resnet200", "cifar_resnet110")
]


@functools.cache
def summary(name: str) -> Summary:
    return summarize(create(name), *example_inputs(name))


def printed(found: Summary, connections: bool = False) -> list[str]:
    out = io.StringIO()
    table = to_table("title", found, connections=connections)
    Console(file=out, width=200).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


@pytest.mark.parametrize("name", LECUN)
def test_a_network_with_its_connections(name):
    found = summary(name)
    lines = printed(found, connections=True)
    assert max(map(len, lines)) <= 80
    # Title, three lines of head, one line a layer, three of foot.
    assert len(lines) == 4 + len(found.layers) + 3
    for line, layer in zip(lines[4:], found.layers, strict=False):
        *size, maps = layer.output
        assert cells(line) == [
            layer.name,
            layer.kind,
            str(maps),
            "x".join(map(str, size)) or "1",
            f"{layer.parameters:,}",
            f"{layer.connections:,}",
            f"{layer.macs:,}",
            str(layer.fields[0].size) if layer.fields[0] else "all",
        ]
    assert cells(lines[-2]) == [
        *("total", "", "", ""),
        f"{found.parameters:,}",
        f"{found.connections:,}",
        f"{found.macs:,}",
        "",
    ]


@pytest.mark.parametrize("depth", [None, 1, 2])
@pytest.mark.parametrize("name", OTHERS)
def test_a_network_of_any_size_fits_80_columns(name, depth):
    found = summary(name) if depth is None else summary(name).grouped(depth)
    lines = printed(found)
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    total = [f"{summary(name).parameters:,}", f"{summary(name).macs:,}"]
    assert cells(lines[-2]) == ["total", "", *total, ""]
    rows = [row for row in map(cells, lines[4:-3]) if row[1]]
    assert len(rows) == len(found.layers)
    assert [row[2] for row in rows] == [f"{r.parameters:,}" for r in found.layers]


def test_layers_stand_under_the_modules_that_hold_them():
    fields = (ReceptiveField(3, 1), ReceptiveField(3, 1))
    layers = tuple(
        Layer(name, "Conv", (8, 9, 4), 1234, 0, 56789, fields)
        for name in ("conv1", "a/b/conv2", "a/b/conv3", "a/c/conv4", "a/conv5", "d/b/x")
    )
    wide = layers[1]._replace(fields=(ReceptiveField(5, 1), ReceptiveField(11, 2)))
    half = layers[2]._replace(fields=(ReceptiveField(5, 1), None))
    full = layers[3]._replace(fields=(None, None), output=(10,))
    none = layers[4]._replace(fields=())
    lines = printed(Summary((layers[0], wide, half, full, none, layers[5]), {}))
    assert [line[2:11].rstrip() for line in lines[4:-3]] == [
        "conv1",
        "a",
        "  b",
        "    conv2",
        "    conv3",
        "  c",
        "    conv4",
        "  conv5",
        "d",
        "  b",
        "    x",
    ]
    rows = [row for row in map(cells, lines[4:-3]) if row[1]]
    assert rows[0] == ["conv1", "8x9x4", "1,234", "56,789", "3"]
    assert [row[-1] for row in rows] == ["3", "5x11", "5xall", "all", "all", "3"]
    assert rows[3][1] == "10"
