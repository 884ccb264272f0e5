"""What the flags of training make of the same run: sums, parts, states, losses."""

from contextlib import closing

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jnets
from experiments import classify, imagenet
from jnets.data import image_folder
from jnets.data.stream import Stream
from jnets.interop import torchvision, weights
from jnets.layers.policy import Policy
from jnets.models import MODELS, create
from jnets.models.resnet import ResNet
from jnets.ops.colour import PIXELS, normalise
from jnets.training import Checkpoints
from jnets.training.recipes import RECIPES

EXPERIMENT = "imagenet"


def same_bits(a, b):
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in leaves)


def test_the_average_is_what_is_used(unbroken):
    recipe = classify.find_recipe("small")
    config = imagenet.Config(model="cifar_resnet8", seed=3)
    fields = classify.model_fields(config, recipe, 10)
    task = classify.prepare(
        config, recipe, fields, side=32, updates=20, pixels="torchvision"
    )
    with Checkpoints(unbroken / "checkpoints", read_only=True) as checkpoints:
        saved = checkpoints.restore(task.state)
    assert saved is not None
    assert same_bits(jnets.load(unbroken).variables, saved.state.ema)
    assert not same_bits(saved.state.ema["params"]["fc"], saved.state.params["fc"])


def test_updates_cut_a_run_short_and_exact_statistics_end_it(
    inside, nets, undrawn, rows, short, shapes_folder, tmp_path
):
    """They are those of a whole epoch, its last, smaller batch too."""
    given = (*short, "--batch-size", 32, "--updates", 2, "--exact-statistics")
    out = inside(EXPERIMENT, *given, "--out", tmp_path / "run")[1]
    assert "ms_per_update=" in out and "memory_mb=" in out
    found = rows(tmp_path / "run")
    assert [row["step"] for row in found] == [1, 2, 3, 4]
    tested = ["test_loss" in row for row in found]
    assert tested == [False, False, False, True]
    exact = jnets.load(tmp_path / "run").variables
    recipe = classify.find_recipe("small")
    augment = imagenet.augmentation(recipe.augmentation, 32)
    train = image_folder.read(shapes_folder).train
    stream = Stream(train, augment, batch=32, seed=3)
    with closing(stream.batches(4)) as batches:  # after 4 updates
        seen = [next(batches) for _ in range(3)]
    assert [int(weights.sum()) for *_, weights in seen] != [32, 32, 32]
    shown = np.concatenate([images[weights > 0] for images, _, weights in seen])
    pixels = normalise(jnp.asarray(shown), **PIXELS["torchvision"]._asdict())
    kernel = exact["params"]["conv1"]["kernel"]
    outputs = np.asarray(
        jax.lax.conv_general_dilated(
            pixels, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ),
        np.float64,
    )
    found = exact["batch_stats"]["conv1_norm"]
    mean, var = outputs.mean((0, 1, 2)), outputs.var((0, 1, 2))
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-4, atol=1e-5)
    # Weighted by batch: exact whatever their sizes, but for n / (n - 1).
    np.testing.assert_allclose(found["var"], var, rtol=1e-3)


def losses(run, rows):
    return np.array([row["loss"] for row in rows(run)])


def test_remat_and_bfloat16_change_no_more_than_rounding(
    unbroken, inside, rows, short, tmp_path
):
    run = tmp_path / "run"
    given = (*short, "--remat", "--compute", "bfloat16", "--out", run)
    assert inside(EXPERIMENT, *given)[0] == 0
    known, found = losses(unbroken, rows), losses(run, rows)
    np.testing.assert_allclose(found, known, rtol=0.05)
    assert np.abs(found / known - 1).max() > 1e-4  # it is not float32
    model, variables, _ = jnets.load(run)
    assert isinstance(model, ResNet)
    assert model.policy.compute == "bfloat16" and model.remat
    leaves = jax.tree.leaves(variables)
    assert {leaf.dtype for leaf in leaves} == {np.dtype("float32")}


def test_chunks_change_no_more_than_rounding(
    inside, nets, undrawn, rows, short, tmp_path
):
    """Of a net without a norm; with one, a chunk is the batch that it sees."""
    given = (*short, "--model", "vgg11", "--image-size", 32, "--updates", 4)
    given = (*given, "--learning-rate", 0.1)
    for chunks in (1, 4):
        run = tmp_path / str(chunks)
        assert inside(EXPERIMENT, *given, "--chunks", chunks, "--out", run)[0] == 0
    one, four = (losses(tmp_path / name, rows) for name in ("1", "4"))
    assert np.ptp(one) > 1e-3
    np.testing.assert_allclose(four, one, rtol=1e-5)
    a, b = (jnets.load(tmp_path / name).variables for name in ("1", "4"))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), a, b)


