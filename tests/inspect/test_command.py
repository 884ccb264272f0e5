"""`jnets summary` and its options."""

import pytest

from jnets import cli


@pytest.fixture
def call(capsys):
    def run(*argv: str) -> tuple[int, str, str]:
        status = cli.main(["summary", *argv])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def firsts(out: str) -> list[str]:
    """The first cell of every row of the table's body."""
    rows = [line for line in out.splitlines() if line.startswith("│")]
    return [row.strip("│").split("│")[0].strip() for row in rows[:-1]]


def test_depth_groups_layers(call):
    status, out, err = call("resnet50", "--depth", "1")
    assert (status, err) == (0, "")
    stages = ["stage1", "stage2", "stage3", "stage4"]
    assert firsts(out) == ["conv1", "conv1_norm", "pool1", *stages, "pool", "fc"]
    assert "25,557,032" in out and "4,089,184,256" in out
    blocks = firsts(call("resnet50", "--depth", "2")[1])
    assert blocks[3:8] == ["stage1", "block1", "block2", "block3", "stage2"]


def test_connections_are_counted_for_lecun_s_networks_alone(call):
    assert "connections" in call("lenet5")[1]
    assert "connections" not in call("mlp")[1]


def test_table_is_the_papers(call):
    status, out, err = call("googlenet_paper", "--table")
    assert (status, err) == (0, "")
    assert call("googlenet_paper_separable", "--table")[1] == out
    assert max(map(len, out.splitlines())) <= 80
    assert "inception 4c" in out and "463K" in out and "497.50" in out


@pytest.mark.parametrize(
    "argv, message",
    [
        (["vgg16", "--table"], "model 'vgg16' has no printed table; expected "),
        (["mlp", "--depth", "0"], "depth=0 is not usable; expected at least 1"),
        (["mlp", "--depth", "deep"], "argument --depth: invalid int value: 'deep'"),
        (["mlp", "--table", "--depth", "1"], "not allowed with argument"),
    ],
)
def test_a_mistake_is_one_line(call, argv, message):
    status, out, err = call(*argv)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1 and message in err
