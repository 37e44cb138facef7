"""Every byte that leaves a zone is accounted for, and none of a run leaves that a policy denies.

The zones are real and speak real HTTP on the loopback; a tap on each line keeps every
byte that a zone writes. See ``serai.testing.tap``.
"""

import base64
import re
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serai.agent.app import Follower
from serai.agent.held import REJECTED
from serai.agent.runner import Runner
from serai.agent.vault import Vault
from serai.aggregation.codec import encode
from serai.aggregation.state import current_round, final_model
from serai.analytics.state import evaluations_of
from serai.charter.agreements import Term
from serai.errors import Malformed
from serai.hub.statements import Release
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.recipes.registry import build
from serai.state import Jobs
from serai.testing.federation import Member
from serai.testing.tap import TappedFederation, parse_requests, watched_dials
from serai.testing.written import Written
from serai.training.methods import Context
from serai.training.statements import RunCancel
from serai.zones.freezes import Freeze, Frozen
from serai.zones.statements import GrantRevoke, OfferWithdraw

MEMBERS = ("bern", "lima", "oslo")
WIDTH = 12
FEATURES = {"features": str(WIDTH)}
MEMORY = Path("/dev/shm")
RARE = {"bern": 73.919283746, "lima": 1961.0504271, "oslo": -48.00617253}  # one cell of each member's rows
DERIVED = {"round.upload", "round.release", "round.recover", "evaluation", "privacy.charge"}
"""What is made of rows, or makes it readable."""


def tables():
    generator = np.random.default_rng(5)
    x = generator.normal(0, 1, (3, 60, WIDTH))
    labels = x[:, :, 0] + generator.normal(0, 0.5, (3, 60)) > 0
    for place, member in enumerate(MEMBERS):
        x[place, 7, 3] = RARE[member]
    return {
        member: [[*map(float, row), float(label)] for row, label in zip(x[place], labels[place], strict=True)]
        for place, member in enumerate(MEMBERS)
    }


class Unproved(TappedFederation):
    """A bloc that leaves to other stories to prove each step: here only what leaves is looked at."""

    def check(self):
        pass


@pytest.fixture(scope="module")
def bloc():
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home,
        Unproved(Path(home), tables()) as made,
    ):
        made.found()
        yield made


@pytest.fixture(scope="module")
def agreement(bloc):
    return bloc.agree()


def written(bloc, member):
    return Written(member, bloc.state, bloc.entries)


# What must not be in it


