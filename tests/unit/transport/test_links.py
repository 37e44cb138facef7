"""What a link is measured to carry, and how many connections a blob is given on it."""

import threading
import time

import pytest

from serai.aggregation.pipeline import in_order
from serai.transport.flows import LONG_RTT_S, choose_flows
from serai.transport.link import LEAST_BYTES, LinkMeter

MB = 2**20


def test_nothing_is_known_before_the_first_answer():
    meter = LinkMeter()
    assert meter.measured() is None
    meter.answered(0.3)
    assert (meter.measured().up_bytes_s, meter.measured().down_bytes_s) == (None, None)


def test_the_smallest_round_trip_is_kept():
    meter = LinkMeter()
    for seconds in (0.5, 0.3, 25.0):
        meter.answered(seconds)
    assert meter.measured().rtt_s == 0.3


def test_short_transfers_tell_nothing():
    meter = LinkMeter()
    meter.answered(0.3)
    meter.sent(LEAST_BYTES - 1, 9.0)
    meter.received(LEAST_BYTES - 1, 9.0)
    assert (meter.measured().up_bytes_s, meter.measured().down_bytes_s) == (None, None)


def test_the_answers_own_way_is_no_part_of_the_sending():
    meter = LinkMeter()
    meter.answered(0.3)
    meter.sent(MB, 1.3)
    meter.received(MB, 0.5)
    assert meter.measured().up_bytes_s == pytest.approx(MB)
    assert meter.measured().down_bytes_s == pytest.approx(2 * MB)


def test_the_newest_transfers_count_most():
    meter = LinkMeter()
    meter.answered(0.0)
    for _ in range(20):
        meter.received(MB, 1.0)
    for _ in range(6):
        meter.received(MB, 0.1)
    assert 5 * MB < meter.measured().down_bytes_s < 10 * MB


def test_a_transfer_faster_than_the_clock_is_finite():
    meter = LinkMeter()
    meter.answered(1.0)
    meter.sent(MB, 0.0)
    assert 0 < meter.measured().up_bytes_s < float("inf")


@pytest.mark.parametrize(
    ("size", "rtt_s", "flows"),
    [(0, 1, 1), (MB, 1, 1), (16 * MB, 1, 2), (1000 * MB, 1, 4), (1000 * MB, LONG_RTT_S / 2, 1)],
)
def test_only_long_blobs_on_long_links_get_several_connections(size, rtt_s, flows):
    assert choose_flows(size, rtt_s) == flows


@pytest.mark.parametrize("flows", [1, 2, 5])
def test_results_come_in_order_and_so_many_work_at_once(flows):
    lock, at_work, most = threading.Lock(), [0], [0]

    def work(item):
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        time.sleep(0.002 * (item % 3))
        with lock:
            at_work[0] -= 1
        return item * item

    assert list(in_order(flows, work, range(30))) == [item * item for item in range(30)]
    assert 1 <= most[0] <= flows


@pytest.mark.parametrize("flows", [1, 3])
def test_the_first_failure_ends_it_and_nothing_more_is_begun(flows):
    begun = []

    def work(item):
        begun.append(item)
        if item == 2:
            raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        list(in_order(flows, work, range(100)))
    assert len(begun) <= 3 + 2 * flows


def test_who_stops_reading_stops_the_work():
    begun = []
    results = in_order(2, begun.append, range(1000))
    next(results)
    results.close()
    assert len(begun) < 10
