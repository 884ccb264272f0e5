"""Pictures of language models: how one learns, and what surprises it in a text."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only: no window, no display needed

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from experiments.plots import BLUE, GREY, ORANGE

COLUMNS, LINES = 88, 32  # of the picture of a text
MOST = 8.0  # bits from which on a symbol has the full colour
HEAT = LinearSegmentedColormap.from_list("surprise", ["#ffffff", "#ffd9a0", "#e0512f"])


def learning(
    rows: Sequence[dict], counted: Mapping[str, float], path: Path, *, unit: str
) -> None:
    """Bits per symbol over epochs, in training and in validation, beside what counts
    of symbols reach (`counted`, in nats)."""
    figure, axes = plt.subplots(figsize=(7, 4.2))
    epochs = [row["epoch"] for row in rows]
    for name, label, colour in (
        ("loss", "training, as it learns", BLUE),
        ("valid_loss", "validation", ORANGE),
    ):
        bits = [row[name] / math.log(2) for row in rows]
        axes.plot(epochs, bits, marker="o", markersize=3, color=colour, label=label)
    for name, nats in counted.items():
        bits = nats / math.log(2)
        axes.axhline(bits, color=GREY, linestyle="--", linewidth=1)
        place = {"xytext": (2, 2), "textcoords": "offset points", "color": GREY}
        axes.annotate(name, (min(epochs), bits), fontsize=8, **place)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"bits per {unit}")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    _save(figure, path)


def surprise(
    symbols: Sequence[str], nats: np.ndarray, path: Path, *, title: str
) -> None:
    """A text, the ground behind each symbol as deep as the symbol was unlikely.

    A line end is shown by a mark, as the model must tell it too.
    """
    figure, axes = plt.subplots(figsize=(0.078 * COLUMNS + 1.2, 0.19 * LINES + 0.6))
    scale = Normalize(0, MOST)
    for line, column, text, width, bits in _laid(symbols, nats / math.log(2)):
        axes.add_patch(
            Rectangle((column, line), width, 1, color=HEAT(scale(bits)), lw=0)
        )
        place = {"ha": "left", "va": "center", "family": "monospace", "fontsize": 8}
        # No mathematics: a dollar in a text is a dollar.
        axes.text(column, line + 0.52, text, parse_math=False, **place)
    axes.set_xlim(0, COLUMNS + 2)
    axes.set_ylim(LINES, 0)
    axes.axis("off")
    axes.set_title(title, loc="left", fontsize=10)
    bar = ScalarMappable(scale, HEAT)
    figure.colorbar(bar, ax=axes, fraction=0.02, pad=0.01, label="bits", extend="max")
    _save(figure, path)


def _laid(symbols: Sequence[str], bits: np.ndarray):
    """(line, column, text, columns, bits) of the symbols that there is room for."""
    gap = int(any(len(s) > 1 for s in symbols))  # between words
    line = column = 0
    for symbol, cost in zip(symbols, bits, strict=True):
        ends = symbol in ("\n", "<eos>")
        text = "¶" if ends else symbol if symbol.isprintable() else "·"
        width = len(text)
        if column + width > COLUMNS + ends:
            line, column = line + 1, 0
        if line >= LINES:
            return
        yield line, column, text[:COLUMNS], min(width, COLUMNS), float(cost)
        line, column = (line + 1, 0) if ends else (line, column + width + gap)


def _save(figure, path: Path) -> None:
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)
