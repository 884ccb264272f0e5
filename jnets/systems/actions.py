"""Actions: what to make of a folder of frames, or of the series in a .ts file.

Axes: M clips of one video, T frames, N cases, F channels, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.data import frames, series
from jnets.data.picture_spec import PictureSpec
from jnets.data.vocabulary import fields_of
from jnets.errors import InputError
from jnets.ops.colour import PIXELS, normalise
from jnets.training import make_predict
from jnets.typing import Array, PyTree

Inputs = tuple[np.ndarray, ...]

TOGETHER = 8  # clips in one call of a model
SHOWN = 3  # classes of an answer


class ClipSpec(NamedTuple):
    """A video as clips of `frames` frames, one every `stride` frames.

    `size`, `shorter` and `pixels` are of each frame, see `PictureSpec`. With `each` an
    answer is of each frame, else of the video. `classes` are the names of the answers.
    """

    size: int
    shorter: int
    pixels: str
    frames: int
    stride: int
    each: bool
    classes: tuple[str, ...]

    def encode(self, text: str) -> Inputs:
        """The clips of a folder of frames: x float32 [M, T, size, size, 3] and their
        lengths, int32 [M]."""
        return self.inputs(self.load(frames.read_video(text)))

    def load(self, paths: Sequence[str]) -> np.ndarray:
        """Frames in files as uint8 [n, size, size, 3]."""
        return frames.load(paths, PictureSpec(self.size, self.shorter, self.pixels))

    def inputs(self, video: np.ndarray) -> Inputs:
        """The clips of uint8 [n, size, size, 3]."""
        cut, lengths = frames.clips(video, self.frames, self.stride)
        return np.asarray(scaled(jnp.asarray(cut), self.pixels)), lengths

    def example(self) -> Inputs:
        shape = 1, self.frames, self.size, self.size, 3
        return np.ones(shape, np.float32), np.full(1, self.frames, np.int32)

    def to_json(self) -> dict[str, Any]:
        return self._asdict() | {"classes": list(self.classes)}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> "ClipSpec":
        kinds = {name: int for name in ("size", "shorter", "frames", "stride")}
        kinds |= {"pixels": str, "each": bool, "classes": list}
        fields_of(fields, kinds, "clips")
        spec = ClipSpec(**fields)._replace(classes=tuple(fields["classes"]))
        if min(spec.size, spec.shorter, spec.frames, spec.stride) < 1:
            raise InputError(f"clips: a size below 1 in {dict(fields)}")
        if spec.pixels not in PIXELS:
            raise InputError(
                f"clips: pixels {spec.pixels!r}; expected one of {[*PIXELS]}"
            )
        return spec


class SeriesSpec(NamedTuple):
    """Series whose channels had this `mean` and `deviation` in training."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    classes: tuple[str, ...]

    def encode(self, text: str) -> Inputs:
        """The cases of a .ts file: x float32 [N, T, F] and their lengths, int32 [N]."""
        return self.inputs(self.load(text))

    def load(self, path: str) -> series.Series:
        """Raises InputError for a file of other channels."""
        found = series.read(path)
        if found.channels != len(self.mean):
            raise InputError(
                f"{path}: {found.channels} channels; expected {len(self.mean)}, as the "
                f"series that the run was trained on have"
            )
        return found

    def inputs(self, found: series.Series) -> Inputs:
        mean = np.asarray(self.mean, np.float32)
        deviation = np.asarray(self.deviation, np.float32)
        return series.stacked([(case - mean) / deviation for case in found.cases])

    def example(self) -> Inputs:
        return np.ones((1, 8, len(self.mean)), np.float32), np.full(1, 8, np.int32)

    def to_json(self) -> dict[str, Any]:
        return {name: list(value) for name, value in self._asdict().items()}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> "SeriesSpec":
        fields_of(fields, dict.fromkeys(SeriesSpec._fields, list), "series")
        spec = SeriesSpec(*(tuple(fields[name]) for name in SeriesSpec._fields))
        numbers = (*spec.mean, *spec.deviation)
        if len(spec.mean) != len(spec.deviation) or not all(
            isinstance(number, float) for number in numbers
        ):
            raise InputError("series: expected a mean and a deviation of each channel")
        return spec


