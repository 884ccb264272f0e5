"""Imports run one way through the house, and files and functions stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
TREES = ("jnets", "experiments", "benchmarks", "tests")

BASE = {"errors", "typing"}
MODELS = BASE | {"ops", "layers", "models"}
JNETS = MODELS | {"data", "training", "inspect", "interop", "front"}
# Room -> the rooms that it may import, besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "typing": set(),
    "ops": BASE,
    "layers": BASE | {"ops"},
    "models": BASE | {"ops", "layers"},
    "inspect": MODELS,
    "interop": MODELS,
    "data": BASE,
    "training": BASE | {"ops"},
    "front": JNETS,
    "experiments": JNETS,
    "benchmarks": JNETS | {"experiments"},
    "tests": JNETS | {"experiments", "benchmarks"},
}
# Modules of jnets that are rooms of their own, or stand together at the front door.
FRONT = {
    "cli",
    "commands",
    "doctor",
    "evaluation",
    "pretrained",
    "runs",
    "systems",
}
MAY_NOT_IMPORT = {
    "ops": {"flax"},
    "data": {"jax", "flax", "optax", "orbax", "chex"},
}


class Import(NamedTuple):
    line: int
    module: str


def imports(path: Path, root: Path) -> Iterator[Import]:
    """Every module that the file imports, wherever in it, by absolute name."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(node.lineno, name.name)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*start, *([node.module] if node.module else [])))
            for name in node.names:
                module = f"{base}.{name.name}"
                yield Import(node.lineno, module if is_module(module, root) else base)


def is_module(module: str, root: Path) -> bool:
    path = root.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def room(module: str) -> str | None:
    """The room of a module of this project; None for another project's.

    A part of jnets without a place in the table is a room of its own.
    """
    top, *rest = module.split(".")
    if top == "jnets":
        return "front" if not rest or rest[0] in FRONT else rest[0]
    return top if top in TREES else None


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path) -> list[Path]:
    return sorted(path for tree in TREES for path in (root / tree).rglob("*.py"))


def wrong_imports(root: Path) -> list[str]:
    """One line for each import that the tables above do not allow."""
    wrong = []
    for path in sources(root):
        here = room(module_name(path, root))
        if here not in MAY_IMPORT:
            wrong.append(f"{path.relative_to(root)}: room {here!r} has no place")
            continue
        allowed = MAY_IMPORT[here] | {here}
        for line, module in imports(path, root):
            there, top = room(module), module.partition(".")[0]
            if top in MAY_NOT_IMPORT.get(here, ()) or not (
                there is None or there in allowed
            ):
                where = f"{path.relative_to(root)}:{line}"
                wrong.append(f"{where}: {here} may not import {module}")
    return wrong


