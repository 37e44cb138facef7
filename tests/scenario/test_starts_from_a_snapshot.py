"""A zone that starts from a snapshot knows what it knew, and notices what it would have noticed."""

import logging
import sqlite3
from dataclasses import replace

import pytest
from immutables import Map

from serai.agent.attesting import Attester, to_keep
from serai.agent.mirror import Mirror
from serai.charter.constitution import genesis_of
from serai.errors import Unverified
from serai.kernel.ids import MemberId, digest_of
from serai.ledger.statements import is_compared
from serai.state import State, advance, digest_state, replay
from serai.storage import snapshots
from serai.storage.log import LogStore
from serai.storage.snapshots import SnapshotFile

EVERY = 8


@pytest.fixture
def bloc(monkeypatch, make_bloc):
    """A bloc that compares states every few entries, and whose log has grown beyond the last such size."""
    monkeypatch.setattr("serai.ledger.statements.ATTEST_EVERY", EVERY)
    made = make_bloc().bloc
    made.agree()
    while is_compared(made.state.size) or is_compared(made.state.size - 1):
        made.pass_time(1000)
    return made


@pytest.fixture
def folded(monkeypatch):
    """How many entries each mirror folds from here on, in one list."""
    sizes = []

    def counting(state, entry):
        sizes.append(state.size)
        return advance(state, entry)

    monkeypatch.setattr("serai.agent.mirror.advance", counting)
    return sizes


def view_of(bloc):
    return bloc.members["bern"].zone.mirror.view


def start(bloc, file=None):
    return Mirror(LogStore(bloc.folder / "bern" / "mirror.sqlite"), bloc.charter, file or snapshot(bloc))


def snapshot(bloc):
    return SnapshotFile(bloc.folder / "bern" / "state.snapshot", genesis_of(bloc.charter))


def test_it_folds_what_came_after_and_knows_all_that_it_knew(bloc, folded):
    before = view_of(bloc)
    snapshot(bloc).write(before.marked)
    mirror = start(bloc)
    assert folded == list(range(before.marked.size, before.size))
    assert mirror.view == before
    assert digest_state(mirror.view.state) == digest_state(replay(bloc.entries))
    sizes = range(before.size + 1)
    plain = start(bloc, SnapshotFile(bloc.folder / "none", genesis_of(bloc.charter)))
    assert [mirror.root_at(size) for size in sizes] == [plain.root_at(size) for size in sizes]


def test_it_still_compares_at_the_size_of_the_snapshot(bloc):
    before = view_of(bloc)
    snapshot(bloc).write(before.marked)
    assert start(bloc).view.marked == before.marked


def test_what_it_said_it_still_compares_when_the_snapshot_is_newer(bloc, caplog):
    bern, before = bloc.members["bern"].zone, view_of(bloc)
    assert to_keep(before, bern.member) == before.state, "it has said what it found"
    snapshot(bloc).write(before.state)
    zone = replace(bern, mirror=start(bloc))
    assert zone.mirror.view.marked is None
    with caplog.at_level(logging.ERROR, "serai.agent.attesting"):
        Attester(zone).step(zone.mirror.view)
        assert not caplog.records
        said = before.state.attested[before.marked.size].set(MemberId("oslo"), digest_of(b"another"))
        state = replace(before.state, attested=before.state.attested.set(before.marked.size, said))
        Attester(zone).step(replace(zone.mirror.view, state=state))
    (alarm,) = caplog.records
    assert f"after {before.marked.size} entries oslo finds" in alarm.getMessage()


def test_what_is_still_to_be_said_is_kept(bloc):
    before = view_of(bloc)
    unsaid = replace(before, state=replace(before.state, attested=before.state.attested.set(before.marked.size, Map())))
    assert to_keep(unsaid, MemberId("bern")) == before.marked


def test_it_goes_on_following(bloc):
    snapshot(bloc).write(view_of(bloc).marked)
    mirror = start(bloc)
    bloc.pass_time(1000)
    assert mirror.follow(bloc.center, 0, 0).state == bloc.state


def test_after_an_update_of_the_rules_it_replays_all(bloc, folded, monkeypatch):
    before = view_of(bloc)
    snapshot(bloc).write(before.marked)
    monkeypatch.setattr(snapshots, "rules_digest", lambda: "0" * 64)
    assert start(bloc).view == before
    assert folded == list(range(before.size))


@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_damaged_mirror_is_noticed_on_either_side_of_the_snapshot(bloc, place):
    before = view_of(bloc)
    snapshot(bloc).write(before.marked)
    index = place % before.size
    with sqlite3.connect(bloc.folder / "bern" / "mirror.sqlite") as connection:
        connection.execute("UPDATE entries SET entry = CAST(entry || ' ' AS BLOB) WHERE position = ?", (index,))
    with pytest.raises(Unverified, match="do not have the root"):
        start(bloc)


def test_the_snapshot_of_a_history_that_a_successor_left_out_is_not_used(bloc, folded):
    before = view_of(bloc)
    other = replay([*bloc.entries[: EVERY - 1], bloc.entries[-1]])
    assert other.size == EVERY
    snapshot(bloc).write(other)
    assert start(bloc).view == before
    assert folded == list(range(before.size))


def test_an_empty_mirror_with_a_snapshot_is_empty(bloc, tmp_path):
    snapshot(bloc).write(view_of(bloc).marked)
    mirror = Mirror(LogStore(tmp_path / "mirror.sqlite"), bloc.charter, snapshot(bloc))
    assert mirror.view.state == State()
