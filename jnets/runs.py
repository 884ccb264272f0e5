"""A run directory: what was trained, how it went, and the trained model again.

config.json      what was run: experiment, configuration, model, input, classes
metrics.jsonl    one row of figures per epoch
result.json      the figures at the end, and what they were measured on
unreadable.json  pictures that were left out, if any: {path: reason}
checkpoints/     see `jnets.training.Checkpoints`
plots/           pictures
"""

import json
import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.data import images, names
from jnets.data.images import ImageSpec
from jnets.data.picture_spec import PictureSpec
from jnets.doctor import version
from jnets.errors import InputError
from jnets.models import create, example_inputs
from jnets.ops.colour import PIXELS, normalise
from jnets.systems.table import SYSTEMS, Inputs, kind_of
from jnets.systems.table import Spec as SystemSpec
from jnets.training.checkpoint import Checkpoints
from jnets.typing import PyTree

# Of a digit, of a picture, of a system's input; None for a name.
Spec = ImageSpec | PictureSpec | SystemSpec | None


@dataclass(frozen=True)
class Encoder:
    """What turns an input into what the model takes, and an output into words.

    Called with the path of an image, with a name, or with what the run's system takes,
    it returns the model's inputs with a batch axis of 1.
    """

    classes: tuple[str, ...]
    spec: Spec

    def __call__(self, text: str) -> Inputs:
        if self.spec is None:
            return names.encode_one(text)
        if isinstance(self.spec, PictureSpec):
            picture = self.spec.load(Path(text))[None]
            pixels = PIXELS[self.spec.pixels]._asdict()
            return (np.asarray(normalise(jnp.asarray(picture), **pixels)),)
        if not isinstance(self.spec, ImageSpec):
            return self.spec.encode(text)
        image = images.load_digit_image(Path(text), self.spec)
        return (images.prepare(image[None], self.spec),)


class Loaded(NamedTuple):
    """A trained model: `model.apply(variables, *encode(text))` gives its logits."""

    model: nn.Module
    variables: PyTree
    encode: Encoder


@dataclass(frozen=True)
class Description:
    """What config.json holds."""

    experiment: str
    config: dict[str, Any]
    model: str
    fields: dict[str, Any]
    classes: tuple[str, ...]
    spec: Spec

    def to_json(self) -> dict[str, Any]:
        packages = ("jnets", "jax", "flax", "optax", "orbax-checkpoint", "numpy")
        return {
            "format": 1,
            "experiment": self.experiment,
            "config": self.config,
            "model": {"name": self.model, "fields": self.fields},
            "classes": list(self.classes),
            "input": _to_json(self.spec),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in packages},
            "device": str(jax.devices()[0]),
        }

    @staticmethod
    def from_json(raw: dict[str, Any]) -> "Description":
        return Description(
            raw["experiment"],
            raw["config"],
            raw["model"]["name"],
            dict(raw["model"]["fields"]),
            tuple(raw["classes"]),
            _spec(raw["input"]),
        )


def _to_json(spec: Spec) -> str | dict[str, Any]:
    if spec is None:
        return "name"
    kind = kind_of(spec)
    return spec.to_json() if kind is None else {"kind": kind} | spec.to_json()


def _spec(raw: Any) -> Spec:
    if raw == "name":
        return None
    if "kind" in raw:
        fields = dict(raw)
        kind = fields.pop("kind")
        if kind not in SYSTEMS:
            raise InputError(f"input: kind {kind!r}; expected one of {list(SYSTEMS)}")
        return SYSTEMS[kind].spec.from_json(fields)
    spec = (PictureSpec if "pixels" in raw else ImageSpec).from_json(raw)
    if isinstance(spec, PictureSpec) and spec.pixels not in PIXELS:
        raise InputError(
            f"pixels: {spec.pixels!r}; expected one of {', '.join(PIXELS)}"
        )
    return spec


