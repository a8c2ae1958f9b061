"""The runs in pictures. Green got through, red was refused; what was offered is a line, the limit a dashed one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from loadtest.compare.audit import Check
from loadtest.compare.plan import DEDICATED, LIMITS, SHARED, Offer, Run
from loadtest.compare.recording import Recorder
from loadtest.compare.series import P50, P99, Series, kinds, percentile, series, total
from loadtest.compare.shapes import SPIKE_FROM, SPIKE_TO

ADMITTED, REFUSED, FAILED, OFFERED, LIMIT = "#3a9e6e", "#d9534f", "#6c3483", "#1f2d3d", "#1f2d3d"
FAST, SLOW, FLOOD = "#2b7bba", "#e08a1e", "#fbe9e7"
# Of two sides beside each other: shared and dedicated, outside and tollgate. No other thing has these colours.
ONE, OTHER = "#9fb0c3", "#3d5a80"
_DPI = 110


def draw(run: Run, start_s: int, seen: Mapping[str, Recorder], path: Path) -> None:
    """The picture of one run."""
    if run.name == "neighbour":
        figure = _neighbour(run, start_s, seen)
    elif run.mix == "mixed":
        figure = _mix(run, seen)
    else:
        figure = _both(run, start_s, seen)
    figure.suptitle(run.title, fontweight="bold", fontsize=14, x=0.012, ha="left")
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    figure.savefig(path, dpi=_DPI)
    pyplot.close(figure)


def _both(run: Run, start_s: int, seen: Mapping[str, Recorder]) -> Any:
    figure, grid = pyplot.subplots(2, 2, figsize=(12, 6.6), height_ratios=(3, 2), sharex=True)
    for (rates, latencies), offer in zip(grid.T, run.offers, strict=True):
        one = series(seen[offer.instance], start_s, math.ceil(run.seconds))
        _rates(rates, one, offer, run)
        _latencies(latencies, one)
    top = max(axes.get_ylim()[1] for axes in grid[1])
    bottom = min(axes.get_ylim()[0] for axes in grid[1])
    for axes in grid[1]:
        axes.set_ylim(bottom, top)  # Side by side means on one scale.
        axes.set_xlabel("seconds")
    grid[0][0].set_ylabel("requests a second")
    grid[1][0].set_ylabel("ms until answered")
    return figure


def _rates(axes: Any, one: Series, offer: Offer, run: Run) -> None:
    bars: dict[str, Any] = {"width": 1.0, "linewidth": 0}
    centres = [second + 0.5 for second in one.seconds]
    above = [a + r for a, r in zip(one.admitted, one.refused, strict=True)]
    axes.bar(centres, one.admitted, color=ADMITTED, label="admitted", **bars)
    axes.bar(centres, one.refused, bottom=one.admitted, color=REFUSED, label="refused (429)", **bars)
    if sum(one.failed):
        axes.bar(centres, one.failed, bottom=above, color=FAILED, label="failed", **bars)
    edges = [*one.seconds, len(one.seconds)]
    axes.stairs(one.offered, edges, baseline=None, color=OFFERED, linewidth=1.8, label="offered")
    limit = LIMITS[offer.instance]
    axes.axhline(limit, color=LIMIT, linestyle=(0, (5, 4)), linewidth=1.2)
    axes.annotate(
        f"limit {limit:,}",
        (0.3, limit),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=9,
        fontweight="bold",
    )
    axes.set_title(f"{offer.instance} instance", loc="left", fontsize=12)
    axes.set_xlim(0, run.seconds)
    axes.set_ylim(0, max(*one.offered, limit) * 1.12)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.legend(loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=4, fontsize=9, frameon=False, borderpad=0)
    _plain(axes)


def _latencies(axes: Any, one: Series) -> None:
    centres = [second + 0.5 for second in one.seconds]
    axes.plot(centres, one.p99_ms, color=SLOW, linewidth=2, label="99 of 100 within")
    axes.plot(centres, one.p50_ms, color=FAST, linewidth=2, label="half within")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=2, fontsize=9, frameon=False, borderpad=0)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 1), high * 1.3)
    _plain(axes)


def _neighbour(run: Run, start_s: int, seen: Mapping[str, Recorder]) -> Any:
    figure, (flood, measured, calm) = pyplot.subplots(3, 1, figsize=(12, 8.4), height_ratios=(3, 2, 2.4), sharex=True)
    offers = {offer.instance: offer for offer in run.offers}
    length = math.ceil(run.seconds)
    _rates(flood, series(seen[SHARED], start_s, length), offers[SHARED], run)
    flood.set_title("shared instance: the neighbour", loc="left", fontsize=12)
    flood.set_ylabel("requests a second")
    one = series(seen[DEDICATED], start_s, length)
    _rates(measured, one, offers[DEDICATED], run)
    measured.set_ylim(0, max(1, *one.offered) * 1.35)  # Its limit is far above what it is offered.
    measured.texts[0].remove()
    measured.set_title("dedicated instance: everything gets through", loc="left", fontsize=12)
    if sum(one.refused) + sum(one.failed):
        measured.set_title("dedicated instance", loc="left", fontsize=12)
    measured.set_ylabel("requests a second")
    measured.get_legend().remove()
    _latencies(calm, one)
    calm.set_title("dedicated instance: how long an answer takes", loc="left", fontsize=12)
    calm.set_ylabel("ms until answered")
    calm.set_xlabel("seconds")
    begin, end = run.seconds * SPIKE_FROM, run.seconds * SPIKE_TO
    for axes in (flood, measured, calm):
        axes.axvspan(begin, end, color=FLOOD, zorder=0)
    for phase, (first, last) in {
        "before": (0.0, begin),
        "flood": (begin, end),
        "after": (end, run.seconds),
    }.items():
        whole = total(
            seen[DEDICATED],
            lambda _, at, first=first, last=last: first + 1 <= at - start_s < last,  # type: ignore[misc]
        )
        calm.annotate(
            f"{phase}: half within {percentile(whole.latencies, P50):.1f} ms, 99 % within "
            f"{percentile(whole.latencies, P99):.0f} ms",
            ((first + last) / 2, 0.05),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=9,
            fontweight="bold",
        )
    low, high = calm.get_ylim()
    calm.set_ylim(low / 3, high)
    return figure


def _mix(run: Run, seen: Mapping[str, Recorder]) -> Any:
    figure, (counts, times) = pyplot.subplots(1, 2, figsize=(12, 4.4), sharey=True)
    names = kinds(seen[SHARED]) or kinds(seen[DEDICATED])
    height = 0.36
    for offset, (offer, colour) in zip(
        (-height / 2, height / 2), zip(run.offers, (ONE, OTHER), strict=True), strict=True
    ):
        record = seen[offer.instance]
        wholes = [total(record, lambda kind, _, name=name: kind == name) for name in names]  # type: ignore[misc]
        places = [at + offset for at in range(len(names))]
        answered = [one.admitted / max(1, one.sent) for one in wholes]
        counts.barh(places, answered, height, color=colour, label=offer.instance)
        drawn = counts.barh(places, [1 - share for share in answered], height, left=answered, color=REFUSED)
        labels = [f"{one.admitted:,} of {one.sent:,}" for one in wholes]
        counts.bar_label(drawn, labels, padding=4, fontsize=9)
        medians = [percentile(one.latencies, P50, answers_min=3) for one in wholes]
        drawn = times.barh(places, medians, height, color=colour)
        times.bar_label(drawn, [f"{ms:,.1f} ms" if ms == ms else "too few" for ms in medians], padding=4, fontsize=9)
    counts.set_yticks(range(len(names)), names, fontsize=11)
    counts.invert_yaxis()
    counts.set_title("answered (red: not)", loc="left", fontsize=12)
    counts.set_xlim(0, 1.3)
    counts.legend(loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=2, fontsize=9, frameon=False, borderpad=0)
    times.set_xscale("log")
    times.set_title("half answered within", loc="left", fontsize=12)
    times.set_xlim(0.5, times.get_xlim()[1] * 4)
    for axes in (counts, times):
        _plain(axes)
        axes.set_xticks([])
        axes.minorticks_off()
        axes.spines[["bottom"]].set_visible(False)
        axes.grid(False)
    return figure


def draw_audit(checks: Sequence[Check], path: Path) -> None:
    """Two bars for each check, one from each side: equal lengths add up; a red pair does not."""
    figure, axes = pyplot.subplots(figsize=(12, 0.62 * len(checks) + 1.1))
    for at, check in enumerate(checks):
        outside, inside = (float(figure_.replace(",", "")) for figure_ in (check.outside, check.inside))
        most = max(outside, inside) or 1.0
        colours = (ONE, OTHER) if check.is_equal else (REFUSED, REFUSED)
        for offset, value, text, colour in (
            (-0.2, outside, check.outside, colours[0]),
            (0.2, inside, check.inside, colours[1]),
        ):
            axes.barh(at + offset, value / most, 0.36, color=colour)
            axes.text(1.012, at + offset, text, va="center", fontsize=9)
        axes.text(
            1.2, at, "=" if check.is_equal else "≠", va="center", fontsize=17, fontweight="bold", color=colours[1]
        )
    axes.set_yticks(range(len(checks)), [check.text for check in checks], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    wrong = sum(not check.is_equal for check in checks)
    title = "Everything adds up" if not wrong else f"{wrong} of {len(checks)} do NOT add up"
    figure.suptitle(f"{title}: outside (light) and tollgate (dark)", fontweight="bold", fontsize=14, x=0.012, ha="left")
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    figure.savefig(path, dpi=_DPI)
    pyplot.close(figure)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dde3e8", linewidth=0.7)
    axes.set_axisbelow(True)
