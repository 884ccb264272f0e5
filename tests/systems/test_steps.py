"""Files of steps to answers: a class, or numbers."""

import jax.numpy as jnp
import pytest

from jnets.errors import InputError
from jnets.systems.steps import StepsSpec, answers
from jnets.systems.table import SYSTEMS, kind_of

SPEC = StepsSpec(3, 2, ("low", "high"))


def test_it_survives_json():
    assert kind_of(SPEC) == "steps"
    assert SYSTEMS["steps"].spec.from_json(SPEC.to_json()) == SPEC
    for change in ({"length": 0}, {"features": "2"}, {"classes": None}, {"more": 1}):
        with pytest.raises(InputError):
            StepsSpec.from_json(SPEC.to_json() | change)


class Last:
    """Stands for a model: the last step."""

    def apply(self, variables, x):
        del variables
        return jnp.asarray(x)[:, -1]


def test_answers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("9,9\n0.25,1\n")
    assert SPEC.encode(str(path))[0].tolist() == [[[9, 9], [0.25, 1]]]
    assert [x.shape for x in SPEC.example()] == [(1, 3, 2)]
    assert answers(Last(), {}, SPEC, [str(path)] * 2) == ["high", "high"]
    numbers = SPEC._replace(classes=())
    assert answers(Last(), {}, numbers, [str(path)]) == ["0.2500, 1.0000"]
    path.write_text("1,2,3\n")
    with pytest.raises(InputError, match="3 numbers a step; expected 2"):
        SPEC.encode(str(path))
