"""kill -9 of any process at any moment: the run goes on and ends with the bits of an undisturbed run."""

import contextlib
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from serai.agent.journal import Journal
from serai.agent.settings import load_settings
from serai.agent.vault import Vault
from serai.aggregation.codec import Decoder, Encoder
from serai.aggregation.state import current_round, divergence
from serai.cli.audits import audit_run, released_rounds
from serai.errors import SeraiError, Unavailable
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.recipes.registry import build
from serai.testing.processes import ProcessBloc
from serai.training.methods import Context
from serai.training.tensors import digest_model
from serai.zones.statements import Approval

pytestmark = pytest.mark.slow  # real processes, seconds each

FEATURES = 3
# Short steps: every round changes the model, so a round that was lost or counted twice shows in the digest.
PARAMS = {"features": str(FEATURES), "damping": "0.1"}


def table(seed, count):
    generator = np.random.default_rng(seed)
    x = generator.normal(seed / 10, 1, (count, FEATURES))
    y = x @ [1, -1, 0.5] + generator.normal(0, 0.5, count) > 0
    return [[*map(float, values), float(label)] for values, label in zip(x, y, strict=True)]


def round_of(bloc, run):
    return current_round(bloc.state().rounds, run)


def wait_for_round(bloc, run, is_reached, timeout_s=30.0):
    """Follow the log until the run's current round is as wanted."""

    def holds(state):
        this = current_round(state.rounds, run)
        return this is not None and is_reached(this)

    return current_round(bloc.wait_until(holds, timeout_s).rounds, run)


def freeze_when(bloc, run, member, is_reached):
    """Hold a member at a moment that the log shows; where it was too quick, let it go on and try again."""
    for _ in range(20):
        number = wait_for_round(bloc, run, is_reached).body.number
        bloc.freeze(member)
        time.sleep(0.03)  # a request that had left already now reaches the center
        this = round_of(bloc, run)
        if this.body.number == number and is_reached(this):
            return this
        bloc.thaw(member)
    raise AssertionError(f"{member} was never held at that moment")


def restart(bloc, *names):
    for name in names:
        bloc.start(name)


def check_whole(bloc, run, rounds):
    """Nothing said was void, and each round's sum, recomputed from the uploads, holds what everybody sent."""
    state = bloc.state()
    assert divergence(state.rounds, run) is None
    assert dict(state.void) == {}
    audits = list(audit_run(bloc.session(bloc.members[0]), run))
    assert [audit.members for audit in audits] == [tuple(sorted(bloc.members))] * rounds


def expected_model(bloc, run):
    """What the sums that the log shows come to, computed here from the members' rows."""
    state = bloc.state()
    plan = state.runs.plans[run].plan
    recipe = build(plan.recipe, plan.params, {})
    rows = {member: Vault(load_settings(bloc.folder / member)).load("rows") for member in bloc.members}
    model = recipe.initial()
    for this in released_rounds(state, run):
        lanes, total = plan.codec.ring.zeros(plan.length), np.empty(plan.length)
        for member in this.summed:
            vector = recipe.contribute(model, rows[member], Context(round=0, seed=b"", member=member))
            plan.codec.ring.add(lanes, Encoder(plan.codec, vector).chunk(0))
        Decoder(plan.codec, total).chunk(0, lanes)
        model = recipe.combine(model, total, len(this.summed))
    return digest_model(model)


def test_killed_in_every_stage_of_a_round_the_run_ends_with_the_same_bits(tmp_path):
    # lima's table takes it a moment to read, in which it can be caught at work.
    tables = {"bern": table(0, 40), "lima": table(1, 12_000), "oslo": table(2, 40)}
    rounds = 10
    with ProcessBloc(tmp_path, tables) as bloc:
        agreement = bloc.agree()
        undisturbed = bloc.wait_for_model(bloc.train(agreement, "newton", rounds, PARAMS))
        run = bloc.train(agreement, "newton", rounds, PARAMS)

        this = freeze_when(bloc, run, "lima", lambda this: not this.closed and "lima" not in this.uploads)
        journal = Journal(bloc.folder / "lima" / "journal.sqlite")
        assert journal.upload(this.id) is None
        journal.close()
        bloc.kill("lima")  # during its local work
        this = wait_for_round(bloc, run, lambda this: {"bern", "oslo"} <= set(this.uploads))
        assert not this.closed
        bloc.kill("bern")  # after its upload, before the close
        bloc.kill("center")  # with uploads that wait for the last one
        restart(bloc, "center", "bern", "lima")

        this = freeze_when(bloc, run, "lima", lambda this: "lima" in this.uploads and "lima" not in this.releases)
        number = this.body.number
        this = wait_for_round(bloc, run, lambda this: {"bern", "oslo"} <= set(this.releases))
        assert this.body.number == number
        assert this.closed
        bloc.kill("lima")  # after the close, before its release
        bloc.kill("oslo")  # after its release, before its result
        bloc.kill("center")  # between close and releases
        restart(bloc, "center", "lima", "oslo")

        assert bloc.wait_for_model(run) == undisturbed
        check_whole(bloc, run, rounds)


