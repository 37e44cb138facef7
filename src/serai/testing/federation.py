"""Federation: a center and its members in one process, on one fake clock, everything proved after each step.

    bloc = Federation(folder, {"bern": rows, "lima": rows, "oslo": rows})
    bloc.found()
    run = bloc.train(bloc.agree(), "newton", rounds=5)
    bloc.settle()

The center, the agents, their keys, databases and blobs are the real ones; what
is missing is the network (members call the center) and time (``tick``).
``check`` verifies after every step that the log is consistent, that each
member's replay gives the same state, and that each readable sum is the sum of
its uploads.
"""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

from serai.agent.app import Follower
from serai.agent.datasets import DatasetKind, DatasetSettings, Feature, FeatureKind, Label, described_columns
from serai.agent.journal import Journal
from serai.agent.mirror import Mirror
from serai.agent.programs import Programs
from serai.agent.runner import Runner
from serai.agent.settings import SandboxMode, SandboxSettings, ZoneSettings
from serai.agent.vault import Vault
from serai.agent.zone import Zone
from serai.aggregation.audit import ReadBlob, verify_round
from serai.aggregation.ring import chunk_bytes
from serai.center.coordinator import Coordinator, Duty
from serai.center.replay import Replay
from serai.center.retention import ALL
from serai.center.sequencer import Sequencer
from serai.center.service import CenterService
from serai.charter.agreements import Term
from serai.charter.constitution import Charter, genesis_of
from serai.charter.decision import Choice
from serai.charter.members import MemberRecord
from serai.charter.presets import PRESETS
from serai.charter.statements import AgreementSign, Ballot, CharterAdopt, ProposalOpen
from serai.errors import Refused, SeraiError
from serai.kernel.envelope import Envelope, parse_envelope
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.keys import Role, Signer, Suite
from serai.kernel.statement import Body, sign_body
from serai.ledger.checkpoint import LogSigner
from serai.ledger.statements import Clock
from serai.recipes.equipment import Equipment
from serai.state import State, decode_state, digest_state, encode_state
from serai.storage.blobs import FileBlobs
from serai.storage.keyring import Keyring
from serai.storage.log import LogStore
from serai.storage.tile_files import TileFiles
from serai.testing.documents import agreement_text, run_plan
from serai.training.state import job_of
from serai.training.statements import RunPlan
from serai.transport.port import News
from serai.zones.statements import Grant, Offer

ORIGIN: Final = "center.example/serai"
START_MS: Final = 1_790_000_000_000
ROLES: Final = (Role.ROOT, Role.DELEGATE, Role.STEWARD, Role.ZONE, Role.WITNESS)
MAX_STEPS: Final = 10_000  # a bloc that has not come to rest by then never will

IN_PROCESS: Final = SandboxSettings(mode=SandboxMode.OFF)

Rows = Sequence[Sequence[float]] | str
"""Rows of numbers, the last one of each the label; or documents with a blank line between them."""

Lens = Callable[[Zone], Zone]
"""Replaces parts of a member's zone; ``serai.testing.faults`` has parts that lie, lose things or die."""


class InProcessCenter:
    """The center's verbs, answered at once.

    Args:
        service: answers them.

    """

    def __init__(self, service: CenterService) -> None:
        self._service = service
        self.put_blob = service.put_blob
        self.get_blob = service.get_blob
        self.read_blob = service.read_blob
        self.stream_blob = service.stream_blob
        self.has_blob = service.has_blob
        self.health = service.health
        self.link = service.link

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """What is new; never waits."""
        del wait_s
        return self._service.read_news(size, witnessed)

    def submit(self, entry: bytes) -> int:
        """Put an entry into the log and sequence it."""
        future = self._service.log.submit(entry)
        self._service.log.step()
        return future.result(0)

    def cosign(self, member: MemberId, line: str, size: int) -> None:
        """Hand in a cosignature and count it."""
        self._service.cosign(member, line, size)
        self._service.log.step()


@dataclass(slots=True)
class Member:
    """One member's running parts.

    Attributes:
        is_up: whether its agent runs.
        refusal: what it last refused of what a lying center sent.

    """

    zone: Zone
    follower: Follower
    runner: Runner
    is_up: bool = True
    refusal: SeraiError | None = None

    @property
    def state(self) -> State:
        """What this member's replay says."""
        return self.zone.mirror.view.state


@dataclass(slots=True)
class _CenterParts:
    log: Sequencer
    store: LogStore
    blobs: FileBlobs
    service: CenterService
    coordinator: Coordinator
    replay: Replay


