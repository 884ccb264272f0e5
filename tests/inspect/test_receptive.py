"""What a position sees, against what changes when the input does, and by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jnets.inspect import capture, receptive_fields, summarize
from jnets.inspect.receptive import follow, spatial
from jnets.models import create
from jnets.models.resnet import ResNet
from jnets.ops import ReceptiveField, avg_pool, conv, conv_transpose, max_pool

N = 200


def reach(function, x):
    """The only spatial axis's reach at the function's output."""
    jaxpr = jax.make_jaxpr(function)(x).jaxpr
    (((found,),),) = [follow(jaxpr, [spatial(x.shape)], print)]
    return found


def support(function, i: int | None = None):
    """The input positions that output position i, the middle one, depends on."""
    x = 1 + np.random.default_rng(0).random((1, N, 1), np.float32)
    changed = x + 1e6 * np.eye(N, dtype=np.float32)[:, :, None]
    y = np.asarray(jax.jit(function)(jnp.asarray(np.concatenate([x, changed]))))
    i = y.shape[1] // 2 if i is None else i
    moved = np.abs(y[1:, i] - y[0, i]) > 1e-3 * np.abs(y[0, i])
    return i, np.flatnonzero(moved.any(axis=-1))


def averaging(kernel: int, **options):
    """A convolution of positive weights to one channel: every input matters."""

    def layer(x):
        shape = (kernel, x.shape[-1], 1)
        return conv(x, jnp.full(shape, 1 / np.prod(shape), x.dtype), **options)

    return layer


def sliced(start: int, stride: int):
    return lambda x: x[:, start::stride]


def padded(low: int, high: int):
    return lambda x: jnp.pad(x, ((0, 0), (low, high), (0, 0)), constant_values=1.0)


@st.composite
def layers(draw):
    """One layer, from every kind that moves positions."""
    k, s = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    low, high = draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))
    kind = draw(st.sampled_from(["conv", "max", "average", "slice", "pad"]))
    if kind == "conv":
        d = draw(st.integers(1, 3))
        return averaging(k, stride=s, padding=[(low, high)], dilation=d)
    if kind == "slice":
        return sliced(low, s)
    if kind == "pad":
        return padded(low, high)
    pool = max_pool if kind == "max" else avg_pool
    ceil = draw(st.booleans())
    return functools.partial(
        pool, window=k, stride=s, padding=[(low, high)], ceil_mode=ceil
    )


@st.composite
def branched(draw):
    """Branches of one stride that keep the size together, and how they meet."""
    stride, branches = draw(st.integers(1, 2)), []
    for _ in range(draw(st.integers(2, 3))):
        chain = []
        for s in (stride, *[1] * draw(st.integers(0, 2))):
            k = draw(st.integers(1, 5))
            low = draw(st.integers(0, k - 1))
            same = [(low, k - 1 - low)]
            if draw(st.booleans()):
                chain.append(averaging(k, stride=s, padding=same))
            else:
                chain.append(
                    functools.partial(max_pool, window=k, stride=s, padding=same)
                )
        branches.append(chain)
    if draw(st.booleans()):
        branches.append([sliced(0, stride)])
    meet = draw(st.sampled_from(["add", "concatenate", "remat"]))

    def join(x):
        outs = [run(chain)(x) for chain in branches]
        if meet == "concatenate":
            return jnp.concatenate(outs, -1)
        return sum(out.mean(-1, keepdims=True) for out in outs)

    return jax.checkpoint(join) if meet == "remat" else join


def run(chain):
    def function(x):
        for layer in chain:
            x = layer(x)
        return x

    return function


@settings(max_examples=20, deadline=None)
@given(st.lists(st.one_of(layers(), branched()), min_size=1, max_size=4))
def test_any_graph_sees_what_its_numbers_depend_on(chain):
    found = reach(run(chain), jnp.ones((1, N, 1)))
    # Where no padding is in sight, so that clipping plays no part.
    assume(found.high - found.low < N // 3)
    i, positions = support(run(chain))
    low, high = i * found.jump + found.low, i * found.jump + found.high
    assume(20 <= low and high < N - 20)
    assert (positions[0], positions[-1]) == (low, high)
    assert receptive_fields(run(chain), jnp.ones((1, N, 1))) == (
        ReceptiveField(high - low + 1, found.jump),
    )


def averages(path, leaf):
    """Kernels that sum to 1, norms that change nothing."""
    name = path[-1].key
    values = {"kernel": leaf.size / leaf.shape[-1], "scale": 1.0, "var": 1.0}
    return jnp.full(leaf.shape, 1 / values[name] if name in values else 0.0)


def test_layers_of_a_residual_net_see_what_their_numbers_depend_on():
    """Whole rows change, one at a time; every layer's middle row is looked at."""
    model = ResNet(blocks=(1, 1), widths=(2, 2), stem="caffe", classes=3)
    x = 1 + np.random.default_rng(0).random((1, 48, 8, 3), np.float32)
    changed = x + 1e6 * np.eye(48, dtype=np.float32)[:, :, None, None]
    rows = jnp.asarray(np.concatenate([x, changed]))
    shapes = jax.eval_shape(model.init, jax.random.key(0), rows)
    seen = capture(model, jax.tree.map_with_path(averages, shapes), rows)
    fields = {layer.name: layer.fields for layer in summarize(model, rows).layers}
    assert list(seen) == list(fields) and len(seen) == 3 + 8 + 8 + 2
    for name, y in list(seen.items())[:-2]:
        i = y.shape[1] // 2
        moved = np.abs(y[1:, i] - y[0, i]) > 1e-3 * np.abs(y[0, i])
        positions = np.flatnonzero(moved.any(axis=(1, 2)))
        assert positions[-1] - positions[0] + 1 == fields[name][0].size, name
    assert fields["pool"] == fields["fc"] == (None, None)


