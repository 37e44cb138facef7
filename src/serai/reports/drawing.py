"""What plots are drawn with: a frame that says what it shows, texts, scales, ticks, grids, labels that stand apart."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from markupsafe import Markup, escape

WIDTH: Final = 720
RIGHT: Final = 110  # room for a value or a line's name on the right
TOP: Final = 16
BOTTOM: Final = 44
LINE_HEIGHT: Final = 300
SERIES: Final = 8  # the style sheet has this many series colours


def plot(parts: Sequence[str], height: float, title: str, said: str) -> Markup:
    """A whole plot: its parts, a title, and a sentence that says in words what it shows."""
    body = "".join(parts)
    return Markup(  # noqa: S704 - every text in it went through escape()
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}. {escape(said)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def label(x: float, y: float, text: str, classes: str) -> str:
    """A text on the page."""
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def linear(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Places for values: ``low`` stands at ``start``, ``high`` at ``end``."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def nice_ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers around a range."""
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span))
    step *= next(part for part in (0.2, 0.25, 0.5, 1.0, 2.0) if span / (step * part) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * number for number in range(first, max(last, first + 1) + 1)]


def horizontal_grid(
    ticks: Sequence[float], scale: Callable[[float], float], span: tuple[float, float], show: Callable[[float], str]
) -> str:
    """A line across the plot at each tick, with its value on the left."""
    parts = []
    for tick in ticks:
        y = scale(tick)
        parts.append(f'<line class="grid" x1="{span[0]}" x2="{span[1]}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(label(span[0] - 10, y + 4, show(tick), "end tick"))
    return "".join(parts)


def labels_apart(places: Mapping[str, float], gap: float) -> dict[str, float]:
    """Move labels apart so that none covers another, keeping their order."""
    result: dict[str, float] = {}
    previous = -math.inf
    for name, y in sorted(places.items(), key=lambda item: item[1]):
        previous = max(y, previous + gap)
        result[name] = previous
    overflow = max(0.0, previous - (LINE_HEIGHT - BOTTOM))
    return {name: y - overflow for name, y in result.items()}