@pytest.mark.slow
def test_a_member_that_uploads_and_stays_away_delays_the_run_and_bends_nothing(tmp_path):
    tables = {"bern": table(0, 40), "lima": table(1, 40), "oslo": table(2, 40)}
    with ProcessBloc(tmp_path, tables, round_ms=4_000) as bloc:
        run = bloc.train(bloc.agree(), "newton", 4, PARAMS)
        left = freeze_when(bloc, run, "lima", lambda this: "lima" in this.uploads and "lima" not in this.releases)
        bloc.kill("lima")
        tried = wait_for_round(bloc, run, lambda this: this.body.number > left.body.number)
        assert tried.body.model == left.body.model

        # Without lima, the second sum from this model would show what lima sent; so its deadline passes too.
        bloc.wait_until(lambda state: state.time_ms >= tried.body.deadline_ms)
        this = round_of(bloc, run)
        assert this.body.model == left.body.model
        assert "lima" not in this.uploads
        assert this.closed is None

        bloc.start("lima")
        assert bloc.wait_for_model(run) == expected_model(bloc, run)


def test_asked_to_end_in_the_middle_of_a_run_everybody_does_so_at_once_and_goes_on_later(tmp_path):
    tables = {"bern": table(0, 40), "lima": table(1, 40)}
    with ProcessBloc(tmp_path, tables) as bloc:
        run = bloc.train(bloc.agree(), "newton", 14, PARAMS)
        wait_for_round(bloc, run, lambda this: this.body.number > 2)
        names = ["bern", "center", "lima"]
        running = {pid for name in names for pid in descendants(bloc.pid(name))}
        before = round_of(bloc, run).body.number
        started = time.monotonic()
        assert [bloc.end(name) for name in names] == [0, 0, 0]
        assert time.monotonic() - started < 10
        wait_for_the_end(running)
        assert "Traceback" not in "".join(map(bloc.said, names))
        restart(bloc, "center", "bern", "lima")
        assert round_of(bloc, run).body.number >= before
        running = set(descendants(bloc.pid("bern")))
        bloc.kill("bern")
        wait_for_the_end(running)
        bloc.start("bern")
        bloc.wait_for_model(run)
        check_whole(bloc, run, 14)


def parents():
    """The parent of every process that runs; one that has ended and only waits to be read does not."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
            found |= {} if state in "ZX" else {int(path.parent.name): int(parent)}
    return found


def descendants(pid):
    """A process, and those that it and its children have started."""
    found = [pid]
    for process in found:
        found += [child for child, parent in parents().items() if parent == process]
    return found


def wait_for_the_end(processes):
    """A program's process ends with its agent's, or a moment after."""
    deadline = time.monotonic() + 5
    while left := processes & parents().keys():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_the_run_ends_with_the_same_bits_and_no_answer_is_lost(tmp_path, seed):
    tables = {"bern": table(0, 40), "lima": table(1, 2_000), "oslo": table(2, 40)}
    chance = random.Random(seed)
    with ProcessBloc(tmp_path, tables) as bloc:
        agreement = bloc.agree()
        undisturbed = bloc.wait_for_model(bloc.train(agreement, "newton", 40, PARAMS))
        with Talker(bloc.session("oslo")) as talker:
            run = bloc.train(agreement, "newton", 40, PARAMS)
            for _ in range(20):
                time.sleep(chance.uniform(0.0, 0.6))
                victims = chance.sample(["center", *bloc.members], k=chance.choice([1, 1, 1, 2, 4]))
                for victim in victims:
                    bloc.kill(victim)
                time.sleep(chance.choice([0.0, 0.1, 0.5]))
                restart(bloc, *sorted(victims))
            assert bloc.wait_for_model(run, 240) == undisturbed
        check_whole(bloc, run, 40)
        entries = bloc.session("bern").entries(0, bloc.state().size)
        assert len(talker.answered) > 50
        assert all(entries[index] == entry for index, entry in talker.answered.items())


@pytest.mark.slow
def test_killed_at_random_moments_a_recipe_with_memory_ends_alike_at_every_member(tmp_path):
    tables = {"bern": table(0, 40), "lima": table(1, 400), "oslo": table(2, 40)}
    chance = random.Random(3)
    params = {"features": str(FEATURES), "outer": "scaffold", "steps": "10", "batch": "8", "lr": "1/100"}
    with ProcessBloc(tmp_path, tables) as bloc:
        run = bloc.train(bloc.agree(), "local_sgd", 30, params)
        for _ in range(15):
            time.sleep(chance.uniform(0.0, 0.6))
            victim = chance.choice(["center", *bloc.members])
            bloc.kill(victim)
            restart(bloc, victim)
        model = bloc.wait_for_model(run, 240)
        evaluated = bloc.wait_until(lambda state: len(state.analytics.by_model.get((run, model), {})) == 3)
        assert dict(evaluated.void) == {}
        check_whole(bloc, run, 30)


class Talker:
    """Puts entries into the log the whole time, and remembers which ones the center said it had."""

    def __init__(self, session):
        self.answered = {}
        self._session = session
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _talk(self):
        signer = self._session.keys.signer(Role.DELEGATE)
        for number in range(100_000):
            if self._stop.wait(0.02):
                return
            body = Approval(subject=digest_of(str(number).encode()), comment="")
            entry = sign_body(body, signer)
            try:
                self.answered[self._session.center.submit(entry)] = entry
            except Unavailable:
                continue
            except SeraiError as error:
                raise AssertionError(error.message) from error
