"""Worked cases: what each body's own rules say must come out."""

from dataclasses import replace
from fractions import Fraction

import pytest

from serai.charter.articles import HALF, Base, Criterion, Mode, Rule
from serai.charter.decision import Choice, Electorate, Outcome, Result, Voter, decide

HEADS_OF_ALL = Criterion(share=HALF, base=Base.ELIGIBLE)
TWO_THIRDS_CAST = Criterion(share=Fraction(2, 3), strict=False)
MAJORITY = Rule(mode=Mode.VOTE, window_ms=1, criteria=(Criterion(share=HALF),), quorum=HEADS_OF_ALL)
SCO = Rule(mode=Mode.CONSENSUS, window_ms=1)
CERN_TWO_THIRDS = Rule(
    mode=Mode.VOTE,
    window_ms=1,
    criteria=(
        Criterion(share=Fraction(2, 3), strict=False, base=Base.ELIGIBLE),
        Criterion(share=Fraction(2, 3), strict=False, base=Base.PARTICIPANTS),
    ),
    quorum=HEADS_OF_ALL,
)
EUROHPC = Rule(
    mode=Mode.VOTE,
    window_ms=1,
    criteria=(Criterion(share=Fraction(3, 4), strict=False, unit="weight:votes", base=Base.ELIGIBLE),),
)
EU = Rule(
    mode=Mode.VOTE,
    window_ms=1,
    criteria=(
        Criterion(share=Fraction(55, 100), strict=False, base=Base.ELIGIBLE),
        Criterion(share=Fraction(65, 100), strict=False, unit="weight:population", base=Base.ELIGIBLE),
    ),
    blocking_min=4,
)
UN_IMPORTANT = Rule(mode=Mode.VOTE, window_ms=1, criteria=(TWO_THIRDS_CAST,), quorum=HEADS_OF_ALL)
WTO = replace(SCO, quorum=HEADS_OF_ALL, fallback=MAJORITY)
SILENCE = Rule(mode=Mode.SILENCE, window_ms=1, fallback=UN_IMPORTANT)

# Population of 27 members in millions, largest first, rounded.
POPULATIONS = [84, 68, 59, 48, 37, 19, 18, 11, 11, 11, 10, 10, 9, 9, 6, 6, 6, 5, 4, 4, 3, 2, 2, 1, 1, 1, 1]
EUROHPC_VOTES = {"union": 50, "p0": 12, "p1": 10, "p2": 9, "p3": 7, "p4": 5, "p5": 4, "p6": 2, "p7": 1}


def body(count: int) -> dict[str, Voter]:
    return {f"m{number}": Voter() for number in range(count)}


def ballots(**positions: range | str | list[str]) -> dict[str, Choice]:
    """``yes=range(3)`` for m0 to m2; ``object="m4"`` for one."""
    cast = {}
    for choice, who in positions.items():
        names = [f"m{number}" for number in who] if isinstance(who, range) else [who] if isinstance(who, str) else who
        cast |= dict.fromkeys(names, Choice(choice))
    return cast


def result(rule: Rule, voters: dict[str, Voter], cast: dict[str, Choice], **electorate: object) -> Outcome:
    return decide(rule, Electorate(voters=voters, **electorate), cast, closed=True)


def test_cern_adopts_by_13_of_25_present_and_voting():
    assert result(MAJORITY, body(25), ballots(yes=range(13), no=range(13, 25))).result is Result.ADOPTED


def test_cern_rejects_a_tie_of_12_against_12():
    outcome = result(MAJORITY, body(25), ballots(yes=range(12), no=range(12, 24)))
    assert (outcome.result, outcome.article) == (Result.REJECTED, "criterion 1")


def test_cern_has_no_quorum_with_12_of_25():
    outcome = result(MAJORITY, body(25), ballots(yes=range(12)))
    assert (outcome.result, outcome.article) == (Result.REJECTED, "quorum")


def test_abstentions_make_a_quorum():
    outcome = result(MAJORITY, body(25), ballots(yes=range(2), no=range(2, 3), abstain=range(3, 13)))
    assert outcome.result is Result.ADOPTED


def test_cern_adopts_by_two_thirds_of_all_who_include_the_programme():
    programme = frozenset(f"m{number}" for number in range(10))
    assert result(CERN_TWO_THIRDS, body(25), ballots(yes=range(17)), participants=programme).result is Result.ADOPTED


def test_cern_rejects_two_thirds_of_all_without_two_thirds_of_participants():
    programme = frozenset(f"m{number}" for number in range(14, 25))
    outcome = result(CERN_TWO_THIRDS, body(25), ballots(yes=range(17)), participants=programme)
    assert (outcome.result, outcome.article) == (Result.REJECTED, "criterion 2")


