"""Write the measured rows into the tables of README.md and benchmarks/README.md.

python -m benchmarks.tables            rewrite them
python -m benchmarks.tables --check    exit 1 if one is out of date
"""

import json
import re
import sys
from pathlib import Path

from benchmarks.timing import RESULTS

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md")


def surname() -> str:
    """Updates per second of the surname program, a row per stack."""
    lines = [
        "| device | Python, jax | jnets | PyTorch, one thread | ratio |",
        "|---|---|---|---|---|",
    ]
    rows = _rows("surname")
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
            f"| {_rate(ours)} | {_rate(theirs)} (torch {theirs['torch']}) "
            f"| {ours['ratio']:.1f} |"
        )
    return "\n".join(lines)


def updates_per_call() -> str:
    """Milliseconds per update, a row per model and stack."""
    rows = _rows("updates_per_call")
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


TABLES = {"surname": surname, "updates_per_call": updates_per_call}


def filled(page: str) -> str:
    """The page with what stands between its table marks made anew."""

    def table(match: re.Match[str]) -> str:
        return f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}"

    pattern = r"(<!-- table: (\w+) -->)\n.*?(<!-- end -->)"
    return re.sub(pattern, table, page, flags=re.DOTALL)


def _rate(row: dict) -> str:
    rate = row["updates_per_second"]
    return f"{rate['median']:,.0f} ({rate['slowest']:,.0f} to {rate['fastest']:,.0f})"


def _rows(name: str) -> list[dict]:
    lines = (RESULTS / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


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
