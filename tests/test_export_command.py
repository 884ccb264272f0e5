"""`jnets export`: a trained run as a program, which answers as the run does."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import jnets
from jnets import cli
from jnets.commands.export import axes
from jnets.data.pair_buckets import Shape
from jnets.data.picture_spec import PictureSpec
from jnets.data.units import Units
from jnets.data.vocabulary import Vocabulary
from jnets.interop import stablehlo
from jnets.models import create, example_inputs
from jnets.runs import Description, Run
from jnets.systems.captioner import CaptionSpec
from jnets.systems.storyteller import StorySpec
from jnets.systems.table import SYSTEMS, kind_of
from jnets.systems.telling import Telling
from jnets.systems.text_to_text import TextSpec
from jnets.training import create_state


def untrained(directory, model, fields, inputs, spec=None, classes=tuple("abc")):
    """A run whose model is as it was drawn."""
    description = Description("made", {}, model, fields, classes, spec)
    state = create_state(create(model, **fields), inputs, optax.sgd(0.1), seed=3)
    with Run.create(directory, description).checkpoints() as checkpoints:
        checkpoints.save(state)
    return directory


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a net on names, untrained."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    fields, inputs = {"hidden": 5, "classes": 3}, example_inputs("surname_rnn")
    return untrained(directory, "surname_rnn", fields, inputs)


def test_the_program_answers_as_the_run_does(run, tmp_path, capsys):
    path = tmp_path / "names.stablehlo"
    assert cli.main(["export", str(run), str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "for cpu; takes int32 [b, t]; int32 [b]" in out
    assert f"{path.stat().st_size:,} bytes" in out
    model, variables, encode = jnets.load(run)
    program = stablehlo.load(path.read_bytes())
    for name in ("Ada", "Satoshi", "Li"):
        wanted = model.apply(variables, *encode(name))
        np.testing.assert_allclose(program(*encode(name)), wanted, rtol=1e-5)
    tokens = jnp.zeros((4, 30), jnp.int32)
    assert program(tokens, jnp.full(4, 30, jnp.int32)).shape == (4, 3)


CNN = {
    "encoder": "vgg11_bn",
    "encoder_fields": {"blocks": [[4], [4], [4]], "hidden": [8], "map_size": 2},
}
TELLING = Telling(
    PictureSpec(16, 16, "inception"), Vocabulary.of(["abcdef"]), steps=5, beam=3
)
UNITS = Units.of(["abcdefgh"], "characters")
TEXTS = TextSpec(UNITS, UNITS, Shape(12, 7))
SIZES = {"source_vocabulary": UNITS.size, "target_vocabulary": UNITS.size, "hidden": 6}
WORDS = {"vocabulary": TELLING.vocabulary.size, "hidden": 6}


@pytest.mark.parametrize(
    "model, fields, spec",
    [
        ("seq2seq", SIZES | {"embedding": 5, "num_layers": 2}, TEXTS),
        ("attention_seq2seq", SIZES | {"embedding": 5, "alignment": 4}, TEXTS),
        ("captioner", WORDS | CNN, CaptionSpec(TELLING)),
        ("captioner_attention", WORDS | CNN, CaptionSpec(TELLING)),
        ("storyteller", WORDS | CNN, StorySpec(TELLING, once=True)),
    ],
)
def test_what_is_searched_for_leaves_with_its_search(model, fields, spec, tmp_path):
    """The program finds the symbols that `jnets predict` prints."""
    inputs = tuple(map(jnp.asarray, spec.example()))
    run = untrained(tmp_path / "run", model, fields, inputs, spec)
    if spec is TEXTS:
        given = ["gabe", "h", "abcdefghabc"]
    else:
        given = [album(tmp_path / str(n), n) for n in range(3)]
        given = given if model == "storyteller" else [f"{g}/0.png" for g in given]
    assert cli.main(["export", str(run), str(tmp_path / "program")]) == 0
    program = stablehlo.load((tmp_path / "program").read_bytes())
    net, variables, encode = jnets.load(run)
    wanted = SYSTEMS[kind_of(spec)].answers(net, variables, spec, given)
    for text, answer in zip(given, wanted, strict=True):
        (tokens,) = np.asarray(program(*encode(text)[:-1]))
        if spec is TEXTS:
            assert spec.target.decode([tokens]) == [answer]
        else:
            rows = tokens.reshape(-1, spec.telling.steps)
            assert "\n".join(map(spec.telling.text, rows)) == answer


def album(folder, seed):
    """A folder of five pictures of noise."""
    folder.mkdir()
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 16, 16, 3), np.uint8)
    for n, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{n}.png")
    return str(folder)


def test_mistakes(run, tmp_path, capsys):
    for arguments, message in (
        ([run, tmp_path / "no" / "file"], "cannot be written"),
        ([tmp_path, tmp_path / "file"], "config.json"),
        ([run, tmp_path / "file", "--platforms", "abacus"], "abacus"),
    ):
        assert cli.main(["export", *map(str, arguments)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "shape, dtype, wanted",
    [
        ((1, 32, 32, 1), "float32", "b, 32, 32, 1"),
        ((1, 19), "int32", "b, t"),
        ((1,), "int32", "b"),
        ((1, 9, 12), "float32", "b, t, 12"),
        ((1, 100), "float32", "b, 100"),
    ],
)
def test_which_axes_are_of_any_size(shape, dtype, wanted):
    assert axes(np.ones(shape, dtype)) == wanted
