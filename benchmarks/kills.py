"""kill -9 of any process at a random moment: whether every run ends with the bits of an undisturbed one.

Usage: python benchmarks/kills.py [--trials 50] [--seed 0] [--only center|agent|worker] [--folder DIR] [--results]

A center and four agents, each a process of its own, and a worker of each agent
in which the recipe sees the data. Every trial is a run of low-communication
``mlp`` rounds in this one federation, whose members train on while vectors travel. At a moment that a seed draws, from the
plan to the end of the run, one process gets SIGKILL; a center or an agent is
started again, a worker is for its agent to replace. The run's model must then
be the one that comes out of the same contract computed in this process, round
by round, where nothing was ever killed; a first, undisturbed run proves that
the two agree. No round may be lost or tried twice, and no entry void.

The seed fixes who is killed and when on the clock; what a process does at that
moment is up to the machine. ``--folder`` keeps everybody's files and logs.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from serai.agent.settings import load_settings
from serai.agent.vault import Vault
from serai.aggregation.codec import Codec, Decoder, Encoder
from serai.aggregation.state import Round, current_round, final_model, finished_rounds
from serai.errors import Unavailable
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.recipes.registry import build
from serai.state import Jobs, State
from serai.testing.processes import ProcessBloc
from serai.training.methods import Context, Overlapping, Recipe, Sent, Vector
from serai.training.state import job_of
from serai.training.tensors import Model, digest_model

MEMBERS = ("bern", "lima", "oslo", "quito")
CENTER = "center"
ROUNDS = 6
FEATURES = 4
PACE = {"steps": "60", "ahead": "30", "fragments": "2", "last_levels": "7", "lr": "0.02"}
PARAMS = {"features": str(FEATURES), "hidden": "16", "batch": "16", "rounds": str(ROUNDS), **PACE}
PATIENCE_S = 240.0  # a run that takes longer counts as one that never ended
NARROW_SUM = 2**23  # sums below it are exact in float32, as members read them


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was killed, when, and what came of the run.

    Attributes:
        victim: ``center``, ``agent MEMBER`` or ``worker MEMBER``.
        after_s: how long after the plan.
        in_round: rounds that had finished by then.
        stage: of the round then under way; ``joining`` before the first.
        seconds: from the plan to the model.
        model: what the run came to; empty if it did not end.
        expected: what an undisturbed run comes to.
        finished: rounds that finished.
        opened: rounds that were opened; more than ``finished`` if some failed.
        void: entries of the trial without effect.

    """

    number: int
    victim: str
    after_s: float
    in_round: int
    stage: str
    seconds: float
    model: str
    expected: str
    finished: int
    opened: int
    void: int

    @property
    def holds(self) -> bool:
        """Whether nothing shows that anything was killed."""
        return self.model == self.expected and self.finished == self.opened == ROUNDS and not self.void


def table(seed: int, rows: int = 80) -> list[list[float]]:
    """A member's rows: points inside and outside a circle, a little apart from the others'."""
    generator = np.random.default_rng(seed)
    x = generator.normal(seed / 10, 1, (rows, FEATURES))
    label = np.hypot(x[:, 0], x[:, 1]) > 1.2
    rows_and_labels: list[list[float]] = np.column_stack((x, label)).tolist()
    return rows_and_labels


class Undisturbed:
    """The run as its members compute it, here, where nothing is killed.

    Args:
        bloc: whose members' rows are used.

    """

    def __init__(self, bloc: ProcessBloc) -> None:
        names = [MemberId(name) for name in bloc.members]
        self._rows = {name: Vault(load_settings(bloc.folder / name)).load("rows") for name in names}

    def model(self, state: State, run: Digest) -> Digest:
        """The digest that a run comes to if every member is in every sum."""
        plan, job = state.runs.plans[run].plan, job_of(state.runs, run)
        assert job is not None
        recipe = build(plan.recipe, plan.params, {})
        model = recipe.initial()
        memories: dict[MemberId, Model] = {name: {} for name in self._rows}
        for done in range(ROUNDS):
            bound = job.at(done)
            contexts = {name: context_of(run, name, done, memories[name]) for name in memories}
            vectors = [recipe.contribute(model, self._rows[name], contexts[name]) for name in contexts]
            memories = {name: self._ahead(recipe, model, (run, name, done + 1), contexts[name]) for name in contexts}
            model = recipe.combine(model, total_of(bound.codec, bound.length, vectors), float(len(vectors)))
        return digest_model(model)

    def _ahead(self, recipe: Recipe, model: Model, place: tuple[Digest, MemberId, int], left: Context) -> Model:
        """What a member remembers when the next round begins: what it kept, and the steps it took ahead."""
        run, member, done = place
        if done >= ROUNDS or not isinstance(recipe, Overlapping) or not recipe.ahead:
            return dict(left.memory)
        context = context_of(run, member, done, left.memory, is_ahead=True)
        recipe.train_ahead(model, self._rows[member], context)
        return dict(context.memory)


