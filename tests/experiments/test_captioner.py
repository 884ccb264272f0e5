"""The captioner as a program: made pictures, a stop on the way, photos, `predict`."""

import json
import signal

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jnets
from jnets import cli
from jnets.data import scenes
from jnets.errors import InputError
from jnets.systems.captioner import CaptionSpec

EXPERIMENT = "captioner"


@pytest.fixture
def photos(tmp_path):
    """Pictures with captions in COCO's and Flickr8k's files; one is broken, one of the
    captions' pictures is not there."""
    folder = tmp_path / "photos"
    folder.mkdir()
    drawn = scenes.draw(scenes.every_scene()[::100], 12, side=40, seed=0, part=0)
    images, notes, lines = [], [], []
    for i, image in enumerate(drawn.images):
        name = f"{i}.png"
        Image.fromarray(image).save(folder / name)
        images.append({"id": i, "file_name": name})
        for k in range(2):
            text = drawn.scenes[i].caption.capitalize() + "." * k
            notes.append({"image_id": i, "caption": text})
            lines.append(f"{name}#{k}\t{text}\n")
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "5.png").unlink()
    coco, token = tmp_path / "captions.json", tmp_path / "token.txt"
    coco.write_text(json.dumps({"images": images, "annotations": notes}))
    token.write_text("".join(lines))
    return folder, coco, token


SHORT = (
    *("--encoder", "cifar_resnet8", "--hidden", 8, "--epochs", 2, "--least", 1),
    *("--batch-size", 4, "--seed", 3),
)


def test_the_run(whole, rows, pictures):
    run = whole(EXPERIMENT)
    result, last = run.result, rows(run.directory)[-1]
    names = ["exact_accuracy", "bleu1", "bleu2", "bleu3", "bleu4", "cider"]
    assert list(result) == ["vocabulary", *names, "seconds", "run"]
    assert [row["step"] for row in rows(run.directory)] == [4, 8, 12, 16]
    for name in names:
        assert float(result[name]) == pytest.approx(last[name], abs=6e-5)
    assert pictures(run.directory) == {
        "curves.png",
        "captions.png",
        *(f"attention{i}.png" for i in (1, 2, 3)),
    }
    described = json.loads((run.directory / "config.json").read_text())
    words = described["input"]["words"]
    assert {"small", "triangle", "above"} <= set(words)
    assert int(result["vocabulary"]) == len(words) + 4


def test_the_encoder_stays_in_the_first_phase(whole, start, flags, tmp_path):
    """Of two runs of one epoch, with the encoder and without, only one moves it."""
    run = tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--epochs", "1", "--out", run)
    assert process.result().returncode == 0
    first, last = (jnets.load(p).variables for p in (run, whole(EXPERIMENT).directory))
    begun = first["params"]["cnn"]["conv1_1"], last["params"]["cnn"]["conv1_1"]
    assert not np.array_equal(*(p["kernel"] for p in begun))
    stats = first["batch_stats"]["cnn"]["conv1_1_norm"]
    assert not np.any(stats["mean"]) and np.all(stats["var"] == 1)


def test_killed_in_the_second_phase(whole, start, resume, same, rows, flags, tmp_path):
    run = tmp_path / "run"
    process = start(EXPERIMENT, *flags[EXPERIMENT], "--out", run, "--save-seconds", 0)
    process.wait_for(run / "metrics.jsonl", 2)
    assert process.stop(signal.SIGKILL).returncode == -signal.SIGKILL
    assert len(rows(run)) < 4
    resume(EXPERIMENT, run)
    same(run, whole(EXPERIMENT).directory)


def test_predict(whole, tmp_path, capsys):
    """The command tells of a file what the run's own model tells."""
    run = whole(EXPERIMENT).directory
    drawn = scenes.draw(scenes.every_scene(), 1, side=32, seed=9, part=9)
    Image.fromarray(drawn.images[0]).save(tmp_path / "a.png")
    assert cli.main(["predict", str(run), str(tmp_path / "a.png")]) == 0
    out = capsys.readouterr().out
    assert "answer" in out and "a.png" in out
    model, variables, encode = jnets.load(run)
    inputs = map(jnp.asarray, encode(str(tmp_path / "a.png")))
    logits = model.apply(variables, *inputs)
    assert logits.shape == (1, 1, len(encode.classes))
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert cli.main(["predict", str(run), str(tmp_path / "b.png")]) == 2
    assert "b.png: not a readable picture" in capsys.readouterr().err


def test_a_spec_comes_back(whole):
    raw = json.loads((whole(EXPERIMENT).directory / "config.json").read_text())["input"]
    assert raw.pop("kind") == "picture to caption"
    assert CaptionSpec.from_json(raw).to_json() == raw
    picture = {**raw["picture"], "pixels": "x"}
    for change in ({"beam": 0}, {"words": ["a", "a"]}, {"picture": picture}, {"x": 1}):
        with pytest.raises(InputError):
            CaptionSpec.from_json(raw | change)


def test_photos(inside, nets, photos, rows, tmp_path):
    """Either file gives the same run; what is missing or broken is named."""
    folder, *files = photos
    found = []
    for file in files:
        run = tmp_path / file.stem
        given = ("--data-dir", folder, "--captions", file, *SHORT, "--out", run)
        status, out, err = inside(EXPERIMENT, *given)
        assert status == 0 and out.startswith("result: "), err
        assert "left out: 1 pictures" in err and "5.png" in err
        assert "3.png" in (run / "unreadable.json").read_text()
        found.append(rows(run))
    assert found[0] == found[1]


def test_refused_before_anything_is_made(refused, nets, photos, tmp_path):
    folder, coco, _ = photos

    def look(*flags):
        return refused(EXPERIMENT, *flags)

    assert "go together" in look("--data-dir", folder)
    assert "go together" in look("--captions", coco)
    assert "model='x'" in look("--model", "x")
    assert "unknown" in look("--encoder", "resnet19")
    assert "colour" in look("--encoder", "lenet5")
    data = ("--data-dir", tmp_path, "--captions", coco)
    assert "none of its 12 pictures" in look(*data)
    weights = ("--weights", tmp_path / "none.pth", "--encoder", "resnet18")
    assert "none.pth" in look(*weights, "--pictures", 8, "--test-pictures", 4)
    for name in ("epochs", "beam", "hidden", "least", "batch-size"):
        assert "=0 is not usable" in look(f"--{name}", 0)
    assert "held_out=0" in look("--held-out", 0)
    assert "at least 32" in look("--side", 16)
