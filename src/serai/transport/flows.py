"""How many connections carry the pieces of a blob, for links on which one of them cannot keep a pipe full."""

from typing import Final

LONG_RTT_S: Final = 0.02  # below it one connection fills any link that members have
_DEFAULT_FLOWS: Final = 4
_BYTES_A_FLOW: Final = 8 * 2**20  # a flow with less to carry is over before its window has opened


def is_long(rtt_s: float) -> bool:
    """Whether a link with that round trip wants several connections."""
    return rtt_s >= LONG_RTT_S


def choose_flows(size_bytes: int, rtt_s: float) -> int:
    """How many connections a blob of some size is worth on a link with that round trip."""
    return max(1, min(_DEFAULT_FLOWS, size_bytes // _BYTES_A_FLOW)) if is_long(rtt_s) else 1
