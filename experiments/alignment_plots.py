"""Pictures of nets that turn texts into texts: how they learned, where they look."""

import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

from experiments.plots import BLUE, ORANGE, _clean, _save
from experiments.text_to_text import Trained
from jnets.data.vocabulary import START, padded

SHOWN, LONGEST = 4, 24  # sentences in a picture, and units of each


def learning(rows: Sequence[dict], path: Path, name: str, shown: str) -> None:
    """Loss over passes, training beside validation, and the figure called `name` of
    greedy outputs, `shown` as its axis says."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    epochs = [row["epoch"] for row in rows]
    mark = "o" if len(rows) == 1 else None
    for loss, label, colour in (
        ("loss", "training, with smoothing and dropout", BLUE),
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
    if not chosen:
        return
    columns = min(2, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(6.2 * columns, 5.4 * rows), squeeze=False
    )
    for cell in axes.flat:
        cell.axis("off")
    weights = _weights(trained, chosen)
    for cell, (source, text), a in zip(axes.flat, chosen, weights, strict=False):
        read = trained.spec.source.split(source)[: a.shape[1]]
        wrote = [*trained.spec.target.split(text), "<end>"]
        shown = a[: len(wrote), : len(read)]
        cell.axis("on")
        cell.imshow(shown, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        if len(read) <= LONGEST:
            cell.set_xticks(range(len(read)), read, rotation=60, ha="right", fontsize=8)
        else:  # more than can be read: their places
            cell.set_xlabel("unit of the source")
        cell.set_yticks(range(len(wrote)), wrote, fontsize=8)
    figure.suptitle("where the decoder looks (columns: source, rows: written)")
    figure.tight_layout()
    _save(figure, path)


def _chosen(trained: Trained, sources, written) -> list[tuple[str, str]]:
    """Texts and what was made of them: of each part of the test set the longest whose
    units can all be named, or the shortest."""
    spec, found = trained.spec, []
    for part in np.array_split(np.arange(len(sources)), SHOWN):
        pairs = [(sources[i], written[i]) for i in part if written[i]]
        sizes = [
            max(len(spec.source.split(a)), len(spec.target.split(b))) for a, b in pairs
        ]
        sized = sorted(zip(sizes, pairs, strict=True))
        named = [pair for n, pair in sized if n <= LONGEST]
        if sized:
            found.append(named[-1] if named else sized[0][1])
    return found


def _weights(trained: Trained, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """The weights [N, T, S] of each text's units, its START and padding too."""
    spec = trained.spec
    sources = spec.source.encode([source for source, _ in pairs])
    targets = spec.target.encode([text for _, text in pairs])
    tokens, lengths = padded([row[: spec.most.source] for row in sources])
    target, _ = padded([[START, *row] for row in targets])
    align = jax.jit(functools.partial(trained.model.apply, method="align"))
    return np.asarray(align(trained.state.variables, tokens, lengths, target))
