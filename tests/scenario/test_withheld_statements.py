"""What members do about a center that does not show what one of them says: others carry it, and testify."""

import contextlib
import json
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass, field, replace

import pytest
from click.testing import CliRunner

from serai.agent.carrying import MAX_CARRIED, Carrier
from serai.agent.endpoint import Endpoint, Gossip
from serai.agent.mirror import Heir, Mirror, name_heir
from serai.agent.outbox import keep, kept, path_of
from serai.agent.receipts import Evidence, judge_offline, parse_evidence
from serai.agent.session import CHARTER_FILE, Session
from serai.agent.settings import load_settings
from serai.center.app import build, claim_port
from serai.center.replay import Replay
from serai.center.settings import read_settings
from serai.charter.decision import Choice
from serai.charter.statements import AgreementWithdraw, Ballot, MemberRotate, ProposalOpen
from serai.cli.adopting import NewAddress, begin, open_center
from serai.cli.main import main
from serai.errors import Refused, Unavailable
from serai.kernel.envelope import parse_envelope
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.ledger.statements import LEAST_WAIT_MS, Answered, Receipt
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore
from serai.storage.record_files import write_record
from serai.testing.faults import Lens, Losing, see_through
from serai.testing.federation import InProcessCenter
from serai.testing.served import ServedFederation
from serai.transport.published import PublicFiles

pytestmark = pytest.mark.slow  # seconds each

MEMBERS = ("bern", "lima", "oslo")
FEATURES = {"features": "3"}


class Cut(Lens):
    """A line that is dead in both directions."""

    def news(self, *_):
        raise Unavailable("line-dead", "no answer")

    submit = cosign = news


class Deaf(Lens):
    """Answers every question, and no statement that one key signed."""

    def __init__(self, center, key):
        super().__init__(center)
        self._key = key

    def submit(self, entry):
        if parse_envelope(entry).signer == self._key:
            raise Unavailable("log-stalled", "try again later")
        return self.center.submit(entry)


class Refusing(Lens):
    """Refuses what one key signed, with reasons of its own."""

    def __init__(self, center, key):
        super().__init__(center)
        self._key = key

    def submit(self, entry):
        if parse_envelope(entry).signer == self._key:
            raise Refused("not-welcome", "the operator knows better", "operator 1")
        return self.center.submit(entry)


