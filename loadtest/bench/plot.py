"""The benchmark as a picture: CPU for each request, by scenario and target."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

_OURS, _OURS_PLAIN, _PEER = "#0b6e4f", "#6fbf9f", "#9aa5b1"
_WIDTH_INCHES: Final = 11.0
_ROW_INCHES: Final = 0.27


def draw(document: dict[str, Any], path: Path) -> list[Path]:
    """Draws the scenarios one below the other; nothing without matplotlib, which only development has."""
    panels = _panels(document)
    if not panels or importlib.util.find_spec("matplotlib") is None:
        return []
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 2 if len(panels) > 1 else 1
    lines = [panels[at : at + columns] for at in range(0, len(panels), columns)]
    heights = [max(len(bars) for _, bars in line) * _ROW_INCHES + 0.9 for line in lines]
    figure, grid = pyplot.subplots(
        len(lines), columns, figsize=(_WIDTH_INCHES, sum(heights)), height_ratios=heights, squeeze=False
    )
    for line, row in zip(lines, grid, strict=True):
        for axes, panel in zip(row, line, strict=False):
            _bars(axes, *panel)
        for axes in row[len(line) :]:
            axes.set_axis_off()
    machine = document["machine"]
    figure.suptitle(
        "CPU time of the proxy for each request, µs, where nothing else is said (less is better)",
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    figure.text(0.01, 0.004, f"{machine['date']}, {machine['cpus']} x {machine['cpu']}", fontsize=8, color="#555")
    figure.tight_layout(rect=(0, 0.015, 1, 0.985))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return [path]


def _panels(document: dict[str, Any]) -> list[tuple[str, list[tuple[str, float]]]]:
    """Title and bars of each panel."""
    panels = []
    for scenario in document["scenarios"]:
        figure = scenario.get("figure", "cpu_us_per_request")
        bars = [(r["target"], r[figure]) for r in scenario["rows"] if figure in r]
        if bars:
            panels.append((scenario["title"] + (": p99, ms" if figure == "p99_ms" else ""), bars))
    if document.get("path"):
        steps = [
            (f"{build}: {what}", taken)
            for what in next(iter(document["path"].values()))["steps"]
            for build in document["path"]
            for taken in [document["path"][build]["steps"][what]]
        ]
        panels.append(("the request path alone, without a kernel", steps))
    return panels


def _bars(axes: Any, title: str, bars: list[tuple[str, float]]) -> None:
    names, values = [name for name, _ in bars], [value for _, value in bars]
    drawn = axes.barh(range(len(bars)), values, color=[_colour(name) for name in names], height=0.72)
    axes.bar_label(
        drawn, labels=[f"{value:,.1f}" if value >= 10 else f"{value:.2f}" for value in values], padding=3, fontsize=8
    )
    axes.set_yticks(range(len(bars)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlim(0, max(values) * 1.15 or 1)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks([])


def _colour(name: str) -> str:
    if "compiled" in name:
        return _OURS
    return _OURS_PLAIN if "plain" in name else _PEER
