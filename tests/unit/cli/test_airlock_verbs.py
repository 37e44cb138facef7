"""``serai zone airlock``: a steward sees what waits and why, and decides once."""

import json

import pytest
from click.testing import CliRunner

from serai.agent.held import EXPIRED, REJECTED, RELEASED, WAITING, Held
from serai.agent.journal import open_journal
from serai.cli.main import main
from serai.kernel.ids import Digest

VECTOR = Held(
    id=Digest("ab" * 32),
    kind="vector",
    run=Digest("cd" * 32),
    about=Digest("ef" * 32),
    why=("nothing of this program has left this zone before", "the policy has every output looked at"),
    facts={"values": 20, "zeros": 3},
    dtype="float64",
    since_ms=1_790_000_000_000,
    until_ms=1_790_000_060_000,
)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "zone.toml").write_text('member = "bern"\njurisdiction = "CH"\n')
    journal = open_journal(tmp_path)
    journal.airlock.hold(VECTOR)
    journal.close()
    return tmp_path


def airlock(home, *arguments, status=0):
    done = CliRunner().invoke(
        main, ["zone", "airlock", *arguments], env={"SERAI_HOME": str(home)}, catch_exceptions=False
    )
    assert done.exit_code == status, done.output
    return done.stdout if status == 0 else done.stderr


def kept(home):
    journal = open_journal(home)
    found = journal.airlock.find(VECTOR.id)
    journal.close()
    return found


def test_what_waits_is_shown_with_why_what_was_measured_and_until_when(home):
    assert "nothing of this program has left" in airlock(home, "list")
    shown = airlock(home, "show", "abab")
    for part in (*VECTOR.why, "values 20", "2026-09-21 14:14:20 UTC, when its round may close without it", "none yet"):
        assert part in shown
    (told,) = json.loads(airlock(home, "list", "--json"))
    assert told["why"] == list(VECTOR.why)
    assert told["decision"] == WAITING


@pytest.mark.parametrize(
    ("verb", "options", "decision"), [("release", (), RELEASED), ("reject", ("--reason", "a row is in it"), REJECTED)]
)
def test_a_decision_is_taken_once_and_recorded_with_who_and_when(home, verb, options, decision):
    assert f"is {decision}" in airlock(home, verb, "abab", *options)
    found = kept(home)
    assert found.decision == decision
    assert found.decided_by
    assert found.decided_ms > VECTOR.until_ms
    assert airlock(home, "list", "--json").strip() == "[]"
    assert decision in airlock(home, "list", "--all")
    assert decision in airlock(home, "show", "abab")
    assert f"expected an output that waits, and abababababab is {decision}" in airlock(
        home, "release", "abab", status=1
    )


def test_what_expired_cannot_be_released(home):
    journal = open_journal(home)
    journal.airlock.decide(VECTOR.id, EXPIRED, "", "its round closed", 1)
    journal.close()
    assert "is expired" in airlock(home, "release", "abab", status=1)


def test_a_rejection_needs_a_reason(home):
    assert "--reason" in airlock(home, "reject", "abab", status=2)
    assert kept(home).decision == WAITING
