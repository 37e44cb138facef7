"""A zone follows a successor to its center only where a quorum has appointed it, after the history that it knows."""

from dataclasses import dataclass, field, replace

import pytest

from serai.agent.bundles import HEAD, TileSource
from serai.agent.endpoint import Endpoint, Gossip
from serai.agent.handover import bring_along
from serai.agent.mirror import Heir, Mirror, name_heir
from serai.agent.witness import add_checkpoint, cosign_head
from serai.charter.statements import MemberWithdraw, OperatorAppoint
from serai.errors import Conflict, Unverified
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.ledger.checkpoint import LogSigner
from serai.ledger.merkle import leaf_hash, root_of
from serai.ledger.note import parse_note
from serai.ledger.witnessing import AddCheckpoint
from serai.state import replay
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore
from serai.storage.tile_files import TileFiles
from serai.transport.port import News


def root(entries):
    return root_of([leaf_hash(entry) for entry in entries])


@dataclass
class Successor:
    """A center that shows some entries under a key of its own."""

    log: LogSigner
    entries: list[bytes] = field(default_factory=list)

    def news(self, size, _witnessed, _wait_s):
        if size > len(self.entries):
            raise Conflict("log-shorter", "fewer entries")
        note = self.log.sign(len(self.entries), root(self.entries))
        return News(size, tuple(self.entries[size:]), note, None)


@pytest.fixture
def bloc(agreed):
    story, _ = agreed
    story.bloc.members["bern"].zone.mirror.follow(story.bloc.center, 0, 0)  # with the newest witnessed head
    return story.bloc


@pytest.fixture
def successor(tmp_path):
    operator = Keyring.create(tmp_path / "successor", [Role.OPERATOR]).signer(Role.OPERATOR)
    return Successor(LogSigner("center.example/serai/2", operator))


def appointed(bloc, successor, entries, signers=("bern", "lima"), **changes):
    """A successor that shows these entries, and the signatures of some members."""
    body = OperatorAppoint(
        log_key=successor.log.key.encode(),
        operator=successor.log.signer.public,
        url="http://127.0.0.1:9",
        size=len(entries),
        root=Digest(root(entries).hex()),
    )
    body = replace(body, **changes)
    successor.entries = [*entries, *(sign_body(body, bloc.signer(member, Role.DELEGATE)) for member in signers)]
    return successor


def test_the_zone_goes_on_with_the_successor_and_finds_it_again_after_a_restart(bloc, successor):
    mirror = bloc.members["bern"].zone.mirror
    before = mirror.view
    view = mirror.succeed(appointed(bloc, successor, bloc.entries))
    assert view.size == len(bloc.entries) + 2
    assert (view.witnessed_note, view.halt) == (before.witnessed_note, None)
    assert view.state.charter.charter.origin == "center.example/serai/2"
    assert view.state.charter.charter.operator == successor.log.signer.public
    assert mirror.left == []

    successor.entries.append(sign_body(MemberWithdraw(), bloc.signer("oslo", Role.DELEGATE)))
    assert mirror.follow(successor, view.witnessed_size, 0).size == view.size + 1
    again = Mirror(LogStore(bloc.folder / "bern" / "mirror.sqlite"), bloc.charter)
    assert again.view.size == view.size + 1
    assert again.view.witnessed_size == view.witnessed_size
    assert again.follow(successor, view.witnessed_size, 0).size == view.size + 1


def test_who_hears_of_a_successor_from_a_peer_follows_it(bloc, successor):
    appointed(bloc, successor, bloc.entries)
    bern, lima = (bloc.members[name].zone for name in ("bern", "lima"))
    bern.mirror.succeed(successor)
    with Endpoint(bern).serve("127.0.0.1:0") as server:
        Gossip(lima, [server.url]).ask(is_urgent=True)
    (succession,) = lima.mirror.view.state.charter.successions
    assert succession.body.log_key == successor.log.key.encode()
    assert lima.mirror.view.size == len(successor.entries)
    assert lima.mirror.view.halt is None


def test_a_peer_that_shows_a_successor_without_a_quorum_is_not_followed(bloc, successor):
    appointed(bloc, successor, bloc.entries, signers=("bern",))
    lima = bloc.members["lima"].zone
    files = TileFiles(lima.settings.home / "shown")
    note = successor.log.sign(len(successor.entries), root(successor.entries))
    files.publish(lambda start, end: successor.entries[start:end], len(successor.entries), note)
    before = lima.mirror.view
    with pytest.raises(Unverified, match="no quorum has appointed that center"):
        lima.mirror.succeed(TileSource(lambda path: note.encode() if path == HEAD else files.read(path)))
    assert lima.mirror.view == before


def test_what_the_old_center_says_afterwards_is_refused(bloc, successor):
    mirror = bloc.members["bern"].zone.mirror
    view = mirror.succeed(appointed(bloc, successor, bloc.entries))
    bloc.say("oslo", MemberWithdraw())
    with pytest.raises((Unverified, Conflict)):
        mirror.follow(bloc.center, view.witnessed_size, 0)
    forged = Successor(bloc.log, [*successor.entries, bloc.entries[-1]])
    with pytest.raises(Unverified, match=r"expected a checkpoint of center\.example/serai/2"):
        mirror.follow(forged, view.witnessed_size, 0)
    assert mirror.view.size == view.size
    assert mirror.view.halt is None


