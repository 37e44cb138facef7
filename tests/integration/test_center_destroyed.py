"""The center's host is destroyed in the middle of a run, and a member takes over from its own mirror."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serai.agent.session import Session, read_charter
from serai.agent.settings import load_settings
from serai.aggregation.state import current_round, divergence
from serai.cli.audits import audit_published, released_rounds
from serai.errors import SeraiError
from serai.kernel.envelope import parse_envelope
from serai.testing.processes import ProcessBloc

PARAMS = {"features": "3", "damping": "0.1"}
MEMBERS = ("almaty", "bern", "cusco", "dakar", "lima")
ROUNDS = 12
TOOL = Path(__file__).resolve().parents[2] / "tools" / "audit_log.py"


def table(seed, count):
    generator = np.random.default_rng(seed)
    x = generator.normal(seed / 10, 1, (count, 3))
    y = x @ [1, -1, 0.5] + generator.normal(0, 0.5, count) > 0
    return [[*map(float, values), float(label)] for values, label in zip(x, y, strict=True)]


def witnessed_entries(bloc):
    """What a quorum has witnessed as far as any member knows; each member's mirror is asked, not the center."""
    views = {member: bloc.session(member).mirror.view for member in MEMBERS}
    best = max(views, key=lambda member: views[member].witnessed_size)
    return bloc.session(best).entries(0, views[best].witnessed_size)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["uploading", "closed"])
def test_a_member_takes_over_in_one_command_and_the_run_ends_with_the_same_bits(tmp_path, stage):
    with ProcessBloc(tmp_path, {member: table(seed, 60) for seed, member in enumerate(MEMBERS)}) as bloc:
        run = bloc.train(bloc.agree(), "newton", ROUNDS, PARAMS)

        def is_there(state):
            this = current_round(state.rounds, run)
            if this is None or this.body.number < 4:
                return False
            return 0 < len(this.uploads) < len(MEMBERS) if stage == "uploading" else this.closed is not None

        with contextlib.suppress(SeraiError):  # a round may be too quick to be seen; the center dies anyhow
            bloc.wait_until(is_there, 20.0)
        bloc.kill("center")
        shutil.rmtree(bloc.folder / "center")
        bloc.forget_sessions()
        kept = witnessed_entries(bloc)

        bloc.adopt("successor", "bern", ["almaty", "cusco", "dakar"])
        bloc.follow("lima")
        assert bloc.wait_for_model(run) == bloc.model_of_rows(bloc.state().runs.plans[run].plan)

        state = bloc.state()
        assert divergence(state.rounds, run) is None
        assert bloc.session("lima").entries(0, len(kept)) == kept
        assert [this.summed for this in released_rounds(state, run)] == [set(MEMBERS)] * ROUNDS
        (succession,) = state.charter.successions
        assert succession.members == {"almaty", "bern", "cusco", "dakar"}
        assert succession.body.size >= len(kept)

        # Both auditors follow the succession, each by what it reads in the log.
        bloc.wait_until(lambda _: bloc.session("lima").center.health().witnessed > succession.since)
        charter = read_charter(load_settings(bloc.folder / "bern"))
        assert audit_published(bloc.url, charter).genesis == state.charter.genesis
        command = [sys.executable, TOOL, bloc.url, "--genesis", state.charter.genesis, "--json"]
        said = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        assert said["ok"], said
        assert said["origin"] == succession.body.log_key.partition("+")[0]

        # A restart finds the successor by itself.
        bloc.kill("lima")
        bloc.kill("successor")
        bloc.start("successor")
        bloc.start("lima")
        again = bloc.train(bloc.agree(), "newton", 2, PARAMS)
        bloc.wait_for_model(again)
        lima = bloc.session("lima")
        log = lima.entries(0, lima.state().size)
        assert len({parse_envelope(entry).id for entry in log}) == len(log)


class ByHand(ProcessBloc):
    """Members sign an appointment on a machine that does not reach the new center; somebody carries the files."""

    def _appoint(self, member, _url):
        home = self.folder / "successor"
        out = self.folder / f"{member}.json"
        command = ["zone", "appoint", home / "appointment.json", "--out", out, "--home", self.folder / member]
        subprocess.run([*self.program(member), *command], check=True, capture_output=True, timeout=60)
        shutil.copyfile(out, home / "signatures" / out.name)


@pytest.mark.slow
def test_signatures_that_were_carried_as_files_open_the_new_center(tmp_path):
    tables = {member: table(seed, 20) for seed, member in enumerate(("bern", "lima", "oslo"))}
    with ByHand(tmp_path, tables) as bloc:
        agreement = bloc.agree()
        size = bloc.state().size
        homes = [load_settings(bloc.folder / member) for member in tables]
        bloc.wait_until(lambda _: all(Session(home).mirror.view.size == size for home in homes), 10)
        bloc.kill("center")
        shutil.rmtree(bloc.folder / "center")
        bloc.forget_sessions()
        bloc.adopt("successor", "bern", ["lima"])
        bloc.follow("oslo")
        state = bloc.wait_until(lambda state: state.charter.successions, 20)
        assert state.charter.successions[0].members == {"bern", "lima"}
        run = bloc.train(agreement, "newton", 1, PARAMS)
        bloc.wait_for_model(run)
        assert set(bloc.state().runs.plans[run].keys) == set(tables), "all three follow it"