def over_budget(root: Path) -> list[str]:
    """Files over 300 lines but for tests; functions over 40 lines or 8 parameters."""
    wrong = []
    for path in sources(root):
        where, text = path.relative_to(root), path.read_text(encoding="utf-8")
        lines = text.splitlines()
        if path.name == "utils.py":
            wrong.append(f"{where}: call it after what is in it")
        if len(lines) > 300 and where.parts[0] != "tests":
            wrong.append(f"{where}: {len(lines)} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                wrong += [f"{where}:{node.lineno}: {f}" for f in faults(node, lines)]
    return wrong


def faults(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]):
    arguments = node.args
    count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
    if count > 8:
        yield f"{node.name} has {count} parameters"
    code = body_lines(node, lines)
    if code > 40:
        yield f"{node.name} has {code} lines of code"


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of the body without docstrings, comments and blank lines."""
    docstrings = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = inner.body[0]
            if ast.get_docstring(inner, clean=False) is not None:
                docstrings |= set(range(first.lineno, last(first) + 1))
    body = range(node.body[0].lineno, last(node) + 1)
    code = (lines[n - 1].strip() for n in body if n not in docstrings)
    return sum(bool(line) and not line.startswith("#") for line in code)


def last(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def test_arrows_run_one_way():
    wrong = wrong_imports(ROOT)
    assert not wrong, "\n".join(wrong)


def test_sizes_are_within_budget():
    wrong = over_budget(ROOT)
    assert not wrong, "\n".join(wrong)


def test_the_whole_house_is_read():
    read = {room(module_name(path, ROOT)) for path in sources(ROOT)}
    assert {"ops", "layers", "models", "data", "training", "front", "tests"} <= read


@pytest.mark.parametrize(
    "path, line, allowed",
    [
        ("jnets/ops/conv.py", "from jnets.layers import Conv", False),
        ("jnets/ops/conv.py", "import jnets.layers.conv", False),
        ("jnets/ops/conv.py", "from ..layers import Conv", False),
        ("jnets/ops/conv.py", "from jnets import layers", False),
        ("jnets/ops/conv.py", "from jnets import create", False),
        ("jnets/ops/conv.py", "def f():\n    from jnets import models", False),
        ("jnets/ops/conv.py", "import flax.linen as nn", False),
        ("jnets/ops/conv.py", "from flax import linen", False),
        ("jnets/ops/conv.py", "from jnets.errors import InputError", True),
        ("jnets/ops/conv.py", "from . import window", True),
        ("jnets/ops/__init__.py", "from .window import output_size", True),
        ("jnets/errors.py", "from jnets.typing import Array", False),
        ("jnets/layers/conv.py", "from jnets.models import create", False),
        ("jnets/layers/conv.py", "from jnets.ops.conv import conv", True),
        ("jnets/models/lenet.py", "from jnets.training import fit", False),
        ("jnets/models/lenet.py", "from jnets.inspect import summarize", False),
        ("jnets/inspect/summary.py", "from jnets.interop import load", False),
        ("jnets/inspect/summary.py", "from jnets.models import create", True),
        ("jnets/data/names.py", "import jax.numpy as jnp", False),
        ("jnets/data/names.py", "from jnets.ops import conv", False),
        ("jnets/data/names.py", "import numpy as np", True),
        ("jnets/training/step.py", "from jnets.models import create", False),
        ("jnets/training/step.py", "from jnets.data import Dataset", False),
        ("jnets/training/step.py", "from jnets.ops import conv", True),
        ("jnets/runs.py", "from jnets.cli import main", True),
        ("jnets/runs.py", "from experiments import harness", False),
        ("jnets/cli.py", "import benchmarks", False),
        ("jnets/newroom/file.py", "import math", False),
        ("experiments/lenet5.py", "from jnets.training import fit", True),
        ("experiments/lenet5.py", "import tests.conftest", False),
        ("tests/ops/test_conv.py", "from experiments import harness", True),
    ],
)
def test_an_arrow_that_runs_back_is_found(path, line, allowed, tmp_path):
    for package in MAY_IMPORT:
        tmp_path.joinpath("jnets", package).mkdir(parents=True)
    write(tmp_path / "jnets/ops/window.py", "")
    write(tmp_path / path, f'"""A file."""\n\n{line}\n')
    found = wrong_imports(tmp_path)
    assert found == [] if allowed else len(found) == 1 and found[0].startswith(path)


@pytest.mark.parametrize(
    "name, text, fault",
    [
        ("a.py", "x = 1\n" * 301, "301 lines"),
        ("utils.py", "", "call it"),
        ("a.py", "def f(a, b, c, d, /, e, f, g, *, h, i): ...", "f has 9 parameters"),
        ("a.py", "def f():\n" + "    x = 1\n" * 41, "f has 41 lines"),
        ("a.py", "x = 1\n" * 300, None),
        ("a.py", "def f(a, b, c, d, /, e, f, g, *, h): ...", None),
        ("a.py", 'def f():\n    """A\n\n    b."""\n\n' + "    x = 1\n" * 40, None),
        ("a.py", "def f():\n    # Why.\n" + "    x = 1\n\n" * 40, None),
    ],
)
def test_what_is_over_budget_is_found(name, text, fault, tmp_path):
    write(tmp_path / "jnets" / "ops" / name, text)
    found = over_budget(tmp_path)
    assert found == [] if fault is None else len(found) == 1 and fault in found[0]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