def scaled(x: Array, pixels: str) -> Array:
    """Values of frames [..., H, W, 3], 0 to 255, as a model takes them: float32."""
    flat = normalise(x.reshape(-1, *x.shape[-3:]), **PIXELS[pixels]._asdict())
    return flat.reshape(x.shape)


def of_frames(probabilities: np.ndarray, count: int, stride: int) -> np.ndarray:
    """Of clips [M, T, K] to those of a video's `count` frames, [count, K]: the mean
    over the clips that have the frame."""
    steps = probabilities.shape[1]
    total = np.zeros((count, probabilities.shape[2]))
    clips = np.zeros((count, 1))
    places = frames.starts(count, steps, stride)
    for start, clip in zip(places, probabilities, strict=True):
        part = slice(start, min(start + steps, count))
        total[part] += clip[: part.stop - part.start]
        clips[part] += 1
    return total / clips


def of_video(probabilities: np.ndarray, count: int) -> np.ndarray:
    """Of clips [M, T, K] to those of the video, [K]: the mean over all steps of all
    clips (Donahue et al. 2015, section 4.1)."""
    return probabilities[:, :count].mean(axis=(0, 1))


def clip_answers(
    model: nn.Module, variables: PyTree, spec: ClipSpec, texts: Sequence[str]
) -> list[str]:
    """Of each folder of frames the likeliest classes, or the class of each frame."""
    folders = [frames.read_video(text) for text in texts]
    predict = make_predict(model, examples=TOGETHER)
    answers = []
    for paths in folders:
        outputs = predict(variables, spec.inputs(spec.load(paths)))
        p = np.asarray(jax.nn.softmax(outputs))
        if spec.each:
            answers.append(_stretches(of_frames(p, len(paths), spec.stride), spec))
        else:
            answers.append(_likeliest(of_video(p, len(paths)), spec.classes))
    return answers


def series_answers(
    model: nn.Module, variables: PyTree, spec: SeriesSpec, texts: Sequence[str]
) -> list[str]:
    """Of each file a line for every case, and how many are as the file has them."""
    files = [spec.load(text) for text in texts]
    predict = make_predict(model, examples=128)
    answers = []
    for found in files:
        p = np.asarray(jax.nn.softmax(predict(variables, spec.inputs(found))))
        lines = [f"{i}  {_likeliest(row, spec.classes)}" for i, row in enumerate(p, 1)]
        if found.classes:
            said = np.array(spec.classes)[p.argmax(-1)]
            true = np.array(found.classes)[found.labels]
            for i in np.flatnonzero(said != true):
                lines[i] += f"  (in the file: {true[i]})"
            lines.append(f"{np.sum(said == true)} of {len(p)} as in the file")
        answers.append("\n".join(lines))
    return answers


def _likeliest(p: np.ndarray, classes: Sequence[str]) -> str:
    ranked = np.argsort(-p, kind="stable")[:SHOWN]
    return "  ".join(f"{classes[i]} {p[i]:.3f}" for i in ranked)


def _stretches(p: np.ndarray, spec: ClipSpec) -> str:
    """A line for every stretch of frames with the same answer, counted from 1."""
    said = p.argmax(-1)
    ends = [*np.flatnonzero(np.diff(said)), len(said) - 1]
    lines, start = [], 0
    for end in ends:
        name, sure = spec.classes[said[end]], p[start : end + 1, said[end]].mean()
        lines.append(f"{start + 1}-{end + 1}  {name} {sure:.3f}")
        start = end + 1
    return "\n".join(lines)