@dataclass
class Talk:
    """A served bloc whose members' agents talk to each other."""

    bloc: ServedFederation
    proposal: str
    stack: contextlib.ExitStack
    carriers: dict = field(default_factory=dict)
    urls: dict = field(default_factory=dict)
    peers: dict = field(default_factory=dict)

    def start(self):
        """Start each member's endpoint anew, with what lies in its home."""
        self.stack.close()
        # Each at an address of its own: between a port's choice and its use, a connection to 127.0.0.1 could take it.
        hosts = {name: f"127.1.{os.getpid() % 250}.{number}" for number, name in enumerate(MEMBERS, 1)}
        self.urls.update({name: f"http://{host}:{claim_port(host, 0)}" for name, host in hosts.items()})
        for name in MEMBERS:
            zone = self.bloc.members[name].zone
            peers = [url for other, url in self.urls.items() if other != name]
            self.carriers[name] = Carrier(zone, peers)
            self.peers[name] = peers
            address = self.urls[name].removeprefix("http://")
            self.stack.enter_context(Endpoint(zone, self.carriers[name]).serve(address))

    def lie(self, members, make):
        for name in members:
            self.bloc.deceive(name, make and see_through(make))
        self.start()

    def pass_s(self, seconds):
        """Let time pass; every agent follows the log and carries what is due."""
        for _ in range(seconds // 15):
            self.bloc.tick(15_000)
            for name in MEMBERS:
                self.bloc.step_member(name)
                Gossip(self.bloc.members[name].zone, self.peers[name]).ask(is_urgent=True)
                self.carriers[name].step()

    def ballot(self, member="lima"):
        body = Ballot(proposal=self.proposal, choice=Choice.OBJECT, reason="no")
        return sign_body(body, self.bloc.signer(member, Role.DELEGATE), nonce=b"1")

    def hand_in(self, member, entry):
        """As the command line does where the center does not show what it was given."""
        keep(self.bloc.members[member].zone.settings.home, Evidence(entry=entry.decode()))
        return parse_envelope(entry).id

    def evidence(self, member):
        (found,) = kept(self.bloc.members[member].zone.settings.home)
        return found

    def counts(self, member):
        return member in self.bloc.state.charter.proposals[self.proposal].votes

    def third_party(self, tmp_path):
        """Somebody with a copy of the log and the charter, and no line to anybody."""
        mirror = Mirror(LogStore(tmp_path / "third.sqlite"), self.bloc.charter)
        mirror.follow(self.bloc.center, 0, 0)
        return mirror


@pytest.fixture
def talk(make_bloc):
    story = make_bloc(bloc=ServedFederation)
    bloc = story.bloc
    with bloc, contextlib.ExitStack() as stack:
        agreement = bloc.agree()
        text = bloc.state.charter.agreements[agreement].text
        proposal = bloc.say("bern", ProposalOpen(topic="agreement", title="More", text="?", agreement=text))
        bloc.settle()
        made = Talk(bloc, proposal, stack)
        made.agreement = agreement
        made.start()
        yield made


def losing(center):
    return Losing(center, {"ballot"})


# Carried


def test_a_ballot_that_is_dropped_from_one_member_is_handed_in_by_another(talk):
    talk.lie(["lima"], losing)
    entry = talk.ballot()
    talk.bloc.client("lima").submit(entry)
    talk.bloc.settle()
    assert not talk.counts("lima"), "the center named an index, and dropped it"
    talk.hand_in("lima", entry)
    talk.pass_s(15)
    assert entry in talk.bloc.entries
    assert talk.counts("lima")
    talk.pass_s(60)
    assert list(kept(talk.bloc.members["lima"].zone.settings.home)) == [], "nothing is left to complain of"


def test_a_member_whose_line_to_the_center_is_cut_is_carried_too(talk):
    talk.lie(["lima"], Cut)
    entry = talk.ballot()
    talk.hand_in("lima", entry)
    talk.pass_s(15)
    assert talk.counts("lima")


def test_what_the_agent_itself_said_is_carried_when_it_does_not_show(talk):
    talk.lie(["lima"], lambda center: Losing(center, {"run.join"}))
    run = talk.bloc.train(talk.agreement, "newton", 1, FEATURES)
    talk.bloc.settle()
    assert "lima" not in talk.bloc.state.runs.plans[run].keys
    talk.pass_s(75)
    assert "lima" in talk.bloc.state.runs.plans[run].keys


# Evidence


@pytest.fixture
def withheld(talk, caplog):
    """The center drops lima's ballot, whoever brings it, for two minutes."""
    talk.lie(MEMBERS, losing)
    talk.statement = talk.hand_in("lima", talk.ballot())
    with caplog.at_level(logging.ERROR):
        talk.pass_s(120)
    return talk


def test_receipts_of_a_quorum_are_evidence_that_anybody_checks_offline(withheld, tmp_path, caplog):
    assert not withheld.counts("lima")
    third = withheld.third_party(tmp_path)
    for name in MEMBERS:  # everybody has it
        found = judge_offline(withheld.evidence(name), third)
        assert (found.statement, found.author, found.kind) == (withheld.statement, "lima", "ballot")
        assert (set(found.receipts), found.void, found.quorum) == (set(MEMBERS), (), 2)
        assert found.is_proved
        assert {receipt.answered for receipt in found.receipts.values()} == {Answered.TAKEN}
    alarms = [record.message for record in caplog.get_records("setup") if "ALARM: the center" in record.message]
    assert len(alarms) == 3, "each agent says so once"
    assert "withholds ballot" in alarms[0]


def rotate_delegate(talk, tmp_path):
    keys = talk.bloc.state.charter.members["lima"].keys
    fresh = Keyring.create(tmp_path / "fresh", [Role.DELEGATE]).signer(Role.DELEGATE).public
    talk.bloc.say("lima", MemberRotate(member="lima", version=2, keys={**keys, "delegate": (fresh,)}), Role.ROOT)
    talk.bloc.settle()


def test_evidence_outlives_the_key_that_signed_the_statement(withheld, tmp_path):
    evidence = withheld.evidence("bern")
    rotate_delegate(withheld, tmp_path)
    assert judge_offline(evidence, withheld.third_party(tmp_path)).is_proved


def test_a_statement_whose_key_has_ended_earns_no_receipt(talk, tmp_path):
    talk.lie(MEMBERS, losing)
    talk.hand_in("lima", talk.ballot())
    talk.pass_s(30)
    rotate_delegate(talk, tmp_path)
    talk.pass_s(120)
    assert talk.evidence("lima").receipts == ()


def test_with_its_line_cut_the_author_gets_the_receipts_of_the_others(talk):
    for name in MEMBERS:
        talk.bloc.deceive(name, see_through(Cut if name == "lima" else losing))
    talk.start()
    talk.hand_in("lima", talk.ballot())
    talk.pass_s(120)
    found = judge_offline(talk.evidence("lima"), talk.bloc.members["bern"].zone.mirror)
    assert set(found.receipts) == {"bern", "oslo"}
    assert found.is_proved


def test_when_the_center_takes_it_at_last_the_receipts_stand_after_it_for_all_to_see(withheld, tmp_path, caplog):
    evidence = withheld.evidence("bern")
    caplog.clear()
    withheld.lie(MEMBERS, None)
    withheld.pass_s(60)
    assert withheld.counts("lima")
    given = withheld.bloc.state.receipts[withheld.statement]
    assert set(given) == set(MEMBERS)
    assert not any(index in withheld.bloc.state.void for index in range(withheld.bloc.state.size))
    found = judge_offline(evidence, withheld.third_party(tmp_path))
    assert found.is_proved, "what was, was"
    assert found.stands is not None
    for carrier in withheld.carriers.values():
        assert not carrier._items
    told = [record.message for record in caplog.records if "by receipts in the log of bern" in record.message]
    assert len(told) == 3, "also those who carried nothing would say so"


def test_a_refusal_is_on_record_and_by_everybodys_replay_unjustified(talk, tmp_path):
    key = parse_envelope(talk.ballot()).signer
    talk.lie(MEMBERS, lambda center: Refusing(center, key))
    talk.hand_in("lima", talk.ballot())
    talk.pass_s(120)
    found = judge_offline(talk.evidence("oslo"), talk.third_party(tmp_path))
    assert found.is_proved
    assert found.denied is None
    answers = {(item.answered, item.code, item.answer) for item in found.receipts.values()}
    assert answers == {(Answered.REFUSED, "not-welcome", "the operator knows better")}


def test_a_center_that_is_deaf_to_one_member_gets_receipts_too(talk, tmp_path):
    key = parse_envelope(talk.ballot()).signer
    talk.lie(MEMBERS, lambda center: Deaf(center, key))
    talk.hand_in("lima", talk.ballot())
    talk.pass_s(120)
    found = judge_offline(talk.evidence("oslo"), talk.third_party(tmp_path))
    assert found.is_proved
    assert {item.answered for item in found.receipts.values()} == {Answered.SILENT}


def test_a_center_that_answers_nobody_gets_no_receipt(talk):
    talk.lie(MEMBERS, Cut)
    talk.hand_in("lima", talk.ballot())
    talk.pass_s(120)
    assert talk.evidence("lima").receipts == ()


# Those who lie about the center


def receipt(talk, member, statement, role=Role.ZONE, **changes):
    size = talk.bloc.members["bern"].state.size
    given = {"handed_ms": 0, "seen_ms": LEAST_WAIT_MS, "size": size, "answered": Answered.TAKEN, **changes}
    return sign_body(Receipt(statement=statement, **given), talk.bloc.signer(member, role)).decode()


def test_a_lying_peers_receipts_prove_nothing(talk, tmp_path):
    entry = talk.ballot()
    name, third = parse_envelope(entry).id, talk.third_party(tmp_path)
    alone = Evidence(
        entry=entry.decode(), receipts=(receipt(talk, "oslo", name), receipt(talk, "oslo", name, seen_ms=10**9))
    )
    found = judge_offline(alone, third)
    assert (set(found.receipts), found.is_proved) == ({"oslo"}, False)
    assert found.void == ("oslo has given another receipt",)
    both = replace(alone, receipts=(*alone.receipts, receipt(talk, "bern", name)))
    assert judge_offline(both, third).is_proved, "without the lie, of two it would"


def test_receipts_about_what_stands_in_the_log_are_void_in_evidence_and_in_the_log(talk, tmp_path):
    index = talk.bloc.center.submit(talk.ballot())
    talk.bloc.settle()
    name = parse_envelope(talk.ballot()).id
    evidence = Evidence(
        entry=talk.ballot().decode(), receipts=tuple(receipt(talk, member, name) for member in ("bern", "oslo"))
    )
    found = judge_offline(evidence, talk.third_party(tmp_path))
    assert (found.receipts, found.is_proved) == ({}, False)
    assert all(f"stands at index {index}" in reason for reason in found.void)
    with pytest.raises(Refused, match=f"stands at index {index}") as caught:
        talk.bloc.put(evidence.receipts[0].encode())
    assert caught.value.article == "log 12"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seen_ms": LEAST_WAIT_MS - 1}, "without a wait of 10 s"),
        ({"size": 10**6}, "about 1000000 entries"),
        ({"size": -1}, "about -1 entries"),
        ({"role": Role.DELEGATE}, "by the delegate key"),
        ({"code": "blob-not-here"}, "asked for a blob first"),
        ({"statement": "0" * 64}, "for another statement"),
        ({"size": 0}, "does not hold, by log 2"),
    ],
)
def test_a_receipt_counts_only_if_it_can_be_true(talk, tmp_path, changes, reason):
    name = parse_envelope(talk.ballot()).id
    given = receipt(talk, "oslo", **{"statement": name, **changes})
    (why,) = judge_offline(Evidence(entry=talk.ballot().decode(), receipts=(given,)), talk.third_party(tmp_path)).void
    assert reason in why


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seen_ms": 1}, "a wait of 10 s"),
        ({"size": 10**6}, "entries, there are"),
        ({"answer": "x" * 301}, "at most 300"),
    ],
)
def test_a_receipt_that_cannot_be_true_is_void_in_the_log(talk, changes, reason):
    given = receipt(talk, "oslo", parse_envelope(talk.ballot()).id, **changes)
    with pytest.raises(Refused, match=reason) as caught:
        talk.bloc.put(given.encode())
    assert caught.value.article == "log 12"
    assert not talk.bloc.state.receipts


