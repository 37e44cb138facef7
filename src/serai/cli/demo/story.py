"""The demo's story: found, offer, agree, grant, refuse, train, crash, evaluate, release, audit."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from serai.agent.vault import Vault
from serai.aggregation.state import current_round, final_model, finished_rounds
from serai.analytics.state import evaluations_of
from serai.charter.decision import Choice
from serai.charter.state import life_of
from serai.charter.statements import AgreementSign, Ballot
from serai.cli import datasets
from serai.cli.demo.closing import OWN_AUDIT, audit, measure_borders, witnessed_head
from serai.cli.demo.figures import Comparison, result_of
from serai.cli.demo.hospitals import AGREEMENT, DATASET, FEATURES
from serai.cli.demo.stage import AGREEMENT_FILE, Stage
from serai.cli.demo.telling import Teller, wait_for
from serai.cli.output import count, short
from serai.cli.proposals import read_proposal
from serai.cli.releasing import ReleaseWish, release_model
from serai.cli.report import Crash, MemberRows, ReleasedModel, Report, Result
from serai.client.planning import Wish, plan_run
from serai.client.voice import Spoken, say
from serai.errors import Unavailable
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.reports.plots import format_bytes
from serai.state import Jobs, State
from serai.training.methods import Data

LEAD: Final = "cleveland"
VICTIM: Final = "long-beach"
RESERVED: Final = "switzerland"
STEPS: Final = 50  # local steps a round, of four rows each
TIMEOUT_S: Final = 90.0
_LOOK_S: Final = 0.05
_AWAY_S: Final = 1.0  # how long the killed zone stays away, so that one sees the others wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long the demo's runs are."""

    newton: int = 5
    averaging: int = 15
    crash: int = 6

    @classmethod
    def quick(cls) -> "Length":
        """For the impatient, and for tests."""
        return cls(newton=3, averaging=4, crash=1)


@dataclass(slots=True)
class _Crash:
    """What happened to the zone that was killed."""

    killed_s: float = 0.0
    round: int = 0
    size: int = 0
    back: Spoken | None = None
    away_s: float = 0.0


