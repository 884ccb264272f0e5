"""The tables of the recurrences' rows: one line per case, one per program."""

from benchmarks import timing


def recurrence() -> str:
    """Milliseconds of a recurrent layer beside the best peers: a table per setting."""
    settings: dict[str, list[str]] = {}
    for rows in _recurrence_cases():
        settings.setdefault(_setting(rows), []).extend(
            _recurrence_line(rows, kind) for kind in ("forward", "both")
        )
    head = "| cell; T, B, I, H | jnets, ms | best JAX peer | ratio | torch | ratio "
    head += "| floor | MiB, peer's | compiling, peer's |\n" + "|---" * 9 + "|"
    tables = [f"{s}\n\n{head}\n" + "\n".join(lines) for s, lines in settings.items()]
    return "\n\n".join(tables) or "Not measured yet."


def _recurrence_line(rows: list[dict], kind: str) -> str:
    ours, *peers = rows
    cells = [f"{_case(ours)}, {kind}", _ms(ours["ms"][kind])]
    on_jax = [row for row in peers if row["library"] not in ("jnets", "torch")]
    torch = [row for row in peers if row["library"] == "torch"]
    bests = [
        min(some, key=lambda row: row["ms"][kind]["median"]) if some else None
        for some in (on_jax, torch)
    ]
    for best in bests:
        shown = f"{_ms(best['ms'][kind])}, {best['program']}" if best else ""
        cells += [shown, f"{best['jnets_ratio'][kind]:.2f}" if best else ""]
    cells.append(f"{ours['floor_ms'][kind]:.2f}")
    for key in ("temp_mib", "compile_seconds"):
        pair = [row[key][kind] for row in (ours, bests[0]) if row]
        cells.append(", ".join(f"{value:,.1f}" for value in pair))
    return f"| {' | '.join(cells)} |"


def recurrence_programs() -> str:
    """Forward ms, both ms and MiB of every program: a table per setting and cell."""
    settings: dict[str, list[list[dict]]] = {}
    for rows in _recurrence_cases():
        setting = f"{rows[0]['cell']}; {_setting(rows)}"
        settings.setdefault(setting, []).append(rows)
    tables = []
    for setting, cases in settings.items():
        names = list(dict.fromkeys(row["program"] for rows in cases for row in rows))
        lines = [
            f"| T, B, I, H | {' | '.join(names)} |",
            "|---" * (1 + len(names)) + "|",
        ]
        for rows in cases:
            by_name = {row["program"]: _program(row) for row in rows}
            cells = [
                _case(rows[0]).split("; ")[1],
                *(by_name.get(n, "") for n in names),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        tables.append("\n".join([setting, "", *lines]))
    return "\n\n".join(tables) or "Not measured yet."


def _recurrence_cases() -> list[list[dict]]:
    """The rows of each case, jnets' layer first."""
    keys = ("device", "cores", "jax", "dtype")
    keys += ("cell", "steps", "batch", "inputs", "hidden")
    cases: dict[tuple, list[dict]] = {}
    for row in timing.rows("recurrence"):
        cases.setdefault(tuple(row[k] for k in keys), []).append(row)
    return list(cases.values())


def _case(row: dict) -> str:
    sizes = (str(row[k]) for k in ("steps", "batch", "inputs", "hidden"))
    return f"{row['cell']}; {', '.join(sizes)}"


def _setting(rows: list[dict]) -> str:
    torch = [f", torch {row['torch']}" for row in rows if row["library"] == "torch"]
    ours = rows[0]
    return (
        f"{ours['device']}, {ours['cores']} cores, jax {ours['jax']}"
        f"{''.join(torch[:1])}, {ours['dtype']}:"
    )


def _ms(ms: dict) -> str:
    return f"{ms['median']:,.2f} ({ms['fastest']:,.2f} to {ms['slowest']:,.2f})"


def _program(row: dict) -> str:
    shown = [f"{row['ms'][kind]['median']:,.2f}" for kind in ("forward", "both")]
    if "temp_mib" in row:
        shown.append(f"{row['temp_mib']['both']:,.1f}")
    return ", ".join(shown)
