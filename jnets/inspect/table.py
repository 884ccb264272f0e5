"""A summary as a table of at most 80 columns."""

from rich.table import Table
from rich.text import Text

from jnets.inspect.receptive import Fields
from jnets.inspect.summary import Summary

COLUMNS = {
    "kind": lambda layer: layer.kind,
    "maps": lambda layer: str(layer.output[-1]),
    "size": lambda layer: "x".join(map(str, layer.output[:-1])) or "1",
    "output": lambda layer: "x".join(map(str, layer.output)),
    "parameters": lambda layer: f"{layer.parameters:,}",
    "connections": lambda layer: f"{layer.connections:,}",
    "MACs": lambda layer: f"{layer.macs:,}",
    "sees": lambda layer: _size(layer.fields),
}
SHOWN = ("output", "parameters", "MACs", "sees")
SHOWN_1998 = ("kind", "maps", "size", "parameters", "connections", "MACs", "sees")


def to_table(title: str, summary: Summary, *, connections: bool = False) -> Table:
    """The layers under the names of the modules that hold them, and the totals.

    "sees" is the size of the receptive field, as height x width where they differ.
    With `connections` the columns are those of LeCun et al. 1998, who count the uses
    of weights and biases; they fit 80 columns for networks of that size.
    """
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column("layer", "total", no_wrap=True)
    shown = SHOWN_1998 if connections else SHOWN
    for name in shown:
        total = getattr(summary, name.lower(), None)
        table.add_column(
            name,
            "" if total is None else f"{total:,}",
            justify="left" if name == "kind" else "right",
        )
    above: list[str] = []
    for layer in summary.layers:
        *parents, name = layer.name.split("/")
        for level, parent in enumerate(parents):
            if above[: level + 1] != parents[: level + 1]:
                table.add_row(Text("  " * level + parent))
        above = parents
        cells = [COLUMNS[column](layer) for column in shown]
        table.add_row(Text("  " * len(parents) + name), *cells)
    return table


def _size(fields: Fields) -> str:
    sizes = ["all" if field is None else str(field.size) for field in fields]
    return sizes[0] if len(set(sizes)) == 1 else "x".join(sizes) or "all"