class Run:
    """An existing run directory."""

    def __init__(self, directory: Path, description: Description):
        self.directory = directory
        self.description = description
        self._metrics = directory / "metrics.jsonl"

    @staticmethod
    def create(directory: Path, description: Description) -> "Run":
        """Make the directory; config.json appears in it whole or not at all."""
        if (directory / "config.json").exists():
            raise InputError(
                f"out={directory} already holds a run; choose another directory, or "
                f"go on with it by --resume {directory}"
            )
        if (directory / "checkpoints").exists():  # which the run would go on from
            raise InputError(
                f"out={directory} holds checkpoints of a run without its config.json; "
                f"choose another directory"
            )
        text = json.dumps(description.to_json(), indent=1)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            write_whole(directory / "config.json", text)
        except OSError as error:
            raise InputError(
                f"out={directory} cannot be written ({error.strerror}); expected a "
                f"directory that can be made"
            ) from None
        return Run(directory, description)

    @staticmethod
    def open(directory: Path) -> "Run":
        """Errors: InputError if this is no run directory."""
        path = directory / "config.json"
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            return Run(directory, Description.from_json(raw))
        except OSError:
            raise InputError(
                f"run directory {directory} has no config.json; expected a directory "
                f"that an experiment wrote"
            ) from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except (KeyError, TypeError, ValueError):  # UnicodeDecodeError, JSONDecodeError
            raise InputError(
                f"{path} is not the description of a run; expected the file that an "
                f"experiment wrote"
            ) from None

    @property
    def plots(self) -> Path:
        """The directory of pictures, made when first asked for."""
        path = self.directory / "plots"
        path.mkdir(exist_ok=True)
        return path

    def checkpoints(self, *, seconds: float = 10.0) -> Checkpoints:
        """Its checkpoints, to be written every `seconds` seconds."""
        return Checkpoints(self.directory / "checkpoints", seconds=seconds)

    def record(self, row: dict[str, float]) -> None:
        """Append a row to metrics.jsonl."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(_to_line(row))

    def rows(self) -> list[dict[str, float]]:
        """The rows written so far; a last line cut short by a kill is no row."""
        if not self._metrics.exists():
            return []
        lines = self._metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def note_unreadable(self, found: dict[str, str]) -> dict[str, str]:
        """Add to the pictures that were left out, {path: reason}; all of them so far.

        A run that is gone on with does not meet again those that it has passed.
        """
        path = self.directory / "unreadable.json"
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        every = known | found
        if every != known:
            write_whole(path, json.dumps(every, indent=1))
        return every

    def rewind(self, step: int) -> None:
        """Forget the rows after `step`, which will be run again."""
        kept = [row for row in self.rows() if row["step"] <= step]
        write_whole(self._metrics, "".join(map(_to_line, kept)))


def load(run_dir: str | os.PathLike[str]) -> Loaded:
    """The model that an experiment trained, from the newest checkpoint of its run.

    >>> model, variables, encode = jnets.load("runs/...")  # doctest: +SKIP

    Errors: InputError if `run_dir` is no run directory, has no complete checkpoint,
    or its checkpoint is of another model.
    """
    run = Run.open(Path(run_dir))
    described = run.description
    try:
        model = create(described.model, **described.fields)
    except InputError as error:
        raise InputError(f"{run.directory / 'config.json'}: {error}") from None
    like = jax.eval_shape(model.init, jax.random.key(0), *example_of(described))
    like = {k: like.get(k, {}) for k in ("params", "batch_stats")}
    if not (run.directory / "checkpoints").is_dir():
        parts = sorted(path.parent.name for path in run.directory.glob("*/config.json"))
        hint = f"name one of the runs in it, {parts}" if parts else "resume it first"
        raise InputError(f"run directory {run.directory} has no checkpoint; {hint}")
    directory = run.directory / "checkpoints"
    with Checkpoints(directory, read_only=True) as checkpoints:
        variables = checkpoints.variables(like)
    return Loaded(model, variables, Encoder(described.classes, described.spec))


def example_of(described: Description) -> Inputs:
    """Inputs of the shapes that the model was trained on."""
    spec = described.spec
    if spec is not None and not isinstance(spec, ImageSpec | PictureSpec):
        return spec.example()
    inputs = tuple(map(np.asarray, example_inputs(described.model)))
    if spec is None:
        return inputs
    return (np.ones((1, spec.size, spec.size, inputs[0].shape[-1]), np.float32),)


def probabilities(
    loaded: Loaded, apply: Callable[..., jax.Array], text: str
) -> list[tuple[str, float]]:
    """(class, probability) of one input, the likeliest first."""
    logits = np.asarray(apply(loaded.variables, *loaded.encode(text)))[0]
    p = np.asarray(jax.nn.softmax(logits))
    return [
        (loaded.encode.classes[i], float(p[i])) for i in np.argsort(-p, kind="stable")
    ]


def _to_line(row: dict[str, float]) -> str:
    finite = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v
        for k, v in row.items()
    }
    return json.dumps(finite) + "\n"


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file in one step, so that a kill leaves the old one or the new."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)