def test_a_member_gives_one_receipt_for_a_statement(talk):
    name = parse_envelope(talk.ballot()).id
    talk.bloc.put(receipt(talk, "oslo", name).encode())
    with pytest.raises(Refused, match="oslo has given a receipt") as caught:
        talk.bloc.put(receipt(talk, "oslo", name, seen_ms=10**9).encode())
    assert caught.value.article == "log 12"


# Those who flood


def test_floods_are_limited(talk, tmp_path):
    talk.lie(MEMBERS, lambda center: Losing(center, {"ballot", "agreement.withdraw"}))
    bern = PublicFiles(talk.urls["bern"])

    def bring(entry, receipts=()):
        evidence = Evidence(entry=entry.decode(), receipts=receipts)
        status, body = bern.send("withheld", evidence.encode(), 2**20)
        return status, body.decode()

    many = [
        sign_body(
            AgreementWithdraw(agreement=talk.agreement), talk.bloc.signer("lima", Role.DELEGATE), nonce=bytes([n])
        )
        for n in range(MAX_CARRIED + 1)
    ]
    assert [bring(entry)[0] for entry in many] == [200] * MAX_CARRIED + [429]
    assert bring(many[0])[0] == 200, "the same again takes no place"
    assert bring(talk.ballot("oslo"))[0] == 200, "another member has places of its own"
    stranger = Keyring.create(tmp_path / "keys", [Role.DELEGATE]).signer(Role.DELEGATE)
    status, reason = bring(sign_body(AgreementWithdraw(agreement=talk.agreement), stranger))
    assert (status, "by log 2" in reason) == (422, True)
    assert bring(receipt(talk, "oslo", "0" * 64).encode())[0] == 422
    void = receipt(talk, "oslo", "0" * 64)
    assert parse_evidence(bring(many[0], (void,))[1].encode()).receipts == (), "what does not hold is not kept"
    assert bern.send("withheld", bytes(2**21), 100)[0] == 413
    assert bern.send("withheld", b"{}", 100)[0] == 422


