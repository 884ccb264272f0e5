"""A picture's file in, a sentence out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax.typing import ArrayLike

from jnets.data.vocabulary import START
from jnets.systems.telling import Telling, likeliest
from jnets.typing import Array, PyTree


class CaptionSpec(NamedTuple):
    """The spec of `jnets.models.captioner` and of the one with attention."""

    telling: Telling

    def encode(self, text: str) -> tuple[np.ndarray, ...]:
        """The picture in the file `text`, normalised [1, S, S, 3], and the start mark
        [1, 1]. Raises InputError for a file that is no picture."""
        image = self.telling.normalise(self.telling.picture.load(text)[None])
        return np.asarray(image), np.full((1, 1), START, np.int32)

    def example(self) -> tuple[np.ndarray, ...]:
        side = self.telling.picture.size
        image = np.ones((1, side, side, 3), np.float32)
        return image, np.full((1, 1), START, np.int32)

    def to_json(self) -> dict[str, Any]:
        return self.telling.to_json()

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "CaptionSpec":
        return cls(Telling.from_json(fields))


def teller(model: nn.Module, spec: CaptionSpec) -> Callable[[PyTree, ArrayLike], Array]:
    """tell(variables, normalised images [B, S, S, 3]) -> tokens [B, T], compiled."""

    @jax.jit
    def tell(variables: PyTree, images: Array) -> Array:
        state = model.apply(variables, images, method="start")
        return likeliest(model, variables, state, spec.telling)

    return tell


def answers(
    model: nn.Module, variables: PyTree, spec: CaptionSpec, texts: Sequence[str]
) -> list[str]:
    """A sentence for each picture's file."""
    images = [spec.encode(text)[0] for text in texts]
    tell = teller(model, spec)
    told = [np.asarray(tell(variables, image))[0] for image in images]
    return [spec.telling.text(tokens) for tokens in told]
