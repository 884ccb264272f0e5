"""Counting multiplications and connections."""

from jnets.layers import Cost
from jnets.layers.cost import affine_cost


def test_units_times_inputs():
    # 2 x 3 x 4 units of 5 inputs: 120 products, and 24 biases.
    assert affine_cost((2, 3, 4), 5, use_bias=False) == Cost(120, 120)
    assert affine_cost((2, 3, 4), 5, use_bias=True) == Cost(120, 144)


def test_one_unit_without_axes():
    assert affine_cost((), 7, use_bias=True) == Cost(7, 8)
