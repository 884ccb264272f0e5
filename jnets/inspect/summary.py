"""A model as a table: what each layer puts out, holds and costs."""

from typing import NamedTuple

import flax.linen as nn
import jax
from rich.table import Table

from jnets.layers import Cost
from jnets.ops import ReceptiveField, receptive_field
from jnets.ops.window import Window
from jnets.typing import Array


class Layer(NamedTuple):
    """One layer on one example. `field` is None where a layer sees everything."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    connections: int
    macs: int
    field: ReceptiveField | None


class Summary(NamedTuple):
    """The layers of a model in the order in which they are called."""

    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def connections(self) -> int:
        return sum(layer.connections for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)


def summarize(model: nn.Module, *inputs: Array) -> Summary:
    """Trace `model` on example inputs (batch axis first), computing nothing.

    Rows are the modules that have a `cost`. A recurrent layer's weights are used at
    every step; its row is one step. Connections count every use of a weight or bias
    (LeCun et al. 1998); MACs leave biases out.
    """
    calls: list[tuple[nn.Module, tuple[int, ...], tuple[int, ...]]] = []

    def listen(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if hasattr(context.module, "cost"):
            if context.method_name == "__call__":
                shapes = args[0].shape[1:], result.shape[1:]
                calls.append((context.module, *shapes))
            elif context.method_name == "weights":
                inputs, features = result[0].shape
                calls.append((context.module, (inputs,), (features,)))
        return result

    with nn.intercept_methods(listen):
        variables = jax.eval_shape(model.init, jax.random.key(0), *inputs)

    layers: list[Layer] = []
    windows: tuple[list[Window], ...] | None = None
    for module, x, y in calls:
        cost: Cost = module.cost(x, y)  # type: ignore[attr-defined]
        windows = _extend(windows, cost.windows, first=not layers)
        field = receptive_field(windows[0]) if windows else None
        owned = _owned(variables["params"], module.path)
        count = sum(leaf.size for leaf in jax.tree.leaves(owned))
        name, kind = "/".join(module.path), type(module).__name__
        layers.append(Layer(name, kind, y, count, cost.connections, cost.macs, field))
    return Summary(tuple(layers))


def _extend(seen, windows: tuple[Window, ...], *, first: bool):
    """The windows passed so far, per axis; None from the first layer without any."""
    if not windows or (seen is None and not first):
        return None
    if seen is None:
        seen = tuple([] for _ in windows)
    return tuple([*past, w] for past, w in zip(seen, windows, strict=True))


def _owned(params, path: tuple[str, ...]):
    for part in path:
        params = params.get(part, {})
    return params


def to_table(title: str, summary: Summary) -> Table:
    """The summary as a table of at most 80 columns."""
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column("layer", "total", no_wrap=True)
    table.add_column("kind")
    table.add_column("maps", justify="right")
    table.add_column("size", justify="right")
    table.add_column("parameters", f"{summary.parameters:,}", justify="right")
    table.add_column("connections", f"{summary.connections:,}", justify="right")
    table.add_column("MACs", f"{summary.macs:,}", justify="right")
    table.add_column("sees", justify="right")
    for layer in summary.layers:
        *size, maps = layer.output
        table.add_row(
            layer.name,
            layer.kind,
            str(maps),
            "x".join(map(str, size)) or "1",
            f"{layer.parameters:,}",
            f"{layer.connections:,}",
            f"{layer.macs:,}",
            "all" if layer.field is None else str(layer.field.size),
        )
    return table
