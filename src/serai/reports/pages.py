"""Pages that stand alone: a template and the house's style sheet, made into one HTML file."""

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from serai.reports import plots

NOTHING: Final = "\N{EN DASH}"  # where a value is not known
_LAST_MS: Final = 253_402_300_799_999  # the end of the year 9999, the last that a calendar date has


def render_page(template: str, values: Mapping[str, Any]) -> str:
    """Fill a template of this room; every text in it is escaped, and a missing value is an error."""
    return _environment().get_template(template).render(values)


def percent(share: float | Fraction | None) -> str:
    """A share as a percentage with one digit, or a dash."""
    return NOTHING if share is None else f"{float(share):.1%}"


def number(value: float | None) -> str:
    """A number with three digits that matter, thousands apart, or a dash."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def signed(value: float | None) -> str:
    """A difference with its sign, or a dash."""
    return NOTHING if value is None else f"{value:+.3f}"


def seconds(value: float | None) -> str:
    """A time in seconds, or in milliseconds where it is short, or a dash."""
    if value is None:
        return NOTHING
    return f"{1000 * value:.0f} ms" if 0 <= value < 1 else f"{value:,.1f} s"


def date(time_ms: int | None) -> str:
    """Log time as a date; a dash before the first clock."""
    if not time_ms or not 0 < time_ms <= _LAST_MS:
        return NOTHING
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("serai.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": plots.format_bytes,
        "percent": percent,
        "number": number,
        "signed": signed,
        "seconds": seconds,
        "date": date,
        "short": lambda digest: digest[:12],
    }
    return environment
