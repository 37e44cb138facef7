"""Records: languages fall back in order, and what the log says of grants decides what could be used."""

import pytest

from serai.catalog.record import records_of
from serai.catalog.search import access_of
from serai.charter.agreements import Term
from serai.charter.statements import AgreementWithdraw
from serai.kernel.ids import MemberId
from serai.kernel.keys import Role
from serai.testing.federation import START_MS, Federation, Terms
from serai.zones.statements import GrantRevoke, OfferWithdraw

ROWS = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0], [5.0, 0.0]]
LATER = Term(name="embargo_until_ms", value=START_MS + 10**10, clause="9: not yet")


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [("ja", "ja"), ("de-CH", "de"), ("DE", "de"), ("fr", "en"), ("en-GB", "en"), ("ar-EG", "ar"), ("", "en")],
)
def test_a_record_is_shown_as_asked_or_near_it_or_in_english(heart, wanted, shown):
    assert heart.language_for(wanted) == shown


def test_without_english_a_record_is_shown_in_its_own_language(echo):
    assert echo.language_for("fr") == "und"


def test_what_a_column_means_says_in_which_language_it_is_said(heart):
    assert heart.meaning_of("age", "en") == ("age at admission", "en")
    assert heart.meaning_of("age", "ja") == ("Alter bei Aufnahme", "de")
    assert heart.meaning_of("sex", "en") == ("", "de")


@pytest.fixture
def bloc(tmp_path):
    bloc = Federation(tmp_path, dict.fromkeys(("bern", "lima", "oslo"), ROWS))
    bloc.found()
    return bloc


def obstacles(bloc, whose, member):
    (record,) = (record for record in records_of(bloc.state) if record.member == whose)
    return [one.obstacles for one in access_of(record, MemberId(member))]


def test_the_log_decides_what_could_be_used(bloc):
    agreement = bloc.agree(parties=("bern", "lima"))
    assert obstacles(bloc, "bern", "lima") == [()]
    assert obstacles(bloc, "bern", "oslo") == [("oslo is not a party of the agreement",)]
    bloc.say("lima", AgreementWithdraw(agreement=agreement, reason="enough"))
    assert obstacles(bloc, "bern", "lima") == [("lima is not a party of the agreement",)]
    (grant,) = (grant for grant in bloc.state.zones.grants.values() if grant.member == "bern")
    bloc.say("bern", GrantRevoke(grant=grant.id), Role.STEWARD)
    assert obstacles(bloc, "bern", "bern") == []
    bloc.say("bern", OfferWithdraw(offer=grant.body.offer), Role.STEWARD)
    assert [record.member for record in records_of(bloc.state)] == ["lima"]


def test_terms_that_time_alone_decides_are_told(bloc):
    bloc.agree(Terms(offer=(LATER,)))
    ((waits,),) = obstacles(bloc, "bern", "bern")
    assert "clause 9: not yet: embargo_until_ms" in waits
