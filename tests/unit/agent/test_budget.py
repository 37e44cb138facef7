"""The zone's privacy ledger: reserve before joining, pay before releasing, nothing back after that."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from serai.agent.journal import Journal
from serai.kernel.ids import Digest
from serai.kernel.verdict import Denied
from serai.zones.facts import PrivacyCost, Unit

RUN, OTHER, ROUND = (Digest(text * 32) for text in ("01", "02", "aa"))
HEART, LUNG = (Digest(text * 32) for text in ("da", "db"))


def cost(epsilon):
    return PrivacyCost(unit=Unit.RECORD, epsilon_millionths=epsilon, delta_trillionths=1)


def within(limit, wanted):
    def judge(others):
        taken = sum(spent.epsilon_millionths for spent in others.values())
        if taken + wanted > limit:
            yield Denied("offer 0f, clause 4", f"{taken} of {limit} are taken")

    return judge


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


@pytest.fixture
def ledger(journal):
    return journal.budgets


def reserve(ledger, run, epsilon, limit=10, dataset=HEART):
    return ledger.reserve(run, dataset, cost(epsilon), within(limit, epsilon))


def test_what_one_run_reserved_another_cannot_take(ledger):
    assert reserve(ledger, RUN, 7) == ()
    (denied,) = reserve(ledger, OTHER, 4)
    assert denied == Denied("offer 0f, clause 4", "7 of 10 are taken")
    assert ledger.others(OTHER, HEART) == {RUN: cost(7)}
    assert ledger.others(RUN, HEART) == {}  # the refused reservation left nothing behind


def test_reserving_again_after_a_crash_takes_nothing_more(ledger):
    assert reserve(ledger, RUN, 7) == reserve(ledger, RUN, 7) == ()
    assert reserve(ledger, OTHER, 3) == ()


def test_a_refused_rise_leaves_the_earlier_reservation(ledger):
    reserve(ledger, RUN, 7)
    assert reserve(ledger, RUN, 11)
    assert ledger.others(OTHER, HEART) == {RUN: cost(7)}


def test_each_dataset_has_a_budget_of_its_own(ledger):
    assert reserve(ledger, RUN, 10) == reserve(ledger, OTHER, 10, dataset=LUNG) == ()


def test_a_run_that_released_nothing_gives_back_what_it_reserved(ledger):
    reserve(ledger, RUN, 7)
    ledger.free(RUN)
    assert reserve(ledger, OTHER, 10) == ()


def test_a_run_that_released_anything_gives_nothing_back(ledger):
    reserve(ledger, RUN, 7)
    ledger.pay(RUN, ROUND)
    ledger.free(RUN)
    assert reserve(ledger, OTHER, 4)


def test_a_release_is_paid_once_however_often_it_is_said(ledger):
    assert ledger.releases(RUN, ROUND) == 1
    ledger.pay(RUN, ROUND)
    ledger.pay(RUN, ROUND)
    assert ledger.releases(RUN, ROUND) == 1
    assert ledger.releases(RUN, Digest("ab" * 32)) == 2
    assert ledger.releases(OTHER, Digest("ac" * 32)) == 1


def test_runs_that_ask_at_the_same_moment_never_overdraw_together(ledger):
    runs = [Digest(f"{number:064x}") for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda run: reserve(ledger, run, 3), runs))
    assert sum(answer == () for answer in answers) == 3


def test_the_ledger_survives_the_agent(tmp_path):
    path = tmp_path / "journal.sqlite"
    before = Journal(path)
    reserve(before.budgets, RUN, 7)
    before.budgets.pay(RUN, ROUND)
    before.close()
    after = Journal(path)
    assert after.budgets.others(OTHER, HEART) == {RUN: cost(7)}
    assert after.budgets.releases(RUN, ROUND) == 1
    after.close()


def test_noise_is_drawn_from_a_secret_that_is_no_mask_seed_and_stays_the_same(journal):
    draws = iter((b"1" * 32, b"2" * 32, b"3" * 32))
    seed = journal.seed(ROUND, lambda: next(draws))
    secret = journal.secret(ROUND, lambda: next(draws))
    assert secret != seed  # the seed is released, and the secret must never be
    assert journal.secret(ROUND, lambda: next(draws)) == secret
    assert journal.seed(ROUND, lambda: next(draws)) == seed
