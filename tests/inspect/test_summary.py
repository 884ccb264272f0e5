"""What a summary counts, against the papers' tables and counts by hand."""

import functools
import json
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import pytest

from jnets.errors import InputError
from jnets.inspect import Layer, summarize
from jnets.layers import BatchNorm, Conv, Dense, Pool
from jnets.models import create, example_inputs
from jnets.ops import ReceptiveField

MODELS = Path(__file__).parents[1] / "models"
FACTS = json.loads((MODELS / "facts.json").read_text())
CONVNETS = json.loads((MODELS / "facts_convnets.json").read_text())


@functools.cache
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
    assert i2h == Layer("i2h", "Affine", (128,), 23_808, 23_808, 185 * 128, ())
    assert i2o == Layer("i2o", "Affine", (18,), 3_348, 3_348, 185 * 18, ())
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
    found = {layer.name: layer.fields for layer in summary(name).layers}
    assert found == {
        k: (None if v is None else ReceptiveField(*v),) * 2
        for k, v in FIELDS[name].items()
    }


def both(size: int, jump: int):
    return (ReceptiveField(size, jump),) * 2


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
        Layer("block/conv", "Conv", (4, 4, 3), 57, 912, 864, both(5, 2)),
        Layer("block/pool", "Pool", (2, 2, 3), 0, 0, 0, both(7, 4)),
        Layer("all", "Dense", (48,), 624, 624, 576, (None, None)),
        Layer("again", "Conv", (2, 2, 2), 56, 4 * 56, 4 * 54, (None, None)),
    )
    assert found.groups == {
        "block": Layer("block", "Block", (2, 2, 3), 57, 912, 864, both(7, 4))
    }
    assert found.parameters == 57 + 624 + 56
    assert found.connections == 912 + 624 + 224
    assert found.macs == 864 + 576 + 216


def test_the_batch_is_not_counted():
    one, four = (
        summarize(create("lenet5_1998"), *example_inputs("lenet5_1998", n))
        for n in (1, 4)
    )
    assert one == four