def test_an_unreadable_file_and_a_peer_that_talks_nonsense_stop_nobody(talk, caplog):
    home = talk.bloc.members["lima"].zone.settings.home
    path_of(home, "0" * 64).parent.mkdir()
    path_of(home, "0" * 64).write_text("{}")
    talk.pass_s(15)
    assert "is not one" in caplog.text


def test_a_peer_that_answers_a_byte_at_a_time_holds_nobody_up():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                for _ in range(100):
                    connection.sendall(b"x")
                    time.sleep(0.02)

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(Unavailable, match=r"takes longer than 0\.2 s"):
            PublicFiles(f"http://127.0.0.1:{server.getsockname()[1]}", 0.2).send("withheld", b"", 1000)
        thread.join()


# The command line


@pytest.fixture
def home(talk):
    """lima's home as the command line knows it."""
    home = talk.bloc.members["lima"].zone.settings.home
    peers = json.dumps([talk.urls["bern"], talk.urls["oslo"]])
    pins = f'genesis = "{talk.bloc.state.charter.genesis}"\ncenter_url = "{talk.bloc.url}"\n'
    (home / "zone.toml").write_text(f'member = "lima"\njurisdiction = "XX"\npeers = {peers}\n{pins}')
    write_record(home / CHARTER_FILE, talk.bloc.charter)
    return home


