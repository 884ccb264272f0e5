"""A folder of five pictures in, a story of five sentences out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jnets.data.stories import FUNCTION_WORDS, PICTURES, album
from jnets.data.vocabulary import MARKS, START
from jnets.errors import InputError
from jnets.systems.telling import Telling, likeliest
from jnets.typing import Array, PyTree


class StorySpec(NamedTuple):
    """The spec of `jnets.models.storyteller`.

    With `once` no content word comes twice in a story, which the paper found to raise
    METEOR by 2.3; content words are all but `FUNCTION_WORDS`.
    """

    telling: Telling
    once: bool

    def encode(self, text: str) -> tuple[np.ndarray, ...]:
        """The five pictures of the folder `text`, in the order of their names,
        normalised [1, 5, S, S, 3], and start marks [1, 5, 1]. Raises InputError for
        another number of pictures."""
        pictures = [self.telling.picture.load(path) for path in album(text)]
        images = self.telling.normalise(np.stack(pictures)[None])
        return np.asarray(images), np.full((1, PICTURES, 1), START, np.int32)

    def example(self) -> tuple[np.ndarray, ...]:
        side = self.telling.picture.size
        images = np.ones((1, PICTURES, side, side, 3), np.float32)
        return images, np.full((1, PICTURES, 1), START, np.int32)

    def to_json(self) -> dict[str, Any]:
        return self.telling.to_json() | {"once": self.once}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "StorySpec":
        rest = dict(fields)
        once = rest.pop("once", None)
        if not isinstance(once, bool):
            raise InputError(f"once: {once!r}; expected true or false")
        return cls(Telling.from_json(rest), once)

    def content(self) -> np.ndarray:
        """bool [V]: the words that come once; none without `once`."""
        symbols = self.telling.vocabulary.symbols
        common = FUNCTION_WORDS | set(MARKS)
        return np.array([self.once and symbol not in common for symbol in symbols])


def teller(model: nn.Module, spec: StorySpec) -> Callable[[PyTree, ArrayLike], Array]:
    """tell(variables, normalised [B, 5, S, S, 3]) -> tokens [B, 5, T], compiled.

    Sentences are found one after the other, so that each knows the words before it.
    """
    content = jnp.asarray(spec.content())

    @jax.jit
    def tell(variables: PyTree, images: Array) -> Array:
        def sentence(used: Array, state: PyTree) -> tuple[Array, Array]:
            tokens = likeliest(
                model, variables, state, spec.telling, content=content, used=used
            )
            told = jax.nn.one_hot(tokens, used.shape[1], dtype=jnp.bool_).any(axis=1)
            return used | (told & content[None]), tokens

        state = model.apply(variables, images, method="start")
        state = jax.tree.map(
            lambda s: jnp.swapaxes(s.reshape(-1, PICTURES, *s.shape[1:]), 0, 1), state
        )
        unused = jnp.zeros((images.shape[0], len(content)), bool)
        _, tokens = jax.lax.scan(sentence, unused, state)
        return jnp.swapaxes(tokens, 0, 1)

    return tell


def answers(
    model: nn.Module, variables: PyTree, spec: StorySpec, texts: Sequence[str]
) -> list[str]:
    """A story for each folder, its sentences on lines of their own."""
    albums = [spec.encode(text)[0] for text in texts]
    tell = teller(model, spec)
    told = [np.asarray(tell(variables, images))[0] for images in albums]
    return ["\n".join(spec.telling.text(row) for row in story) for story in told]