def test_cern_rejects_16_of_25_as_less_than_two_thirds():
    programme = frozenset({"m0"})
    outcome = result(CERN_TWO_THIRDS, body(25), ballots(yes=range(16)), participants=programme)
    assert (outcome.result, outcome.article) == (Result.REJECTED, "criterion 1")


def test_two_thirds_of_a_programme_without_participants_is_never_reached():
    assert result(CERN_TWO_THIRDS, body(3), ballots(yes=range(3))).article == "criterion 2"


def test_sco_adopts_when_nobody_objects():
    assert result(SCO, body(10), ballots(abstain="m1", reserve="m2")).result is Result.ADOPTED


def test_sco_rejects_when_one_member_objects():
    outcome = result(SCO, body(10), ballots(yes=range(9), object="m9"))
    assert (outcome.result, outcome.article, outcome.reason) == (Result.REJECTED, "objection", "m9 objected")


def test_sco_expels_over_the_objection_of_the_member_concerned():
    expulsion = replace(SCO, exclude_concerned=True)
    assert result(expulsion, body(10), ballots(object="m9"), concerned=frozenset({"m9"})).result is Result.ADOPTED


def test_the_member_concerned_counts_where_the_rule_does_not_leave_it_out():
    assert result(SCO, body(10), ballots(object="m9"), concerned=frozenset({"m9"})).result is Result.REJECTED


def test_a_consensus_may_tolerate_a_number_of_objections():
    tolerant = replace(SCO, max_objections=1)
    assert result(tolerant, body(5), ballots(object=range(1))).result is Result.ADOPTED
    assert result(tolerant, body(5), ballots(object=range(2))).result is Result.REJECTED


def test_eurohpc_adopts_with_the_union_and_a_quarter_of_the_votes():
    voters = {name: Voter(weights={"votes": votes}) for name, votes in EUROHPC_VOTES.items()}
    assert result(EUROHPC, voters, ballots(yes=["union", "p0", "p1", "p6", "p7"])).result is Result.ADOPTED


def test_eurohpc_rejects_one_vote_short_of_three_quarters():
    voters = {name: Voter(weights={"votes": votes}) for name, votes in EUROHPC_VOTES.items()}
    assert result(EUROHPC, voters, ballots(yes=["union", "p0", "p1", "p6"])).result is Result.REJECTED


def test_eurohpc_rejects_without_the_union():
    voters = {name: Voter(weights={"votes": votes}) for name, votes in EUROHPC_VOTES.items()}
    cast = ballots(yes=[name for name in EUROHPC_VOTES if name != "union"])
    assert result(EUROHPC, voters, cast).result is Result.REJECTED


def test_the_un_counts_two_thirds_of_those_voting_and_no_abstentions():
    cast = ballots(yes=range(4), no=range(4, 6), abstain=range(6, 9))
    assert result(UN_IMPORTANT, body(9), cast).result is Result.ADOPTED


def test_counting_abstentions_as_present_turns_the_same_vote():
    present = replace(UN_IMPORTANT, criteria=(replace(TWO_THIRDS_CAST, base=Base.PRESENT),))
    cast = ballots(yes=range(4), no=range(4, 6), abstain=range(6, 9))
    assert result(present, body(9), cast).result is Result.REJECTED


@pytest.mark.parametrize(("against", "expected"), [(3, Result.ADOPTED), (4, Result.REJECTED)])
def test_the_eu_needs_four_members_to_block_by_population(against, expected):
    voters = {f"m{n}": Voter(weights={"population": people}) for n, people in enumerate(POPULATIONS)}
    cast = ballots(no=range(against), yes=range(against, 27))
    outcome = result(EU, voters, cast)
    assert outcome.result is expected
    assert outcome.article == ("blocking minority" if expected is Result.ADOPTED else "criterion 2")


def test_the_eu_counts_an_abstention_among_those_that_block():
    voters = {f"m{n}": Voter(weights={"population": people}) for n, people in enumerate(POPULATIONS)}
    assert result(EU, voters, ballots(no=range(3), abstain="m3", yes=range(4, 27))).result is Result.REJECTED


def test_a_small_blocking_minority_never_excuses_a_criterion_in_heads():
    voters = {f"m{n}": Voter(weights={"population": 1}) for n in range(5)}
    outcome = result(EU, voters, ballots(yes=range(2)))
    assert (outcome.result, outcome.article) == (Result.REJECTED, "criterion 1")


def test_the_wto_votes_when_consensus_is_broken():
    outcome = result(WTO, body(10), ballots(yes=range(9), object="m9"))
    assert (outcome.result, outcome.article) == (Result.FALLBACK, "objection")


