"""Zones say what their replays add up to, and one that finds something else is noticed."""

import logging

import pytest

from serai.agent.endpoint import Endpoint
from serai.cli.audits import audit_published
from serai.errors import Refused
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.ledger.statements import StateAttest, is_compared
from serai.state import State, advance, digest_state

EVERY = 8


@pytest.fixture
def bloc(monkeypatch, make_bloc):
    """A bloc that compares states every few entries."""
    monkeypatch.setattr("serai.ledger.statements.ATTEST_EVERY", EVERY)
    return make_bloc().bloc


def state_after(bloc, size):
    state = State()
    for entry in bloc.entries[:size]:
        state = advance(state, entry)
    return state


def audit(bloc):
    bern = bloc.members["bern"].zone
    bern.mirror.follow(bloc.center, 0, 0)
    with Endpoint(bern).serve("127.0.0.1:0") as server:
        return audit_published(server.url, bloc.charter)


def test_every_zone_says_what_the_log_adds_up_to_and_all_find_the_same(bloc, caplog):
    bloc.agree()
    attested = bloc.state.attested
    assert attested
    for size, found in attested.items():
        assert is_compared(size)
        assert set(found.values()) == {digest_state(state_after(bloc, size))}
    assert set(attested[max(attested)]) == set(bloc.members)
    done = audit(bloc)
    assert done.attested == sum(len(found) for found in attested.values())
    assert done.disagreeing == ()
    assert "ALARM" not in caplog.text


def test_a_zone_that_finds_another_state_sets_off_an_alarm_in_every_zone_and_audit(bloc, caplog):
    bloc.members["oslo"].is_up = False
    bloc.agree()
    size = max(bloc.state.attested)
    bloc.say("oslo", StateAttest(size=size, digest=digest_of(b"another")), Role.ZONE)
    with caplog.at_level(logging.ERROR, "serai.agent.attesting"):
        for _ in range(3):
            bloc.step_member("bern")
            bloc.step_member("lima")
    alarms = [record.getMessage() for record in caplog.records if "ALARM" in record.getMessage()]
    assert len(alarms) == 2  # each of the two says it once
    assert all("oslo" in alarm for alarm in alarms)
    assert audit(bloc).disagreeing == (("oslo", size),)


@pytest.mark.parametrize(("size", "reason"), [(0, "all know"), (EVERY + 1, "all know"), (EVERY * 1024, "up to here")])
def test_states_are_compared_at_sizes_that_all_know(bloc, size, reason):
    with pytest.raises(Refused, match=reason):
        bloc.say("oslo", StateAttest(size=size, digest=digest_of(b"any")), Role.ZONE)


def test_states_are_compared_twice_for_each_doubling():
    assert [size for size in range(-1024, 20_000) if is_compared(size)] == [
        *(1024, 2048, 3072, 4096, 6144, 8192, 12_288, 16_384)
    ]


def test_a_zone_says_it_once_and_only_a_zone_does(bloc):
    bloc.members["oslo"].is_up = False
    bloc.agree()
    size = max(bloc.state.attested)
    with pytest.raises(Refused, match="has said"):
        bloc.say("bern", StateAttest(size=size, digest=digest_of(b"other")), Role.ZONE)
    with pytest.raises(Refused, match="zone key"):
        bloc.say("oslo", StateAttest(size=size, digest=digest_of(b"other")), Role.DELEGATE)
