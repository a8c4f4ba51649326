"""Draw the ratios to the bridge as an SVG: one panel per metric, one bar per configuration. Pure; no dependency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.ratios import Comparison, Metric

__all__ = ["draw_ratios"]

WIDTH, LEFT, RIGHT, TOP = 860, 196, 120, 84
ROW, BAR, GAP = 26, 14, 58
INK, FAINT, GRID = "#1f2933", "#66737f", "#e3e8ec"
COLOURS = {"ok": "#2a7f62", "short": "#c8642b", "–": "#7b8a97"}


def draw_ratios(comparisons: Sequence[Comparison], *, subtitle: str) -> str:
    """Return an SVG document; a bar is a median, its whisker the range of the pairs, a black mark the target."""
    panels: dict[Metric, list[Comparison]] = {}
    for comparison in comparisons:
        panels.setdefault(comparison.metric, []).append(comparison)
    body: list[str] = []
    y = TOP
    for metric, rows in panels.items():
        body += _panel(metric, rows, y)
        y += GAP + ROW * len(rows)
    height = y + 6
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" role="img" '
        'aria-label="Fieldgate relative to a mosquitto bridge">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(24, 32, "Fieldgate relative to a mosquitto bridge", size=18, weight=600),
        _text(24, 53, subtitle, size=12, colour=FAINT),
        *_legend(),
    ]
    return "\n".join([*head, *body, "</svg>", ""])


def _legend() -> list[str]:
    """Explain colours and marks, at the top right."""
    x, y = WIDTH - 268, 28
    return [
        f'<rect x="{x}" y="{y - 9}" width="10" height="10" rx="2" fill="{COLOURS["ok"]}"/>',
        _text(x + 15, y, "target met", size=11, colour=FAINT),
        f'<rect x="{x + 86}" y="{y - 9}" width="10" height="10" rx="2" fill="{COLOURS["short"]}"/>',
        _text(x + 101, y, "short of it", size=11, colour=FAINT),
        f'<rect x="{x + 168}" y="{y - 11}" width="3" height="14" fill="{INK}"/>',
        _text(x + 177, y, "target", size=11, colour=FAINT),
    ]


def _panel(metric: Metric, rows: Sequence[Comparison], y: int) -> list[str]:
    """Draw one metric: title, grid, bars."""
    step, top_value = _scale(max([1.0, *(max(row.ratio.high, row.target or 0) for row in rows)]))
    per_unit = (WIDTH - LEFT - RIGHT) / top_value
    bottom = y + 20 + ROW * len(rows)
    better = "more is better" if metric.wants_more else "less is better"
    drawn = [
        _text(24, y + 8, metric.title, size=14, weight=600),
        _text(WIDTH - RIGHT, y + 8, better, size=11, colour=FAINT, anchor="end"),
    ]
    for tick in range(round(top_value / step) + 1):
        x = LEFT + tick * step * per_unit
        is_one = math.isclose(tick * step, 1.0)
        stroke = f'stroke="{FAINT}" stroke-dasharray="3 3"' if is_one else f'stroke="{GRID}"'
        drawn.append(f'<line x1="{x:.1f}" y1="{y + 17}" x2="{x:.1f}" y2="{bottom}" {stroke}/>')
        label = "bridge = 1" if is_one else f"{tick * step:g}"
        drawn.append(_text(x, bottom + 13, label, size=10, colour=FAINT, anchor="middle"))
    for number, row in enumerate(rows):
        drawn += _bar(row, y + 20 + ROW * number, per_unit)
    return drawn


def _bar(row: Comparison, y: int, per_unit: float) -> list[str]:
    """Draw one configuration: name, bar, whisker, target and the median as text."""
    middle = y + ROW / 2
    low, high = LEFT + row.ratio.low * per_unit, LEFT + row.ratio.high * per_unit
    colour = COLOURS[row.verdict]
    drawn = [
        _text(LEFT - 10, middle + 4, row.config, size=12, anchor="end"),
        f'<rect x="{LEFT}" y="{middle - BAR / 2:.1f}" width="{row.ratio.median * per_unit:.1f}" height="{BAR}" rx="2" '
        f'fill="{colour}"><title>{escape(_tooltip(row))}</title></rect>',
        f'<path d="M{low:.1f} {middle - 3:.1f}v6M{low:.1f} {middle:.1f}H{high:.1f}M{high:.1f} {middle - 3:.1f}v6" '
        f'stroke="{INK}" stroke-opacity="0.55" fill="none"/>',
    ]
    if row.target is not None:
        x = LEFT + row.target * per_unit
        drawn.append(f'<rect x="{x - 1.5:.1f}" y="{middle - 10:.1f}" width="3" height="20" fill="{INK}"/>')
    drawn.append(_text(WIDTH - RIGHT + 14, middle + 4, f"{row.ratio.median:.2f} ×", size=12, weight=600, colour=colour))
    if row.target is not None:
        sign = "≥" if row.metric.wants_more else "≤"
        drawn.append(_text(WIDTH - 20, middle + 4, f"{sign} {row.target:.2f}", size=11, colour=FAINT, anchor="end"))
    return drawn


def _tooltip(row: Comparison) -> str:
    return f"{row.config}: {row.ours:,.4g} against {row.bridge:,.4g} {row.metric.unit}, {row.ratio.size} pairs"


def _scale(highest: float) -> tuple[float, float]:
    """Return a tick step that divides 1, and the end of the axis: the first tick at or above ``highest``."""
    step = next((step for step in (0.25, 0.5, 1.0) if highest / step <= 8), math.ceil(highest / 8))
    return step, step * math.ceil(highest / step - 1e-9)


def _text(
    x: float, y: float, text: str, *, size: int, weight: int = 400, colour: str = INK, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
