"""State dicts of torchvision's models by formula, without torchvision."""

import numpy as np
import pytest

from jnets.interop.rows import rows, shapes
from tests.fixtures import formula


@pytest.fixture(scope="session")
def state_dict():
    """state_dict(name, classes) with torchvision's names and shapes, heads included."""

    def make(name: str, classes: int = formula.CLASSES) -> dict[str, np.ndarray]:
        leaves = shapes(name, classes)
        state = {
            row.source: row.transform.source_shape(leaves[row.path])
            for row in rows(name)
        }
        for source in list(state):
            if source.endswith("running_var"):
                state[source.replace("running_var", "num_batches_tracked")] = ()
        return {k: formula.tensor(k, shape) for k, shape in state.items()}

    return make