by_hand = jax.custom_vjp(averaging(3))
by_hand.defvjp(lambda x: (averaging(3)(x), None), lambda _, g: (g,))
WHOLE = jnp.ones((40, 3))

EXACT = {
    "identity": (lambda x: x, (1, 1)),
    "product of rows": (
        lambda x: (x.reshape(-1, 1) @ jnp.ones((1, 2))).reshape(*x.shape[:2], 2),
        (1, 1),
    ),
    "elementwise": (lambda x: jax.nn.gelu(x) * 2 - jnp.where(x > 1, x, 0), (1, 1)),
    "hand-written backward": (by_hand, (3, 1)),
    "rectifier": (lambda x: jax.nn.relu(averaging(3)(x)), (3, 1)),
    "jit": (jax.jit(averaging(3, stride=2)), (3, 2)),
    "checkpoint": (jax.checkpoint(averaging(3, stride=2)), (3, 2)),
    "stride of a slice": (lambda x: x[:, 1::3], (1, 3)),
    "slices": (lambda x: x[:, 4:] + x[:, :-4], (5, 1)),
    "transposed": (lambda x: averaging(3)(x).transpose(2, 1, 0), (3, 1)),
    "channels mixed": (lambda x: averaging(3)(x) @ jnp.ones((1, 5)), (3, 1)),
    "channels summed": (lambda x: averaging(3)(x).sum(-1, keepdims=True), (3, 1)),
    "channels split": (
        lambda x: jnp.split(averaging(3)(x) @ jnp.ones((1, 4)), 2, -1)[1],
        (3, 1),
    ),
    "channels reshaped": (
        lambda x: (averaging(3)(x) @ jnp.ones((1, 4))).reshape(1, -1, 2, 2)[..., 0],
        (3, 1),
    ),
    "axis squeezed": (lambda x: averaging(3)(x)[:, :, 0][..., None], (3, 1)),
    "einsum": (lambda x: jnp.einsum("bnc,cd->dnb", x, jnp.ones((1, 2))), (1, 1)),
    "products of batches": (lambda x: jnp.einsum("bnc,bnd->bnd", x, x), (1, 1)),
    "constants": (lambda x: x + jnp.cumsum(jnp.ones((1, 40, 1)), 1), (1, 1)),
    "whole input": (lambda x: (x.reshape(1, 40) @ WHOLE).reshape(1, 1, 3), (40, 1)),
    "whole map": (
        lambda x: (averaging(3, stride=2)(x).reshape(1, 19) @ WHOLE[:19])[:, None],
        (39, 2),  # 3 and 18 steps of 2
    ),
    "loop": (
        lambda x: jax.lax.fori_loop(0, 3, lambda _, y: averaging(3, padding=1)(y), x),
        (7, 1),
    ),
    "outputs of a loop": (
        lambda x: jax.lax.scan(
            lambda c, w: (c, averaging(3)(x) * w), 0, jnp.ones((2,))
        )[1].sum(0),
        (3, 1),
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_programs_by_hand(name):
    function, field = EXACT[name]
    assert receptive_fields(function, jnp.ones((1, 40, 1))) == (ReceptiveField(*field),)


def differing(x):
    def body(carry, _):
        carry = averaging(3, padding=1)(carry)
        return carry, carry

    return jax.lax.scan(body, x, None, length=3)[1][0]


def recurrent(x):
    def body(carry, row):
        return carry + row, carry

    return jax.lax.scan(body, jnp.zeros((1, 1)), x.swapaxes(0, 1))[1].swapaxes(0, 1)


def until(x):
    step = averaging(3, padding=1)
    return jax.lax.while_loop(lambda y: y.sum() < 3, lambda y: y + step(y), x)


EVERYTHING = {
    "mean": lambda x: jnp.broadcast_to(x.mean(1, keepdims=True), x.shape),
    "sum": lambda x: x.sum(1)[..., None],
    "gate": lambda x: x * jax.nn.sigmoid(x.mean(1, keepdims=True)),
    "parts in turn": lambda x: jnp.concatenate([x[:, :20], x[:, 30:]], 1),
    "reversal": lambda x: x[:, ::-1],
    "running sum": lambda x: jnp.cumsum(x, 1),
    "sorting": lambda x: jnp.sort(x, 1),
    "gather": lambda x: x[:, jnp.arange(0, 40, 3)],
    "interior padding": lambda x: jax.lax.pad(
        x, 0.0, [(0, 0, 0), (0, 0, 1), (0, 0, 0)]
    ),
    "transposed convolution": lambda x: conv_transpose(
        x, jnp.ones((3, 1, 1)), stride=2
    ),
    "repetition": lambda x: jnp.repeat(x, 2, 1),
    "spread": lambda x: jnp.broadcast_to(x[:, 7:8], x.shape),
    "branches of two strides": lambda x: x[:, ::2][:, :10] + x[:, :10],
    "branches that are transposed": lambda x: x[..., 0] + x[..., 0].T,
    "kernel from the input": lambda x: conv(x, x[0, :3, :, None]),
    "positions as channels": lambda x: conv(
        x.swapaxes(1, 2), jnp.ones((3, 40, 2)), padding=1
    ),
    "regrouped": lambda x: x.reshape(1, 20, 2),
    "outputs of a loop that differ": differing,
    "loop over positions": recurrent,
    "loop of unknown length": until,
    "condition": lambda x: jax.lax.cond(x.sum() > 0, averaging(3), averaging(3), x),
}
# x + x.T is of another shape unless both axes are as long.
SQUARE = {"branches that are transposed": (40, 40, 1)}


@pytest.mark.parametrize("name", EVERYTHING)
def test_what_is_not_known_to_be_less_sees_everything(name):
    shape = SQUARE.get(name, (1, 40, 1))
    out = jax.eval_shape(EVERYTHING[name], jnp.ones(shape))
    assert receptive_fields(EVERYTHING[name], jnp.ones(shape)) == (None,), out.shape


def test_axes_are_told_apart():
    """1x7, then 3x1 at stride 2: height and width differ in size and jump."""

    def function(x):
        x = conv(x, jnp.ones((1, 7, 3, 2)), padding=[(0, 0), (3, 3)])
        return conv(x, jnp.ones((3, 1, 2, 2)), stride=(2, 1))

    x = jax.ShapeDtypeStruct((2, 30, 30, 3), "float32")
    assert receptive_fields(function, x) == (ReceptiveField(3, 2), ReceptiveField(7, 1))
    assert receptive_fields(lambda x: function(x).mean(2, keepdims=True), x) == (
        ReceptiveField(3, 2),
        None,
    )


def test_a_convolution_of_any_layout_is_followed():
    def function(x):
        return jax.lax.conv_general_dilated(
            x.transpose(0, 3, 1, 2),
            jnp.ones((4, 3, 5, 3)),
            window_strides=(2, 1),
            padding=[(1, 1), (0, 0)],
            rhs_dilation=(1, 3),
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
        ).transpose(0, 2, 3, 1)

    x = jax.ShapeDtypeStruct((1, 30, 30, 3), "float32")
    assert receptive_fields(function, x) == (ReceptiveField(5, 2), ReceptiveField(7, 1))


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_inputs_without_positions_have_no_fields(shape):
    assert receptive_fields(lambda x: 2 * x, jnp.ones(shape)) == ()


def test_a_constant_sees_nothing():
    assert receptive_fields(lambda x: jnp.ones((1, 5, 1)), jnp.ones((1, 9, 1))) == ()


PUBLISHED = {
    # name: {layer or module: (size, jump)}
    "alexnet_2012": {"conv1": (11, 4), "pool1": (19, 8), "pool5": (195, 32)},
    "zfnet": {"pool5": (171, 32)},
    "vgg16": {"conv1_2": (5, 1), "conv5_3": (196, 16), "pool5": (212, 32)},
    # The widest branch counts: 5x5 in every module, then 7x7 at jump 32 to the end.
    "googlenet_paper": {
        "pool2": (27, 8),
        "inception_3a": (59, 8),
        "inception_3a/1x1": (27, 8),
        "inception_3a/pool_proj": (43, 8),
        "inception_4e": (427, 16),
        "inception_5b": (715, 32),
    },
    # 3x3 kernels: 11 + 3 x 8, + 4 x 16, + 6 x 32, + 3 x 64 where the stride comes
    # first; where the 3x3 has it, the first of a stage still has the finer jump.
    "resnet50_v1": {
        "pool1": (11, 4),
        "stage1": (35, 4),
        "stage2": (99, 8),
        "stage3": (291, 16),
        "stage4": (483, 32),
        "stage4/block1/shortcut": (291, 32),
    },
    "resnet50": {
        "stage1": (35, 4),
        "stage2": (91, 8),
        "stage3": (267, 16),
        "stage4": (427, 32),
    },
    "cifar_resnet20": {"stage1": (15, 1), "stage2": (37, 2), "stage3": (81, 4)},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_fields_of_the_published_networks(name):
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), "float32")
    found = summarize(create(name), x)
    rows = found.groups | {layer.name: layer for layer in found.layers}
    for layer, field in PUBLISHED[name].items():
        assert rows[layer].fields == (ReceptiveField(*field),) * 2, layer
