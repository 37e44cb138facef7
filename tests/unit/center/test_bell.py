"""Who waits for the bell, when it rings, and when a ring is held back."""

import asyncio

import pytest

from serai.center.bell import DELAY_S, FREE, MAX_DELAY_S, MAX_HOLD_S, Bell


class Log:
    size = 0


async def waiting(bell, count):
    """So many that wait; each notes what it heard and when."""
    loop = asyncio.get_running_loop()
    heard = []

    async def listen():
        await bell.wait(bell.next_ring(), 10)
        heard.append((bell.announced, loop.time()))

    tasks = [asyncio.create_task(listen()) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return heard, tasks


def hear(count, rings):
    """Wait with so many, ring as ``rings`` says, and tell what each heard and how late."""

    async def run():
        log, loop = Log(), asyncio.get_running_loop()
        bell = Bell(lambda: log.size)
        heard, tasks = await waiting(bell, count)
        started = loop.time()
        for pause_s, is_urgent in rings:
            await asyncio.sleep(pause_s)
            log.size += 1
            bell.ring(is_urgent=is_urgent)
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
        return [(size, at - started) for size, at in heard], bell.is_holding

    return asyncio.run(run())


@pytest.mark.parametrize("is_urgent", [True, False])
@pytest.mark.parametrize("count", [1, FREE])
def test_few_hear_each_ring_at_once(count, is_urgent):
    heard, is_holding = hear(count, [(0, is_urgent), (0.05, is_urgent)])
    assert [size for size, _ in heard] == [1] * count
    assert not is_holding


def test_many_hear_an_urgent_ring_at_once():
    heard, _ = hear(10 * FREE, [(0, True), (0.05, True)])
    assert [size for size, _ in heard] == [1] * (10 * FREE)


def test_many_hear_all_that_came_close_together_in_one_ring():
    count = FREE + 25
    heard, is_holding = hear(count, [(0, False), (0, False), (0, False)])
    assert [size for size, _ in heard] == [3] * count
    assert min(late_s for _, late_s in heard) >= 25 * DELAY_S * 0.9
    assert not is_holding


def test_a_ring_is_not_held_back_for_ever():
    heard, _ = hear(FREE + 1000, [(0, False)])
    assert min(late_s for _, late_s in heard) >= MAX_DELAY_S * 0.9
    assert len(heard) == FREE + 1000


def test_an_urgent_ring_takes_along_what_was_held_back():
    count = FREE + 1000
    heard, is_holding = hear(count, [(0, False), (0, True)])
    assert [size for size, _ in heard] == [2] * count
    assert not is_holding


def test_who_is_on_the_way_back_counts_as_waiting():
    async def run():
        log = Log()
        bell = Bell(lambda: log.size)
        _, tasks = await waiting(bell, FREE + 50)
        bell.ring()
        await asyncio.gather(*tasks)
        bell.ring(is_urgent=False)
        await asyncio.sleep(0)
        return bell.is_holding

    assert asyncio.run(run())


@pytest.mark.parametrize(("back", "is_held"), [(FREE + 50, False), (FREE, True)])
def test_a_ring_waits_until_most_are_back_and_not_for_ever(back, is_held):
    async def run():
        bell = Bell(Log)
        _, tasks = await waiting(bell, FREE + 50)
        bell.ring()
        await asyncio.gather(*tasks)
        heard, tasks = await waiting(bell, back)
        started = asyncio.get_running_loop().time()
        bell.ring(is_urgent=False)
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
        return min(at for _, at in heard) - started

    late_s = asyncio.run(run())
    assert late_s >= (MAX_HOLD_S - 2 * MAX_DELAY_S if is_held else 50 * DELAY_S * 0.9)


def test_closing_sends_everybody_home():
    async def run():
        log = Log()
        bell = Bell(lambda: log.size)
        _, tasks = await waiting(bell, 30)
        bell.ring(is_urgent=False)
        await asyncio.sleep(0)
        bell.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 1)
        await asyncio.wait_for(bell.wait(bell.next_ring(), 60), 1)
        return bell.is_closed, bell.is_holding

    assert asyncio.run(run()) == (True, False)
