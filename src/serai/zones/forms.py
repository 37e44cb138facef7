"""How the values of terms are written, and what is wrong with one that is not written so."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final, TypeAlias

from serai.zones.facts import COMPARED, Output, PrivacyCost, Unit

Value: TypeAlias = str | int | tuple[str, ...]
Reason: TypeAlias = str | None
"""A sentence that says why not, or None where all is well."""

REQUIRED: Final = "required"
AIRLOCKS: Final = ("first", "unusual", "always")

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_POSITIVE: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?(e-?[0-9]{1,2})?|[0-9]{1,12}/[0-9]{1,15}")
LAST_MS: Final = 253_402_300_799_999  # the last millisecond of the year 9999
_PERMILLE: Final = 1_000
_TOLERANCE: Final = re.compile(r"[0-9]{1,4}")
_HOURS: Final = re.compile(r"([01][0-9]|2[0-4])-([01][0-9]|2[0-4])")


def codes_form(value: Value) -> Reason:
    """Codes of any kind, in a list."""
    if not isinstance(value, tuple):
        return f"expected a list of codes, got {shown(value)}"
    if not value or not all(value):
        return "expected at least one code and none empty; to permit nothing, withdraw the offer or the agreement"
    if len(set(value)) != len(value):
        return "expected each code once"
    return None


def digests_form(value: Value) -> Reason:
    """SHA-256 digests, in a list."""
    if (reason := codes_form(value)) is not None:
        return reason
    assert isinstance(value, tuple)
    bent = [item for item in value if not _DIGEST.fullmatch(item)]
    return f"expected digests of 64 lower-case hex characters, got {bent[0][:80]!r}" if bent else None


def outputs_form(value: Value) -> Reason:
    """Kinds of output, in a list."""
    if (reason := codes_form(value)) is not None:
        return reason
    assert isinstance(value, tuple)
    unknown = sorted(set(value) - {kind.value for kind in Output})
    return f"expected {listed(tuple(Output))}, got {unknown[0]!r}" if unknown else None


def count_form(value: Value) -> Reason:
    """A whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        return f"expected a whole number of at least 1, got {shown(value)}"
    return None


def days_form(value: Value) -> Reason:
    """A whole number of days, 0 included."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return f"expected a whole number of days, got {shown(value)}"
    return None


def permille_form(value: Value) -> Reason:
    """A whole number of thousandths, at most all of them."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _PERMILLE:
        return f"expected a whole number of thousandths, 0 to {_PERMILLE}, got {shown(value)}"
    return None


def tolerance_form(value: Value) -> Reason:
    """A metric, and thousandths of it."""
    if parse_tolerance(value) is None:
        return f"expected one of {listed(COMPARED)} and thousandths, such as ['auc', '20'], got {shown(value)}"
    return None


def parse_tolerance(value: Value) -> tuple[str, int] | None:
    """The metric and the thousandths of a tolerance; None if the value has not the form of one."""
    if not isinstance(value, tuple) or len(value) != 2 or value[0] not in COMPARED:
        return None
    return (value[0], int(value[1])) if _TOLERANCE.fullmatch(value[1]) and int(value[1]) <= _PERMILLE else None


def required_form(value: Value) -> Reason:
    """The one word ``required``."""
    return None if value == REQUIRED else f"expected {REQUIRED!r}, got {shown(value)}"


def airlock_form(value: Value) -> Reason:
    """One of ``first``, ``unusual`` and ``always``."""
    return None if value in AIRLOCKS else f"expected {listed(AIRLOCKS)}, got {shown(value)}"


def dp_form(value: Value) -> Reason:
    """A unit, epsilon and delta."""
    if parse_dp(value) is None:
        return (
            "expected a unit (record or member), epsilon, and delta below 1, such as "
            f"['record', '3', '1e-5'], got {shown(value)}"
        )
    return None


def hours_form(value: Value) -> Reason:
    """A part of the day, in UTC."""
    if not isinstance(value, str) or parse_hours(value) is None:
        return f"expected two different hours of the day in UTC, such as '22-06', got {shown(value)}"
    return None


def parse_hours(value: str) -> tuple[int, int] | None:
    """The first hour of a part of the day, and the first one after it; None if the value has not the form of one."""
    match = _HOURS.fullmatch(value)
    if match is None:
        return None
    start, end = int(match[1]), int(match[2])
    return None if start in {24, end} else (start, end)


def parse_dp(value: Value) -> PrivacyCost | None:
    """What a ``dp`` term allows in all, rounded down; None if the value has not the form of one."""
    if not isinstance(value, tuple) or len(value) != 3 or value[0] not in set(Unit):
        return None
    epsilon, delta = (_positive(text) for text in value[1:])
    if epsilon is None or delta is None or not 0 < delta < 1 or not 0 < epsilon <= 1_000_000:
        return None
    return PrivacyCost(
        unit=Unit(value[0]),
        epsilon_millionths=math.floor(epsilon * 10**6),
        delta_trillionths=math.floor(delta * 10**12),
    )


def listed(items: Iterable[str]) -> str:
    """Codes in words."""
    return ", ".join(sorted(items))


def shown(value: Value) -> str:
    """A value as an error quotes it, cut where it is long."""
    return repr(value)[:80]


def worded(name: str, value: Value) -> str:
    """A term's value as people read it: codes in a row, points in time as dates where the calendar has them."""
    if isinstance(value, tuple):
        return ", ".join(value)
    if name.endswith("_ms") and isinstance(value, int) and 0 <= value <= LAST_MS:
        return f"{datetime.fromtimestamp(value // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return str(value)


def _positive(text: str) -> Fraction | None:
    try:
        return Fraction(text) if _POSITIVE.fullmatch(text) else None
    except ZeroDivisionError:
        return None
