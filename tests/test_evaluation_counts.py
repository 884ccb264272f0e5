"""What evaluation counts: ties, few classes, names of classes, pictures left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jnets.data.crops import Evaluation
from jnets.data.image_folder import Examples
from jnets.data.picture_spec import PictureSpec
from jnets.data.pictures import PictureError
from jnets.errors import InputError
from jnets.evaluation import Ensemble, evaluate
from tests.fixtures import tiny

SMALL = [Evaluation("centre", 4, 4)]


class Oracle:
    """In place of an ensemble: row i is what it says of picture i."""

    def __init__(self, table, names=None):
        self.table, self.classes = np.asarray(table, float), len(table[0])
        self.names, self.asked = names, []

    def __call__(self, images):
        # The first pixel of picture 0 is 1, and so on; black is no picture.
        self.asked.append([int(pixel) - 1 for pixel in images[:, 0, 0, 0, 0]])
        return self.table[self.asked[-1]]


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """numbered(labels, classes): pictures 0, 1, 2, ... as an Oracle knows them."""
    folder = tmp_path_factory.mktemp("numbered")
    for i in range(12):
        Image.new("RGB", (4, 4), (i + 1, 0, 0)).save(folder / f"{i:02}.png")

    def make(labels, classes):
        paths = tuple(str(folder / f"{i:02}.png") for i in range(len(labels)))
        names = tuple(map(str, range(classes)))
        return Examples(paths, np.array(labels, np.int32), names)

    return make


def rank(row, label):
    """How many classes come before it: the likelier, of the equal the earlier ones."""
    return sum(
        q > row[label] or (q == row[label] and i < label) for i, q in enumerate(row)
    )


def test_of_equals_the_first_class_comes_first(numbered):
    same, row = [0.125] * 8, [0.3, 0.1, 0.3, 0, 0, 0.1, 0.1, 0.1]
    table = [same, same, same, row, row, row, row]
    examples = numbered([0, 4, 5, 0, 2, 6, 7], 8)
    score = evaluate(Oracle(table), examples, SMALL, batch=7)
    # Ranks 0, 4, 5, then of 0 2 1 5 6 7 3 4: 0, 1, 4, 5.
    assert score == (7, pytest.approx(2 / 7), pytest.approx(5 / 7), {})


@settings(max_examples=15, deadline=None)
@given(data=st.data(), classes=st.integers(6, 9), batch=st.integers(1, 13))
def test_hits_are_ranks(numbered, data, classes, batch):
    row = st.lists(st.integers(0, 3), min_size=classes, max_size=classes)
    table = data.draw(st.lists(row, min_size=12, max_size=12))
    label = st.integers(0, classes - 1)
    labels = data.draw(st.lists(label, min_size=12, max_size=12))
    score = evaluate(Oracle(table), numbered(labels, classes), SMALL, batch=batch)
    ranks = [rank(row, label) for row, label in zip(table, labels, strict=True)]
    assert score.top1 == pytest.approx(np.mean(np.less(ranks, 1)))
    assert score.top5 == pytest.approx(np.mean(np.less(ranks, 5)))


@pytest.mark.parametrize("classes", [2, 4, 5, 6])
def test_the_best_five_of_as_many_are_no_news(numbered, classes):
    score = evaluate(
        Oracle(np.eye(2, classes)), numbered([0, 1], classes), SMALL, batch=2
    )
    assert (score.top1, score.top5) == (1, 1 if classes == 6 else None)


def test_classes_are_matched_by_name(numbered):
    """Another order, and fewer than the weights have."""
    examples = numbered([0, 1, 1], 2)._replace(classes=("cat", "dog"))
    table = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    oracle = Oracle(table, names=("dog", "newt", "cat"))
    assert evaluate(oracle, examples, SMALL, batch=3).top1 == pytest.approx(2 / 3)


def test_classes_that_do_not_match(numbered):
    with pytest.raises(InputError, match="data has 2 classes, the weights 3; expected"):
        evaluate(Oracle(np.eye(3)), numbered([0, 1], 2), SMALL, batch=2)
    names = tuple(f"n{i}" for i in range(1000))
    with pytest.raises(InputError) as caught:
        oracle = Oracle(np.ones((2, 1000)), names)
        evaluate(oracle, numbered([0, 1], 2), SMALL, batch=2)
    assert str(caught.value) == (
        "data has the class '0', which the weights lack; they were trained on n0, n1, "
        "n2, n3, n4 and 995 more"
    )


def damaged(examples, *places):
    """The examples with files that are no pictures in some places."""
    paths = list(examples.paths)
    for place in places:
        paths[place] = f"{paths[place]}.txt.png"
        with open(paths[place], "w") as file:
            file.write("no picture")
    return examples._replace(paths=tuple(paths))


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 64])
@pytest.mark.parametrize("crops", ["centre", "whole"])
def test_unreadable_pictures_are_counted_and_named(numbered, batch, crops):
    """One in the middle, two that fill a batch, the last; at both scales."""
    examples = damaged(numbered([0, 1, 2, 3, 4, 5, 0, 1], 6), 1, 4, 5, 7)
    oracle = Oracle(np.eye(12, 6))
    scales = [Evaluation(crops, 4, 4), Evaluation(crops, 4, 5)]
    told = []
    score = evaluate(
        oracle, examples, scales, batch=batch, progress=lambda *at: told.append(at)
    )
    # Pictures 0, 2, 3 are right; picture 6 is said to be nothing, that is class 0.
    assert score[:3] == (4, 1.0, 1.0)
    assert list(score.failures) == [examples.paths[i] for i in (1, 4, 5, 7)]
    assert all("cannot identify" in reason for reason in score.failures.values())
    assert told[-1] == (16, 16) and [done for done, _ in told] == sorted(
        done for done, _ in told
    )
    # A batch of none is not shown to the model.
    assert all(set(seen) <= {0, 2, 3, 6} for seen in oracle.asked)


def test_strict_stops_at_one(numbered):
    examples = damaged(numbered([0, 1, 2], 3), 1)
    with pytest.raises(PictureError, match="txt.png: not a readable picture"):
        evaluate(Oracle(np.eye(3)), examples, SMALL, batch=2, strict=True)


def test_no_readable_picture(numbered):
    examples = damaged(numbered([0, 1, 2], 3), 0, 1, 2)
    with pytest.raises(InputError, match=r"no readable picture \(3 unreadable\)"):
        evaluate(Oracle(np.eye(3)), examples, SMALL, batch=2)


def test_a_scale_that_cannot_be_is_refused_before_any_work(numbered):
    oracle = Oracle(np.eye(2))
    scales = [Evaluation("ten", 4, 6), Evaluation("ten", 4, 3)]
    with pytest.raises(InputError, match="4 does not fit into a side of 3"):
        evaluate(oracle, numbered([0, 1], 2), scales, batch=2)
    assert oracle.asked == []


NAMES = tuple("abcdefg")
SPEC = PictureSpec(12, 16, "torchvision")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """run(name, variables, classes): the directory of a run."""
    folder = tmp_path_factory.mktemp("runs")
    with tiny.registered():

        def make(name, variables, classes=NAMES):
            path = folder / name
            if not path.exists():
                tiny.write_run(path, variables, classes, SPEC)
            return path

        yield make


def test_members_of_other_classes(run):
    """By number, by name, and by order."""
    first = run("first", tiny.variables(0))
    fewer = run("fewer", tiny.variables(0, classes=3), NAMES[:3])
    with pytest.raises(InputError) as caught:
        Ensemble("tiny", [first, fewer])
    assert str(caught.value) == (
        f"weights={fewer} have 3 classes, {first} 7; expected an ensemble for the same "
        f"classes"
    )
    turned = run("turned", tiny.variables(0), NAMES[::-1])
    with pytest.raises(InputError) as caught:
        Ensemble("tiny", [first, turned])
    assert str(caught.value) == (
        f"weights={turned} were trained on g, f, e, d, c and 2 more, others on a, b, "
        f"c, d, e and 2 more; expected an ensemble for the same classes"
    )


def test_weights_that_give_no_numbers(run, numbered):
    bad = tiny.variables(0)
    bad["params"]["fc7"]["bias"] = bad["params"]["fc7"]["bias"] * np.nan
    good, bad = run("first", tiny.variables(0)), run("bad", bad)
    examples = numbered([0] * 3, 7)._replace(classes=NAMES)
    with pytest.raises(InputError) as caught:
        evaluate(
            Ensemble("tiny", [good, bad]),
            examples,
            [Evaluation("centre", 12, 16)],
            batch=3,
        )
    message = f"weights={bad} give probabilities that are not finite"
    assert str(caught.value) == message


def test_pictures_that_are_too_small(run, numbered):
    """The smallest scale is tried first."""
    told = []
    with pytest.raises(InputError) as caught:
        evaluate(
            Ensemble("tiny", [run("first", tiny.variables(0))], dense=True),
            numbered([0] * 3, 7)._replace(classes=NAMES),
            [Evaluation("whole", shorter=12), Evaluation("whole", shorter=9)],
            batch=3,
            progress=lambda *at: told.append(at),
        )
    message = "pictures of 9x9 do not fit the model (kernel 3"
    assert str(caught.value).startswith(message)
    assert told == []


def test_ensembles_that_are_none():
    with pytest.raises(InputError, match="weights are none; expected at least one"):
        Ensemble("resnet18", [])
    for name in ("lenet5", "surname_rnn"):
        with pytest.raises(InputError, match=f"'{name}' does not take colour pictures"):
            Ensemble(name, [])
