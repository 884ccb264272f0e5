"""The pictures of `vanishing_gradients`, to be read from the back of a lecture hall."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only: no window, no display needed

import matplotlib.pyplot as plt
import numpy as np

Rows = Sequence[dict[str, Any]]

# Okabe & Ito's colours, told apart by colour-blind eyes; lines differ in dashes too.
STYLES: dict[str, tuple[str, str, Any]] = {
    "elman": ("Elman (tanh)", "#D55E00", "-"),
    "irnn": ("IRNN (relu)", "#CC79A7", (0, (1, 1))),
    "lstm_1997": ("LSTM 1997", "#56B4E9", (0, (5, 1))),
    "lstm": ("LSTM, forget gate", "#0072B2", "-"),
    "gru": ("GRU", "#009E73", (0, (4, 1, 1, 1))),
}
LOWEST = -8.0  # powers of ten that are shown
LARGE: Any = {"font.size": 14, "axes.titlesize": 15, "lines.linewidth": 2.4}


def _save(figure, path: Path) -> None:
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def _clean(axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


@matplotlib.rc_context(LARGE)
def learning(
    looks: Mapping[str, Rows], path: Path, measure: str, baseline: float | None
) -> None:
    """Test loss over updates; `baseline` is what a constant answer costs."""
    figure, axes = plt.subplots(figsize=(9, 5))
    for name, rows in looks.items():
        label, colour, dashes = STYLES[name]
        steps = [row["step"] for row in rows]
        losses = [row["test_loss"] for row in rows]
        axes.plot(steps, losses, color=colour, ls=dashes, label=label)
    if baseline is not None:
        axes.axhline(baseline, color="black", lw=1.2, ls=":")
        axes.annotate(
            f"variance of the answer, {baseline:.3f}",
            (0.99, baseline), xycoords=("axes fraction", "data"),
            xytext=(0, 14), textcoords="offset points", ha="right", fontsize=12,
        )  # fmt: skip
    axes.set_yscale("log")
    start = max(rows[0]["test_loss"] for rows in looks.values())
    axes.set_ylim(top=min(3.0, 1.5 * start))  # of an IRNN it begins at thousands
    named = {"mse": "squared error", "loss": "cross entropy, nats"}[measure]
    _clean(axes, "updates", f"test, mean {named}")
    axes.set_title("Which nets learn across the lag", loc="left")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


@matplotlib.rc_context(LARGE)
def heat_maps(looks: Mapping[str, Rows], path: Path) -> None:
    """||dE/ds_t|| by its last step's, over t (across) and training (upwards)."""
    figure, grid = plt.subplots(
        2, 3, figsize=(14, 7.6), sharex=True, layout="constrained"
    )
    *panels, spare = grid.flat
    for axes, (name, rows) in zip(panels, looks.items(), strict=False):
        flow = np.array([row["flow"] for row in rows])
        steps = np.array([row["step"] for row in rows], float)
        image = axes.pcolormesh(
            np.arange(1, flow.shape[1] + 1), steps, flow - flow[:, -1:],
            cmap="viridis", vmin=LOWEST, vmax=0, shading="nearest",
        )  # fmt: skip
        axes.set_title(STYLES[name][0], loc="left")
        if name == "elman":
            _bounds(axes, rows)
    for axes in (grid[0, 2], grid[1, 0], grid[1, 1]):
        axes.set_xlabel("step t")
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("updates")
    spare.axis("off")
    figure.colorbar(
        image, cax=spare.inset_axes((0.12, 0.02, 0.06, 0.96)), extend="both",
        label="$\\log_{10}\\ \\|\\partial E/\\partial s_t\\| \\,/\\,"
        "\\|\\partial E/\\partial s_T\\|$",
    )  # fmt: skip
    spare.text(
        0.48, 0.5,
        "E: loss at the last step T\n$s_t$: state, h or (h, c)\n\n"
        "white: left of it Elman's\nbound $\\sigma_{max}^{\\,T-t}$ is below\n"
        "the value written there,\nas long as $\\sigma_{max} < 1$",
        va="center", fontsize=13, transform=spare.transAxes,
    )  # fmt: skip
    figure.suptitle("How much of the error reaches step t, as nets learn")
    _save(figure, path)


