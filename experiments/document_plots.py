"""The pictures of `document_classifier`: two models learning, and the bag's words."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only: no window, no display needed

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from jnets.data.vocabulary import MARKS

BLUE, ORANGE = "#20639b", "#e07b39"
WORDS = 9  # of each class


def curves(rows: Mapping[str, Sequence[dict]], path: Path) -> None:
    """Loss and error of each model over epochs: dashed in training, full on tests."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    for (name, part), colour in zip(rows.items(), (BLUE, ORANGE), strict=True):
        epochs = [row["epoch"] for row in part]
        mark = "o" if len(part) == 1 else None
        for prefix, line in (("", "--"), ("test_", "-")):
            label = f"{name}, {'test' if prefix else 'training'}"
            losses = [row[f"{prefix}loss"] for row in part]
            errors = [100 * (1 - row[f"{prefix}accuracy"]) for row in part]
            left.plot(epochs, losses, line, marker=mark, color=colour, label=label)
            right.plot(epochs, errors, line, marker=mark, color=colour)
    for axes, what in ((left, "loss per text"), (right, "error, %")):
        axes.set_xlabel("epoch")
        axes.set_ylabel(what)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Above both: test losses may rise to where a legend would be.
    figure.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 0.9), ncols=4)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def words(
    weights: np.ndarray, symbols: Sequence[str], classes: Sequence[str], path: Path
) -> None:
    """What speaks most for each class in the bag: `weights` [words, classes], each
    less the word's mean over classes, as a softmax sees no more."""
    weights = (weights - weights.mean(axis=1, keepdims=True))[len(MARKS) :]
    symbols = symbols[len(MARKS) :]
    columns = min(len(classes), 5)
    rows = -(-len(classes) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.7 * columns, 2.5 * rows), squeeze=False, sharex=True
    )
    for cell in axes.flat[len(classes) :]:
        cell.axis("off")
    for cell, name, column in zip(axes.flat, classes, weights.T, strict=False):
        best = np.argsort(-column, kind="stable")[:WORDS]
        cell.barh(range(len(best)), column[best], color=BLUE)
        # A dollar sign would begin mathematics.
        labels = [str(symbols[i]).replace("$", r"\$")[:16] for i in best]
        cell.set_yticks(range(len(best)), labels)
        cell.invert_yaxis()
        cell.set_title(name, fontsize=11, loc="left")
        cell.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("weight of a word for the class", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
