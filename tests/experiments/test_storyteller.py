"""The storyteller as a program, and that its stories follow the pictures."""

import json
import signal

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import storyteller as program
from experiments import telling
from jnets import cli
from jnets.data import moving
from jnets.data.stories import FUNCTION_WORDS
from jnets.errors import InputError
from jnets.models import create
from jnets.systems.storyteller import StorySpec, teller
from jnets.training import make_program, make_step, minibatch

EXPERIMENT = "storyteller"


@pytest.fixture
def albums(tmp_path):
    """VIST's file of six stories, and its pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    drawn = moving.draw(6, side=40, seed=0, part=0)
    notes = []
    for i, (images, story) in enumerate(zip(drawn.images, drawn.stories, strict=True)):
        for k in range(5):
            Image.fromarray(images[k]).save(folder / f"{10 * i + k}.png")
            note = {
                "story_id": str(i),
                "photo_flickr_id": str(10 * i + k),
                "worker_arranged_photo_order": k,
                "text": story[k].capitalize() + " .",
            }
            notes.append([note])
    file = tmp_path / "sis.json"
    file.write_text(json.dumps({"annotations": notes}))
    return folder, file


def test_the_run(whole, rows, pictures):
    run = whole(EXPERIMENT)
    result = run.result
    names = ["exact_accuracy", "bleu1", "bleu4", "cider"]
    assert list(result) == ["vocabulary", *names, "seconds", "run"]
    assert [row["step"] for row in rows(run.directory)] == [3, 6, 9, 12]
    assert pictures(run.directory) == {"curves.png", "stories.png"}


def test_killed(whole, start, resume, same, rows, flags, tmp_path):
    run = tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run, "--save-seconds", 0)
    process.wait_for(run / "metrics.jsonl", 1)
    assert process.stop(signal.SIGKILL).returncode == -signal.SIGKILL
    assert len(rows(run)) < 4
    resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)


def test_predict(whole, tmp_path, capsys):
    run = whole(EXPERIMENT).directory
    for k, image in enumerate(moving.draw(1, side=32, seed=9, part=9).images[0]):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    assert cli.main(["predict", str(run), str(tmp_path)]) == 0
    assert "answer" in capsys.readouterr().out
    (tmp_path / "4.png").unlink()
    assert cli.main(["predict", str(run), str(tmp_path)]) == 2
    assert "4 pictures in it; expected 5" in capsys.readouterr().err


def test_a_spec_comes_back(whole):
    raw = json.loads((whole(EXPERIMENT).directory / "config.json").read_text())["input"]
    assert raw.pop("kind") == "album to story" and raw["once"] is True
    assert StorySpec.from_json(raw).to_json() == raw
    for change in ({"once": 1}, {"steps": 0}, {"x": 1}):
        with pytest.raises(InputError):
            StorySpec.from_json(raw | change)


def test_photos(inside, nets, albums, tmp_path):
    folder, file = albums
    (folder / "12.png").unlink()
    given = ("--data-dir", folder, "--stories", file, "--encoder", "cifar_resnet8")
    small = ("--hidden", 8, "--epochs", 1, "--least", 1, "--batch-size", 2)
    status, out, err = inside(EXPERIMENT, *given, *small, "--out", tmp_path / "run")
    assert status == 0 and out.startswith("result: "), err
    assert "left out: 1 pictures" in err and "12" in err


def test_refused_before_anything_is_made(refused, albums, tmp_path):
    folder, file = albums
    assert "go together" in refused(EXPERIMENT, "--data-dir", folder)
    assert "not a folder" in refused(
        EXPERIMENT, "--data-dir", tmp_path / "none", "--stories", file
    )
    assert "beam=0" in refused(EXPERIMENT, "--beam", 0)


@pytest.fixture(scope="module")
def learned():
    """(task, state): eight albums that a small storyteller knows by heart."""
    config = program.Config(
        pictures=8,
        test_pictures=8,
        hidden=48,
        least=1,
        batch_size=8,
        epochs=600,
        learning_rate=0.005,
    )
    fields, picture = telling.encoder_of(config)
    corpus, _ = program.made(config, picture)
    words = corpus.telling.vocabulary
    fields |= {"vocabulary": words.size, "hidden": 48, "dropout": 0.0}
    model = create("storyteller", **fields)
    spec = StorySpec(corpus.telling, once=False)
    task = telling.prepare(config, model, corpus, teller(model, spec))

    def augment(key, inputs):
        return corpus.telling.normalise(inputs[0]), inputs[1]

    step = make_step(
        model, telling.cross_entropy, task.optimizer, minibatch(8), augment=augment
    )
    run, state = make_program(step, 1), task.state
    order = jnp.arange(8, dtype=jnp.int32)[None]
    for _ in range(config.epochs):
        state, _ = run(state, corpus.train, order)
    return task, state


def story(task, state, images, tell=None):
    tokens = (tell or task.tell)(state.variables, task.corpus.telling.normalise(images))
    return [task.corpus.telling.text(np.asarray(row)) for row in tokens]


def test_a_story_follows_the_order_of_the_pictures(learned):
    task, state = learned
    (images, _), _ = task.corpus.train
    known = moving.draw(8, side=32, seed=0, part=0).stories
    told = story(task, state, images)
    assert sum(a == " . ".join(b) for a, b in zip(told, known, strict=True)) >= 7
    shuffled = story(task, state, images[:, [3, 0, 4, 1, 2]])
    assert all(a != b for a, b in zip(told, shuffled, strict=True))


def test_once_leaves_no_content_word_twice(learned):
    task, state = learned
    (images, _), _ = task.corpus.train
    spec = StorySpec(task.corpus.telling, once=True)
    for text in story(task, state, images, teller(task.model, spec)):
        content = [w for w in text.split() if w not in {*FUNCTION_WORDS, "."}]
        assert len(content) == len(set(content)) > 5
