"""A picture of what scale.py measured: wall time and CPU time per host and task, by the number of hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "scale"  # the same picture for the same numbers
from matplotlib import pyplot  # noqa: E402

WHAT = {"wall": "wall time", "cpu": "CPU time"}


def plot(results: list[dict[str, Any]], path: Path) -> None:
    kinds = list(dict.fromkeys(result["tasks"] for result in results))
    figure, axes = pyplot.subplots(len(kinds), len(WHAT), figsize=(9, 3.2 * len(kinds)), squeeze=False)
    for row, kind in zip(axes, kinds, strict=True):
        for axis, (key, title) in zip(row, WHAT.items(), strict=True):
            for side in dict.fromkeys(result["side"] for result in results):
                points = [(result["hosts"], 1000 * result[key] / result["hosts"] / int(kind.split()[1]))
                          for result in results if (result["tasks"], result["side"]) == (kind, side)]
                axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=side)
            axis.set(xscale="log", ylim=(0, None), xlabel="hosts", title=f"{kind}: {title}, ms per host and task")
            ticks = sorted({result["hosts"] for result in results})
            axis.set_xticks(ticks, labels=map(str, ticks))
            axis.minorticks_off()
            axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
