"""Made scenes and albums: the texts are true of the pictures, and never change."""

import hashlib

import numpy as np
import pytest

from jnets.data import moving, scenes
from jnets.data.scenes import COLOURS, Scene, Thing
from jnets.errors import InputError


def mask(image, colour):
    """Pixels nearer to this colour than to any other and to grey."""
    grounds = [(level,) * 3 for level in range(0, 100, 20)]
    known = np.array([*COLOURS.values(), *grounds], float)
    distance = np.square(image[..., None, :].astype(float) - known).sum(-1)
    return distance.argmin(-1) == list(COLOURS).index(colour)


def test_every_combination_is_trained_on_or_held_out():
    learned, held = scenes.split(0.25, seed=3)
    assert len(held) == 800 and len(learned) + len(held) == 3200
    assert not set(learned) & set(held)
    assert set(learned) | set(held) == set(scenes.every_scene())
    # Of every word there is something on both sides.
    for part in (learned, held):
        assert len({s.first for s in part}) == len({s.second for s in part}) == 40
    assert scenes.split(0.25, seed=3) == (learned, held)
    assert scenes.split(0.25, seed=4)[1] != held


def test_captions_are_true_of_the_pictures():
    """Where, how large: seen by colour alone."""
    known = [s for s in scenes.every_scene() if s.first.colour != s.second.colour]
    drawn = scenes.draw(known[::37], 60, side=48, seed=5, part=0)
    areas = {"small": [], "large": []}
    for image, scene in zip(drawn.images, drawn.scenes, strict=True):
        centres = []
        for thing in (scene.first, scene.second):
            rows, columns = np.nonzero(mask(image, thing.colour))
            centres.append((columns.mean(), rows.mean()))
            if thing.shape == "square":
                areas[thing.size].append(len(rows))
        (x1, y1), (x2, y2) = centres
        if scene.relation == "left of":
            assert x2 - x1 > abs(y2 - y1)
        else:
            assert y2 - y1 > abs(x2 - x1)
    assert max(areas["small"]) < min(areas["large"])


def test_shapes_are_told_apart_by_their_middle_and_corners():
    def alone(shape):
        scene = Scene(
            Thing("large", "red", shape), "above", Thing("small", "blue", shape)
        )
        image = scenes.draw([scene], 1, side=64, seed=0, part=0).images[0]
        found = mask(image, "red")
        rows, columns = np.nonzero(found)
        box = found[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        n = len(box) // 2
        return bool(box[n, box.shape[1] // 2]), bool(box[2, 2]), bool(box[-2, 2])

    assert alone("circle") == (True, False, False)
    assert alone("ring") == (False, False, False)
    assert alone("square") == (True, True, True)
    assert alone("triangle")[1:] == (False, True)
    assert alone("cross")[0]


def test_pictures_never_change():
    learned, _ = scenes.split(0.2, seed=0)
    drawn = scenes.draw(learned, 300, side=32, seed=0, part=0)
    again = scenes.draw(learned, 300, side=32, seed=0, part=0)
    assert np.array_equal(drawn.images, again.images)
    other = scenes.draw(learned, 300, side=32, seed=0, part=1)
    assert not np.array_equal(drawn.images, other.images)
    digest = hashlib.sha256(drawn.images.tobytes()).hexdigest()[:16]
    album = moving.draw(20, side=32, seed=0, part=0)
    digests = digest, hashlib.sha256(album.images.tobytes()).hexdigest()[:16]
    assert digests == DIGESTS


DIGESTS = ("3e731aaf84d699de", "944a33d9e0fc9d17")


def test_what_cannot_be_drawn():
    with pytest.raises(InputError, match="at least 32"):
        scenes.draw(scenes.every_scene(), 1, side=16, seed=0, part=0)
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match="held_out"):
            scenes.split(share, 0)


def told(story):
    """What a story says of each picture, by following its words."""
    size, colour, shape = story[0].split()[1:4]
    for sentence in story:
        assert sentence.split()[:4] == ["the", size, colour, shape]
        yield size, colour, sentence.split()[4:]
        match sentence.split()[4:]:
            case ["turns", new]:
                assert new != colour
                colour = new
            case ["grows"]:
                assert size == "small"
                size = "large"
            case ["shrinks"]:
                assert size == "large"
                size = "small"


def test_stories_are_true_of_their_albums():
    albums = moving.draw(40, side=48, seed=1, part=0)
    steps = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    kinds = set()
    for images, story in zip(albums.images, albums.stories, strict=True):
        looks = []
        for image, (size, colour, change) in zip(images, told(story), strict=True):
            rows, columns = np.nonzero(mask(image, colour))
            looks.append((columns.mean(), rows.mean(), len(rows), size, change))
            kinds.add(change[0])
        for before, after in zip(looks, looks[1:], strict=False):
            moved = np.array(after[:2]) - before[:2]
            way = steps.get(before[4][-1], (0, 0))
            assert np.abs(moved - 0.26 * 48 * np.array(way)).max() < 0.07 * 48
            if before[3] != after[3]:
                assert (after[2] > before[2]) == (after[3] == "large")
        assert story[-1].endswith(" rests")
    assert kinds == {"moves", "turns", "grows", "shrinks", "rests"}
