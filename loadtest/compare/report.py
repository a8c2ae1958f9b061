"""The HTML report: pictures first, then the figures behind them. One file, nothing to fetch."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from loadtest.compare.audit import Check
from loadtest.compare.plan import LIMITS, Run
from loadtest.compare.recording import Recorder
from loadtest.compare.series import P50, P99, percentile, total

Row = dict[str, Any]
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tollgate: shared and dedicated under load</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2d3d; max-width: 1180px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2.2rem }
img { width: 100%; border: 1px solid #e3e8ec; border-radius: 6px }
table { border-collapse: collapse; margin: .6rem 0 } th, td { padding: .25rem .8rem; text-align: right }
th:first-child, td:first-child { text-align: left } th { border-bottom: 2px solid #c5ced6 }
td { border-bottom: 1px solid #e8ecef; font-variant-numeric: tabular-nums }
.yes { color: #2d7d57; font-weight: 600 } .no { color: #fff; background: #d9534f; font-weight: 700 }
footer { margin-top: 2rem; color: #667 }
</style></head><body>
<h1>Shared and dedicated under load: {{ "everything adds up" if adds_up else "something does NOT add up" }}</h1>
<p>Green was admitted, red was refused by the limit; the dark line is what was offered, the dashed one the limit.
The times of two instances side by side are on one scale.</p>
{% for run in runs %}<section>
<img alt="{{ run.title }}" src="data:image/png;base64,{{ run.picture }}">
<table><tr><th>instance</th><th>limit</th><th>sent</th><th>admitted</th><th>refused</th><th>failed</th>
<th>half within</th><th>99 % within</th></tr>
{% for row in run.rows %}<tr><td>{{ row.instance }}</td><td>{{ "{:,}".format(row.limit) }}</td>
<td>{{ "{:,}".format(row.sent) }}</td><td>{{ "{:,}".format(row.admitted) }}</td>
<td>{{ "{:,}".format(row.refused) }}</td><td>{{ "{:,}".format(row.failed) }}</td>
<td>{{ "%.1f ms" | format(row.p50) }}</td><td>{{ "%.1f ms" | format(row.p99) }}</td></tr>
{% endfor %}</table>
{% for failure in run.failures %}<p class="no">{{ failure }}</p>{% endfor %}</section>
{% endfor %}
<h2>Does it add up?</h2>
<img alt="the audit" src="data:image/png;base64,{{ audit_picture }}">
<table><tr><th></th><th>outside</th><th>tollgate</th><th></th></tr>
{% for check in checks %}<tr><td>{{ check.text }}</td><td>{{ check.outside }}</td><td>{{ check.inside }}</td>
<td class="{{ 'yes' if check.is_equal else 'no' }}">{{ "yes" if check.is_equal else "NO" }} {{ check.note }}</td></tr>
{% endfor %}</table>
<h2>The bill</h2>
<table><tr><th>instance</th><th>what</th><th>quantity</th><th>unit price, USD</th><th>amount, USD</th></tr>
{% for line in bill %}<tr><td>{{ line.instance }}</td><td>{{ line.meter }}</td>
<td>{{ "{:,}".format(line.quantity) }}</td>
<td>{{ line.unit_price }} for {{ line.unit }}</td><td>{{ line.amount }}</td></tr>
{% endfor %}</table>
<footer>{{ footer }}</footer>
</body></html>
"""
_UNITS = {1: "1 s", 10_000: "10,000", 1 << 30: "1 GiB"}


def render(
    runs: Sequence[tuple[Run, Mapping[str, Recorder], Path]],
    checks: Sequence[Check],
    audit_picture: Path,
    lines: Sequence[Row],
    footer: str,
) -> str:
    """The page. ``runs``: each with what was seen and its picture."""
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)
    return page.render(
        runs=[
            {
                "title": run.title,
                "picture": _embedded(picture),
                "rows": rows(run, seen),
                "failures": [
                    f"{instance}: {count:,} x {what}"
                    for instance, record in seen.items()
                    for what, count in sorted(record.failures.items())
                ],
            }
            for run, seen, picture in runs
        ],
        checks=checks,
        adds_up=all(check.is_equal for check in checks),
        audit_picture=_embedded(audit_picture),
        bill=bill_summary(lines),
        footer=footer,
    )


def rows(run: Run, seen: Mapping[str, Recorder]) -> list[Row]:
    """The figures of a run, by instance."""
    made = []
    for offer in run.offers:
        whole = total(seen[offer.instance])
        made.append(
            {
                "instance": offer.instance,
                "limit": LIMITS[offer.instance],
                "sent": whole.sent,
                "admitted": whole.admitted,
                "refused": whole.refused,
                "failed": whole.failed,
                "p50": percentile(whole.latencies, P50),
                "p99": percentile(whole.latencies, P99),
            }
        )
    return made


def bill_summary(lines: Sequence[Row]) -> list[Row]:
    """The hours' lines added up by what they are for; amounts in integers of 1e-8, so that nothing is lost."""
    sums: dict[tuple[str, str, str, int], list[int]] = {}
    for line in lines:
        entry = sums.setdefault((line["instance"], line["meter"], line["unit_price"], line["per"]), [0, 0])
        whole, _, part = line["amount"].partition(".")
        entry[0] += line["quantity"]
        entry[1] += int(whole + part.ljust(8, "0"))
    return [
        {
            "instance": instance,
            "meter": meter.replace("_", " "),
            "quantity": quantity,
            "unit_price": price,
            "unit": _UNITS.get(per, str(per)),
            "amount": f"{amount // 10**8}.{amount % 10**8:08d}",
        }
        for (instance, meter, price, per), (quantity, amount) in sorted(sums.items())
    ]


def _embedded(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode()
