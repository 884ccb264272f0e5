"""A row of the table of models."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn


class Entry(NamedTuple):
    """A model's module, the fields that make the variant, and what it reads.

    `inputs` are (shape without the batch axis, dtype) of each argument. `pixels` is how
    the published weights of the variant want colours, a row of
    `jnets.ops.colour.PIXELS`.
    """

    module: type[nn.Module]
    fields: Mapping[str, Any]
    inputs: tuple[tuple[tuple[int, ...], str], ...]
    summary: str
    pixels: str = "torchvision"
