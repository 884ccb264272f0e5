"""Batches of few shapes: every pair once a pass, and the same for one seed."""

from itertools import combinations, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.data.pair_buckets import Bucketed, Endless, Shape, arrays, shapes_for
from jnets.data.vocabulary import END, START
from jnets.errors import InputError

MOST = Shape(6, 5)


def test_arrays_by_hand():
    source, lengths, target, labels, weights = arrays(
        [[5, 6, 7], [8]], [[4], [9, 4]], Shape(2, 3)
    )
    assert source.tolist() == [[5, 6], [8, 0]] and lengths.tolist() == [2, 1]
    assert target.tolist() == [[START, 4, 0], [START, 9, 4]]
    assert labels.tolist() == [[4, END, -1], [9, 4, END]]
    assert weights.tolist() == [1, 1]
    assert {a.dtype.name for a in (source, lengths, target, labels)} == {"int32"}


def test_shapes_by_hand():
    """Four of 1 or 2 places and one of 6: 4 x 2 + 6, not 2 x 1 + 3 x 6."""
    rows = [[4]] * 2 + [[4, 4]] * 2 + [[4] * 6]
    shapes, bucket = shapes_for(rows, [[]] * 5, Shape(9, 2), 2)
    assert shapes == [Shape(2, 1), Shape(6, 1)]
    assert bucket.tolist() == [0, 0, 0, 0, 1]
    shapes, bucket = shapes_for(rows, [[], [], [], [4, 4], []], Shape(3, 2), 1)
    assert shapes == [Shape(3, 1)] and bucket.tolist() == [0, 0, 0, -1, 0]


@given(st.lists(st.integers(1, 8), min_size=1, max_size=9), st.integers(1, 3))
def test_no_cut_is_cheaper(lengths, buckets):
    """Than the one chosen, of all there are."""
    rows = [[4] * n for n in lengths]
    shapes, bucket = shapes_for(rows, [[]] * len(rows), Shape(9, 9), buckets)
    found = sum(shapes[b].source for b in bucket)
    known = sorted(set(lengths))
    for ends in combinations(known[:-1], min(buckets, len(known)) - 1):
        tops = [*ends, known[-1]]
        assert found <= sum(min(t for t in tops if t >= n) for n in lengths)


# Pair i is known by the first symbol of its source.
@st.composite
def pairs(draw):
    sizes = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 6)), min_size=1))
    sources = [[100 + i] * s for i, (s, _) in enumerate(sizes)]
    return sources, [[200 + i] * t for i, (_, t) in enumerate(sizes)]


@settings(max_examples=60, deadline=None)
@given(pairs(), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_a_pass_has_every_pair_once(rows, batch, buckets, seed):
    sources, targets = rows
    fitting = {100 + i for i, t in enumerate(targets) if len(t) < MOST.target}
    if not fitting:
        with pytest.raises(InputError, match="no target"):
            Bucketed(*rows, batch=batch, most=MOST, buckets=buckets, seed=seed)
        return
    feed = Bucketed(*rows, batch=batch, most=MOST, buckets=buckets, seed=seed)
    assert feed.left_out == len(sources) - len(fitting)
    assert len(feed.shapes) <= buckets
    for first in (0, feed.updates):
        seen = []
        for update, made in zip(
            range(first, first + feed.updates), feed.batches(first), strict=False
        ):
            source, lengths, target, labels, weights = made
            assert Shape(source.shape[1], target.shape[1]) in feed.shapes
            assert len(source) == batch and weights[0] == 1
            real = source[weights == 1, 0].tolist()
            assert [100 + i for i in feed.examples(update)] == real
            seen += real
            for row, length, read, label in zip(
                source, lengths, target, labels, strict=True
            ):
                i = row[0] - 100
                expected = sources[i][: MOST.source]
                assert row[:length].tolist() == expected and not row[length:].any()
                whole = [*targets[i], END]
                assert label[label >= 0].tolist() == whole
                assert read[: len(whole)].tolist() == [START, *targets[i]]
        assert sorted(seen) == sorted(fitting)


def feed(seed=0, own=None):
    rng = np.random.default_rng(0)
    rows = [[int(v) for v in rng.integers(4, 9, rng.integers(1, 5))] for _ in range(20)]
    how = dict(batch=4, most=MOST, buckets=2, seed=seed, own=own)
    return Bucketed(rows, rows, **how)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_batch_depends_on_the_seed_and_its_number():
    straight = list(islice(feed().batches(0), 14))
    for number in (0, 3, 13):
        assert same(next(feed().batches(number)), straight[number])
    assert not all(map(same, feed(seed=1).batches(0), straight))
    assert not same(straight[0], straight[feed().updates])


def test_own_symbols_are_drawn():
    made = list(islice(feed(own=lambda update: update / 4).batches(0), 5))
    masks = [batch[3] for batch in made]
    assert masks[0].dtype == bool and masks[0].shape == made[0][4].shape
    assert not masks[0].any() and masks[4].all() and 0 < masks[2].mean() < 1
    again = list(islice(feed(own=lambda update: update / 4).batches(2), 1))
    assert same(again[0], made[2])


def test_endless_pairs():
    made = Endless(lambda u: ([[u + 4]] * 2, [[5], []]), Shape(2, 3), own=lambda u: 1.0)
    source, _, target, own, labels, _ = next(made.batches(7))
    assert source.tolist() == [[11, 0], [11, 0]] and own.all()
    assert labels.tolist() == [[5, END, -1], [END, -1, -1]]
    assert target[:, 0].tolist() == [START, START] and made.examples(0) == [0, 1]