def serai(*arguments):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_what_the_center_refuses_to_take_is_kept_and_carried(talk, home):
    key = parse_envelope(talk.ballot()).signer
    talk.bloc.deceive("lima", see_through(lambda center: Refusing(center, key)))
    talk.start()
    with pytest.raises(Unavailable, match="By this zone's own replay the center has to take") as caught:
        Session(load_settings(home)).submit(talk.ballot())
    assert caught.value.code == "entry-kept"
    talk.pass_s(15)
    assert talk.counts("lima")


def test_what_the_center_refuses_rightly_is_not_kept(talk, home, tmp_path):
    stranger = Keyring.create(tmp_path / "keys", [Role.DELEGATE]).signer(Role.DELEGATE)
    entry = sign_body(AgreementWithdraw(agreement=talk.agreement), stranger)
    with pytest.raises(Exception, match="belongs to no member"):
        Session(load_settings(home)).submit(entry)
    assert list(kept(home)) == []


def test_who_is_cut_off_looks_at_a_peers_copy_and_votes_all_the_same(talk, home):
    talk.lie(["lima"], Cut)
    pins = home / "zone.toml"
    peers = json.dumps([talk.urls["bern"]])
    lines = pins.read_text().splitlines()
    pins.write_text("\n".join(f"peers = {peers}" if line.startswith("peers") else line for line in lines))
    talk.bloc.say("oslo", Ballot(proposal=talk.proposal, choice=Choice.YES))
    for name in ("bern", "oslo"):
        talk.bloc.step_member(name)
    done = CliRunner().invoke(main, ["vote", "--home", str(home), talk.proposal[:12], "object", "--reason", "no"])
    assert done.exit_code == 1
    assert "peers carry it" in " ".join(done.output.split())
    talk.pass_s(15)
    assert talk.counts("lima")


def test_the_verbs_tell_what_is_withheld_and_check_a_file(withheld, home):
    (row,) = json.loads(serai("log", "withheld", "--home", home, "--json"))
    assert (row["author"], row["kind"], row["receipts"]) == ("lima", "ballot", "bern, lima, oslo")
    assert row["so"] == "was withheld, by receipts of a quorum"
    file = path_of(home, withheld.statement)
    copy = home / "copy.json"
    file.rename(copy)
    (row,) = json.loads(serai("log", "withheld", "--home", home, "--json"))
    assert row["so"] == "was withheld, by receipts of a quorum", "so say the receipts in the log, too"
    assert row["author"] is None, "which is known from the statement alone"
    file = copy
    value = json.loads(serai("log", "receipts", "--home", home, file, "--json"))
    assert (value["proved"], value["quorum"], sorted(value["receipts"])) == (True, 2, sorted(MEMBERS))
    told = serai("log", "receipts", "--home", home, file)
    assert "was withheld, by receipts of a quorum" in told
    assert "bern waited" in told


# A successor


def test_a_successor_takes_in_what_was_withheld_and_the_receipts(withheld, home, tmp_path):
    bloc, url = withheld.bloc, "http://127.0.0.1:9"
    adoption = begin(tmp_path / "successor", home, NewAddress(host="127.0.0.1", port=9, url=url))
    for name in ("bern", "oslo"):
        adoption.add(sign_body(adoption.body, bloc.signer(name, Role.DELEGATE), {"root": adoption.body.root}))
        name_heir(bloc.members[name].zone.mirror._store, Heir(url=url, is_appointed=True))
    open_center(adoption)
    replay = Replay(bloc.charter)
    parts = build(read_settings(tmp_path / "successor"), replay)
    replay.attach(parts.sequencer.entries, lambda: parts.sequencer.head().size, lambda *_: False)
    successor = InProcessCenter(parts.service)
    for name in MEMBERS:
        bloc.deceive(name, lambda zone: replace(zone, center=successor, dial=lambda _url: successor))
    withheld.start()
    withheld.pass_s(60)
    state = replay.current()
    assert "lima" in state.charter.proposals[withheld.proposal].votes
    assert set(state.receipts[withheld.statement]) == set(MEMBERS)
    assert bloc.members["oslo"].state.receipts == state.receipts, "everybody sees them"
    parts.close()
