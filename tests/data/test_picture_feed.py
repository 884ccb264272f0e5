"""Pictures as they are fed to training: order, albums, what cannot be read."""

from itertools import islice

import numpy as np
import pytest
from PIL import Image

from jnets.data.picture_feed import PictureFeed
from jnets.data.picture_spec import PictureSpec
from jnets.errors import InputError

SPEC = PictureSpec(8, 8, "inception")


@pytest.fixture
def paths(tmp_path):
    """Seven grey pictures; number i is of the level 30 i."""
    for i in range(7):
        image = np.full((8, 8, 3), 30 * i, np.uint8)
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    return np.array([str(tmp_path / f"{i}.png") for i in range(7)])


def feed(paths, batch=3, seed=0):
    numbers = np.arange(len(paths), dtype=np.int32)[:, None]
    return PictureFeed(paths, numbers, numbers + 1, SPEC, batch=batch, seed=seed)


def test_every_epoch_has_each_example_once(paths):
    batches = list(islice(feed(paths).batches(0), 6))
    for epoch in (batches[:3], batches[3:]):
        seen = []
        for images, tokens, labels, weights in epoch:
            assert images.shape == (3, 8, 8, 3) and images.dtype == np.uint8
            assert (images[:, 0, 0, 0] == 30 * tokens[:, 0]).all()
            assert (labels == tokens + 1).all()
            seen += tokens[weights > 0, 0].tolist()
        assert sorted(seen) == list(range(7))
    assert batches[2][3].tolist() == [1, 0, 0]
    orders = [
        [t[:, 0].tolist() for _, t, _, _ in e] for e in (batches[:3], batches[3:])
    ]
    assert orders[0] != orders[1]


def test_a_batch_depends_on_its_number_alone(paths):
    whole, later = feed(paths).batches(0), feed(paths).batches(4)
    (one,) = islice(whole, 4, 5)
    for a, b in zip(one, next(later), strict=True):
        assert np.array_equal(a, b)
    assert feed(paths).examples(4) == [paths[i] for i in one[1][:, 0]]


def test_albums(paths):
    albums = paths[:6].reshape(2, 3)
    images, tokens, _, weights = next(feed(albums, batch=2).batches(0))
    assert images.shape == (2, 3, 8, 8, 3) and weights.tolist() == [1, 1]
    expected = 30 * (3 * tokens + np.arange(3))
    assert (images[:, :, 0, 0, 0] == expected).all()


def test_what_cannot_be_read_has_no_weight(paths):
    with open(paths[2], "wb") as file:
        file.write(b"no picture")
    fed = feed(paths, batch=7)
    images, tokens, _, weights = next(fed.batches(0))
    (bad,) = np.flatnonzero(weights == 0)
    assert tokens[bad, 0] == 2 and list(fed.failures) == [paths[2]]
    assert images[bad, 0, 0, 0] in images[weights > 0][:, 0, 0, 0]
    alone = feed(paths[2:3], batch=2)
    assert next(alone.batches(0))[3].tolist() == [0, 0]


def test_nothing_to_feed(paths):
    for bad in ((paths[:0], 1), (paths, 0)):
        with pytest.raises(InputError, match="expected at least 1"):
            feed(bad[0], batch=bad[1])
