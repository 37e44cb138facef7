"""How many local steps a round needs so that a slow link leaves a member's processors little to wait for.

A round costs a member its bytes at the rate that the link really gives, some
round trips, and what it waits for the center and the others. Measured rounds of
this kind took 1.1 to 1.9 times what bytes and round trips alone come to; plans
count with twice (``Overheads.factor``). Compute utilisation is the share of a
round in which local steps run: H*t / (H*t + T), with H steps of t seconds and T
for everything else.

A single TCP flow whose congestion control takes each loss for congestion (Reno
and its kin) stays below 1.22*MSS/(RTT*sqrt(p)) bytes a second (Mathis, Semke,
Mahdavi, Ott, *The macroscopic behavior of the TCP congestion avoidance
algorithm*, 1997): 0.5 Mbit/s at 300 ms and 1 % loss, however wide the link is.
BBR is not bound by it.

While a member computes, its connections idle, and TCP forgets how much they can
carry (RFC 9293, RFC 5681 section 4.1). So each transfer of a round begins at ten
segments (RFC 6928) and doubles with each round trip until it fills the link.
"""

import math
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed

MATHIS: Final = 1.22
MSS_BYTES: Final = 1460
"""Payload of a TCP segment in an Ethernet frame."""

INITIAL_SEGMENTS: Final = 10
"""What TCP sends before the first acknowledgement, RFC 6928."""

MAX_STEPS: Final = 10**6
"""As many as a plan may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A member's way to the center.

    Attributes:
        up_bps: to the center, bits a second.
        down_bps: from the center, bits a second.
        rtt_s: round trip, seconds.
        loss: share of packets lost, 0 to 1.
        flows: TCP connections over which a transfer is spread.
        is_loss_bound: whether loss slows a flow down: true for Reno and CUBIC, false for BBR.

    """

    up_bps: float
    down_bps: float
    rtt_s: float
    loss: float = 0.0
    flows: int = 1
    is_loss_bound: bool = True

    def rate_bps(self, capacity_bps: float) -> float:
        """What TCP gets out of a direction of some capacity, bits a second."""
        if not self.is_loss_bound or self.loss <= 0 or self.rtt_s <= 0:
            return capacity_bps
        return min(capacity_bps, self.flows * MATHIS * MSS_BYTES * 8 / (self.rtt_s * math.sqrt(self.loss)))

    def starting_round_trips(self, size_bytes: float, capacity_bps: float) -> float:
        """Round trips that a transfer over idle connections waits for before it fills the link, or ends."""
        filled = self.rate_bps(capacity_bps) * self.rtt_s / 8
        return math.log2(1 + min(size_bytes, filled) / (self.flows * INITIAL_SEGMENTS * MSS_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """What a round costs beside its bytes, and how much of it a member may idle.

    Attributes:
        round_trips: requests of a round that wait for each other.
        other_s: sums at the center, waiting for members: seconds, as measured.
        is_cold: whether the connections idle between rounds for longer than a few round trips.
        factor: by which bytes and round trips take longer than computed.
        idle: largest share of a round in which no local step runs, between 0 and 1.

    """

    round_trips: float = 6.0
    other_s: float = 0.0
    is_cold: bool = True
    factor: float = 2.0
    idle: float = 0.1


def exchange_s(bytes_up: float, bytes_down: float, link: Link, overheads: Overheads) -> float:
    """Seconds of a round in which no local step runs.

    Args:
        bytes_up: what the member sends in a round.
        bytes_down: what it receives.
        link: over which.
        overheads: what comes on top.

    Raises:
        Malformed: a rate, a time or a share is out of range.

    """
    _check(link, overheads)
    up_s = 8 * bytes_up / link.rate_bps(link.up_bps)
    down_s = 8 * bytes_down / link.rate_bps(link.down_bps)
    round_trips = overheads.round_trips
    if overheads.is_cold:
        round_trips += link.starting_round_trips(bytes_up, link.up_bps)
        round_trips += link.starting_round_trips(bytes_down, link.down_bps)
    return overheads.factor * (up_s + down_s + round_trips * link.rtt_s) + overheads.other_s


def steps_per_round(bytes_up: float, bytes_down: float, link: Link, step_s: float, overheads: Overheads) -> int:
    """H, the fewest local steps a round with which a member idles no more than it may.

    Args:
        bytes_up: what the member sends in a round.
        bytes_down: what it receives.
        link: over which.
        step_s: one local step, seconds.
        overheads: what comes on top, and how much idling is allowed.

    Raises:
        Malformed: a rate, a time or a share is out of range, or no number of steps that a plan may ask for is enough.

    """
    waiting_s = exchange_s(bytes_up, bytes_down, link, overheads)
    if not step_s > 0:
        raise Malformed("pace-range", f"expected a local step to take more than 0 s, got {step_s:g} s; measure it")
    needed = waiting_s * (1 - overheads.idle) / (overheads.idle * step_s)
    if needed > MAX_STEPS:
        raise Malformed(
            "pace-range",
            f"this link needs {needed:.3g} steps a round, a plan has at most {MAX_STEPS}; send fewer bytes, or idle more",
        )
    return max(1, math.ceil(needed))


def utilisation(steps: int, step_s: float, waiting_s: float) -> float:
    """The share of a round in which local steps run, 0 to 1.

    Args:
        steps: a round.
        step_s: one of them, seconds.
        waiting_s: everything else in the round, seconds.

    """
    computing_s = steps * step_s
    return computing_s / (computing_s + waiting_s)


def _check(link: Link, overheads: Overheads) -> None:
    if not (link.up_bps > 0 and link.down_bps > 0 and link.rtt_s >= 0):
        raise Malformed(
            "pace-range",
            f"expected a link with rates above 0 and a round trip of 0 s or more, got {link.up_bps:g} and "
            f"{link.down_bps:g} bit/s and {link.rtt_s:g} s; measure it again",
        )
    if not (0 <= link.loss < 1 and link.flows >= 1 and 0 < overheads.idle < 1):
        raise Malformed(
            "pace-range",
            f"expected a loss below 1, a flow or more and an idle share between 0 and 1, got {link.loss:g}, "
            f"{link.flows} and {overheads.idle:g}",
        )