def context_of(
    run: Digest, member: MemberId, done: int, memory: Mapping[str, np.ndarray], *, is_ahead: bool = False
) -> Context:
    """Where a member computes, as its agent says, in a run without failed rounds."""
    return Context(
        round=done,
        seed=bytes.fromhex(digest_of(f"{run} {member} {done}".encode())),
        member=member,
        memory=dict(memory),
        done=done,
        rounds=ROUNDS,
        sent=Sent(summed=True) if done and not is_ahead else None,
    )


def total_of(codec: Codec, length: int, vectors: list[Vector]) -> Vector:
    """The sum that everybody reads."""
    lanes = codec.ring.zeros(codec.lanes)
    for vector in vectors:
        codec.ring.add(lanes, Encoder(codec, vector).chunk(0))
    total: Vector = np.empty(length, np.float32 if codec.largest_sum < NARROW_SUM else np.float64)
    Decoder(codec, total).chunk(0, lanes)
    return total


def workers_of(agent: int) -> list[int]:
    """The processes below an agent's, those that started others first."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since
        if state not in "ZX":
            parents.setdefault(int(parent), []).append(int(path.parent.name))
    found = [agent]
    for process in found:
        found += parents.get(process, [])
    return found[1:]


@dataclass(slots=True)
class Hunt:
    """Trials in one federation, one after another.

    Attributes:
        bloc: the federation.
        agreement: under which its runs are planned.
        seed: of all draws.
        kinds: what may be killed.
        span_s: how long an undisturbed run takes, of which the moment is drawn.

    """

    bloc: ProcessBloc
    agreement: Digest
    seed: int
    kinds: tuple[str, ...]
    span_s: float = 0.0
    _undisturbed: Undisturbed = field(init=False)

    def __post_init__(self) -> None:
        self._undisturbed = Undisturbed(self.bloc)

    def warm_up(self) -> None:
        """Two runs without a kill: the first fills caches, the second gives the span, and both the same bits.

        Raises:
            AssertionError: what is computed here is not what the members come to.

        """
        for _ in range(2):
            began = time.monotonic()
            run = self._plan()
            model = self.bloc.wait_for_model(run, PATIENCE_S)
            self.span_s = time.monotonic() - began
            expected = self._undisturbed.model(self.bloc.state(), run)
            assert model == expected, f"undisturbed, the members come to {model}, this process to {expected}"

    def trial(self, number: int) -> Trial:
        """One run and one kill; drawn again where the run was over first."""
        chance = random.Random(f"{self.seed} {number}")  # noqa: S311  # draws victims, guards nothing
        while True:
            victim = self._victim(chance)
            after_s = chance.uniform(0.0, self.span_s)
            void = len(self.bloc.state().void)
            began = time.monotonic()
            run = self._plan()
            time.sleep(max(0.0, began + after_s - time.monotonic()))
            state = self._kill(run, victim)
            if state is None:
                self.bloc.wait_for_model(run, PATIENCE_S)
                continue
            this = current_round(state.rounds, run)
            job = Jobs(state, state.now)[run]
            known = {
                "number": number,
                "victim": victim,
                "after_s": round(after_s, 3),
                "in_round": finished_rounds(state.rounds, job),
                "stage": "joining" if this is None else stage_of(this),
            }
            model = self._outcome(run)
            return Trial(
                **known,
                seconds=round(time.monotonic() - began, 2),
                model=model,
                expected=self._undisturbed.model(self.bloc.state(), run),
                **self._rounds(run),
                void=len(self.bloc.state().void) - void,
            )

    def _plan(self) -> Digest:
        return self.bloc.train(self.agreement, "mlp", ROUNDS, PARAMS)

    def _victim(self, chance: random.Random) -> str:
        kind = chance.choice(self.kinds)
        return kind if kind == CENTER else f"{kind} {chance.choice(MEMBERS)}"

    def _kill(self, run: Digest, victim: str) -> State | None:
        """Kill and start again; the state just before, or None if the run was over first."""
        kind, _, member = victim.partition(" ")
        process = self._worker(run, member) if kind == "worker" else None
        state = self.bloc.state()
        if self._has_ended(state, run) or (kind == "worker" and process is None):
            return None
        if process is not None:
            os.kill(process, signal.SIGKILL)
            return state
        name = member or CENTER
        self.bloc.kill(name)
        self.bloc.start(name)
        return state

    def _worker(self, run: Digest, member: str) -> int | None:
        """The process in which a member's recipe runs, once there is one; None if the run is over first."""
        while not (found := workers_of(self.bloc.pid(member))):
            if self._has_ended(self.bloc.state(), run):
                return None
            time.sleep(0.01)
        return found[-1]

    @staticmethod
    def _has_ended(state: State, run: Digest) -> bool:
        return final_model(state.rounds, Jobs(state, state.now)[run]) is not None

    def _outcome(self, run: Digest) -> str:
        try:
            return self.bloc.wait_for_model(run, PATIENCE_S)
        except Unavailable as error:
            print(error.message, file=sys.stderr, flush=True)
            return ""

    def _rounds(self, run: Digest) -> dict[str, int]:
        state = self.bloc.state()
        progress = state.rounds.runs.get(run)
        finished = finished_rounds(state.rounds, Jobs(state, state.now)[run])
        return {"finished": finished, "opened": progress.opened if progress else 0}