def test_the_wto_needs_a_quorum_for_consensus():
    assert result(WTO, body(10), ballots(yes=range(5))).article == "quorum"


def test_silence_kept_to_the_end_adopts():
    assert result(SILENCE, body(5), {}).result is Result.ADOPTED


def test_silence_adopts_nothing_before_its_end():
    assert decide(SILENCE, Electorate(voters=body(5)), {}, closed=False).result is Result.OPEN


@pytest.mark.parametrize("choice", ["object", "no"])
def test_one_voice_breaks_silence_at_once(choice):
    outcome = decide(SILENCE, Electorate(voters=body(5)), ballots(**{choice: "m3"}), closed=False)
    assert (outcome.result, outcome.article) == (Result.FALLBACK, "silence")
    assert "m3" in outcome.reason


def test_broken_silence_without_a_fallback_rejects():
    assert result(replace(SILENCE, fallback=None), body(5), ballots(object="m3")).result is Result.REJECTED


def test_silence_may_need_seconders():
    seconded = replace(SILENCE, min_yes=2)
    assert result(seconded, body(5), ballots(yes="m1")).article == "support"
    assert result(seconded, body(5), ballots(yes="m1", reserve="m2")).result is Result.ADOPTED


def test_a_suspended_members_vote_is_ignored():
    assert result(SCO, body(10), ballots(object="m1"), absent=frozenset({"m1"})).result is Result.ADOPTED


def test_a_suspended_member_is_not_part_of_all_members():
    rule = replace(MAJORITY, criteria=(HEADS_OF_ALL,))
    assert result(rule, body(4), ballots(yes=range(2))).result is Result.REJECTED
    assert result(rule, body(4), ballots(yes=range(2)), absent=frozenset({"m3"})).result is Result.ADOPTED


def test_the_vote_of_a_stranger_is_ignored():
    assert result(SCO, body(3), ballots(object="m7")).result is Result.ADOPTED


def test_a_veto_rejects_what_every_other_member_wants():
    guarded = replace(MAJORITY, vetoes=("m0",))
    assert result(guarded, body(9), ballots(no="m0", yes=range(1, 9))).article == "veto"
    assert result(guarded, body(9), ballots(no="m1", yes=range(2, 9))).result is Result.ADOPTED


def test_a_suspended_member_has_no_veto():
    guarded = replace(MAJORITY, vetoes=("m0",))
    cast = ballots(no="m0", yes=range(1, 9))
    assert result(guarded, body(9), cast, absent=frozenset({"m0"})).result is Result.ADOPTED


def test_a_constituency_counts_apart():
    voters = {f"m{n}": Voter(groups=frozenset({"coastal" if n < 3 else "inland"})) for n in range(9)}
    rule = replace(MAJORITY, criteria=(Criterion(share=HALF), Criterion(share=HALF, group="coastal")))
    assert result(rule, voters, ballots(yes=range(2, 9), no=range(2))).article == "criterion 2"
    assert result(rule, voters, ballots(yes=range(1, 9), no="m0")).result is Result.ADOPTED


def test_a_body_in_which_nobody_may_vote_decides_nothing():
    for rule in (MAJORITY, SCO, replace(SILENCE, fallback=None)):
        outcome = result(rule, body(2), {}, absent=frozenset({"m0", "m1"}))
        assert (outcome.result, outcome.article) == (Result.REJECTED, "electorate")


def test_shares_are_exact_where_floats_would_round():
    third = Rule(mode=Mode.VOTE, window_ms=1, criteria=(Criterion(share=Fraction(2, 3), base=Base.ELIGIBLE),))
    assert result(third, body(3), ballots(yes=range(2))).result is Result.REJECTED
    million = {"m0": Voter(weights={"v": 2 * 10**15}), "m1": Voter(weights={"v": 10**15})}
    weighted = replace(third, criteria=(Criterion(share=Fraction(2, 3), unit="weight:v", base=Base.ELIGIBLE),))
    assert result(weighted, million, ballots(yes="m0")).result is Result.REJECTED
    million["m0"] = Voter(weights={"v": 2 * 10**15 + 1})
    assert result(weighted, million, ballots(yes="m0")).result is Result.ADOPTED


def test_an_open_question_is_open_however_the_ballots_stand():
    voters = Electorate(voters=body(3))
    for cast in (ballots(yes=range(3)), ballots(no=range(3)), {}):
        for rule in (MAJORITY, SCO, replace(MAJORITY, vetoes=("m0",))):
            assert decide(rule, voters, cast, closed=False).result is Result.OPEN


def test_the_reason_counts_the_silent():
    outcome = result(MAJORITY, body(5), ballots(yes=range(2), no="m2"))
    assert outcome.reason == "adopted by vote: 2 yes, 1 no, 0 abstaining, 2 silent"
