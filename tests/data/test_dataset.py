"""Dataset keeps examples together; random order is the same for ever."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jnets.data.dataset import Dataset, permutation, random_bits
from jnets.errors import InputError


def test_take_keeps_inputs_and_labels_together():
    data = Dataset(
        (np.arange(8).reshape(4, 2), np.arange(4) * 10),
        np.array([3, 2, 1, 0], np.int32),
        tuple("abcd"),
    )
    taken = data.take(np.array([2, 0, 2]))
    assert (data.size, taken.size) == (4, 3)
    np.testing.assert_array_equal(taken.inputs[0], [[4, 5], [0, 1], [4, 5]])
    np.testing.assert_array_equal(taken.inputs[1], [20, 0, 20])
    np.testing.assert_array_equal(taken.labels, [1, 3, 1])
    assert taken.labels.dtype == np.int32
    assert taken.classes == tuple("abcd")


def test_order_is_pinned():
    assert random_bits(2, 0).tolist() == [259491006799949737, 4754966410622352325]
    assert permutation(8, 0).tolist() == [0, 3, 7, 5, 1, 2, 6, 4]
    assert permutation(8, 0, 1).tolist() == [7, 6, 2, 3, 1, 0, 4, 5]


@given(st.integers(0, 200), st.integers(0, 50), st.integers(0, 2**70))
def test_bits_of_a_prefix_and_permutation(count, more, seed):
    longer = random_bits(count + more, seed)
    np.testing.assert_array_equal(random_bits(count, seed), longer[:count])
    assert sorted(permutation(count, seed, 1)) == list(range(count))


def test_parts_of_a_seed_give_different_streams():
    seeds = [(0,), (1,), (0, 0), (0, 1), (1, 0), (2**32,)]
    assert len({tuple(random_bits(4, *seed)) for seed in seeds}) == len(seeds)


def test_negative_seed():
    with pytest.raises(InputError, match="seed: -1 is negative"):
        random_bits(3, -1)