def stage_of(this: Round) -> str:
    """How far a round has come."""
    if this.is_released:
        return "released"
    uploads = f"{len(this.uploads)} of {len(MEMBERS)} uploads"
    return f"closed, {len(this.releases)} releases" if this.closed else uploads


def trials(options: argparse.Namespace) -> Iterator[Trial]:
    """Every trial, in one federation for as long as its runs end; a new one after one that did not."""
    kinds = (options.only,) if options.only else (CENTER, "agent", "worker")
    number = 0
    while number < options.trials:
        with ExitStack() as stack:
            if options.folder:
                folder = options.folder / f"from-{number}"
                folder.mkdir(parents=True)
            else:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            tables = {name: table(seed) for seed, name in enumerate(MEMBERS)}
            bloc = stack.enter_context(ProcessBloc(folder, tables))
            hunt = Hunt(bloc, bloc.agree(), options.seed, kinds)
            hunt.warm_up()
            while number < options.trials:
                done = hunt.trial(number)
                number += 1
                yield done
                if not done.model:
                    break


def print_results(found: list[Trial], what: str) -> None:
    """The trials as results to record."""
    count, held = len(found), sum(trial.holds for trial in found)
    name = f"kill -9 of {what} at a random moment, {count} trials: same final digest"
    lost = sum(trial.opened - trial.finished for trial in found)
    rows = (
        (name, held, f"of {count}", f"{count} of {count}", held == count),
        (f"{name}: rounds that failed", lost, f"of {count * ROUNDS}", "none", lost == 0),
    )
    for title, value, unit, promised, holds in rows:
        row = {"issue": 3, "name": title, "value": value, "unit": unit, "bar": promised, "holds": holds}
        print(json.dumps({**row, "peer": "", "limit": ""}), flush=True)


def main() -> int:
    """Try, and print one JSON object a line; status 1 if a trial did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[CENTER, "agent", "worker"], help="kill nothing else")
    parser.add_argument("--folder", type=Path, help="keep everybody's files and logs here")
    parser.add_argument("--results", action="store_true", help="print results to record")
    options = parser.parse_args()
    found: list[Trial] = []
    for trial in trials(options):
        found.append(trial)
        line = json.dumps({**asdict(trial), "holds": trial.holds, "load": round(os.getloadavg()[0], 1)})
        print(line, file=sys.stderr if options.results else sys.stdout, flush=True)
    if options.results:
        print_results(found, f"any {options.only or 'process'}")
    return 0 if all(trial.holds for trial in found) else 1


if __name__ == "__main__":
    sys.exit(main())
