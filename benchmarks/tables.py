"""Write the measured rows into the tables of README.md and benchmarks/README.md.

python -m benchmarks.tables            rewrite them
python -m benchmarks.tables --check    exit 1 if one is out of date
"""

import re
import sys
from pathlib import Path

from benchmarks import timing
from benchmarks.recurrent_tables import recurrence, recurrence_programs

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md")


def surname() -> str:
    """Updates per second of the surname program, a row per stack."""
    lines = [
        "| device | Python, jax | jnets | PyTorch, one thread | ratio |",
        "|---|---|---|---|---|",
    ]
    rows = timing.rows("surname")
    for ours in (row for row in rows if row["program"] == "jnets"):
        stack = (ours["device"], ours["cores"], ours["jax"])
        (theirs,) = [
            row
            for row in rows
            if row["program"] == "torch"
            and (row["device"], row["cores"], row["jax"]) == stack
        ]
        lines.append(
            f"| {ours['device']}, {ours['cores']} cores "
            f"| {ours['python']}, {ours['jax']} "
            f"| {_rate(ours['updates_per_second'])} "
            f"| {_rate(theirs['updates_per_second'])} (torch {theirs['torch']}) "
            f"| {ours['ratio']:.1f} |"
        )
    return "\n".join(lines)


def updates_per_call() -> str:
    """Milliseconds per update, a row per model and stack."""
    rows = timing.rows("updates_per_call")
    counts = list(rows[0]["ms_per_update"])
    lines = [
        "| model, batch | Python, jax, cores | "
        + " | ".join(f"{n} a call" for n in counts)
        + " |",
        "|---|---|" + "---|" * len(counts),
    ]
    for row in rows:
        shown = (row["ms_per_update"][n] for n in counts)
        cells = (f"{s[len(s) // 2]:.2f} ({s[0]:.2f} to {s[-1]:.2f})" for s in shown)
        lines.append(
            f"| {row['model']}, {row['examples']} "
            f"| {row['python']}, {row['jax']}, {row['cores']} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


# Forms of PyTorch's programs as the cells have them.
FORMS = {"eager": "", "channels_last": ", NHWC", "compile": ", compiled"}


def models() -> str:
    """Images per second of training and inference: a table per setting."""
    settings: dict[str, list[str]] = {}
    for ours in (row for row in timing.rows("models") if row["program"] == "jnets"):
        keys = ("device", "cores", "jax", "model", "batch", "size", "dtype")
        peers = [
            row
            for row in timing.rows("models")
            if row["program"] != "jnets" and all(row[k] == ours[k] for k in keys)
        ]
        torch = f", torch {ours['torch']}" if "torch" in ours else ""
        setting = (
            f"{ours['device']}, {ours['cores']} cores, jax {ours['jax']}{torch}; "
            f"batches of {ours['batch']}, {ours['dtype']}:"
        )
        settings.setdefault(setting, []).append(_models_line(ours, peers))
    heads = ("model, pixels", *(f"{kind}, images/s" for kind in ("training", "use")))
    head = f"| {heads[0]} | {heads[1]} | torch | ratio | {heads[2]} | torch | ratio "
    head += "| MiB | torch | compiling |\n" + "|---" * 10 + "|"
    tables = [f"{s}\n\n{head}\n" + "\n".join(rows) for s, rows in settings.items()]
    return "\n\n".join(tables) or "Not measured yet."


def _models_line(ours: dict, peers: list[dict]) -> str:
    cells = [f"{ours['model']}, {ours['size']}"]
    for kind in ("train", "infer"):
        cells.append(_rate(ours[kind], digits=1))
        if not peers:
            cells += ["", ""]
            continue
        best = max(peers, key=lambda row: row[kind]["median"])
        form = FORMS[best["program"].removeprefix("torch ")]
        ratio = ours[kind]["median"] / best[kind]["median"]
        cells += [_rate(best[kind], digits=1) + form, f"{ratio:.2f}"]
    least = [next(iter(row["mib"].values())) for row in peers if row["mib"]]
    cells.append(f"{ours['mib'].get('device', ours['mib']['plan']):,}")
    cells.append(f"{min(least):,}" if least else "")
    return f"| {' | '.join(cells)} | {ours['compile_seconds']:.0f} s |"


def principles() -> str:
    """What forms of a body cost, a row per form."""
    lines = []
    for row in timing.rows("principles"):
        ms, first = row["ms_per_step"], row["ms_to_first"]
        lines.append(
            f"| {row['body']} | {row['form']} | {row['parameters'] / 1e6:.2f} M "
            f"| {row['macs'] / 1e6:,.0f} M "
            f"| {ms[len(ms) // 2]:,.0f} ({ms[0]:,.0f} to {ms[-1]:,.0f}) | {first:.2f} "
            f"| {row['batch']}, {row['size']} | {row['jax']} |"
        )
    head = "| body | form | parameters | MACs | ms a step | to the first "
    head += "| batch, pixels | jax |\n" + "|---" * 8 + "|"
    return "\n".join([head, *lines]) if lines else "Not measured yet."


def compiling() -> str:
    """Seconds of compiling a training step and what it then takes, a row per model."""
    lines = []
    for row in timing.rows("compile"):
        cells = [f"{row['model']}, {row['batch']} x {row['size']}, {row['jax']}"]
        for seconds in row["seconds"].values():
            middle = {k: f"{s[len(s) // 2]:.1f}" for k, s in seconds.items()}
            total = seconds["all"]
            cells.append(
                f"{middle['all']} ({total[0]:.1f} to {total[-1]:.1f}): "
                f"{middle['trace']}, {middle['lower']}, {middle['xla']}"
            )
        cells += [f"{row['ratios'][k]:.2f}" for k in ("all", "cpu")]
        ms = [f"{s[len(s) // 2]:,.0f}" for s in row["ms_per_step"].values()]
        cells += [", ".join(ms), f"{max(row['differences'].values()):.0e}"]
        lines.append(f"| {' | '.join(cells)} |")
    head = "| model, batch x pixels, jax | flat: trace, lower, XLA | stacked "
    head += "| ratio | of CPU time | ms a step | difference |\n" + "|---" * 7 + "|"
    return "\n".join([head, *lines]) if lines else "Not measured yet."


def loader() -> str:
    """Pictures read per second: a table per machine and kind of pictures."""
    settings: dict[str, dict[int, dict[str, dict]]] = {}
    for row in timing.rows("loader"):
        torch = f", torch {row['torch']}" if "torch" in row else ""
        setting = (
            f"{row['device']}, {row['cores']} cores, jax {row['jax']}{torch}; "
            f"{row['pictures']:,} JPEGs of {row['pixels']}, {row['kib']} KiB each, to "
            f"{row['size']} pixels in batches of {row['batch']}:"
        )
        programs = settings.setdefault(setting, {}).setdefault(row["workers"], {})
        programs[row["program"]] = row["images_per_second"]
    head = "| workers | jnets, images/s | Pillow | ratio | torchvision | ratio |"
    head += "\n" + "|---" * 6 + "|"
    tables = []
    for setting, by_workers in settings.items():
        lines = []
        for workers, rates in by_workers.items():
            ours = rates["jnets"]
            cells = [str(workers or "threads"), _rate(ours)]
            for peer in ("Pillow", "torchvision"):
                theirs = rates.get(peer)
                cells.append(_rate(theirs) if theirs else "")
                cells.append(
                    f"{ours['median'] / theirs['median']:.2f}" if theirs else ""
                )
            lines.append(f"| {' | '.join(cells)} |")
        tables.append("\n".join([f"{setting}\n\n{head}", *lines]))
    return "\n\n".join(tables) or "Not measured yet."


TABLES = {
    "surname": surname,
    "updates_per_call": updates_per_call,
    "models": models,
    "principles": principles,
    "loader": loader,
    "compile": compiling,
    "recurrence": recurrence,
    "recurrence_programs": recurrence_programs,
}


def filled(page: str) -> str:
    """The page with what stands between its table marks made anew."""

    def table(match: re.Match[str]) -> str:
        return f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}"

    pattern = r"(<!-- table: (\w+) -->)\n.*?(<!-- end -->)"
    return re.sub(pattern, table, page, flags=re.DOTALL)


def _rate(rate: dict, digits: int = 0) -> str:
    median, slowest, fastest = (
        f"{rate[kind]:,.{digits}f}" for kind in ("median", "slowest", "fastest")
    )
    return f"{median} ({slowest} to {fastest})"


def main() -> int:
    stale = 0
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        if filled(text) == text:
            continue
        stale += 1
        if "--check" not in sys.argv[1:]:
            path.write_text(filled(text), encoding="utf-8")
            print(f"rewrote {path.relative_to(ROOT)}")
    return int("--check" in sys.argv[1:] and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
