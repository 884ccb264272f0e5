"""A model's layers: what each puts out, holds, costs and sees."""

import itertools
from typing import NamedTuple

import flax.linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name

from jnets.errors import InputError
from jnets.inspect.receptive import Fields, follow, spatial
from jnets.layers import Cost
from jnets.typing import Array, PyTree

Path = tuple[str, ...]


class Layer(NamedTuple):
    """One layer, or a group of them, on one example.

    `fields` are what one output position sees along each spatial axis of the model's
    first input; None where that is everything. A group has those of what comes out of
    it, and the sums over its layers.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    connections: int
    macs: int
    fields: Fields


class Summary(NamedTuple):
    """The layers of a model in the order in which they are called.

    `groups` are the modules that hold layers, by name.
    """

    layers: tuple[Layer, ...]
    groups: dict[str, Layer]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def connections(self) -> int:
        return sum(layer.connections for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    def grouped(self, depth: int) -> "Summary":
        """With one row for all layers whose names agree in their first `depth` parts.

        Errors: InputError for a depth below 1.
        """
        if depth < 1:
            raise InputError(f"depth={depth} is not usable; expected at least 1")
        rows: dict[str, Layer] = {}
        for layer in self.layers:
            name = "/".join(layer.name.split("/")[:depth])
            rows[name] = layer if name == layer.name else self.groups[name]
        return self._replace(layers=tuple(rows.values()))


class _Call(NamedTuple):
    """The call of a module in a trace; `cost` is None if it only holds layers."""

    path: Path
    kind: str
    output: tuple[int, ...]
    parameters: int
    cost: Cost | None


def summarize(model: nn.Module, *inputs: Array) -> Summary:
    """Trace `model` on example inputs (batch axis first), computing nothing.

    Rows are the calls of the modules that have a `cost`, among them what only training
    needs, such as auxiliary heads. A layer in a stack of blocks has a row for each
    block, whose name has the block's place in the stack: `rest[0]/conv1`. Parameters
    that are used again count at their first use. A recurrent layer's weights are used
    at every step; its row is one step. Connections count every use of a weight or bias
    (LeCun et al. 1998); MACs leave biases out.
    """
    calls: list[_Call] = []

    def listen(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        call = _call(context, args, result)
        if call is None:
            return result
        calls.append(call)
        # A program is traced more often than it runs. The tag of a call's result tells
        # which calls the final one holds, in which order, and what each of them sees.
        (first, *rest), tree = jax.tree.flatten(result)
        return tree.unflatten([checkpoint_name(first, f"{len(calls) - 1}"), *rest])

    with nn.intercept_methods(listen):
        trace = jax.make_jaxpr(model.init, return_shape=True)
        program, variables = trace(jax.random.key(0), *inputs)
    tagged: list[tuple[_Call, tuple[int, ...], Fields]] = []
    follow(
        program.jaxpr,
        [None, spatial(inputs[0].shape), *[None] * (len(inputs) - 1)],
        lambda tag, turns, fields: tagged.append((calls[int(tag)], turns, fields)),
    )
    return _summary(tagged, variables["params"])


def _call(context, args, result) -> _Call | None:
    module, method = context.module, context.method_name
    layer, results = hasattr(module, "cost"), jax.tree.leaves(result)
    kind, own = type(module).__name__, jax.tree.leaves(module.variables.get("params"))
    size = sum(leaf.size for leaf in own)
    if method == "weights" and layer:
        x, y = results[0].shape[:1], results[0].shape[1:]
        return _Call(module.path, kind, y, size, module.cost(x, y))
    if method != "__call__" or not results:
        return None
    y = results[0].shape[1:]
    cost = module.cost(args[0].shape[1:], y) if layer else None
    return _Call(module.path, kind, y, size, cost)


def _summary(tagged, params: PyTree) -> Summary:
    layers: list[Layer] = []
    groups: dict[str, Layer] = {}
    loops = {call.path: len(turns) for call, turns, _ in tagged}
    left: dict[Path, int] = {}  # parameters that no row has counted
    for call, turns, fields in tagged:
        name = _name(call.path, turns, loops)
        if call.cost is None:
            if name in groups:
                ends = {"kind": call.kind, "output": call.output, "fields": fields}
                groups[name] = groups[name]._replace(**ends)
            continue
        count = min(call.parameters, left.setdefault(call.path, _owned(params, call)))
        left[call.path] -= count
        work = call.cost.connections, call.cost.macs
        layer = Layer(name, call.kind, call.output, count, *work, fields)
        layers.append(layer)
        for group in itertools.accumulate(name.split("/")[:-1], "{}/{}".format):
            groups[group] = _add(groups.get(group), layer)._replace(name=group)
    return Summary(tuple(layers), groups)


def _add(group: Layer | None, layer: Layer) -> Layer:
    if group is None:
        return layer
    return layer._replace(
        parameters=group.parameters + layer.parameters,
        connections=group.connections + layer.connections,
        macs=group.macs + layer.macs,
    )


def _name(path: Path, turns: tuple[int, ...], loops: dict[Path, int]) -> str:
    """The path, where the outermost module within a loop has the number of its turn."""
    parts, told = [], 0
    for i, part in enumerate(path, start=1):
        inside = loops.get(path[:i], told)
        parts.append(part + "".join(f"[{turn}]" for turn in turns[told:inside]))
        told = max(told, inside)
    return "/".join(parts)


def _owned(params: PyTree, call: _Call) -> int:
    for part in call.path:
        params = params.get(part, {})
    return sum(leaf.size for leaf in jax.tree.leaves(params))
