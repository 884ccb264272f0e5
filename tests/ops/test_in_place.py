"""Results written over what was read: the program must not copy whole arrays for it."""

import re

import jax
import numpy as np
import pytest

from jnets.ops.bptt import bptt
from tests.ops.recurrences import CELLS, case

STEPS = 37  # which no other axis has
ALL = ("lengths", "resets", "drop")
SOME = [
    *(name for name in CELLS if name.startswith(("elman", "gru"))),
    *("lstm-", "lstm-ft", "lstm-pr", "lstm-fptr", "lstm-normed", "minimal", "pair"),
]


def copies(given):
    """Copies of arrays of all steps inside of the innermost loops of the gradient."""

    def loss(weights, x, start):
        hs, _ = bptt(given.form, weights, x, start, given.steps)
        return (hs * given.d_hs).sum()

    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(
        given.weights, given.x, given.start
    )
    text = compiled.compile().as_text()
    parts = dict(re.findall(r"^%?([\w.\-]+) \(.*?\{\n(.*?)^\}", text, re.M | re.S))
    bodies = {parts[name] for name in re.findall(r"body=%?([\w.\-]+)", text)}
    loops = [body for body in bodies if " while(" not in body]
    assert len(loops) == 2, "a loop forward and a loop back"
    for body in list(loops):
        called = re.findall(r"(?:to_apply|calls)=%?([\w.\-]+)", body)
        loops += [parts[name] for name in called]
    whole = rf"= \w+\[(?:1,)?{STEPS},[^ ]* copy\("
    return sum(len(re.findall(whole, part)) for part in loops)


@pytest.mark.parametrize("features", [(), ALL], ids=["plain", "all"])
@pytest.mark.parametrize("name", SOME)
def test_no_step_copies_all_steps(name, features):
    given = case(name, dtype=np.float32, steps=STEPS, batch=8, features=features)
    assert copies(given) == 0


def test_copies_are_seen_where_they_are_made():
    """A cell that reads twice what is written over."""
    given = case("minimal", dtype=np.float32, steps=STEPS, batch=8)
    cell = given.form.cell._replace(in_place=True)
    assert copies(given._replace(form=given.form._replace(cell=cell))) > 0
