"""From a folder of frames, or a .ts file, to what a trained net says of it."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jnets.data import frames, series
from jnets.errors import InputError
from jnets.systems import actions
from jnets.systems.actions import ClipSpec, SeriesSpec
from jnets.systems.table import SYSTEMS, kind_of

CLIPS = ClipSpec(4, 4, "torchvision", 3, 2, False, ("up", "down"))
SERIES = SeriesSpec((1.0, 0.0), (2.0, 1.0), ("up", "down"))


@pytest.mark.parametrize("spec", [CLIPS, SERIES])
def test_specs_survive_json(spec):
    kind = kind_of(spec)
    assert kind in ("clips", "series")
    assert SYSTEMS[kind].spec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        (CLIPS, {"size": 0}),
        (CLIPS, {"pixels": "none"}),
        (CLIPS, {"each": 1}),
        (CLIPS, {"more": 1}),
        (SERIES, {"mean": [1.0]}),
        (SERIES, {"mean": ["a", 1.0]}),
        (SERIES, {"classes": "up"}),
    ],
)
def test_what_is_no_spec(spec, change):
    with pytest.raises(InputError):
        type(spec).from_json(spec.to_json() | change)


@pytest.fixture
def folder(tmp_path):
    for number in range(1, 7):
        picture = np.full((4, 4, 3), 40 * number, np.uint8)
        Image.fromarray(picture).save(tmp_path / f"frame-{number}.png")
    return str(tmp_path)


def test_clips_of_a_folder(folder):
    x, lengths = CLIPS.encode(folder)
    assert x.shape == (3, 3, 4, 4, 3) and x.dtype == np.float32
    assert lengths.tolist() == [3, 3, 3]
    red = x[..., 0, 0, 0] * 0.229 + 0.485
    np.testing.assert_allclose(
        255 * red, [[40, 80, 120], [120, 160, 200], [160, 200, 240]], rtol=1e-5
    )
    assert [a.shape[1:] for a in CLIPS.example()] == [x.shape[1:], ()]


def test_averages():
    """Frame 3 of six is in two clips, frames 4 and 5 in two others."""
    p = np.arange(9.0).reshape(3, 3, 1)
    found = actions.of_frames(p, 6, 2)[:, 0]
    np.testing.assert_array_equal(found, [0, 1, 2.5, 5, 6, 8])
    assert actions.of_video(p, 6).tolist() == [4]
    short = np.array([[[1.0], [3.0], [50.0]]])  # its last step is none of the video
    assert actions.of_frames(short, 2, 2).ravel().tolist() == [1, 3]
    assert actions.of_video(short, 2).tolist() == [2]


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 8))
def test_probabilities_stay_probabilities(count, length, stride):
    clips = len(frames.starts(count, length, stride))
    p = np.random.default_rng(count).dirichlet([1, 1, 1], (clips, length))
    found = actions.of_frames(p, count, stride)
    assert found.shape == (count, 3)
    np.testing.assert_allclose(found.sum(-1), 1)
    np.testing.assert_allclose(actions.of_video(p, count).sum(), 1)


class Rising:
    """Stands for a model: says "down" where a frame is brighter than the middle."""

    def apply(self, variables, x, lengths):
        del lengths
        bright = jnp.mean(x, axis=tuple(range(2, x.ndim)))
        return jnp.stack([jnp.zeros_like(bright), variables * bright], axis=-1)


def test_answers_to_a_folder(folder):
    (answer,) = actions.clip_answers(Rising(), 10.0, CLIPS, [folder])
    x, _ = CLIPS.encode(folder)
    bright = np.float64(x).mean((2, 3, 4))
    down = (1 / (1 + np.exp(-10 * bright))).mean()
    assert answer == f"down {down:.3f}  up {1 - down:.3f}"
    each = CLIPS._replace(each=True)
    (answer,) = actions.clip_answers(Rising(), 50.0, each, [folder])
    first, second = answer.splitlines()
    assert first.startswith("1-2  up ") and second.startswith("3-6  down ")
    with pytest.raises(InputError, match="cannot be read"):
        actions.clip_answers(Rising(), 1.0, CLIPS, [folder, folder + "/none"])


class Last:
    """Says "down" where the first channel is above its mean at the first step."""

    def apply(self, variables, x, lengths):
        del variables, lengths
        return jnp.stack([jnp.zeros_like(x[:, 0, 0]), 50 * x[:, 0, 0]], axis=-1)


def test_answers_to_a_file(tmp_path):
    path = tmp_path / "a.ts"
    path.write_text("@classLabel true down up\n@data\n3:0:down\n-1,1:0,0:down\n")
    (answer,) = actions.series_answers(Last(), {}, SERIES, [str(path)])
    assert answer.splitlines() == [
        "1  down 1.000  up 0.000",
        "2  up 1.000  down 0.000  (in the file: down)",
        "1 of 2 as in the file",
    ]
    path.write_text("@data\n3:0\n")
    assert actions.series_answers(Last(), {}, SERIES, [str(path)]) == [
        "1  down 1.000  up 0.000"
    ]
    x, lengths = SERIES.encode(str(path))
    assert x.tolist() == [[[1, 0]]] and lengths.tolist() == [1]
    path.write_text("@data\n3:0:1\n")
    with pytest.raises(InputError, match="3 channels; expected 2"):
        SERIES.encode(str(path))
    assert len(series.read(path).cases) == 1
