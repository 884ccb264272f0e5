"""Sizes and padding of windows: literals and a search over every position."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jnets.errors import InputError
from jnets.ops.window import (
    ReceptiveField,
    Window,
    output_size,
    receptive_field,
    resolve_padding,
)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "out"),
    [
        (227, 11, 4, 0, 55),
        (224, 11, 4, 2, 55),
        (224, 11, 4, (0, 3), 55),
        (224, 7, 2, 3, 112),
        (224, 7, 2, 1, 110),
        (55, 5, 2, 0, 26),
        (224, 7, 2, "SAME", 112),
        (32, 5, 1, "VALID", 28),
    ],
)
def test_output_sizes_of_the_papers_convolutions(size, kernel, stride, padding, out):
    assert output_size(size, kernel, stride=stride, padding=padding) == out


@pytest.mark.parametrize(
    ("size", "ceil_mode", "out"),
    [
        (110, True, 55),
        (26, True, 13),
        (112, True, 56),
        (56, True, 28),
        (28, True, 14),
        (14, True, 7),
        (55, False, 27),
        (27, False, 13),
        (13, False, 6),
    ],
)
def test_output_sizes_of_the_papers_3x3_pools(size, ceil_mode, out):
    assert output_size(size, 3, stride=2, ceil_mode=ceil_mode) == out


def test_a_last_window_must_start_inside_the_input_or_the_low_padding():
    # Windows of 2 from -1, 1, 3, 5: the one at 5 would start after the 5 inputs.
    assert output_size(5, 2, stride=2, padding=1, ceil_mode=True) == 3
    assert output_size(6, 2, stride=2, padding=1, ceil_mode=True) == 4


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        (224, 7, 2, (2, 3)),
        (112, 3, 2, (0, 1)),
        (56, 3, 2, (0, 1)),
        (28, 5, 1, (2, 2)),
        (5, 1, 3, (0, 0)),
    ],
)
def test_same_padding_puts_the_odd_position_on_the_high_side(
    size, kernel, stride, pads
):
    resolved = resolve_padding((size,), (kernel,), stride=stride, padding="SAME")
    assert resolved == (pads,)


def test_padding_may_be_named_in_every_documented_way():
    def resolve(padding):
        return resolve_padding((8, 9), (3, 4), padding=padding)

    assert resolve("VALID") == resolve(0) == ((0, 0), (0, 0))
    assert resolve(2) == resolve((2, 2)) == ((2, 2), (2, 2))
    assert resolve((1, (0, 3))) == ((1, 1), (0, 3))
    assert resolve("SAME") == ((1, 1), (1, 2))


@given(
    size=st.integers(1, 30),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 5),
    pads=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    dilation=st.integers(1, 4),
    ceil_mode=st.booleans(),
)
def test_output_size_counts_the_windows_that_fit(
    size, kernel, stride, pads, dilation, ceil_mode
):
    low, high = pads
    reach = dilation * (kernel - 1)  # from the first to the last position of a window
    # A window that lies in the padding alone has no place in ceil mode.
    assume(not ceil_mode or high <= reach)
    end = size + high + (stride - 1 if ceil_mode else 0)
    starts = [i for i in range(-low, end - reach, stride)]
    if ceil_mode:
        starts = [i for i in starts if i < size]
    options = {"stride": stride, "padding": pads, "dilation": dilation}
    if starts:
        out = output_size(size, kernel, ceil_mode=ceil_mode, **options)
        assert out == len(starts)
    else:
        with pytest.raises(InputError, match="larger than the input"):
            output_size(size, kernel, ceil_mode=ceil_mode, **options)


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 3),
)
def test_same_padding_is_the_least_that_gives_the_ceiling(
    size, kernel, stride, dilation
):
    options = {"stride": stride, "dilation": dilation}
    ((low, high),) = resolve_padding((size,), (kernel,), padding="SAME", **options)
    wanted = -(-size // stride)
    assert output_size(size, kernel, padding=(low, high), **options) == wanted
    assert output_size(size, kernel, padding="SAME", **options) == wanted
    assert high - low in (0, 1)
    if high:
        fewer = (low, high - 1)
        try:
            assert output_size(size, kernel, padding=fewer, **options) < wanted
        except InputError:
            assert wanted == 1


@given(
    layers=st.lists(
        st.builds(Window, st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
        max_size=5,
    )
)
def test_receptive_field_is_what_the_positions_reach(layers):
    def inputs_of(positions):
        for kernel, stride, dilation in reversed(layers):
            positions = {
                p * stride + k * dilation for p in positions for k in range(kernel)
            }
        return positions

    first, second = inputs_of({0}), inputs_of({1})
    field = receptive_field(layers)
    assert field.size == max(first) - min(first) + 1
    assert field.jump == min(second) - min(first)


def test_receptive_field_of_vgg16_before_its_classifier():
    stages = [2, 2, 3, 3, 3]
    layers = [w for n in stages for w in [Window(3)] * n + [Window(2, stride=2)]]
    assert receptive_field(layers) == ReceptiveField(size=212, jump=32)
    assert receptive_field([]) == ReceptiveField(1, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: output_size(5, 3, stride=0), "stride 0"),
        (lambda: output_size(5, 3, dilation=0), "dilation 0"),
        (lambda: output_size(0, 3), "size 0"),
        (lambda: output_size(5, 0), "kernel 0"),
        (lambda: output_size(5, 3, padding="same"), "'same'.*'VALID'"),
        (lambda: output_size(5, 3, padding=(0, -1)), "padding"),
        (lambda: output_size(5, 8, padding=1), "kernel 8.*size 5"),
        (lambda: resolve_padding((5, 5), (3, 3), padding=(1,)), "1 entries for 2"),
        (lambda: resolve_padding((5,), (3,), padding=(1, 2)), "2 entries for 1"),
        (lambda: resolve_padding((5,), (3,), padding=-1), "padding -1"),
        (
            lambda: resolve_padding((5, 5), (3, 3), stride=(1, 2, 3), padding="SAME"),
            "stride",
        ),
        (lambda: receptive_field([Window(3, stride=0)]), "layers"),
    ],
)
def test_errors_name_the_argument_on_one_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