def test_the_old_center_cannot_log_the_signatures_and_go_on(bloc, successor):
    mirror = bloc.members["bern"].zone.mirror
    size = mirror.view.size
    appointed(bloc, successor, bloc.entries)
    with pytest.raises(Unverified, match="goes on by itself"):
        mirror.follow(Successor(bloc.log, successor.entries), mirror.view.witnessed_size, 0)
    assert (mirror.view.size, mirror.view.halt) == (size, None)


@pytest.mark.parametrize("signers", [(), ("bern",), ("bern", "bern")])
def test_fewer_than_a_quorum_appoint_nobody(bloc, successor, signers):
    mirror = bloc.members["bern"].zone.mirror
    before = mirror.view
    with pytest.raises(Unverified, match="no quorum has appointed"):
        mirror.succeed(appointed(bloc, successor, bloc.entries, signers))
    assert mirror.view == before


@pytest.mark.parametrize(
    "changes", [{"root": Digest("0" * 64)}, {"size": 3}, {"log_key": "center.example/serai+00000000+AQ=="}]
)
def test_an_appointment_of_something_else_appoints_nobody(bloc, successor, changes):
    mirror = bloc.members["bern"].zone.mirror
    with pytest.raises(Unverified, match="no quorum has appointed"):
        mirror.succeed(appointed(bloc, successor, bloc.entries, **changes))


def test_the_name_of_the_old_log_is_no_name_for_another(bloc, successor):
    same = Successor(LogSigner(bloc.log.origin, successor.log.signer))
    state = replay(appointed(bloc, same, bloc.entries).entries)
    assert state.charter.successions == ()
    assert "names an earlier log" in state.void[len(bloc.entries)].reason


def test_nothing_that_a_quorum_witnessed_may_be_left_out(bloc, successor):
    mirror = bloc.members["bern"].zone.mirror
    before = mirror.view
    short = bloc.entries[: before.witnessed_size - 3]
    with pytest.raises(Unverified):
        mirror.succeed(appointed(bloc, successor, short))
    bent = [*bloc.entries[:5], bloc.entries[4], *bloc.entries[5:]]
    with pytest.raises(Unverified):
        mirror.succeed(appointed(bloc, successor, bent))
    assert mirror.view == before


def test_heads_under_the_old_key_or_with_another_root_are_refused(bloc, successor):
    mirror = bloc.members["bern"].zone.mirror
    before = mirror.view
    entries = appointed(bloc, successor, bloc.entries).entries
    with pytest.raises(Unverified):
        mirror.succeed(Successor(bloc.log, entries))

    class Bent(Successor):
        def news(self, size, witnessed, wait_s):
            told = super().news(size, witnessed, wait_s)
            return replace(told, checkpoint=self.log.sign(len(self.entries), bytes(32)))

    with pytest.raises(Unverified, match="root that it signed"):
        mirror.succeed(Bent(successor.log, entries))
    assert mirror.view == before


def test_unwitnessed_entries_that_the_successor_lacks_are_given_up_and_kept_to_be_handed_in(bloc, successor):
    for name in ("lima", "oslo"):
        bloc.members[name].is_up = False  # nobody cosigns what follows
    mirror = bloc.members["bern"].zone.mirror
    known = list(bloc.entries)
    late = sign_body(MemberWithdraw(), bloc.signer("oslo", Role.DELEGATE))
    bloc.put(late)
    mirror.follow(bloc.center, mirror.view.witnessed_size, 0)
    assert mirror.view.size == len(known) + 1
    view = mirror.succeed(appointed(bloc, successor, known))
    assert view.size == len(known) + 2
    assert mirror.left == [late]
    again = Mirror(LogStore(bloc.folder / "bern" / "mirror.sqlite"), bloc.charter)
    assert (again.view.size, again.left) == (view.size, [late])


def test_who_has_signed_an_appointment_cosigns_no_more_of_the_old_log(bloc):
    zone = bloc.members["bern"].zone
    store = LogStore(bloc.folder / "bern" / "mirror.sqlite")
    name_heir(store, Heir(url="http://127.0.0.1:9", is_appointed=True))
    assert zone.mirror.heir == Heir(url="http://127.0.0.1:9", is_appointed=True)
    assert cosign_head(replace(zone, center=None), zone.mirror.view) == 0  # no center is asked
    view = zone.mirror.view
    asked = AddCheckpoint(zone.mirror.cosigned(bloc.log.origin)[0], (), parse_note(view.note))
    assert add_checkpoint(zone, asked.encode().encode()).status == 503
    name_heir(store, None)
    assert zone.mirror.heir is None


def test_who_lags_in_the_last_round_can_end_it_where_the_center_has_lost_every_blob(make_bloc):
    story = make_bloc()
    bloc = story.bloc
    run = bloc.train(bloc.agree(), "newton", 1, {"features": "3"})
    story.step_until(lambda: story.round(run) and story.round(run).is_released)
    lima = bloc.members["lima"]
    lima.is_up = False
    bloc.settle()
    this = story.round(run)
    assert set(this.results) == {"bern", "oslo"}
    assert story.final(run) is not None
    lost = {this.closed.body.masked_sum, *(upload.body.blob for upload in this.uploads.values())}
    for blob in lost:
        bloc.center_parts.blobs.delete(blob)
    bloc.restart_center()  # as a successor would begin
    for name in bloc.members:
        bring_along(bloc.members[name].zone, bloc.members[name].zone.mirror.view)
    bloc.members["lima"].is_up = True
    bloc.settle()
    assert "lima" in story.round(run).results
    assert not any(bloc.members["bern"].zone.blobs.has(blob) for blob in lost), "what nobody needs is dropped"