@dataclass(slots=True)
class Story:
    """Tells the demo step by step on a stage; ``play`` does all of it."""

    stage: Stage
    teller: Teller
    length: Length
    agreement: Digest = field(default_factory=lambda: Digest(""), init=False)
    models: dict[Digest, Digest] = field(default_factory=dict)
    crash: _Crash = field(default_factory=_Crash)

    def play(self) -> Report:
        """The whole story; what the report says."""
        self._found()
        self._offer()
        self._agree()
        self._grant()
        self._refuse()
        moments = self._run(Wish(agreement=self.agreement, recipe="moments", rounds=1, title="Means and spreads"), {})
        inputs = {"moments": self.models[moments]}
        newton = self._run(
            Wish(agreement=self.agreement, recipe="newton", rounds=self.length.newton, title="Newton's method"), inputs
        )
        averaging = self._average(inputs)
        released = self._release(newton)
        return self._report(moments, newton, averaging, released)

    def _found(self) -> None:
        founded = self.stage.found()
        self.teller.tell(
            f"Four hospitals make their keys. The charter they agree on has digest {short(founded.genesis)}."
        )
        said = self.stage.open(founded.path)
        self.teller.tell(
            "Each checks the charter, pins it, and signs it with its root key. The center is founded.", said
        )

    def _offer(self) -> None:
        said, rows = None, []
        for actor in self.stage.actors.values():
            said = datasets.offer(actor.session, DATASET)
            rows.append(f"{said.state.zones.offers[said.id].body.rows} in {actor.hospital.name}")
        self.teller.tell(f"Their stewards describe their patients' tables, and show none: {', '.join(rows)}.", said)

    def _agree(self) -> None:
        path = self.stage.folder / AGREEMENT_FILE
        path.write_text(AGREEMENT, encoding="utf-8")
        actors = self.stage.actors
        said = say(actors[LEAD].session, read_proposal(path), Role.DELEGATE)
        self.agreement = said.id
        self.teller.tell("Cleveland proposes an agreement; each clause carries the terms that zones will check.", said)
        for member, actor in actors.items():
            if member != RESERVED:
                said = say(actor.session, Ballot(proposal=self.agreement, choice=Choice.YES), Role.DELEGATE)
        reserve = Ballot(
            proposal=self.agreement,
            choice=Choice.RESERVE,
            reason="With 46 patients we ask that results be shown per member, never only as a mean.",
        )
        said = say(actors[RESERVED].session, reserve, Role.DELEGATE)
        self.teller.tell("Three vote yes; Switzerland votes yes with a reservation on record. It is adopted.", said)
        for actor in actors.values():
            said = say(actor.session, AgreementSign(agreement=self.agreement), Role.DELEGATE)
        life = life_of(said.state.charter, self.agreement, said.state.now)
        self.teller.tell(f"All four sign. The agreement is {life.value.replace('-', ' ')}.", said)

    def _grant(self) -> None:
        said = None
        for member, actor in self.stage.actors.items():
            offers = actor.session.state().zones.offers
            own = next(id_ for id_, offer in offers.items() if offer.member == member)
            said = datasets.grant(actor.session, own, self.agreement, ())
        self.teller.tell("Each steward grants its table to runs under this agreement, and to nothing else.", said)

    def _refuse(self) -> None:
        wish = Wish(
            agreement=self.agreement,
            recipe="moments",
            rounds=1,
            title="Who will buy insurance?",
            purpose="marketing",
            params={"features": str(FEATURES)},
        )
        said = plan_run(self.stage.actors["hungary"].session, wish)
        everybody = len(self.stage.actors)
        state = wait_for(
            self.stage.observer,
            lambda state: len(state.runs.plans[said.id].declines) == everybody,
            "every zone declines",
            TIMEOUT_S,
        )
        reason = state.runs.plans[said.id].declines[self.stage.actors[LEAD].session.settings.member][0]
        self.teller.tell(f"A run for marketing is planned. All four zones decline, by {reason.article}.", said)

    def _run(self, wish: Wish, inputs: Mapping[str, Digest]) -> Digest:
        said = self._plan(wish, inputs)
        self._follow(said, wish)
        plan = said.state.runs.plans[said.id].plan
        upload = format_bytes(plan.codec.upload_bytes)
        rounds = count(wish.rounds, "round")
        done = self.stage.observer.state()
        self.teller.tell(
            f"{wish.title}: {rounds}; each member sends {upload} under a mask, all find the same model {short(self.models[said.id])}.",
            Spoken(said.id, said.index, done),
        )
        return said.id

    def _average(self, inputs: Mapping[str, Digest]) -> Digest:
        settings = {"lr": "0.01", "batch": "4", "steps": str(STEPS), "outer": "fedavg"}
        wish = Wish(
            agreement=self.agreement,
            recipe="local_sgd",
            rounds=self.length.averaging,
            title="Federated averaging",
            params=settings,
        )
        said = self._plan(wish, inputs)
        self._follow(said, wish, crash=True)
        assert self.crash.back is not None
        self.teller.tell(
            f"Long Beach's zone is killed in round {self.crash.round + 1}, restarted, and takes up where it was, "
            f"{self.crash.away_s:.1f} s later. Nobody is asked to repeat anything.",
            self.crash.back,
        )
        self.teller.tell(
            f"{wish.title}: {count(wish.rounds, 'round')}, crash included; all find the same model "
            f"{short(self.models[said.id])}.",
            said,
        )
        return said.id

    def _plan(self, wish: Wish, inputs: Mapping[str, Digest]) -> Spoken:
        params = {**wish.params, "features": str(FEATURES)}
        full = Wish(
            agreement=wish.agreement,
            recipe=wish.recipe,
            rounds=wish.rounds,
            title=wish.title,
            params=params,
            inputs=inputs,
        )
        return plan_run(self.stage.actors[LEAD].session, full)

    def _follow(self, said: Spoken, wish: Wish, *, crash: bool = False) -> None:
        """Wait for all rounds and evaluations of a run; on the way, kill a zone if asked to."""
        with self.teller.bar(wish.title, wish.rounds) as show:

            def is_done(state: State) -> bool:
                job = Jobs(state, state.now)[said.id]
                finished = finished_rounds(state.rounds, job)
                show(finished)
                if crash:
                    self._watch_crash(state, said.id, finished)
                model = final_model(state.rounds, job)
                if model is None:
                    return False
                self.models[said.id] = model
                metrics = "metrics" in state.runs.plans[said.id].plan.outputs
                evaluated = evaluations_of(state.analytics, said.id, model)
                return not metrics or len(evaluated) == len(self.stage.actors)

            wait_for(self.stage.observer, is_done, f"{wish.title} comes to its end", TIMEOUT_S)
        self._wait_for_model(self.models[said.id])

    def _wait_for_model(self, model: Digest) -> None:
        """Wait for the zones to hand the agreed model to the center, which they do after they have agreed on it."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self.stage.observer.center.has_blob(model):
            if time.monotonic() > deadline:
                raise Unavailable(
                    "demo-stalled", f"no zone handed model {short(model)} to the center; their logs say more"
                )
            time.sleep(_LOOK_S)

    def _watch_crash(self, state: State, run: Digest, finished: int) -> None:
        current = current_round(state.rounds, run)
        if not self.crash.killed_s and finished >= self.length.crash and current and not current.is_released:
            self.crash.killed_s, self.crash.round = time.monotonic(), current.body.number
            self.stage.kill_zone(VICTIM)
            self.crash.size = self.stage.observer.state().size
            time.sleep(_AWAY_S)
            self.stage.start_zone(VICTIM)
            self.stage.wait_zone(VICTIM)
        elif self.crash.killed_s and self.crash.back is None:
            self._look_for_return(state)

    def _look_for_return(self, state: State) -> None:
        key = next(
            key for key, holder in state.charter.keys.items() if (holder.member, holder.role) == (VICTIM, Role.ZONE)
        )
        for index in range(self.crash.size, state.size):
            if self.stage.signer(index) == key:
                self.crash.back = self.stage.spoken(index)
                self.crash.away_s = time.monotonic() - self.crash.killed_s
                return
        self.crash.size = state.size

    def _release(self, run: Digest) -> ReleasedModel:
        wish = ReleaseWish(run=run, title="Heart disease, joint model of four hospitals", license="CC-BY-4.0")
        done = release_model(self.stage.actors[LEAD].session, wish)
        self.teller.tell(
            "Every member has evaluated the model on its own patients, so Cleveland may release it, "
            "with its card and its whole lineage.",
            done.said,
        )
        return ReleasedModel(digest=done.model, size_bytes=done.size_bytes, release=done.said.id)

    def _tell_losers(self, result: Result, tables: Mapping[str, Data]) -> None:
        """Say for whom the released model is worse than its own: a mean would hide it."""
        for member, row in result.members.items():
            if row.alone is None or row.joint is None or row.joint >= row.alone:
                continue
            truth = tables[member].test_y
            ill = f"{int(truth.sum())} of its {len(truth)} test patients are ill"
            self.teller.tell(
                f"For {self.stage.actors[member].hospital.name} the joint model is right less often than its own "
                f"({row.joint:.0%} against {row.alone:.0%}; {ill}). It is for each member to judge what it uses."
            )

    def _report(self, moments: Digest, newton: Digest, averaging: Digest, released: ReleasedModel) -> Report:
        stage = self.stage
        tables = {member: Vault(actor.session.settings).load(DATASET) for member, actor in stage.actors.items()}
        members = len(tables)
        # The ridge is added once for each member, so the pooled run adds as much; and with all
        # rows in one place, a round of averaging is as many steps as all members take.
        comparisons = {
            newton: Comparison({}, {"ridge": str(members)}),
            averaging: Comparison({}, {"steps": str(STEPS * members)}),
        }
        results = [
            result_of(stage.observer, run, self.models[run], tables, comparison)
            for run, comparison in comparisons.items()
        ]
        self._tell_losers(results[0], tables)
        log = witnessed_head(stage)
        audited = audit(stage, (moments, newton, averaging))
        who = "serai's own tool" if audited.tool == OWN_AUDIT else f"{audited.tool}, which shares no code with serai,"
        self.teller.tell(
            f"An audit by {who} covers all {audited.entries} entries; a member computes {audited.rounds} sums "
            f"again, bit for bit. {'Everything holds.' if audited.ok else 'Something does not hold.'}"
        )
        return Report(
            title="Four hospitals, one heart-disease model",
            made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
            members=[
                MemberRows(id=id_, name=stage.actors[id_].hospital.name, rows_train=len(t.y), rows_test=len(t.test_y))
                for id_, t in tables.items()
            ],
            story=self.teller.steps,
            results=results,
            border=measure_borders(stage),
            model=released,
            log=log,
            audit=audited,
            crash=Crash(
                member=VICTIM, killed_at_round=self.crash.round + 1, recovered_seconds=round(self.crash.away_s, 2)
            ),
        )


def play(folder: Path, length: Length, teller: Teller, epilogue: Callable[[Report, Stage], None]) -> None:
    """Play the demo in a folder and end all its processes.

    Args:
        folder: where it plays.
        length: how many rounds.
        teller: tells it.
        epilogue: called with the report while everything still runs.

    Raises:
        Missing: the data is not installed.
        Conflict: the folder holds something that no demo made.
        Unavailable: a process did not start, or the story stalled.

    """
    with Stage(folder) as stage:
        epilogue(Story(stage, teller, length).play(), stage)
