"""Each picture of ordinary and of extreme figures: drawn, without a warning."""

import math

import numpy as np
import pytest
from PIL import Image

from experiments import plots


@pytest.fixture
def shows(tmp_path):
    """shows(draw): the size of what `draw(path)` leaves, an image that is not blank."""

    def check(draw):
        path = tmp_path / "picture.png"
        draw(path)
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert np.ptp(np.asarray(image.convert("L"))) > 100
            return image.size

    return check


def epoch(number, loss, accuracy, **more):
    return {
        "step": 10 * number, "epoch": number, "loss": loss, "accuracy": accuracy,
        "seconds": 0.5,
    } | more  # fmt: skip


def measured(number, loss, accuracy):
    return epoch(number, loss, accuracy, test_loss=loss, test_accuracy=accuracy)


CURVES = {
    "falling": [measured(1, 2.0, 0.5), measured(2, 1.0, 0.9)],
    "one epoch": [measured(1, 2.0, 0.5)],
    "tested every other epoch": [epoch(1, 2.0, 0.4), measured(2, 1.0, 0.9)],
    "nothing right": [measured(1, 2.0, 0.0), measured(2, 2.0, 0.0)],
    "everything right": [measured(1, 2.0, 1.0), measured(2, 1e-9, 1.0)],
    # A test loss that is not finite is null in metrics.jsonl.
    "no test loss": [measured(1, None, 0.1), measured(2, 1.0, 0.5)],
}


@pytest.mark.parametrize("name", CURVES)
def test_curves(shows, name):
    rows = [row | {"loss": row["loss"] or 1.0} for row in CURVES[name]]
    shows(lambda path: plots.curves(rows, path, title="lenet5"))


@pytest.mark.parametrize("name", ["falling", "one epoch", "everything right"])
def test_flavours(shows, name):
    rows = {kind: CURVES[name] for kind in ("online", "minibatch", "batch")}
    shows(lambda path: plots.flavours(rows, path, size=1437))


def test_the_curve_of_names(shows):
    rows = [epoch(n, 2.8 / n, n / 3) for n in (1, 2, 3)]
    shows(lambda path: plots.online_curve(rows, path, title="surname_rnn"))
    shows(lambda path: plots.online_curve(rows[:1], path, title="surname_rnn"))


@pytest.mark.parametrize("shares", [False, True])
def test_confusion(shows, shares):
    """A class without an example has a row of zeros, and is no division by zero."""
    counts = np.array([[50, 2, 0], [1, 30, 9], [0, 0, 0]])
    for classes in (("0", "1", "2"), ("Arabic", "Chinese", "Vietnamese")):
        shows(
            lambda path, classes=classes: plots.confusion(
                counts, classes, path, title="test set", shares=shares
            )
        )


@pytest.mark.parametrize("count", [1, 6, 20])
def test_filters(shows, count):
    filters = np.random.default_rng(0).normal(size=(count, 5, 5))
    shows(lambda path: plots.filter_grid(filters, path, title="C1"))
    shows(lambda path: plots.filter_grid(0 * filters, path, title="C1"))


def test_feature_maps(shows):
    """More maps make a wider picture; a dead map is as good as another."""
    maps = np.random.default_rng(0).normal(size=(14, 14, 6))
    maps[..., 2] = 0

    def draw(layers):
        return shows(
            lambda path: plots.feature_maps(maps[..., 0], layers, path, title="lenet5")
        )

    one, wide = draw({"C1": maps}), draw({"C1": maps, "C3": np.tile(maps, 3)[:5, :5]})
    assert wide[0] > one[0] and wide[1] > one[1]
    assert math.prod(draw({"dead": 0 * maps})) > 0
