"""Whatever a policy says, and whenever it begins to say it: of a run that it denies, nothing made of rows leaves.

Terms are drawn at random, some of which hold for the run, some do not, and some are
no terms at all. They become a zone's policy before a run is planned, once a round
is open, or once it is closed. What the zone says and sends is heard at its port.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serai.agent.app import Follower
from serai.agent.runner import Runner
from serai.agent.vault import Vault
from serai.aggregation.state import current_round
from serai.charter.agreements import Term
from serai.kernel.envelope import parse_envelope
from serai.testing.federation import Federation, Member
from serai.training.statements import RunCancel

MEMORY = Path("/dev/shm")
FEATURES = {"features": "3"}
FAR = 2**52
HOLD = [
    ("min_cohort", 5),
    ("min_participants", 2),
    ("outputs", ("metrics", "model")),
    ("purpose", ("research", "health")),
    ("residency", ("XX", "CH")),
    ("recipients", ("parties",)),
    ("secure_sum", "required"),
    ("max_uses", 10**6),
    ("expires_ms", FAR),
    ("embargo_until_ms", 1),
    ("compute_cap_s", 10**6),
]
DENY = [
    ("min_cohort", 41),
    ("min_cohort", "41"),
    ("min_participants", 3),
    ("outputs", ("model",)),
    ("purpose", ("health",)),
    ("code", ("ab" * 32,)),
    ("residency", ("ZZ",)),
    ("recipients", ("bern",)),
    ("output_to", ("XX",)),
    ("retention_days", 30),
    ("approvals", 1),
    ("min_subjects", 1),
    ("dp", ("record", "1", "1e-6")),
    ("secure_sum", "sometimes"),
    ("expires_ms", 1),
    ("airlock", "seldom"),
    ("min_cohrt", 1),
]
WORK = [("embargo_until_ms", FAR)]  # forbids work, and not that what was worked out becomes readable
AIRLOCK = [("airlock", "first"), ("airlock", "unusual"), ("airlock", "always")]
MOMENTS = ("planned", "opened", "closed")
OUTPUTS = {"round.upload", "round.release", "evaluation"}


class Ear:
    """A center's port that notes what a zone hands in."""

    def __init__(self, center):
        self._center = center
        self.words = []
        self.blobs = []

    def __getattr__(self, name):
        return getattr(self._center, name)

    def submit(self, entry):
        self.words.append(parse_envelope(entry).kind)
        return self._center.submit(entry)

    def put_blob(self, digest, source):
        self.blobs.append(digest)
        self._center.put_blob(digest, source)


class Unproved(Federation):
    """Other tests prove each step."""

    def check(self):
        pass


@pytest.fixture(scope="module")
def bloc():
    generator = np.random.default_rng(7)
    rows = [[*map(float, row), float(row[0] > 0)] for row in generator.normal(0, 1, (40, 3))]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        made = Unproved(Path(home), dict.fromkeys(("bern", "lima", "oslo"), rows))
        made.found()
        yield made


@pytest.fixture(scope="module")
def agreement(bloc):
    return bloc.agree()


def adopt(bloc, terms, places):
    """Terms as bern's own policy or its legal profile from now on, and an ear at its port."""
    sources = {"policy": (), "legal": ()}
    for place, (name, value) in zip(places, terms, strict=False):
        sources[place] += (Term(name=name, value=value, clause="house 1"),)
    zone = bloc.members["bern"].zone
    changed = replace(zone.settings, **sources)
    ear = Ear(bloc.center)
    zone = replace(zone, settings=changed, vault=Vault(changed), center=ear)
    bloc.members["bern"] = Member(zone, Follower(zone), Runner(zone))
    return ear


def advance(bloc, run, moment):
    """Let everybody act in turn until the run has come to a moment."""
    for _ in range(50):
        bloc.step_center()
        for name in bloc.members:
            this = current_round(bloc.state.rounds, run)
            if moment == "planned" or (this and (moment == "opened" or this.closed)):
                return
            bloc.step_member(name)
    raise AssertionError(f"the run never came to be {moment}")


def expected(terms, moment):
    """What may leave and has to, once these terms count."""
    left = set(OUTPUTS) if moment != "closed" else OUTPUTS - {"round.upload"}
    if any(term in DENY for term in terms):
        return set()
    if any(term in AIRLOCK or term in WORK for term in terms):
        return left & {"round.release"} if moment == "closed" else set()
    return left


@given(
    terms=st.lists(st.sampled_from([*HOLD, *DENY, *WORK, *AIRLOCK]), max_size=2, unique=True),
    places=st.lists(st.sampled_from(["policy", "legal"]), min_size=2, max_size=2),
    moment=st.sampled_from(MOMENTS),
)
@settings(max_examples=20, deadline=None)
def test_of_a_run_that_is_denied_nothing_made_of_rows_leaves(bloc, agreement, terms, places, moment):
    adopt(bloc, (), ())
    run = bloc.say("lima", bloc.plan(agreement, "newton", 1, FEATURES))
    advance(bloc, run, moment)
    if moment == "opened":
        assert not current_round(bloc.state.rounds, run).uploads
    ear = adopt(bloc, terms, places)
    bloc.settle()
    left = OUTPUTS.intersection(ear.words)
    assert left == expected(terms, moment)
    assert bool(ear.blobs) == ("round.upload" in left)
    adopt(bloc, (), ())
    if left != OUTPUTS:
        bloc.say("lima", RunCancel(plan=run, reason="the next example"))
        bloc.settle()
