"""Results as tables.  `results` is what --json writes."""

from __future__ import annotations

import statistics
from typing import Any

RATIOS = ("stock", "mitogen")


def median(runs: list[dict[str, Any]], what: str) -> float:
    return statistics.median(run[what] for run in runs)


def rows(result: dict[str, Any], titles: dict[str, str]) -> list[list[str]]:
    """For each contestant: name, wall and CPU medians with their ranges, and wall time relative to others'."""
    found = []
    for name, runs in result["runs"].items():
        wall = [run["wall"] for run in runs]
        row = [titles[name], f"{median(runs, 'wall'):.2f}", f"{min(wall):.2f}-{max(wall):.2f}",
               f"{median(runs, 'cpu'):.2f}"]
        for other in RATIOS:
            others = result["runs"].get(other)
            row.append(f"{median(others, 'wall') / median(runs, 'wall'):.2f}" if others else "")
        found.append(row)
    return found


HEAD = ["", "wall s", "min-max", "CPU s", "stock/it", "Mitogen/it"]


def text(results: dict[str, Any]) -> str:
    titles = results["contestants"]
    lines = [about(results)]
    for result in results["works"]:
        table = [HEAD, *rows(result, titles)]
        widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
        lines += ["", f"{result['text']}, {len(next(iter(result['runs'].values())))} rounds"]
        for row in table:
            right = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)][1:]
            lines.append("  " + "  ".join([row[0].ljust(widths[0]), *right]).rstrip())
        for name, runs in result["runs"].items():
            lines += [f"  {titles[name]}: {note}" for note in sorted({run["note"] for run in runs} - {""})]
    return "\n".join(lines)


def markdown(results: dict[str, Any]) -> str:
    """One table: a line for each work, a column for each contestant."""
    titles = results["contestants"]
    names = [name for name in titles if any(name in result["runs"] for result in results["works"])]
    lines = ["| seconds, median (stock's time / its) | " + " | ".join(titles[name] for name in names) + " |",
             "|---|" + "---|" * len(names)]
    for result in results["works"]:
        cells = []
        for name in names:
            runs, stock = result["runs"].get(name), result["runs"].get("stock")
            cell = f"{median(runs, 'wall'):.2f}" if runs else "-"
            if runs and stock and name != "stock":
                cell += f" ({median(stock, 'wall') / median(runs, 'wall'):.2f})"
            cells.append(cell)
        lines.append(f"| {result['text']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", about(results)])


def about(results: dict[str, Any]) -> str:
    warm_up = " after one of each that is not counted" if results["warm_up"] else ""
    return (f"{results['machine']}. {results['versions']}. {results['date']}. Runs in turns{warm_up}; "
            f"{results['forks']} forks; each run logs in anew. CPU: {results['cpu']}.")