@pytest.fixture
def weights_file(nets, tmp_path):
    """Random variables of a small resnet18 of 5 classes, and torchvision's file."""
    model = create("resnet18", classes=5)
    like = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    draw = np.random.default_rng(7).uniform
    leaves = jax.tree.map(lambda leaf: np.float32(draw(0.1, 0.2, leaf.shape)), like)
    tensors = torchvision.to_state_dict("resnet18", leaves)
    weights.write(tmp_path / "net.pth", tensors)
    return leaves


def test_weights_with_stages_that_stay(weights_file, inside, undrawn, short, tmp_path):
    """From torchvision's state dict of other classes, and from a run of the same."""
    given = (*short, "--model", "resnet18", "--image-size", 32, "--updates", 4)
    early = ("conv1", "conv1_norm", "stage1", "stage2", "stage3")
    begun = weights_file
    for name, source, stage, frozen in (
        ("a", "net.pth", "fc", (*early, "stage4")),
        ("b", "a", "stage4", early),
    ):
        more = ("--weights", tmp_path / source, "--freeze-until", stage)
        status, _, err = inside(EXPERIMENT, *given, *more, "--out", tmp_path / name)
        assert status == 0, err
        found = jnets.load(tmp_path / name).variables
        for kind, tree in found.items():
            for part in tree:
                still = same_bits(tree[part], begun[kind][part])
                assert still == (part in frozen), (name, kind, part)
        first, begun = begun, found
    # The run's classifier, of the same classes, is gone on with and not made new.
    a, b = (np.asarray(v["params"]["fc"]["kernel"]).ravel() for v in (first, begun))
    assert np.corrcoef(a, b)[0, 1] > 0.9


def test_weights_that_do_not_fit(weights_file, refused, shapes_folder, tmp_path):
    known = ("--data-dir", shapes_folder, "--image-size", 32)

    def look(model, source):
        flags = ("--model", model, "--weights", tmp_path / source)
        return refused(EXPERIMENT, *known, *flags)

    message = look("resnet50", "net.pth")
    assert "net.pth: state_dict fits resnet50 in" in message
    tensors = weights.read(tmp_path / "net.pth")
    del tensors["layer2.0.conv1.weight"]
    weights.write(tmp_path / "less.safetensors", tensors)
    assert "1 missing (layer2.0.conv1.weight)" in look("resnet18", "less.safetensors")
    (tmp_path / "text.pth").write_text("no weights")
    assert "text.pth" in look("resnet18", "text.pth")
    (tmp_path / "folder").mkdir()
    assert "no config.json" in look("resnet18", "folder")
    assert "torchvision has no cifar_resnet8" in look("cifar_resnet8", "net.pth")


class TwoHeads(nn.Module):
    """A linear classifier of mean colours beside another of the same."""

    classes: int = 1000
    policy: Policy = Policy()
    remat: bool = False

    @nn.compact
    def __call__(self, x, *, train=False):
        mean = x.mean(axis=(1, 2))
        logits, aux = (nn.Dense(self.classes, name=n)(mean) for n in ("fc", "aux1"))
        return (logits, {"aux1": aux}) if train else logits


def test_a_recipe_with_auxiliary_heads_and_smoothing(
    inside, nets, undrawn, monkeypatch, rows, short, shapes_folder, tmp_path
):
    """The loss of the first batch, by hand; both heads learn."""
    row = MODELS["vgg11"]._replace(module=TwoHeads, fields={})
    monkeypatch.setitem(MODELS, "two_heads", row)
    small = classify.find_recipe("small")
    recipe = small._replace(aux_weight=0.3, augmentation="none", weight_decay=0.0)
    monkeypatch.setitem(RECIPES, "heads", recipe)
    given = (*short, "--model", "two_heads", "--recipe", "heads", "--image-size", 32)
    given = (*given, "--updates", 4)
    assert inside(EXPERIMENT, *given, "--out", tmp_path / "run")[0] == 0
    config = imagenet.Config(model="two_heads", recipe="heads", seed=3)
    start = classify.prepare(
        config, recipe, {"classes": 10}, side=32, updates=20, pixels="torchvision"
    ).state.params
    train = image_folder.read(shapes_folder).train
    stream = Stream(train, imagenet.augmentation("none", 32), batch=16, seed=3)
    with closing(stream.batches()) as batches:
        images, labels, _ = next(batches)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    colours = ((images / 255 - mean) / std).mean(axis=(1, 2))
    total = np.zeros(16)
    target = 0.9 * np.eye(10)[labels] + 0.1 / 10
    for name, weight in (("fc", 1.0), ("aux1", 0.3)):
        head = {k: np.asarray(v, np.float64) for k, v in start[name].items()}
        logits = colours @ head["kernel"] + head["bias"]
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        total -= weight * (target * log_p).sum(-1)
    assert rows(tmp_path / "run")[0]["loss"] == pytest.approx(total.mean(), rel=1e-5)
    found = jnets.load(tmp_path / "run").variables["params"]
    for name in ("fc", "aux1"):
        assert np.abs(found[name]["kernel"] - start[name]["kernel"]).max() > 1e-4
