"""Real agents: a member whose line to the center is cut reads at a peer, votes, and is heard."""

import socket
import subprocess

import numpy as np
import pytest

from serai.charter.decision import Choice
from serai.charter.statements import ProposalOpen
from serai.testing.documents import agreement_text
from serai.testing.processes import ProcessBloc

MEMBERS = ("bern", "lima", "oslo")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as trial:
        return trial.getsockname()[1]


def set_line(bloc, member, key, line):
    """Put a setting of a zone's in the place of what it said before."""
    path = bloc.folder / member / "zone.toml"
    lines = [text for text in path.read_text().splitlines() if not text.startswith(f"{key} =")]
    path.write_text("\n".join([line, *lines]) + "\n")


@pytest.fixture
def bloc(tmp_path):
    rows = {name: np.random.default_rng(seed).normal(size=(12, 3)).tolist() for seed, name in enumerate(MEMBERS)}
    with ProcessBloc(tmp_path, rows) as made:
        yield made


@pytest.mark.slow
def test_who_is_cut_off_votes_by_way_of_a_peer(bloc):
    port = free_port()
    set_line(bloc, "bern", "listen", f'listen = "127.0.0.1:{port}"')
    set_line(bloc, "lima", "peers", f'peers = ["http://127.0.0.1:{port}"]')
    set_line(bloc, "lima", "center_url", f'center_url = "http://127.0.0.1:{free_port()}"')  # where nobody answers
    for name in ("bern", "lima"):
        bloc.end(name)
        bloc.start(name)
    opening = ProposalOpen(topic="agreement", title="?", text="?", agreement=agreement_text(invited=MEMBERS))
    proposal = bloc.say("oslo", opening)

    command = [*bloc.program("lima"), "vote", proposal, "object", "--reason", "no", "--home", str(bloc.folder / "lima")]
    for _ in range(10):  # bern's agent may not have heard of the proposal yet
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "entry-kept" in done.stderr:
            break
    assert done.returncode == 1
    assert "has peers carry it" in " ".join(done.stderr.split())
    state = bloc.wait_until(lambda state: "lima" in state.charter.proposals[proposal].votes, 30)
    assert state.charter.proposals[proposal].votes["lima"].choice is Choice.OBJECT
