"""Dates as people write them in files, and points in time as statements have them."""

from datetime import UTC, date, datetime
from typing import Any


def dates_as_text(value: Any) -> Any:
    """TOML has dates, records do not: spell them in ISO 8601."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: dates_as_text(item) for key, item in value.items()}
    return [dates_as_text(item) for item in value] if isinstance(value, list) else value


def unix_ms(moment: datetime) -> int:
    """Unix milliseconds; in UTC unless a zone is given."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
