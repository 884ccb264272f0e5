"""What models that tell of pictures share: a spec's parts, and the likeliest words."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.data.picture_spec import PictureSpec
from jnets.data.vocabulary import Vocabulary, fields_of
from jnets.errors import InputError
from jnets.ops.colour import PIXELS, normalise
from jnets.training.decode import RULES, beam_search
from jnets.typing import Array, PyTree


class Telling(NamedTuple):
    """How pictures are read, and how it is told of them.

    A sentence has at most `steps` words, the end among them; `beam` hypotheses are
    kept. `alpha` of the search is 0: the papers' scores have no length in them.
    """

    picture: PictureSpec
    vocabulary: Vocabulary
    steps: int
    beam: int

    def to_json(self) -> dict[str, Any]:
        """The parts as JSON values; `from_json` is the inverse."""
        return {
            "picture": self.picture.to_json(),
            "words": self.vocabulary.to_json(),
            "steps": self.steps,
            "beam": self.beam,
        }

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> "Telling":
        """Raises InputError for any other set of fields or values."""
        kinds = {"picture": dict, "words": list, "steps": int, "beam": int}
        fields_of(fields, kinds, "telling")
        picture = PictureSpec.from_json(fields["picture"])
        if picture.pixels not in PIXELS:
            raise InputError(
                f"pixels: {picture.pixels!r}; expected one of {', '.join(PIXELS)}"
            )
        if fields["steps"] < 1 or fields["beam"] < 1:
            raise InputError("telling: steps or beam below 1; expected at least 1")
        words = Vocabulary.from_json(fields["words"])
        return Telling(picture, words, fields["steps"], fields["beam"])

    def normalise(self, images: np.ndarray | Array) -> Array:
        """uint8 [..., H, W, 3] as the model takes them."""
        images = jnp.asarray(images)
        flat = images.reshape(-1, *images.shape[-3:])
        pixels = PIXELS[self.picture.pixels]._asdict()
        return normalise(flat, **pixels).reshape(images.shape)

    def text(self, tokens: np.ndarray) -> str:
        """The words of a sentence [T], or of sentences [P, T] with " . " between."""
        rows = tokens.reshape(-1, tokens.shape[-1])
        return " . ".join(" ".join(self.vocabulary.decode(row)) for row in rows)


def likeliest(
    model: nn.Module,
    variables: PyTree,
    state: PyTree,
    telling: Telling,
    *,
    content: Array | None = None,
    used: Array | None = None,
) -> Array:
    """The best sentence found for each row of a decoder's state: int32 [N, T].

    The words of `content`, bool [V], come at most once in a sentence, and those of
    `used`, bool [N, V], not at all.
    """

    def step(state: PyTree, tokens: Array) -> tuple[Array, PyTree]:
        inner, barred = state
        logits, inner = model.apply(variables, inner, tokens, method="step")
        if barred is not None:
            logits = jnp.where(barred, -jnp.inf, logits)
        return logits, (inner, barred)

    tokens, _ = beam_search(
        step,
        (state, used),
        batch=jax.tree.leaves(state)[0].shape[0],
        beam=telling.beam,
        steps=telling.steps,
        alpha=0.0,
        rules=RULES._replace(once=content),
    )
    return tokens[:, 0]
