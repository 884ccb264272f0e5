"""Batches of one length: all sequences, once a pass, the same after a stop."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.data.buckets import Buckets, widths
from jnets.errors import InputError


def numbered(rows, width):
    """A batch that says which sequences it has, and how wide it is."""
    return rows, np.full((len(rows), width), -1)


def buckets(lengths, batch_size, seed=0):
    return Buckets(np.array(lengths), batch_size, numbered, seed=seed)


def test_widths_double_up_to_the_longest():
    assert widths(70) == (8, 16, 32, 64, 70)
    assert widths(64) == (8, 16, 32, 64)
    assert widths(3) == (3,)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(1, 7),
    st.integers(0, 2),
)
def test_a_pass_reads_each_sequence_once(lengths, batch_size, epoch):
    feed = buckets(lengths, batch_size)
    first, seen = epoch * feed.updates, []
    batches = islice(feed.batches(first), feed.updates)
    for update, (rows, labels, weights) in enumerate(batches, first):
        assert rows.shape == weights.shape == (batch_size,)
        width = labels.shape[1]
        # At most half of a sequence's row is padding, but in the first bucket.
        assert all(
            lengths[row] <= width and (width <= 8 or 2 * lengths[row] > width // 2)
            for row in rows
        )
        real = rows[weights == 1].tolist()
        assert set(weights.tolist()) <= {0.0, 1.0} and set(rows) == set(real)
        assert feed.examples(update) == real
        seen += real
    assert sorted(seen) == list(range(len(lengths)))
    parts = [(row, width) for rows, width in feed.parts() for row in rows]
    assert sorted(row for row, _ in parts) == list(range(len(lengths)))
    assert all(lengths[row] <= width for row, width in parts)


def test_a_batch_depends_on_its_number_alone():
    lengths = np.arange(1, 60) % 37 + 1
    feed, again = buckets(lengths, 4), buckets(lengths, 4)
    count = 2 * feed.updates + 3
    whole = [rows.tolist() for rows, *_ in islice(feed.batches(0), count)]
    for first in (1, feed.updates - 1, feed.updates + 5):
        rest = [r.tolist() for r, *_ in islice(again.batches(first), count - first)]
        assert rest == whole[first:]
    assert whole[: feed.updates] != whole[feed.updates : 2 * feed.updates]
    other = buckets(lengths, 4, seed=1)
    assert whole[0] != next(iter(other.batches(0)))[0].tolist()


@pytest.mark.parametrize("lengths, batch_size", [([], 1), ([1], 0)])
def test_nothing_to_read(lengths, batch_size):
    with pytest.raises(InputError, match="expected at least 1 of each"):
        buckets(lengths, batch_size)
