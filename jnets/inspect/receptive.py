"""What each position of an array sees of the input, by data flow through a jaxpr.

The rules of `jnets.inspect.reach` are followed through the traced program, so that a
field is right for any graph, with branches and shortcuts, and for any way in which a
layer is written.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import Jaxpr, JaxprEqn, Literal, jaxprs_in_params

from jnets.inspect.reach import RULES, Reach, hull, shape_of, shifted
from jnets.ops import ReceptiveField
from jnets.typing import Array

Fields = tuple[ReceptiveField | None, ...]
# One entry for each spatial axis of the input, where None sees everything. A value
# that depends on no input has None in place of the tuple.
Seen = tuple[Reach | None, ...] | None
# What is told of a tagged value: its tag, the turns of the loops around it, its fields.
Visit = Callable[[str, tuple[int, ...], Fields], None]

# Primitives that call one jaxpr on their operands; remat2 is jax.checkpoint.
CALLS = {"jit", "remat2", "custom_jvp_call", "custom_vjp_call"}


def receptive_fields(function: Callable[[Array], Array], x: Array) -> Fields:
    """The field of one position of function(x), along each spatial axis of x.

    x is [B, *S, C], as an array or a jax.ShapeDtypeStruct. None stands for the whole
    input. The size is the unclipped one that papers quote: it counts padding, and may
    exceed the input. Where branches meet, it is the size of their hull.

    >>> import jax.numpy as jnp
    >>> from jnets.ops import max_pool
    >>> receptive_fields(lambda x: max_pool(x, 3, stride=2), jnp.ones((1, 9, 1)))
    (ReceptiveField(size=3, jump=2),)
    """
    jaxpr = jax.make_jaxpr(function)(x).jaxpr
    (seen,) = follow(jaxpr, [spatial(x.shape)], lambda *tagged: None)
    return fields(seen, shape_of(jaxpr.outvars[0]))


def spatial(shape: tuple[int, ...]) -> Seen:
    """Of an input [B, *S, C] each position sees itself; others have no positions."""
    if not 3 <= len(shape) <= 5:
        return None
    return tuple(Reach(axis) for axis in range(1, len(shape) - 1))


def fields(seen: Seen, shape: tuple[int, ...]) -> Fields:
    """The fields of an array [B, *S, C] of this shape; None where it sees all."""
    one = math.prod(shape[1:-1]) == 1

    def field(reach: Reach | None) -> ReceptiveField | None:
        if reach is None or reach.merged or len(shape) < 3:
            return None
        if reach.axis is None and not one:
            return None
        return ReceptiveField(reach.high - reach.low + 1, reach.jump)

    return tuple(map(field, seen or ()))


def follow(
    jaxpr: Jaxpr,
    inputs: Sequence[Seen],
    visit: Visit,
    turns: tuple[int, ...] = (),
) -> list[Seen]:
    """What the outputs see, given what the inputs see.

    `visit` is called for every `jax.ad_checkpoint.checkpoint_name` on the way, in the
    order of the program and once for each turn of a `lax.scan`.
    """
    seen = dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Seen:
        return None if isinstance(atom, Literal) else seen.get(atom)

    for eqn in jaxpr.eqns:
        outputs = _equation(eqn, [read(atom) for atom in eqn.invars], visit, turns)
        seen.update(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(eqn: JaxprEqn, args: list[Seen], visit: Visit, turns) -> list[Seen]:
    name = eqn.primitive.name
    if name == "name":
        visit(eqn.params["name"], turns, fields(args[0], shape_of(eqn.invars[0])))
        return args
    inner = list(jaxprs_in_params(eqn.params))
    if name in CALLS:
        return follow(inner[0], args, visit, turns)
    if name == "scan":
        return _scan(eqn, inner[0], args, visit, turns)
    known = [seen for seen in args if seen is not None]
    everything = (None,) * len(known[0]) if known else None
    rule = RULES.get(name)
    if rule is None:
        for jaxpr in inner:  # only for the tags in it
            follow(jaxpr, [everything] * len(jaxpr.invars), visit, turns)
    if rule is None or not known:
        return [everything] * len(eqn.outvars)
    moved = [
        tuple(None if reach is None else rule(eqn, k, reach) for reach in seen)
        for k, seen in enumerate(args)
        if seen is not None
    ]
    return [functools.reduce(_merge, moved)] * len(eqn.outvars)


def _merge(a, b):
    return tuple(map(hull, a, b))


def _scan(eqn: JaxprEqn, body: Jaxpr, args: list[Seen], visit: Visit, turns):
    """The body turn by turn, until a turn changes nothing and meets no tag."""
    consts, carries = _operands(eqn.params)
    fixed, carry = args[:consts], args[consts : consts + carries]
    xs = [_leading(seen, -1) for seen in args[consts + carries :]]
    stacked: list[Seen] | None = None
    tags = 0

    def tell(*tagged) -> None:
        nonlocal tags
        tags += 1
        visit(*tagged)

    for turn in range(eqn.params["length"]):
        before, met = carry, tags
        out = follow(body, [*fixed, *carry, *xs], tell, (*turns, turn))
        carry, ys = out[:carries], [_leading(seen, 1) for seen in out[carries:]]
        stacked = ys if stacked is None else list(map(_either, stacked, ys))
        if carry == before and tags == met:
            break
    return [*carry, *(stacked or [None] * (len(eqn.outvars) - carries))]


def _operands(params: dict[str, Any]) -> tuple[int, int]:
    """How many operands of a scan are constants, how many are carried."""
    if "ft_in" in params:  # from jax 0.12 on
        consts, carry, _ = params["ft_in"].unpack()
        return len(consts), len(carry)
    return params["num_consts"], params["num_carry"]


def _leading(seen: Seen, by: int) -> Seen:
    """With a leading axis more or less; a position along the lost one is unknown."""
    if seen is None:
        return None
    return tuple(r if r is None or r.axis is None else shifted(r, by) for r in seen)


def _either(a: Seen, b: Seen) -> Seen:
    return a if a == b else (None,) * len(a or b or ())
