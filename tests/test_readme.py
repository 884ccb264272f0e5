"""What README.md shows is what happens."""

import re
from pathlib import Path

README = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fences = README.split("\n```")[1:]
    opened = [fence for fence in fences[::2] if fence.startswith(f"{language}\n")]
    return [fence.split("\n", 1)[1] for fence in opened]


def test_python_blocks_run():
    """The blocks share their names, as a reader who types them in turn would have."""
    names: dict[str, object] = {}
    shown = [b for b in blocks("python") if not b.startswith(("# after", "# with"))]
    for block in shown:
        exec(compile(block, "README.md", "exec"), names)
    assert len(shown) == 4
    assert names["logits"].shape == (8, 10)
    assert int(names["state"].step) == 1
    assert names["outputs"].shape == (8, 50, 64)
    assert names["last"].h.shape == (1, 8, 64)


def test_summary_is_the_printed_one(capsys):
    from jnets import cli

    assert cli.main(["summary", "lenet5_1998"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (shown,) = [b for b in blocks("") if "TableConv" in b]
    assert [line.rstrip() for line in shown.splitlines()] == printed


def test_every_command_it_names_exists():
    root = Path(__file__).parents[1]
    named = set(re.findall(r"experiments\.(\w+)", README))
    assert named and all((root / "experiments" / f"{n}.py").exists() for n in named)


def test_tables_are_those_of_the_measured_rows():
    from benchmarks import tables

    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text) == text, "run: python -m benchmarks.tables"
