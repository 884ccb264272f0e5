"""The parameters of every model by path, shape and dtype: the names are public.

A change here breaks the checkpoints that people have. If it is meant, write the files
anew, from the root of the repository, and say so in the change:

    PYTHONPATH=. python tests/models/test_golden.py
"""

import functools
import json
import math
from pathlib import Path

import jax
import pytest

from jnets.models import MODELS, create, entry, example_inputs, parameter_count

GOLDEN = Path(__file__).parent / "golden"


@functools.cache
def tree(name: str) -> dict[str, str]:
    """{collection/layer/parameter: "dtype[shape]"} of the model called `name`.

    Where blocks can be stacked they are, a row for all of a stage: which names that
    stands for is tests/models/test_stacking.py's.
    """
    known = entry(name).module.__dataclass_fields__
    fields = {"stack_blocks": True} if "stack_blocks" in known else {}
    init = create(name, **fields).init
    shapes = jax.eval_shape(init, jax.random.key(0), *example_inputs(name))
    return {
        "/".join(part.key for part in path): f"{leaf.dtype.name}{[*leaf.shape]}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }


def stored() -> dict[str, Path]:
    return {path.stem: path for path in GOLDEN.glob("*.json")}


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_the_stored_ones(name):
    assert tree(name) == json.loads(stored()[name].read_text())


@pytest.mark.parametrize("name", MODELS)
def test_parameter_count_is_that_of_the_tree(name):
    params = [row for path, row in tree(name).items() if path.startswith("params/")]
    sizes = [math.prod(json.loads(row[row.index("[") :])) for row in params]
    assert parameter_count(name) == sum(sizes)


def test_no_stored_tree_is_without_a_model():
    assert set(stored()) == set(MODELS)


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for path in stored().values():
        path.unlink()
    for name in MODELS:
        rows = (f" {json.dumps(k)}: {json.dumps(v)}" for k, v in tree(name).items())
        text = "{\n" + ",\n".join(rows) + "\n}\n"
        GOLDEN.joinpath(f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
