"""What a summary counts, against the papers' tables and counts by hand."""

import io
import json
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import pytest
from rich.console import Console

from jnets.inspect import Layer, summarize, to_table
from jnets.layers import Conv, Dense, Pool
from jnets.models import MODELS, create, example_inputs
from jnets.ops import ReceptiveField

FACTS = json.loads((Path(__file__).parents[1] / "models" / "facts.json").read_text())


def summary(name: str):
    return summarize(create(name), *example_inputs(name))


@pytest.mark.parametrize("name", FACTS)
def test_totals_are_the_published_ones(name):
    found = summary(name)
    for total in {"params", "connections", "macs"} & set(FACTS[name]):
        ours = "parameters" if total == "params" else total
        assert getattr(found, ours) == FACTS[name][total], total


@pytest.mark.parametrize("name", FACTS)
def test_rows_are_the_published_ones(name):
    layers, facts = summary(name).layers, FACTS[name]["layers"]
    assert [layer.name for layer in layers] == [fact["name"] for fact in facts]
    for layer, fact in zip(layers, facts, strict=True):
        found = {
            "name": layer.name,
            "out_hwc": [1] * (3 - len(layer.output)) + list(layer.output),
            "params": layer.parameters,
            "connections": layer.connections,
            "macs": layer.macs,
        }
        assert {k: found[k] for k in fact} == fact


def test_connections_of_the_modern_networks_by_hand():
    """As in 1998: every use of a weight or bias; a pool without weights has none."""
    modern = {layer.name: layer.connections for layer in summary("lenet5").layers}
    assert modern["C1"] == 28 * 28 * 6 * (25 + 1)
    assert modern["S2"] == modern["S4"] == 0
    assert modern["C3"] == 10 * 10 * 16 * (6 * 25 + 1)
    assert modern["C5"] == 120 * (400 + 1)
    assert summary("lenet5").connections == 423_038


def test_a_recurrent_row_is_one_step():
    i2h, i2o = summary("surname_rnn").layers
    assert i2h == Layer("i2h", "Affine", (128,), 23_808, 23_808, 185 * 128, None)
    assert i2o == Layer("i2o", "Affine", (18,), 3_348, 3_348, 185 * 18, None)
    assert summary("surname_rnn_tanh") == summary("surname_rnn")


FIELDS = {
    # (k - 1) times the jump is added at each layer; a pool doubles the jump.
    "lenet5_1998": {
        "C1": (5, 1),
        "S2": (6, 2),
        "C3": (14, 2),
        "S4": (16, 4),
        "C5": (32, 4),
        "F6": None,
        "RBF": None,
    },
    "lenet5": {
        "C1": (5, 1),
        "S2": (6, 2),
        "C3": (14, 2),
        "S4": (16, 4),
        "C5": None,
        "F6": None,
        "OUT": None,
    },
    "lenet_caffe": {
        "conv1": (5, 1),
        "pool1": (6, 2),
        "conv2": (14, 2),
        "pool2": (16, 4),
        "ip1": None,
        "ip2": None,
    },
    "mlp": {"hidden1": None, "output": None},
}


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_fields_by_hand(name):
    found = {layer.name: layer.field for layer in summary(name).layers}
    assert found == {
        k: None if v is None else ReceptiveField(*v) for k, v in FIELDS[name].items()
    }


class Nested(nn.Module):
    """Blocks inside a model, and a convolution after a layer that sees everything."""

    @nn.compact
    def __call__(self, x):
        x = Block(name="block")(x)
        x = Dense(48, name="all")(x.reshape(x.shape[0], -1))
        return Conv(2, (3, 3), name="again")(x.reshape(x.shape[0], 4, 4, 3))


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = Conv(3, (3, 3), stride=2, dilation=2, name="conv")(x)
        return Pool("max", 2, name="pool")(x)


def test_layers_inside_blocks_and_after_a_full_one():
    found = summarize(Nested(), jnp.ones((1, 11, 11, 2)))
    # 11 positions under a kernel that reaches over 5, at stride 2, are 4; then 2.
    assert found.layers == (
        Layer("block/conv", "Conv", (4, 4, 3), 57, 912, 864, ReceptiveField(5, 2)),
        Layer("block/pool", "Pool", (2, 2, 3), 0, 0, 0, ReceptiveField(7, 4)),
        Layer("all", "Dense", (48,), 624, 624, 576, None),
        Layer("again", "Conv", (2, 2, 2), 56, 4 * 56, 4 * 54, None),
    )
    assert found.parameters == 57 + 624 + 56
    assert found.connections == 912 + 624 + 224
    assert found.macs == 864 + 576 + 216


def test_the_batch_is_not_counted():
    one, four = (
        summarize(create("lenet5_1998"), *example_inputs("lenet5_1998", n))
        for n in (1, 4)
    )
    assert one == four


@pytest.mark.parametrize("name", MODELS)
def test_a_table_fits_80_columns(name):
    found = summary(name)
    out = io.StringIO()
    Console(file=out, width=200).print(to_table(name, found))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[0] == name
    # Title, three lines of head, one line a layer, three of foot.
    assert len(lines) == 4 + len(found.layers) + 3
    for line, layer in zip(lines[4:], found.layers, strict=False):
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        *size, maps = layer.output
        assert cells == [
            layer.name,
            layer.kind,
            str(maps),
            "x".join(map(str, size)) or "1",
            f"{layer.parameters:,}",
            f"{layer.connections:,}",
            f"{layer.macs:,}",
            str(layer.field.size) if layer.field else "all",
        ]
    foot = lines[-2].strip("│").split("│")
    assert [cell.strip() for cell in foot] == [
        *("total", "", "", ""),
        f"{found.parameters:,}",
        f"{found.connections:,}",
        f"{found.macs:,}",
        "",
    ]
