"""How long the center waits for uploads."""

from dataclasses import replace

import pytest
from tests.unit.aggregation.conftest import World

from serai.aggregation.state import agreed_model
from serai.center.arrivals import Arrivals


@pytest.fixture
def world():
    world = World(rounds=50)
    world.job = replace(world.job, least_ms=100)
    return world


def a_round(world, arrivals, waits_ms):
    """A whole round in which members arrive so long after its opening."""
    world.open(model=agreed_model(world.state, world.job))
    began = world.time_ms
    arrivals.watch(world.current, began)
    for member, wait in sorted(waits_ms.items(), key=lambda item: item[1]):
        world.upload(member)
        arrivals.watch(world.current, began + wait)
    world.time_ms = world.current.body.deadline_ms
    world.close()
    world.release()
    world.finish(f"model {world.current.body.number + 1}")
    return world.current


def quick(ms):
    return {"aarau": ms, "bern": ms + 10, "chur": ms + 20, "davos": ms + 30}


def test_it_waits_the_whole_time_until_it_knows_better(world):
    arrivals = Arrivals()
    assert arrivals.wait_ms(world.job, None) == 1000
    before = a_round(world, arrivals, quick(100))
    assert arrivals.wait_ms(world.job, before) == 1000  # four arrivals are too few


def test_it_waits_as_long_as_members_usually_take_and_some_grace(world):
    arrivals = Arrivals()
    for _ in range(4):
        before = a_round(world, arrivals, quick(100))
    assert arrivals.wait_ms(world.job, before) == (115 + 4 * 10) * 3 // 2


def test_one_straggler_hardly_matters_and_the_limits_hold(world):
    arrivals = Arrivals()
    for _ in range(4):
        before = a_round(world, arrivals, {**quick(10), "davos": 900})
    assert 100 <= arrivals.wait_ms(world.job, before) < 200
    assert arrivals.wait_ms(replace(world.job, least_ms=300), before) == 300


def test_each_round_without_somebody_doubles_the_wait(world):
    arrivals = Arrivals()
    for _ in range(4):
        before = a_round(world, arrivals, quick(100))
    first = arrivals.wait_ms(world.job, before)
    lacking = {member: wait for member, wait in quick(100).items() if member != "davos"}
    waits = [arrivals.wait_ms(world.job, a_round(world, arrivals, lacking)) for _ in range(3)]
    assert first < waits[0] < waits[1] <= waits[2] == 1000
    assert arrivals.wait_ms(world.job, a_round(world, arrivals, quick(100))) < 1000


def test_a_plan_that_sets_no_least_waits_the_whole_time(world):
    arrivals = Arrivals()
    for _ in range(4):
        before = a_round(world, arrivals, quick(1))
    assert arrivals.wait_ms(replace(world.job, least_ms=0), before) == 1000
    arrivals.forget(world.job.run)
    assert arrivals.wait_ms(world.job, before) == 1000
