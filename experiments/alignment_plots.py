"""Pictures of nets that turn texts into texts: how they learned, where they look."""

from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from experiments.plots import BLUE, ORANGE, _clean, _save
from experiments.text_to_text import Trained
from jnets.data.vocabulary import START

SHOWN, LONGEST = 4, 24  # sentences in a picture, and units of each


def learning(rows: Sequence[dict], path: Path, name: str, shown: str) -> None:
    """Loss over passes, training beside validation, and the figure called `name` of
    greedy outputs, `shown` as its axis says."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    epochs = [row["epoch"] for row in rows]
    mark = "o" if len(rows) == 1 else None
    for loss, label, colour in (
        ("loss", "training, as it is lessened", BLUE),
        ("val_loss", "validation", ORANGE),
    ):
        losses = [row[loss] for row in rows]
        left.plot(epochs, losses, marker=mark, color=colour, label=label)
    _clean(left, "pass", "loss per symbol")
    left.set_ylim(bottom=0)
    left.legend(frameon=False)
    right.plot(epochs, [row[name] for row in rows], marker=mark, color=ORANGE)
    _clean(right, "pass", f"{shown}, validation, greedy")
    right.set_ylim(bottom=0)
    _save(figure, path)


def alignments(
    trained: Trained, sources: Sequence[str], written: Sequence[str], path: Path
) -> None:
    """How much each unit written looked at each unit of the source, for a few texts."""
    chosen = _chosen(trained, sources, written)
    columns = min(2, max(1, len(chosen)))
    rows = max(1, -(-len(chosen) // columns))
    figure, axes = plt.subplots(
        rows, columns, figsize=(6.2 * columns, 5.4 * rows), squeeze=False
    )
    for cell in axes.flat:
        cell.axis("off")
    for cell, i in zip(axes.flat, chosen, strict=False):
        weights, read, wrote = _weights(trained, sources[i], written[i])
        cell.axis("on")
        cell.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        cell.set_xticks(range(len(read)), read, rotation=60, ha="right", fontsize=8)
        cell.set_yticks(range(len(wrote)), wrote, fontsize=8)
    figure.suptitle("where the decoder looks (columns: source, rows: written)")
    figure.tight_layout()
    _save(figure, path)


def _chosen(trained: Trained, sources, written) -> list[int]:
    """Texts of middling length, one from each part of the test set."""
    found = []
    for part in np.array_split(np.arange(len(sources)), SHOWN):
        sizes = [len(trained.spec.source.split(sources[i])) for i in part]
        good = [i for i, n in zip(part, sizes, strict=True) if n <= LONGEST]
        good = [i for i in good if written[i]]
        if good:
            found.append(max(good, key=lambda i: len(sources[i])))
    return found


def _weights(trained: Trained, source: str, written: str):
    """a [T, S] of one text, and the units it is of."""
    spec = trained.spec
    read, wrote = spec.source.split(source), spec.target.split(written)
    (row,) = spec.target.encode([written])
    tokens, lengths, _ = spec.encode(source)
    target = jnp.asarray([[START, *row]], jnp.int32)
    given = jnp.asarray(tokens), jnp.asarray(lengths), target
    weights = trained.model.apply(trained.state.variables, *given, method="align")
    return np.asarray(weights)[0], read, [*wrote, "<end>"]
