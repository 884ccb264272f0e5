"""How a coloured picture becomes what a trained model takes, as data."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jnets.data.crops import centre_crop
from jnets.data.pictures import read_views
from jnets.errors import InputError


class PictureSpec(NamedTuple):
    """A square of `size` pixels from the centre, the shorter side resized to `shorter`.

    `pixels` names how values 0 to 255 become the model's, a row of
    `jnets.ops.colour.PIXELS`.
    """

    size: int
    shorter: int
    pixels: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; `from_json` is the inverse."""
        return self._asdict()

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> "PictureSpec":
        """The spec with these fields. Raises InputError for any other set of fields or
        values."""
        kinds = {"size": int, "shorter": int, "pixels": str}
        if {name: type(value) for name, value in fields.items()} != kinds:
            raise InputError(
                f"picture spec: {dict(fields)}; expected size and shorter, whole "
                f"numbers, and pixels, a name"
            )
        spec = PictureSpec(**fields)
        if spec.size < 1 or spec.shorter < 1:
            raise InputError(f"picture spec: sizes below 1 in {dict(fields)}")
        return spec

    def load(self, path: str | os.PathLike[str]) -> np.ndarray:
        """The picture in a file as uint8 [size, size, 3], RGB. Raises InputError for a
        file that is not one."""

        def centre(width: int, height: int):
            return (centre_crop(width, height, size=self.size, shorter=self.shorter),)

        return read_views(path, centre)[0]
