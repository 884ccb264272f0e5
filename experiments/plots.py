"""The pictures that experiments leave in their run directories."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only: no window, no display needed

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullFormatter,
    StrMethodFormatter,
)

BLUE, ORANGE, GREY = "#20639b", "#e07b39", "#8a8a8a"


def _save(figure, path: Path) -> None:
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def _clean(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def curves(
    rows: Sequence[dict],
    path: Path,
    *,
    title: str,
    held_out: str = "test",
    part: str = "test",
) -> None:
    """Loss and error rate over epochs, training beside what is held out: rows have it
    as `part`_loss and `part`_accuracy."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    left.set_title(title, loc="left")
    tested = [row for row in rows if f"{part}_loss" in row]
    pairs = ((rows, "", "training", BLUE), (tested, f"{part}_", held_out, ORANGE))
    for some, prefix, label, colour in pairs:
        epochs = [row["epoch"] for row in some]
        losses = [row[f"{prefix}loss"] for row in some]
        errors = [100 * (1 - row[f"{prefix}accuracy"]) for row in some]
        mark = "o" if len(some) == 1 else None
        left.plot(epochs, losses, marker=mark, color=colour, label=label)
        right.plot(epochs, errors, marker=mark, color=colour, label=label)
    _clean(left, "epoch", "loss per example")
    _clean(right, "epoch", "error, %")
    for axes, values in ((left, "loss"), (right, "error")):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_yscale("log" if values == "loss" else "linear")
        axes.set_ylim(bottom=None if values == "loss" else 0)
        axes.legend(frameon=False)
    # 0.5, not 5 x 10^-1, also where a loss falls by less than a power of ten.
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    left.yaxis.set_minor_formatter(NullFormatter())
    _save(figure, path)


def confusion(
    counts: np.ndarray,
    classes: Sequence[str],
    path: Path,
    *,
    title: str,
    shares: bool = False,
) -> None:
    """Each row is a true class; colour is the share of the row that went where.

    Numbers are counts, or with `shares` percents of the row.
    """
    n = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = max(4.5, 0.42 * n + 1.5)
    figure, axes = plt.subplots(figsize=(size, size))
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(n):
        for j in range(n):
            text = f"{100 * share[i, j]:.0f}" if shares else str(counts[i, j])
            if text != "0":
                colour = "white" if share[i, j] > 0.5 else "black"
                axes.text(
                    j, i, text, ha="center", va="center",
                    color=colour, fontsize=7,
                )  # fmt: skip
    turn = 90 if max(map(len, classes)) > 2 else 0
    axes.set_xticks(range(n), classes, rotation=turn)
    axes.set_yticks(range(n), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    figure.colorbar(image, ax=axes, fraction=0.046, label="share of the true class")
    _save(figure, path)


def filter_grid(filters: np.ndarray, path: Path, *, title: str) -> None:
    """Filters [maps, h, w] side by side on one scale: red positive, blue negative."""
    columns = min(len(filters), 10)
    rows = -(-len(filters) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.1 * columns + 0.8, 1.1 * rows + 0.5), squeeze=False
    )
    figure.suptitle(title, x=0.12, y=1.02, ha="left")
    limit = np.abs(filters).max()
    for i, cell in enumerate(axes.flat):
        cell.axis("off")
        if i < len(filters):
            image = cell.imshow(filters[i], cmap="RdBu_r", vmin=-limit, vmax=limit)
            cell.set_title(str(i), fontsize=7, color=GREY, pad=2)
    figure.colorbar(image, ax=axes, fraction=0.02, pad=0.02)
    _save(figure, path)


def feature_maps(
    image: np.ndarray, layers: dict[str, np.ndarray], path: Path, *, title: str
) -> None:
    """One input [h, w] and the maps [h, w, c] that each layer makes of it, a row each.

    Every row has its own grey scale: layers differ in range.
    """
    columns = max(maps.shape[-1] for maps in layers.values())
    figure, axes = plt.subplots(
        len(layers) + 1,
        columns,
        figsize=(0.75 * columns + 1, 1.0 * (len(layers) + 1)),
        squeeze=False,
        gridspec_kw={"hspace": 0.45, "wspace": 0.08},
    )
    for cell in axes.flat:
        cell.axis("off")
    axes[0, 0].imshow(image, cmap="gray")
    axes[0, 0].set_title(f"{title}: input", fontsize=9, loc="left")
    for row, (name, maps) in zip(axes[1:], layers.items(), strict=True):
        low, high = maps.min(), maps.max()
        for i in range(maps.shape[-1]):
            row[i].imshow(maps[..., i], cmap="gray", vmin=low, vmax=high)
        size = f"{maps.shape[-1]} maps, {maps.shape[0]}x{maps.shape[1]}"
        row[0].set_title(f"{name}: {size}", fontsize=9, loc="left")
    _save(figure, path)


def mistakes(
    pictures: Sequence[np.ndarray],
    classes: Sequence[tuple[str, str]],
    path: Path,
    *,
    title: str,
) -> None:
    """Pictures [h, w, 3] with their true class above and what they were taken for."""
    columns = min(len(pictures), 6)
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.7 * columns, 2.1 * rows), squeeze=False
    )
    figure.suptitle(title, x=0.02, ha="left")
    for cell in axes.flat:
        cell.axis("off")
    for cell, picture, (true, taken) in zip(axes.flat, pictures, classes, strict=False):
        cell.imshow(picture)
        cell.set_title(f"{true}\nnot {taken}", fontsize=8)
    figure.tight_layout()
    _save(figure, path)


def flavours(rows: Mapping[str, Sequence[dict]], path: Path, *, size: int) -> None:
    """Test error of several descents over passes and over time, one line each."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8))
    for (name, part), colour in zip(rows.items(), (ORANGE, BLUE, GREY), strict=True):
        epochs = [row["epoch"] for row in part]
        errors = [100 * (1 - row["test_accuracy"]) for row in part]
        updates = part[-1]["step"] // part[-1]["epoch"]
        label = f"{name}, {updates} update{'s' * (updates > 1)} a pass"
        left.plot(epochs, [row["loss"] for row in part], color=colour)
        middle.plot(epochs, errors, color=colour, label=label)
        seconds = np.cumsum([row["seconds"] for row in part[1:]])
        right.plot(seconds, errors[1:], color=colour)
    left.set_yscale("log")
    _clean(left, f"passes over {size} examples", "training loss per example")
    _clean(middle, f"passes over {size} examples", "test error, %")
    _clean(right, "seconds after the first pass", "test error, %")
    middle.legend(frameon=False)
    if all(len(part) > 1 for part in rows.values()):
        right.set_xscale("log")
    _save(figure, path)


def online_curve(rows: Sequence[dict], path: Path, *, title: str) -> None:
    """Loss and accuracy of names when they are drawn, before they are learned from."""
    figure, axes = plt.subplots(figsize=(6.5, 4))
    updates = [row["step"] for row in rows]
    axes.plot(updates, [row["loss"] for row in rows], color=BLUE, label="loss")
    accuracies = [row["accuracy"] for row in rows]
    axes.plot(updates, accuracies, color=ORANGE, label="accuracy")
    axes.set_ylim(bottom=0)
    _clean(axes, "names, one update each", "mean over the last 1,000 names")
    axes.set_title(title, loc="left")
    axes.legend(frameon=False)
    _save(figure, path)