PUBLISHED = {
    "alexnet_2012": "alexnet_2012_grouped",
    "alexnet": "alexnet_owt_torchvision",
    "zfnet": "zfnet_fig3",
    "vgg16": "vgg16_D",
    "vgg16_bn": "vgg16_D_bn",
    "googlenet_paper": "googlenet_caffe_with_aux",
    "googlenet_bn": "googlenet_bn_5x5_with_aux",
    "googlenet": "googlenet_torchvision_with_aux",
    "resnet50": "resnet50_v1.5_torchvision",
    "resnet152_v1": "resnet152_v1_paper",
    "resnet34_a": "resnet34_optionA",
    "cifar_resnet110": "cifar_resnet110_A",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_totals_of_deep_networks_are_the_published_ones(name):
    found, facts = summary(name), CONVNETS[PUBLISHED[name]]
    assert found.parameters == facts["params"]
    assert found.macs == facts["macs"]


def test_heads_that_only_training_needs_are_a_group():
    found, facts = summary("inception_v3"), CONVNETS["inception_v3_main"]
    assert found.parameters - found.groups["aux"].parameters == facts["params"]
    assert found.macs - found.groups["aux"].macs == facts["macs"]


@pytest.mark.parametrize("fields", [{"remat": True}, {"stack_blocks": True}])
def test_a_net_that_is_run_otherwise_has_the_same_rows(fields):
    x = jnp.ones((1, 64, 64, 3))
    net = {"blocks": (1, 4, 2, 1), "widths": (4, 4, 4, 4)}
    plain = summarize(create("resnet50", **net), x)
    other = summarize(create("resnet50", **net, **fields), x)
    assert (other.parameters, other.macs) == (plain.parameters, plain.macs)
    for ours, theirs in zip(other.layers, plain.layers, strict=True):
        assert ours._replace(name="") == theirs._replace(name="")
    if "remat" in fields:
        assert other == plain
    else:
        names = [row.name for row in other.grouped(2).layers if "stage2" in row.name]
        assert names == ["stage2/block1", *(f"stage2/rest[{i}]" for i in range(3))]
        assert other.groups["stage2"] == plain.groups["stage2"]
        assert other.groups["stage2/rest[2]"] == plain.groups["stage2/block4"]._replace(
            name="stage2/rest[2]"
        )


def test_layers_in_groups():
    """Blocks, stages: what comes out of each, and sums."""
    found = summary("resnet50_v1")
    stages, blocks = found.grouped(1), found.grouped(2)
    for grouped in (stages, blocks, found.grouped(9)):
        assert grouped.parameters == found.parameters == 25_557_032
        assert grouped.macs == found.macs == 3_857_973_248
    assert found.grouped(9) == found
    assert [row.name for row in stages.layers] == [
        *("conv1", "conv1_norm", "pool1"),
        *("stage1", "stage2", "stage3", "stage4", "pool", "fc"),
    ]
    assert len(blocks.layers) == 3 + 3 + 4 + 6 + 3 + 2
    last = blocks.layers[-3]
    # 2048 to 512 to 512 to 2048 maps at 7 x 7, norms of 512, 512 and 2048.
    weights = 2048 * 512 + 9 * 512 * 512 + 512 * 2048
    assert last == Layer(
        "stage4/block3",
        "Block",
        (7, 7, 2048),
        weights + 2 * (512 + 512 + 2048),
        49 * weights,
        49 * weights,
        both(483, 32),
    )


def test_a_group_ends_with_what_comes_out_of_it():
    """The concatenation, not the branch that is called last."""
    group = summary("googlenet_paper").groups["inception_3a"]
    assert (group.output, group.fields) == ((28, 28, 256), both(59, 8))
    assert (group.parameters, group.macs) == (163_696, 128_049_152)


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_that_groups_nothing_is_refused(depth):
    with pytest.raises(InputError, match=f"depth={depth} is not usable"):
        summary("mlp").grouped(depth)


STACKED = {
    "variable_axes": {"params": 0, "batch_stats": 0},
    "split_rngs": {"params": True},
}


class Shared(nn.Module):
    """A layer that is called twice, one within a loop that shares it, a stack."""

    @nn.compact
    def __call__(self, x):
        twice = Conv(2, (3, 3), padding=1, name="twice")
        x = twice(twice(x))

        def step(module, x, _):
            return module(x), None

        turns = {"variable_broadcast": "params", "split_rngs": {"params": False}}
        again = nn.scan(step, length=2, **turns)
        x = again(Conv(2, (3, 3), padding=1, name="again"), x, None)[0]
        return nn.scan(step, length=2, **STACKED)(Pair(name="stack"), x, None)[0]


class Pair(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = Conv(2, (1, 3), padding=((0, 0), (1, 1)), use_bias=False, name="conv")(x)
        return BatchNorm(name="conv_norm")(x, train=False)


def test_parameters_count_once_however_often_they_are_used():
    found = summarize(Shared(), jnp.ones((1, 6, 6, 2)))
    rows = [(row.name, row.parameters, row.macs) for row in found.layers]
    assert rows == [
        ("twice", 38, 36 * 36),
        ("twice", 0, 36 * 36),
        ("again[0]", 38, 36 * 36),
        ("again[1]", 0, 36 * 36),
        ("stack[0]/conv", 12, 36 * 12),
        ("stack[0]/conv_norm", 4, 0),
        ("stack[1]/conv", 12, 36 * 12),
        ("stack[1]/conv_norm", 4, 0),
    ]
    heights = [row.fields[0].size for row in found.layers]
    widths = [row.fields[1].size for row in found.layers]
    assert heights == [3, 5, 7, 9, 9, 9, 9, 9]
    assert widths == [3, 5, 7, 9, 11, 11, 13, 13]
    assert found.groups["stack[1]"].parameters == 16


class Loops(nn.Module):
    """A stack of stacks."""

    @nn.compact
    def __call__(self, x):
        def inner(module, x, _):
            return module(x), None

        def outer(module, x, _):
            return nn.scan(inner, length=2, **STACKED)(module, x, None)[0], None

        pair = Pair(name="pair")
        return nn.scan(outer, length=2, **STACKED)(pair, x, None)[0]


def test_a_stack_of_stacks_has_two_places_in_its_names():
    found = summarize(Loops(), jnp.ones((1, 6, 6, 2)))
    places = [f"pair[{i}][{j}]" for i in range(2) for j in range(2)]
    assert list(found.groups) == places
    assert [row.parameters for row in found.layers] == [12, 4] * 4
