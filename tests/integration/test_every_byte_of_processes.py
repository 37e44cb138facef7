"""What real agents write to a real center, tapped on the line: all of it is accounted for, and hides every rare cell."""

import struct

import numpy as np
import pytest

from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import MemberId
from serai.testing.processes import ProcessBloc
from serai.testing.tap import HOST, Tap
from serai.testing.written import Written

RARE = 73.919283746
WRITTEN = {
    *("question", "blob", "cosignature", "charter.adopt", "run.join", "run.plan", "proposal.open", "ballot"),
    *(
        "agreement.sign",
        "offer",
        "grant",
        "round.upload",
        "round.release",
        "round.result",
        "evaluation",
        "state.attest",
    ),
}


class TappedProcesses(ProcessBloc):
    """A bloc whose members dial the center through taps."""

    def center_url(self, member):
        self.taps[member] = Tap(int(self.url.rpartition(":")[2]))
        return f"http://{HOST}:{self.taps[member].port}"


@pytest.fixture
def bloc(tmp_path):
    generator = np.random.default_rng(8)
    rows = generator.normal(0, 1, (3, 40, 4))
    rows[:, :, -1] = rows[:, :, 0] > 0
    rows[:, 5, 1] = RARE
    made = TappedProcesses(tmp_path, {name: table.tolist() for name, table in zip("abc", rows, strict=True)})
    made.taps = {}
    with made:
        yield made
    for tap in made.taps.values():
        tap.close()


@pytest.mark.slow
def test_every_byte_of_a_run_of_processes_is_accounted_for(bloc):
    run = bloc.train(bloc.agree(), "newton", 3, {"features": "3"})
    model = bloc.wait_for_model(run)
    bloc.wait_until(lambda state: len(state.analytics.by_model.get((run, model), ())) == 3)
    for member in bloc.members:
        bloc.end(member)  # so that nothing is written that the log, as it is read now, has not
    state = bloc.state()
    entries = bloc.session("a").entries(0, state.size)
    for member, tap in bloc.taps.items():
        requests = tap.since()
        assert set(Written(MemberId(member), state, entries).take_all(requests)) <= WRITTEN
        said = {asked.body for asked in requests if asked.target == "/entries"}  # some of it twice: the same bytes
        kinds = [parse_envelope(entry).kind for entry in said]
        assert kinds.count("round.upload") == kinds.count("round.release") == 3
        assert kinds.count("evaluation") == 1
        for form in "<d", ">d", "<f", ">f":
            assert struct.pack(form, RARE) not in tap.written
        assert repr(RARE).encode() not in tap.written
