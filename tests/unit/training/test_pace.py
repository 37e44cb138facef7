"""Steps a round from a link and a step time, against the closed form and against figures worked out by hand."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serai.errors import Malformed
from serai.training.pace import MAX_STEPS, Link, Overheads, exchange_s, steps_per_round, utilisation

SLOW = Link(up_bps=1e7, down_bps=1e7, rtt_s=0.3, loss=0.01, is_loss_bound=False)


@pytest.mark.parametrize(
    ("parameters", "bytes_each", "bps", "seconds"),
    [(10**7, 4, 1e7, 32.6), (10**8, 4, 1e8, 32.6), (10**7, 4, 1e9, 0.92), (10**9, 0.7375, 1e8, 59.6)],
)
def test_an_upload_takes_its_bytes_at_the_rate_and_three_round_trips(
    parameters: int, bytes_each: float, bps: float, seconds: float
) -> None:
    link = Link(up_bps=bps, down_bps=bps, rtt_s=0.2)
    plain = Overheads(round_trips=3, factor=1, is_cold=False)
    assert exchange_s(parameters * bytes_each, 0, link, plain) == pytest.approx(seconds)


@pytest.mark.parametrize(("loss", "mbit_per_s"), [(1e-5, 22.5), (1e-4, 7.1), (1e-3, 2.25)])
def test_loss_bounds_one_flow_as_mathis_says(loss: float, mbit_per_s: float) -> None:
    link = Link(up_bps=1e9, down_bps=1e9, rtt_s=0.2, loss=loss)
    assert link.rate_bps(1e9) / 1e6 == pytest.approx(mbit_per_s, rel=0.01)


def test_more_flows_get_more_until_the_link_is_full() -> None:
    rates = [Link(up_bps=1e7, down_bps=1e7, rtt_s=0.3, loss=0.01, flows=flows).rate_bps(1e7) for flows in (1, 4, 64)]
    assert rates[1] == pytest.approx(4 * rates[0])
    assert rates[0] < rates[1] < rates[2] == 1e7


def test_a_congestion_control_that_loss_does_not_slow_gets_the_whole_link() -> None:
    assert SLOW.rate_bps(1e7) == 1e7


def test_the_measured_factor_doubles_bytes_and_round_trips_but_not_what_was_measured() -> None:
    assert exchange_s(1.25e6, 1.25e6, SLOW, Overheads(round_trips=5, other_s=0.5, is_cold=False)) == pytest.approx(
        2 * 3.5 + 0.5
    )


def test_ninety_percent_needs_nine_times_the_waiting() -> None:
    assert steps_per_round(1.25e6, 1.25e6, SLOW, 0.1, Overheads(round_trips=5, factor=1, is_cold=False)) == 315


def test_a_transfer_over_an_idle_connection_doubles_from_ten_segments_until_the_link_is_full() -> None:
    assert SLOW.starting_round_trips(3 * 14_600, 1e7) == pytest.approx(2)
    full = SLOW.starting_round_trips(1e9, 1e7)
    assert 4 < full < 5  # 375 kB are under way once 10 Mbit/s at 300 ms are filled
    assert SLOW.starting_round_trips(1e10, 1e7) == full
    cold, warm = (exchange_s(1e6, 0, SLOW, Overheads(factor=1, is_cold=is_cold)) for is_cold in (True, False))
    assert cold - warm == pytest.approx(0.3 * full)


def test_a_fast_link_still_needs_one_step() -> None:
    fast = Link(up_bps=1e12, down_bps=1e12, rtt_s=0)
    assert steps_per_round(1, 1, fast, 10.0, Overheads()) == 1


@given(st.floats(1e3, 1e10), st.floats(1e4, 1e10), st.floats(0, 1), st.floats(1e-3, 1e3), st.floats(0.01, 0.9))
def test_the_steps_are_enough_and_one_fewer_is_not(
    size: float, bps: float, rtt_s: float, step_s: float, idle: float
) -> None:
    link, overheads = Link(up_bps=bps, down_bps=bps, rtt_s=rtt_s), Overheads(idle=idle)
    waiting_s = exchange_s(size, size, link, overheads)
    assume(waiting_s * (1 - idle) / (idle * step_s) < MAX_STEPS)
    steps = steps_per_round(size, size, link, step_s, overheads)
    assert utilisation(steps, step_s, waiting_s) >= (1 - idle) * (1 - 1e-9)
    assert steps == 1 or utilisation(steps - 1, step_s, waiting_s) <= (1 - idle) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("link", "step_s", "idle"),
    [
        (Link(up_bps=0, down_bps=1e7, rtt_s=0.3), 1.0, 0.1),
        (Link(up_bps=1e7, down_bps=1e7, rtt_s=-0.1), 1.0, 0.1),
        (Link(up_bps=1e7, down_bps=1e7, rtt_s=0.3, loss=1.0), 1.0, 0.1),
        (Link(up_bps=1e7, down_bps=1e7, rtt_s=0.3, flows=0), 1.0, 0.1),
        (SLOW, 0.0, 0.1),
        (SLOW, float("nan"), 0.1),
        (SLOW, 1.0, 0.0),
        (SLOW, 1e-9, 0.1),
    ],
)
def test_a_link_or_step_that_cannot_be_is_refused(link: Link, step_s: float, idle: float) -> None:
    with pytest.raises(Malformed) as refused:
        steps_per_round(1e6, 1e6, link, step_s, Overheads(idle=idle))
    assert refused.value.code == "pace-range"
