"""Points in log time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Instant:
    """Where in the log something was said, and what time the log said it was.

    Attributes:
        index: position of the entry in the log, from 0.
        time_ms: log time in Unix milliseconds: the median member timestamp of the
            last ``clock`` entry before it; 0 before the first clock.

    """

    index: int
    time_ms: int
