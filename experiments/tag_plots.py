"""The pictures of `pos_tagger`: how well each tag is found, and sentences in colour."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")  # files only: no window, no display needed

import matplotlib.pyplot as plt
import numpy as np

from jnets.data.conllu import Tagged
from jnets.training import Evaluation

BLUE, ORANGE, RED = "#20639b", "#e07b39", "#c1272d"
COLUMNS = 100  # letters of a line of sentences
WIDTH = 0.092  # inches of a letter of 11 points
LINES = 15
SHORTEST, LONGEST = 5, 30  # words of a sentence that is shown
CUT = 24  # letters of a word that are shown


def bars(figures: Evaluation, tags: Sequence[str], path: Path, *, title: str) -> None:
    """F1 of each tag as a bar, frequent tags first; precision and recall as marks."""
    counts = figures.confusion.sum(axis=1)
    order = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    precision, recall, f1 = figures.per_class[order].T
    at = np.arange(len(order))
    figure, axes = plt.subplots(figsize=(8, 0.34 * len(order) + 1.4))
    axes.barh(at, f1, color=BLUE, alpha=0.35, label="F1")
    axes.plot(precision, at, "|", color=BLUE, ms=13, mew=2.5, label="precision")
    axes.plot(recall, at, "|", color=ORANGE, ms=13, mew=2.5, label="recall")
    axes.set_yticks(at, [f"{tags[i]}  {counts[i]:,}" for i in order])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_title(title, loc="left")
    axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


class _Word(NamedTuple):
    """A word at its place; `true` is its tag and `found` the predicted one."""

    line: int
    column: int
    text: str
    true: str
    found: str


def sentences(data: Sequence[Tagged], predicted: Sequence[str], path: Path) -> None:
    """Words in the colour of their predicted tag, which stands below; where it is
    wrong, in red and with the true one. `predicted` are those of all words in turn."""
    words = list(_placed(data, predicted))
    tags = sorted(set(predicted))
    palette = plt.get_cmap("tab10" if len(tags) <= 10 else "tab20")
    colours = dict(zip(tags, palette(np.arange(20)), strict=False))
    lines = max((word.line for word in words), default=0) + 1
    figure = plt.figure(figsize=(WIDTH * (COLUMNS + 2), 0.52 * lines))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-1, COLUMNS + 1)
    axes.set_ylim(lines - 0.2, -0.4)
    axes.axis("off")
    for word in words:
        right = word.true == word.found
        below = word.found if right else f"{word.found}, not {word.true}"
        # A dollar sign would begin mathematics.
        text = word.text.replace("$", r"\$")
        axes.text(
            word.column, word.line, text, family="monospace", fontsize=11,
            color=0.75 * colours.get(word.found, np.zeros(4))[:3],
        )  # fmt: skip
        colour = "#777777" if right else RED
        axes.text(word.column, word.line + 0.32, below, fontsize=6, color=colour)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _placed(data: Sequence[Tagged], predicted: Sequence[str]) -> Iterator[_Word]:
    """The words of the first sentences of a middling length, line by line."""
    line, start = 0, 0
    for sentence in data:
        found = predicted[start : start + len(sentence.words)]
        start += len(found)
        if not SHORTEST <= len(found) <= LONGEST:
            continue
        column = 0
        for text, true, tag in zip(*sentence, found, strict=True):
            text = text if len(text) <= CUT else text[: CUT - 3] + "..."
            text = " ".join(text.split())  # a string may have lines of its own
            below = len(tag) if true == tag else len(tag) + len(", not ") + len(true)
            # Small capitals are five eighths as wide.
            room = max(len(text), -(-5 * below // 8))
            if column + room > COLUMNS:
                line, column = line + 1, 2
            if line >= LINES:
                return
            yield _Word(line, column, text, true, tag)
            column += room + 1
        line += 1
