"""Points in time as statements have them."""

from datetime import UTC, datetime


def unix_ms(moment: datetime) -> int:
    """Unix milliseconds; in UTC unless a zone is given."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