def spellings(value):
    """A rare number as programs write it."""
    floats = [struct.pack(f"{order}{width}", value) for order in "<>" for width in "fd"]
    plain = [repr(value).encode(), f"{value:.6f}".encode(), f"{value:e}".encode(), *floats]
    found = [*plain, *(part.hex().encode() for part in plain), *(part.hex().upper().encode() for part in plain)]
    for part in plain:
        for shift in range(3):
            # Whole groups of three bytes that lie within the part have one spelling in base64, wherever it begins.
            inside = part[shift : shift + (len(part) - shift) // 3 * 3]
            found += [base64.b64encode(inside)] if len(inside) >= 6 else []
    return [part for part in found if len(part) >= 4]


def opened(requests):
    """All that was written, and what is inside of what is encoded in it."""
    yield from (asked.body for asked in requests)
    for asked in requests:
        if asked.target == "/entries":
            payload = parse_envelope(asked.body).payload
            yield payload
            yield from (bytes.fromhex(text) for text in re.findall(r"(?:[0-9a-f]{2}){16,}", payload.decode()))


def chi_square(data):
    """How far bytes are from uniform; 255 on average for uniform ones, with a standard deviation of 22.6."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    return float(((counts - len(data) / 256) ** 2 / (len(data) / 256)).sum())


# Stories


def settled(bloc, agreement, rounds=3, recipe="newton", params=FEATURES):
    """A run of which everything has left that ever will."""
    run = bloc.train(agreement, recipe, rounds, params)
    bloc.settle()
    return run


def final(bloc, run):
    job = Jobs(bloc.state, bloc.state.now).get(run)
    return None if job is None else final_model(bloc.state.rounds, job)


def released(bloc, run):
    model = final(bloc, run)
    blobs = bloc.center_parts.blobs
    evaluations = evaluations_of(bloc.state.analytics, run, model)
    with blobs.writer() as writer:
        writer.write(b"# A card")
        card = writer.commit()
    body = Release(
        run=run,
        model=model,
        size_bytes=blobs.size(model),
        format="safetensors",
        title="Hearts",
        card=card,
        license="Apache-2.0",
        evaluations=tuple(sorted(record.id for record in evaluations.values())),
    )
    return bloc.say("bern", body)


def test_every_byte_of_a_whole_run_is_accounted_for(bloc, agreement):
    with watched_dials() as dials:
        run = settled(bloc, agreement)
        statistics = settled(bloc, agreement, 1, "describe", {"bounds": "x0=-5:5,x3=-99:99,label=0:1", "bins": "4"})
        released(bloc, run)
        bloc.settle()
    assert final(bloc, run) is not None
    assert final(bloc, statistics) is not None
    assert {address[1] for address in dials} <= {tap.port for tap in bloc.taps.values()}
    for member in MEMBERS:
        kinds = written(bloc, member).take_all(bloc.taps[member].since())
        assert kinds.count("round.upload") == kinds.count("round.release") == 4
        assert kinds.count("evaluation") == 1
        assert set(kinds) == {
            *("question", "blob", "cosignature", "run.join"),
            *("round.upload", "round.release", "round.result", "evaluation"),
        }


def test_rare_cells_are_in_nothing_that_left_however_they_are_written(bloc, agreement):
    settled(bloc, agreement)
    for member in MEMBERS:
        written = [bloc.taps[member].written, *opened(bloc.taps[member].since())]
        for rare in RARE.values():
            for spelling in spellings(rare):
                assert not any(spelling in part for part in written), (member, rare, spelling)


@pytest.mark.parametrize("spelling", spellings(RARE["bern"]), ids=lambda spelling: spelling.hex()[:16])
def test_a_rare_cell_would_be_found(spelling):
    hidden = np.random.default_rng(6).bytes(999) + spelling + b"."
    assert any(one in hidden for one in spellings(RARE["bern"]))


def test_what_is_uploaded_looks_like_chance_and_what_it_hides_does_not(bloc, agreement):
    run = settled(bloc, agreement, rounds=4)
    plan = bloc.state.runs.plans[run].plan
    recipe = build(plan.recipe, plan.params, {})
    uploads = [asked for member in MEMBERS for asked in bloc.taps[member].since() if asked.method == "PUT"]
    sent = b"".join(asked.body for asked in uploads if len(asked.body) == plan.codec.upload_bytes)
    assert len(sent) >= 12 * plan.codec.upload_bytes
    assert chi_square(sent) < 255 + 6 * 22.6
    bits = np.unpackbits(np.frombuffer(sent, np.uint8))
    assert abs(bits.mean() - 0.5) < 4 / (2 * np.sqrt(bits.size))

    plain = []
    for member in MEMBERS:
        data = bloc.members[member].zone.vault.load("rows")
        context = Context(round=0, seed=bytes(32), member=member)
        lanes, _ = encode(plan.codec, recipe.contribute(recipe.initial(), data, context))
        plain.append(bytes(plan.codec.ring.pack(lanes)))
    assert chi_square(b"".join(plain)) > 255 + 20 * 22.6, "the test can tell what is not masked"


# Situations in which a policy, or a person, says no


def policy(name, value):
    return (Term(name=name, value=value, clause="house 1"),)


def set_zone(bloc, **changed):
    """Give bern other settings, as if its ``zone.toml`` had been changed and its agent started again."""
    zone = bloc.members["bern"].zone
    settings = replace(zone.settings, **changed)
    zone = replace(zone, settings=settings, vault=Vault(settings))
    bloc.members["bern"] = Member(zone, Follower(zone), Runner(zone))


def change(**changed):
    return lambda bloc, _run: set_zone(bloc, **changed)


def spoil_rows(bloc, _run):
    path = Path(bloc.members["bern"].zone.settings.datasets["rows"].path)
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")


def freeze(what):
    def act(bloc, run):
        named = bloc.state.runs.plans.get(run) if run else None
        names = {
            Frozen.RUN: (run or "")[:12],
            Frozen.DATASET: "rows",
            Frozen.AGREEMENT: "" if named is None else named.plan.agreement[:12],
            Frozen.MEMBER: "oslo",
        }
        zone = bloc.members["bern"].zone
        zone.journal.freezes.add(
            Freeze(
                id=0,
                what=what,
                name=names[what],
                digest=zone.vault.digest("rows") if what is Frozen.DATASET else "",
                reason="an incident",
                by="anna",
                since_ms=1,
            )
        )

    return act


def stop(bloc, _run):
    bloc.members["bern"].zone.settings.stop_file.touch()


def revoke(bloc, run):
    plan = bloc.state.runs.plans[run].plan
    grants = bloc.state.zones.grants.values()
    for grant in grants:
        if grant.body.offer == plan.offers["bern"] and grant.revoked is None:
            bloc.say("bern", GrantRevoke(grant=grant.id), Role.STEWARD)


def withdraw(bloc, run):
    offer = bloc.state.runs.plans[run].plan.offers["bern"]
    bloc.say("bern", OfferWithdraw(offer=offer), Role.STEWARD)


def reject(bloc, run):
    set_zone(bloc, policy=policy("airlock", "always"))
    bloc.step_member("bern")
    queue = bloc.members["bern"].zone.journal.airlock
    for held in queue.all():
        if held.run == run and held.decision == "waiting":
            queue.decide(held.id, REJECTED, "anna", "a row is in it", bloc.now_ms)


@pytest.fixture
def restored(bloc, agreement):
    """Whatever a situation changes is as before after it."""
    zone = bloc.members["bern"].zone
    path = Path(zone.settings.datasets["rows"].path)
    before = path.read_text()
    yield
    path.write_text(before)
    zone.settings.stop_file.unlink(missing_ok=True)
    for held in zone.journal.freezes.in_force():
        zone.journal.freezes.thaw(held.what, held.name, "anna", 2)
    for run in bloc.state.runs.plans.values():
        if run.cancelled is None and final(bloc, run.id) is None:
            bloc.say("bern", RunCancel(plan=run.id, reason="the story is over"))
    bloc.members["bern"] = Member(zone, Follower(zone), Runner(zone))
    bloc.settle()
    offers = {offer.id for offer in bloc.state.zones.offers.values() if offer.withdrawn}
    for grant in bloc.state.zones.grants.values():
        if grant.body.offer in offers and grant.revoked is None:
            bloc.say("bern", GrantRevoke(grant=grant.id), Role.STEWARD)
    if not any(grant.member == "bern" and grant.revoked is None for grant in bloc.state.zones.grants.values()):
        bloc.grant("bern", agreement)
        bloc.settle()


def said_of_rows(bloc, mark, run):
    """What left bern since a mark that is made of rows of a run; and every other kind of thing that left."""
    closes = {this.closed.id: this.body.run for this in bloc.state.rounds.rounds.values() if this.closed}
    kinds = set()
    derived = []
    account = written(bloc, "bern")
    for asked in bloc.taps["bern"].since(mark):
        kind = account.take(asked)
        kinds.add(kind)
        if kind in DERIVED:
            predicate = parse_envelope(asked.body).predicate
            rounds = bloc.state.rounds.rounds
            opened_by = rounds[predicate["open"]].body.run if "open" in predicate else None
            about = predicate.get("run") or opened_by or closes.get(predicate.get("close"))
            derived += [kind] if about == run else []
    return derived, kinds


BEFORE = {
    "another charter (guard 1)": change(genesis=Digest("ab" * 32)),
    "a stale log (guard 4)": change(max_staleness_s=-1),
    "other rows on the disk (guard 11)": spoil_rows,
    "a term that does not hold (guard 12)": change(policy=policy("min_cohort", 61)),
    "a term that nobody knows (guard 12)": change(legal=policy("min_cohrt", 1)),
    "no deletion in time (guard 12)": change(policy=policy("retention_days", 30)),
    "another country (guard 13)": change(policy=policy("residency", ("ZZ",))),
    "unknown recipients' places (guard 13)": change(legal=policy("output_to", ("XX",))),
    "no noise for a budget (guard 12)": change(policy=policy("dp", ("record", "1", "1e-6"))),
    "no approvals (guard 15)": change(policy=policy("approvals", 2)),
    "an embargo (guard 16)": change(policy=policy("embargo_until_ms", 2**52)),
    "the kill switch (guard 17)": stop,
    "a frozen dataset (guard 17)": freeze(Frozen.DATASET),
    "a frozen member (guard 17)": freeze(Frozen.MEMBER),
}
AT_WORK = {
    "a grant that is revoked": revoke,
    "an offer that is withdrawn": withdraw,
    "a policy edited": change(policy=policy("min_cohort", 61)),
    "a term that nobody knows": change(legal=policy("min_cohrt", 1)),
    "a profile that has ended": change(legal=policy("expires_ms", 1)),
    "the kill switch": stop,
    "a frozen run": freeze(Frozen.RUN),
    "a frozen agreement": freeze(Frozen.AGREEMENT),
    "a frozen dataset": freeze(Frozen.DATASET),
    "a frozen member": freeze(Frozen.MEMBER),
}
BEFORE_UPLOAD = {
    **AT_WORK,
    "held in the airlock": change(policy=policy("airlock", "always")),
    "rejected in the airlock": reject,
    "work for too long": change(policy=policy("compute_cap_s", 1)),
}


OFTEN = {  # one of each way to say no; the others are looked at in the long tests
    *("a term that does not hold (guard 12)", "other rows on the disk (guard 11)", "the kill switch (guard 17)"),
    *("a frozen dataset (guard 17)", "a grant that is revoked", "a policy edited", "the kill switch", "a frozen run"),
    *("held in the airlock", "rejected in the airlock"),
}


def cases(situations):
    return [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in situations]


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("situation", cases(BEFORE))
def test_of_a_run_that_is_denied_nothing_leaves_but_the_word_that_it_is(bloc, agreement, situation):
    BEFORE[situation](bloc, None)
    mark = bloc.taps["bern"].mark()
    run = bloc.say("lima", bloc.plan(agreement, "newton", 1, FEATURES))
    bloc.settle()
    derived, kinds = said_of_rows(bloc, mark, run)
    assert not derived
    assert kinds <= {"question", "cosignature", "run.decline"}
    assert "bern" not in bloc.state.runs.plans[run].keys


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("situation", cases(BEFORE_UPLOAD))
def test_what_is_denied_before_an_upload_keeps_it_in(bloc, agreement, situation):
    run = opened_run(bloc, agreement)
    if situation == "work for too long":
        bloc.members["bern"].zone.journal.add_work(run, 2_000)
    BEFORE_UPLOAD[situation](bloc, run)
    mark = bloc.taps["bern"].mark()
    bloc.settle()
    derived, kinds = said_of_rows(bloc, mark, run)
    assert not derived
    assert kinds <= {"question", "cosignature"}
    assert set(current_round(bloc.state.rounds, run).uploads) == {"lima", "oslo"}


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("situation", cases(AT_WORK))
def test_what_is_denied_before_a_release_keeps_the_sum_unreadable(bloc, agreement, situation):
    run = opened_run(bloc, agreement)
    step_until(bloc, lambda: current_round(bloc.state.rounds, run).closed)
    assert "bern" in current_round(bloc.state.rounds, run).summed
    AT_WORK[situation](bloc, run)
    mark = bloc.taps["bern"].mark()
    bloc.settle()
    derived, kinds = said_of_rows(bloc, mark, run)
    assert not derived
    assert kinds <= {"question", "cosignature"}
    this = current_round(bloc.state.rounds, run)
    assert set(this.releases) == {"lima", "oslo"}
    assert not this.is_released


def opened_run(bloc, agreement):
    run = bloc.say("lima", bloc.plan(agreement, "newton", 2, FEATURES))
    step_until(bloc, lambda: current_round(bloc.state.rounds, run))
    assert not current_round(bloc.state.rounds, run).uploads
    return run


def step_until(bloc, is_reached):
    for _ in range(100):
        bloc.step_center()
        for name in MEMBERS:
            if is_reached():
                return
            bloc.step_member(name)
    raise AssertionError("the story does not come to that point")


def test_bytes_that_are_no_request_are_not_passed_over():
    whole = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"
    assert [asked.target for asked in parse_requests(whole * 2)] == ["/health"] * 2
    for bent in (whole + b"x", b"x" + whole, b"PUT /a HTTP/1.1\r\ncontent-length: 3\r\n\r\nab", whole[:-2]):
        with pytest.raises(Malformed):
            list(parse_requests(bent))
