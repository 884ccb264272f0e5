"""Accuracy as the papers measured it, against NumPy and Pillow by hand."""

import numpy as np
import pytest
from PIL import Image

from jnets.data.crops import Evaluation
from jnets.data.image_folder import Examples
from jnets.data.picture_spec import PictureSpec
from jnets.evaluation import Ensemble, evaluate
from tests.fixtures import tiny

NAMES = tuple("abcdefg")
SPEC = PictureSpec(12, 16, "torchvision")
# Width and height; the shorter side is what it is resized to, so that pixels stay.
SIZES = ((26, 16), (16, 23), (16, 16), (37, 16), (16, 54))


@pytest.fixture(scope="module", autouse=True)
def tiny_model():
    with tiny.registered():
        yield


@pytest.fixture(scope="module")
def members():
    """Two trained nets, [variables]."""
    return [tiny.variables(seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def runs(members, tmp_path_factory):
    """Their run directories; the second has learnt other colours."""
    folder = tmp_path_factory.mktemp("runs")
    specs = (SPEC, SPEC._replace(pixels="cifar"))
    return [
        tiny.write_run(folder / str(i), member, NAMES, spec)
        for i, (member, spec) in enumerate(zip(members, specs, strict=True))
    ]


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """20 pictures of blots in every shape, with labels drawn by lot."""
    folder, rng, paths = (
        tmp_path_factory.mktemp("pictures"),
        np.random.default_rng(0),
        [],
    )
    for i in range(20):
        width, height = SIZES[i % len(SIZES)]
        noise = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        paths.append(str(folder / f"{i:02}.png"))
        noise.resize((width, height), Image.Resampling.BICUBIC).save(paths[-1])
    return Examples(tuple(paths), rng.integers(0, 7, 20).astype(np.int32), NAMES)


class Recorded(Ensemble):
    """Remembers what it said, a list of [B, classes]."""

    def __call__(self, images):
        self.said = [*getattr(self, "said", []), super().__call__(images)]
        return self.said[-1]


def five(image, left, top, side):
    """Corners and centre of the square at (left, top)."""
    far, middle = side - 12, round((side - 12) / 2)
    corners = ((0, 0), (far, 0), (0, far), (far, far), (middle, middle))
    return [tiny.cut(image, left + x, top + y) for x, y in corners]


def with_mirrors(crops):
    return [*crops, *(crop[:, ::-1] for crop in crops)]


def ten(path):
    """Krizhevsky et al. 2012, sections 2 and 4.1: of the central square."""
    image = tiny.resized(path, 16)
    left, top = (round((side - 16) / 2) for side in image.size)
    return with_mirrors(five(image, left, top, 16))


def many(path):
    """Szegedy et al. 2015, section 7, with 12 for 224 and so 14, 15, 17, 19 for 256,
    288, 320, 352: four scales, three squares, six crops, two sides."""
    crops = []
    for scale in (14, 15, 17, 19):
        image = tiny.resized(path, scale)
        room = max(image.size) - scale
        for third, start in enumerate((0, round(room / 2), room)):
            wide = image.width > image.height
            left, top = (start, 0) if wide else (0, start)
            crops += five(image, left, top, scale)
            crops.append(squeezed(path, third, wide))
    return with_mirrors(crops)


def squeezed(path, third, wide):
    """The first, middle or last square of the picture itself, made 12 x 12."""
    with Image.open(path) as image:
        side, room = min(image.size), abs(image.width - image.height)
        start = (0, round(room / 2), room)[third]
        left, top = (start, 0) if wide else (0, start)
        square = image.crop((left, top, left + side, top + side))
        return np.asarray(square.resize((12, 12), Image.Resampling.BILINEAR))


def of_crops(member, paths, crops, pixels="torchvision"):
    """Mean over the crops of each picture of the probabilities."""
    found = [tiny.logits(member, np.stack(crops(path)), pixels) for path in paths]
    mean = np.stack([tiny.softmax(each).mean(0) for each in found])
    of_means = np.stack([tiny.softmax(each.mean(0)) for each in found])
    return mean, of_means


def rank_of_label(p, label):
    """How many classes come before it: the likelier, of the equal the earlier ones."""
    return sum(q > p[label] or (q == p[label] and i < label) for i, q in enumerate(p))


def score_by_hand(total, labels):
    ranks = [rank_of_label(p, label) for p, label in zip(total, labels, strict=True)]
    return np.mean([r < 1 for r in ranks]), np.mean([r < 5 for r in ranks])


def check(score, total, labels):
    assert score.pictures == len(labels) and score.failures == {}
    assert (score.top1, score.top5) == pytest.approx(score_by_hand(total, labels))


@pytest.mark.parametrize(
    "crops, by_hand, views, off",
    [
        ("centre", tiny.centre, 1, 2e-6),
        ("ten", ten, 10, 2e-6),
        # Resized in one piece or in parts, a pixel may differ by one level of 255.
        ("googlenet", many, 144, 1e-3),
    ],
)
def test_crops_by_hand(runs, members, examples, crops, by_hand, views, off):
    ensemble = Recorded("tiny", runs[:1])
    score = evaluate(ensemble, examples, [Evaluation(crops, 12, 16)], batch=3)
    assert len(by_hand(examples.paths[0])) == views
    expected, of_means = of_crops(members[0], examples.paths, by_hand)
    said = np.concatenate(ensemble.said)[:20]
    np.testing.assert_allclose(said, expected, atol=off)
    if views > 1:  # so that one is not taken for the other
        assert np.abs(of_means - expected).max() > 10 * off
    check(score, expected, examples.labels)


def test_dense_is_a_window_that_slides(runs, members, examples):
    """Simonyan & Zisserman 2015, section 3.2: fc6 to fc8 on every 3 x 3 piece of the
    map, their scores averaged; the picture's and its mirror image's softmax, too."""
    expected = []
    for path in examples.paths:
        image = np.asarray(tiny.resized(path, 16))
        maps = tiny.features(members[0], [image, image[:, ::-1]], "torchvision")
        _, height, width, _ = maps.shape
        windows = [
            tiny.scores(members[0], maps[:, y : y + tiny.MAP, x : x + tiny.MAP])
            for y in range(height - tiny.MAP + 1)
            for x in range(width - tiny.MAP + 1)
        ]
        assert len(windows) == (image.shape[0] // 4 - 2) * (image.shape[1] // 4 - 2)
        expected.append(tiny.softmax(np.mean(windows, 0)).mean(0))
    ensemble = Recorded("tiny", runs[:1], dense=True)
    score = evaluate(ensemble, examples, [Evaluation("whole", shorter=16)], batch=9)
    np.testing.assert_allclose(np.concatenate(ensemble.said), expected, atol=2e-6)
    check(score, np.array(expected), examples.labels)


def test_whole_pictures_without_dense_are_pooled(runs, examples):
    """Where fully connected layers do not slide, the map is averaged to its size."""
    one = Examples(examples.paths[:1], examples.labels[:1], NAMES)
    said = []
    for dense in (False, True):
        ensemble = Recorded("tiny", runs[:1], dense=dense)
        evaluate(ensemble, one, [Evaluation("whole", shorter=16)], batch=1)
        said += ensemble.said
    assert np.abs(said[0] - said[1]).max() > 1e-2


def test_scales_are_averaged(runs, members, examples):
    scales = (24, 16, 13)
    parts = [
        of_crops(members[0], examples.paths, lambda path, s=s: tiny.centre(path, s))[0]
        for s in scales
    ]
    evaluations = [Evaluation("centre", 12, scale) for scale in scales]
    ensemble = Recorded("tiny", runs[:1])
    score = evaluate(ensemble, examples, evaluations, batch=20)
    total = np.sum(ensemble.said, 0)
    np.testing.assert_allclose(total / 3, np.mean(parts, 0), atol=5e-3)
    best = np.argmax(total, 1)
    assert all((np.argmax(part, 1) != best).any() for part in parts)
    agreed = evaluate(
        Ensemble("tiny", runs[:1]),
        examples._replace(labels=best.astype(np.int32)),
        evaluations,
        batch=20,
    )
    assert agreed.top1 == 1
    check(score, total, examples.labels)


def test_an_ensemble_is_the_mean_of_its_members(runs, members, examples):
    """Each looks at the colours that it has learnt."""
    one, other = (
        of_crops(member, examples.paths, ten, colours)[0]
        for member, colours in zip(members, ("torchvision", "cifar"), strict=True)
    )
    ensemble = Recorded("tiny", runs)
    score = evaluate(ensemble, examples, [Evaluation("ten", 12, 16)], batch=7)
    expected = (one + other) / 2
    said = np.concatenate(ensemble.said)[:20]
    np.testing.assert_allclose(said, expected, atol=2e-6)
    check(score, expected, examples.labels)
    assert (ensemble.classes, ensemble.names, ensemble.spec) == (7, NAMES, SPEC)
    twice = Ensemble("tiny", [runs[0], runs[0]])
    assert evaluate(twice, examples, [Evaluation("ten", 12, 16)], batch=7) == evaluate(
        Ensemble("tiny", runs[:1]), examples, [Evaluation("ten", 12, 16)], batch=7
    )


def test_colours_can_be_told(runs, members, examples):
    ensemble = Recorded("tiny", runs[:1], pixels="cifar")
    evaluate(ensemble, examples, [Evaluation("centre", 12, 16)], batch=20)
    expected, _ = of_crops(members[0], examples.paths, tiny.centre, "cifar")
    np.testing.assert_allclose(ensemble.said[0], expected, atol=2e-6)