@dataclass(frozen=True, slots=True)
class Terms:
    """What ``agree`` writes into the agreement and the grants, beyond their defaults."""

    agreement: tuple[Term, ...] = ()
    offer: tuple[Term, ...] = ()
    scope: tuple[str, ...] = ("train", "statistics", "evaluate", "release")


class Federation:
    """A bloc.

    Args:
        folder: where center and members keep their files.
        tables: each member's rows.
        preset: the articles of the charter.
        sandbox: where recipes run; in the members' own process unless a story is about that.
        equipment: what members train with who do not train with the default.

    Attributes:
        now_ms: everybody's clock, Unix milliseconds.
        is_careful: whether the center admits only what known keys signed, and its
            sums are proved; set it to False to give it a free hand.

    """

    SUITE: ClassVar[Suite] = Suite.ED25519
    """What the members' keys are, but for their witnesses'; a subclass may have another."""
    KEEP_ROUNDS: ClassVar[int] = ALL
    """Of how many rounds the center keeps the uploads; a subclass may say."""

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, Rows],
        preset: str = "consensus",
        sandbox: SandboxSettings = IN_PROCESS,
        equipment: Mapping[str, Equipment] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self._sandbox = sandbox
        self._equipment = equipment
        self.now_ms = START_MS
        self._encoded = Digest("")  # of the state that was last proved to be read as it was written
        self._tables = {MemberId(name): rows for name, rows in tables.items()}
        self._keys = {name: self._make_keys(folder / name / "keys") for name in self._tables}
        self.operator = Keyring.create(folder / "center" / "keys", [Role.OPERATOR]).signer(Role.OPERATOR)
        self.charter = self._charter(preset)
        self.is_careful = True
        self.center_parts = self._build_center()
        self._lenses: dict[MemberId, Lens] = {}
        self.members = {name: self._build_member(name) for name in self._tables}

    @property
    def center(self) -> InProcessCenter:
        """The center as members call it."""
        return InProcessCenter(self.center_parts.service)

    @property
    def log(self) -> LogSigner:
        """What signs the log's checkpoints."""
        return LogSigner(ORIGIN, self.operator)

    @property
    def entries(self) -> list[bytes]:
        """The center's log."""
        return self.center_parts.log.entries(0, self.center_parts.log.head().size)

    @property
    def state(self) -> State:
        """What the center's log adds up to."""
        return self.center_parts.replay.current()

    # What people do

    def found(self) -> None:
        """Every founder signs the charter."""
        for name in self.members:
            self.say(name, CharterAdopt(charter=self.charter), Role.ROOT)
        self.settle()

    def keys(self, member: str) -> Keyring:
        """A member's private keys."""
        return self._keys[MemberId(member)]

    def say(self, member: str, body: Body, role: Role = Role.DELEGATE) -> Digest:
        """Put a statement into the log and take its effect; the statement's id.

        Raises:
            Refused: it has no effect, and the article that says so.

        """
        return self.put(sign_body(body, self.signer(member, role), nonce=os.urandom(8)))

    def signer(self, member: str, role: Role) -> Signer:
        """What signs for a member in a role."""
        return self._keys[MemberId(member)].signer(role)

    def put(self, entry: bytes) -> Digest:
        """Put an entry into the log, whoever signed it, and take its effect; the statement's id.

        Raises:
            Refused: it has no effect, and the article that says so.

        """
        index = self.center.submit(entry)
        denied = self.state.void.get(index)
        if denied is not None:
            raise Refused("void", denied.reason, denied.article)
        return parse_envelope(entry).id

    def agree(self, terms: Terms = Terms(), parties: Sequence[str] = ()) -> Digest:
        """Propose, vote, sign, offer and grant: an agreement in force over everybody's data.

        Args:
            terms: beyond the defaults.
            parties: who signs; all members if empty.

        """
        signing: Sequence[str] = parties or list(self.members)
        text = agreement_text(terms.agreement, terms.scope, tuple(self.members))
        first = next(iter(self.members))
        proposal = self.say(
            first, ProposalOpen(topic="agreement", title="Joint work", text="Shall we?", agreement=text)
        )
        for voter in self.members:
            self.say(voter, Ballot(proposal=proposal, choice=Choice.YES))
        for name in signing:
            self.say(name, AgreementSign(agreement=proposal))
        for name in signing:
            self.grant(name, proposal, terms.offer)
        self.settle()
        return proposal

    def grant(self, member: str, agreement: Digest, terms: tuple[Term, ...] = ()) -> Digest:
        """Offer a member's data and grant them to an agreement; the offer's id."""
        vault = self.members[MemberId(member)].zone.vault
        offer = self.say(
            member,
            Offer(
                dataset=vault.digest("rows"),
                title=f"{member}'s rows",
                description="synthetic",
                rows=vault.rows("rows"),
                columns=described_columns(vault.settings_of("rows")),
                jurisdiction="XX",
                terms=terms,
            ),
            Role.STEWARD,
        )
        self.say(member, Grant(offer=offer, agreement=agreement, terms=()), Role.STEWARD)
        return offer

    def plan(self, agreement: Digest, recipe: str, rounds: int, params: Mapping[str, str] | None = None) -> RunPlan:
        """A plan over every open grant of an agreement, not yet said."""
        grants = [grant for grant in self.state.zones.grants.values() if grant.body.agreement == agreement]
        offers = {str(grant.member): grant.body.offer for grant in grants if grant.revoked is None}
        equipment = next(iter(self.members.values())).zone.settings.sandbox.equipment
        return run_plan(agreement, offers, recipe, params or {}, rounds=rounds, round_ms=60_000, equipment=equipment)

    def train(self, agreement: Digest, recipe: str, rounds: int, params: Mapping[str, str] | None = None) -> Digest:
        """Plan a run; its id."""
        return self.say(next(iter(self.members)), self.plan(agreement, recipe, rounds, params))

    # What goes wrong

    def deceive(self, member: str, lens: Lens | None) -> None:
        """Let a member see the center, or any other part of its zone, through a lens from now on.

        Its agent is started anew. What it refuses no longer stops the bloc, and its
        view is no longer compared with the others'. None shows it the truth again.
        """
        name = MemberId(member)
        self._lenses.pop(name, None)
        if lens is not None:
            self._lenses[name] = lens
        self.restart(name)

    # What happens by itself

    def tick(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms += ms

    def pass_time(self, ms: int) -> None:
        """Let time pass and the log notice: members cosign what grew, and the next clock carries their time."""
        self.tick(ms)
        for _ in range(2):
            self.settle()
            head = self.center_parts.log.witnessed()
            assert head is not None, "found the bloc first"
            self.put(sign_body(Clock(checkpoint=head.note), self.operator, nonce=os.urandom(8)))
        self.settle()

    def step(self) -> None:
        """Let the center and every member do once what the log calls for, and prove everything."""
        self.step_center()
        for name in list(self.members):
            self.step_member(name)
        self.check()

    def step_center(self) -> None:
        """Let the center say what is due."""
        for entry in self.center_parts.coordinator.step():
            self.center.submit(entry)

    def step_member(self, name: str) -> None:
        """Let a member's agent, if it is up, follow the log and work, once each."""
        member = self.members[MemberId(name)]
        if not member.is_up:
            return
        for act in (lambda: member.follower.step(0), lambda: member.runner.work(member.zone.mirror.view)):
            try:
                act()
            except SeraiError as error:
                if name not in self._lenses:
                    raise
                member.refusal = error

    def settle(self) -> None:
        """Step until nothing changes any more."""
        for _ in range(MAX_STEPS):
            before = self._position()
            self.step()
            if self._position() == before:
                return
        raise AssertionError(f"the bloc has not come to rest after {MAX_STEPS} steps")

    def restart(self, member: str) -> None:
        """Kill a member's agent and start it from what lies in its folder."""
        name = MemberId(member)
        self.members[name].zone.journal.close()
        self.members[name] = self._build_member(name)

    def restart_center(self) -> None:
        """Kill the center and start it from what lies in its folder."""
        self.center_parts.store.close()
        self.center_parts = self._build_center()
        for name in self.members:
            self.restart(name)

    def check(self) -> None:
        """Prove everything that can be proved now.

        Raises:
            AssertionError: two members' replays differ, or a snapshot of what they add up to would be of something else.
            Unverified: a sum is not the sum of its uploads.

        """
        by_size: dict[int, Digest] = {}
        for name, member in self.members.items():
            if name in self._lenses:
                continue
            view = member.zone.mirror.view
            digest = by_size.setdefault(view.size, digest_state(view.state))
            assert digest == digest_state(view.state), f"{name} replays {view.size} entries to another state"
        self._check_snapshot()
        if self.is_careful:
            self._check_sums()

    def _check_snapshot(self) -> None:
        state = self.state
        encoded = encode_state(state)
        if digest_of(encoded) != self._encoded:
            self._encoded = digest_of(encoded)
            assert decode_state(encoded, len(encoded)) == state, "what would be read from a snapshot is another state"

    def _check_sums(self) -> None:
        for this in self.state.rounds.rounds.values():
            job = job_of(self.state.runs, this.body.run)
            if this.id in self._proved or job is None or not this.is_released:
                continue
            verify_round(job.at(this.done).codec, this, self._chunk_reader(chunk_bytes(job.codec.bits)))
            if this.summed <= set(this.results):  # the center may let go of the uploads now
                self._proved.add(this.id)

    def _chunk_reader(self, size: int) -> ReadBlob:
        return lambda blob, number: self.center_parts.blobs.read_range(blob, number * size, size)

    def _admit(self, envelope: Envelope) -> None:
        if self.is_careful:
            self.center_parts.replay.admit(envelope)

    def _position(self) -> tuple[object, ...]:
        views = (member.zone.mirror.view for member in self.members.values())
        cosigned = self.center_parts.log.witnessed()  # with times: what a clock will say
        return (self.state.size, cosigned, *((view.size, view.witnessed_size, view.halt) for view in views))

    def _make_keys(self, folder: Path) -> Keyring:
        Keyring.create(folder, (Role.WITNESS,))
        return Keyring.create(folder, (role for role in ROLES if role is not Role.WITNESS), self.SUITE)

    def _charter(self, preset: str) -> Charter:
        return Charter(
            name="A bloc",
            origin=ORIGIN,
            log_key=self.log.key.encode(),
            operator=self.operator.public,
            members=tuple(
                MemberRecord(id=name, name=name, keys={role: (keys.signer(role).public,) for role in ROLES})
                for name, keys in self._keys.items()
            ),
            articles=PRESETS[preset],
            faulty=max(0, (len(self._keys) - 1) // 3),
            suites=(self.SUITE,),
        )

    def _build_center(self) -> _CenterParts:
        self._proved: set[Digest] = set()
        home = self.folder / "center"
        blobs = FileBlobs(home / "blobs")
        replay = Replay(self.charter)
        store = LogStore(home / "log.sqlite")
        log = Sequencer(store, TileFiles(home / "public"), self.log, self._admit, replay.witnesses)
        replay.attach(
            log.entries, lambda: log.head().size, lambda blob, size: blobs.has(blob) and blobs.size(blob) == size
        )
        duty = Duty(
            log=log,
            blobs=blobs,
            replay=replay,
            operator=self.operator,
            now_ms=lambda: self.now_ms,
            keep_rounds=self.KEEP_ROUNDS,
        )
        service = CenterService(log, blobs, replay.find_key)
        return _CenterParts(log, store, blobs, service, Coordinator(duty), replay)

    def _build_member(self, name: MemberId) -> Member:
        home = self.folder / name
        plain = _settings(home, name, self._tables[name], genesis_of(self.charter))
        equipment = self._equipment.get(name, self._sandbox.equipment)
        settings = replace(plain, sandbox=replace(self._sandbox, equipment=equipment))
        zone = Zone(
            settings=settings,
            center=self.center,
            keys=self._keys[name],
            mirror=Mirror(LogStore(home / "mirror.sqlite"), self.charter),
            journal=Journal(home / "journal.sqlite"),
            blobs=FileBlobs(home / "blobs"),
            vault=Vault(settings),
            programs=Programs(settings.sandbox, home),
            now_ms=lambda: self.now_ms,
            random=os.urandom,
        )
        lens = self._lenses.get(name)
        zone = zone if lens is None else lens(zone)
        return Member(zone, Follower(zone), Runner(zone))


def _settings(home: Path, name: MemberId, rows: Rows, genesis: Digest) -> ZoneSettings:
    dataset = _text(home / "rows.txt", name, rows) if isinstance(rows, str) else _table(home / "rows.csv", name, rows)
    return ZoneSettings(
        home=home,
        member=name,
        name=name,
        jurisdiction="XX",
        center_url="",
        genesis=genesis,
        max_staleness_s=3600,
        policy=(),
        legal=(),
        datasets={"rows": dataset},
    )


def _text(path: Path, name: MemberId, documents: str) -> DatasetSettings:
    path.write_text(documents, encoding="utf-8")
    return DatasetSettings(
        title=f"{name}'s documents", path=str(path), kind=DatasetKind.TEXT, test_share=Fraction(1, 4)
    )


def _table(path: Path, name: MemberId, rows: Sequence[Sequence[float]]) -> DatasetSettings:
    width = len(rows[0]) - 1
    columns = [f"x{number}" for number in range(width)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*columns, "label"], *rows])
    features = tuple(Feature(name=column, column=column, kind=FeatureKind.NUMBER) for column in columns)
    return DatasetSettings(
        title=f"{name}'s rows",
        path=str(path),
        features=features,
        label=Label(column="label", above=0),
        test_share=Fraction(1, 4),
    )