def _bounds(axes, rows: Rows) -> None:
    """Where sigma_max^(T-t) is a given power of ten, for as long as it is below 1."""
    length = len(rows[0]["flow"])
    steps = np.array([row["step"] for row in rows], float)
    sigma = np.array([row["sigma_max"] for row in rows])
    safe = np.where(sigma < 1, sigma, np.nan)
    for power in (-1, -2):
        t = length + power * np.log(10) / -np.log(safe)
        axes.plot(t, steps, color="white", ls="--", lw=2, marker="|", ms=18, mew=2.5)
        if 1 < t[0] < length:
            axes.annotate(
                f"$10^{{{power}}}$", (t[0], steps[0]), xytext=(4, 8),
                textcoords="offset points", color="white", fontsize=13,
            )  # fmt: skip
    axes.set_xlim(1, length)


@matplotlib.rc_context(LARGE)
def reach(norms: Mapping[str, np.ndarray], sigma_max: float, path: Path) -> None:
    """Largest singular values of ds_T/ds_k over T - k, and the Elman net's bound."""
    figure, axes = plt.subplots(figsize=(9, 5))
    for name, values in norms.items():
        label, colour, dashes = STYLES[name]
        shown = np.where(values > 0, values, np.nan)
        axes.plot(np.arange(len(values)), shown, color=colour, ls=dashes, label=label)
    lags = np.arange(len(values))
    label = f"bound for Elman:\n${sigma_max:g}^{{\\,T-k}}$"
    axes.plot(lags, sigma_max**lags, "k--", lw=1.6, label=label)
    axes.set_yscale("log")
    largest = max(np.max(values[np.isfinite(values)]) for values in norms.values())
    axes.set_ylim(10.0**LOWEST, 3 * max(1.0, largest))
    _clean(axes, "steps back, T - k", "$\\|\\partial s_T/\\partial s_k\\|$")
    axes.set_title("Before training: what is left of a change", loc="left")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


@matplotlib.rc_context(LARGE)
def clipping(rows: Mapping[str, Rows], threshold: float, path: Path) -> None:
    """Loss and gradient norm of an exploding Elman net, update by update."""
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(10, 6.6), sharex=True, layout="constrained"
    )
    looks = {"unclipped": ("#D55E00", "as it is"), "clipped": ("#0072B2", "clipped")}
    for name, part in rows.items():
        colour, label = looks[name]
        steps = [row["step"] for row in part]
        style = {"color": colour, "label": label, "lw": 1.4, "alpha": 0.85}
        upper.plot(steps, [row["loss"] for row in part], **style)
        lower.plot(steps, [row["grad_norm"] for row in part], **style)
        if len(part) < max(map(len, rows.values())):
            note = f"  lost after\n  {len(part)} updates"
            upper.plot(steps[-1:], [part[-1]["loss"]], "x", color=colour, ms=10, mew=3)
            upper.annotate(
                note, (steps[-1], part[-1]["loss"]), color=colour, fontsize=12, va="top"
            )
    lower.axhline(threshold, color="black", lw=1.4, ls="--")
    lower.annotate(
        f"clipped to {threshold:g}", (0.99, threshold), ha="right", fontsize=12,
        xycoords=("axes fraction", "data"), xytext=(0, 5), textcoords="offset points",
        bbox={"color": "white", "alpha": 0.7, "pad": 1},
    )  # fmt: skip
    for axes in (upper, lower):
        axes.set_yscale("log")
    _clean(upper, "", "training loss")
    _clean(lower, "updates", "$\\|dE/dW\\|$ before clipping")
    upper.set_title(
        "An Elman net whose gradients explode, by plain descent", loc="left"
    )
    upper.legend(frameon=False, ncols=2)
    _save(figure, path)
