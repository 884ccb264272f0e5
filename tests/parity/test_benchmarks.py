"""The models that are timed beside torchvision's are the same nets."""

import pytest

from benchmarks import models
from benchmarks.timing import Run

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_of_both_programs(dtype):
    rows = models.measure(Run("resnet18", 2, 64, dtype), ["eager"], rounds=1)
    assert [row["program"] for row in rows] == ["jnets", "torch eager"]
    assert all(row["torch"] and "note" not in row for row in rows)
    ours, theirs = rows
    assert ours["jnets_train_ratio"] == ours["jnets_infer_ratio"] == 1
    # Parameters, gradients and momentum, 11.7 million numbers each.
    assert theirs["mib"]["resident"] > 3 * 11_689_512 * 4 / 2**20
