"""Laws that hold for every rule a charter can contain, whatever the ballots."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from serai.charter.articles import HALF, Base, Criterion, Mode, Rule
from serai.charter.decision import Choice, Electorate, Result, Voter, decide, tally

MEMBERS = tuple("abcdefg")
MIRROR = {Choice.YES: Choice.NO, Choice.NO: Choice.YES, Choice.RESERVE: Choice.OBJECT, Choice.OBJECT: Choice.RESERVE}

shares = st.fractions(min_value=0, max_value=1, max_denominator=12)


def _criterion(fields):
    share, strict, unit, base, group = fields
    return Criterion(share=share, strict=strict and share < 1, unit=unit, base=base, group=group)


criteria = st.tuples(
    shares,
    st.booleans(),
    st.sampled_from(["heads", "weight:votes"]),
    st.sampled_from(list(Base)),
    st.sampled_from([None, None, "coastal"]),
).map(_criterion)
fair_criteria = criteria.filter(lambda criterion: criterion.fails_ties)
quorums = st.none() | criteria.map(lambda criterion: replace(criterion, base=Base.ELIGIBLE))


@st.composite
def votes(draw):
    first = draw(fair_criteria)
    rest = draw(st.lists(criteria, max_size=2))
    may_block = first.table is None
    return Rule(
        mode=Mode.VOTE,
        window_ms=1,
        criteria=tuple(draw(st.permutations([first, *rest]))),
        quorum=draw(quorums),
        blocking_min=draw(st.none() | st.integers(1, 7)) if may_block else None,
        vetoes=tuple(draw(st.sets(st.sampled_from(MEMBERS), max_size=2))),
        exclude_concerned=draw(st.booleans()),
        min_yes=draw(st.integers(0, 3)),
    )


consensuses = st.builds(
    Rule,
    mode=st.just(Mode.CONSENSUS),
    window_ms=st.just(1),
    quorum=quorums,
    max_objections=st.integers(0, 2),
    exclude_concerned=st.booleans(),
    min_yes=st.integers(0, 3),
)
silences = st.builds(
    Rule, mode=st.just(Mode.SILENCE), window_ms=st.just(1), min_yes=st.integers(0, 3), exclude_concerned=st.booleans()
)
rules = st.one_of(votes(), consensuses, silences)
some_members = st.frozensets(st.sampled_from(MEMBERS), max_size=3)
voters = st.builds(
    Voter,
    groups=st.sampled_from([frozenset(), frozenset({"coastal"})]),
    weights=st.fixed_dictionaries({"votes": st.integers(0, 9)}),
)
electorates = st.builds(
    Electorate,
    voters=st.dictionaries(st.sampled_from(MEMBERS), voters, min_size=1),
    concerned=some_members,
    absent=some_members,
    participants=st.frozensets(st.sampled_from(MEMBERS)),
)
ballots = st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(list(Choice)))


@given(rules, electorates, ballots, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_ballots_does_not_matter(rule, electorate, cast, closed, random):
    order = list(cast.items())
    random.shuffle(order)
    assert decide(rule, electorate, cast, closed=closed) == decide(rule, electorate, dict(order), closed=closed)


@given(votes(), electorates, ballots)
def test_no_vote_can_adopt_a_question_and_its_opposite(rule, electorate, cast):
    opposite = {member: MIRROR.get(choice, choice) for member, choice in cast.items()}
    results = [decide(rule, electorate, each, closed=True).result for each in (cast, opposite)]
    assert results != [Result.ADOPTED, Result.ADOPTED]


@given(st.sampled_from(list(Base)), st.integers(1, 3), st.integers(0, 1))
def test_a_tie_never_passes(base, pairs, abstaining):
    members = MEMBERS[: 2 * pairs + abstaining]
    positions = [Choice.YES] * pairs + [Choice.NO] * pairs + [Choice.ABSTAIN] * abstaining
    rule = Rule(mode=Mode.VOTE, window_ms=1, criteria=(Criterion(share=HALF, base=base),))
    electorate = Electorate(voters={member: Voter() for member in members}, participants=frozenset(members))
    assert decide(rule, electorate, dict(zip(members, positions, strict=True)), closed=True).result is Result.REJECTED


@given(rules, electorates, ballots, st.sampled_from(MEMBERS))
def test_one_more_yes_never_turns_an_adoption(rule, electorate, cast, member):
    before = decide(rule, electorate, cast, closed=True).result
    after = decide(rule, electorate, cast | {member: Choice.YES}, closed=True).result
    assert (before, after) != (Result.ADOPTED, Result.REJECTED)


@given(rules, electorates, ballots, st.sampled_from(MEMBERS))
def test_one_more_objection_never_adopts_what_was_rejected(rule, electorate, cast, member):
    rule = replace(rule, quorum=None)  # whoever objects is present, and may complete a quorum by it
    before = decide(rule, electorate, cast, closed=True).result
    after = decide(rule, electorate, cast | {member: Choice.OBJECT}, closed=True).result
    assert (before, after) != (Result.REJECTED, Result.ADOPTED)


@given(rules, electorates, ballots, ballots, st.booleans())
def test_the_ballot_of_whoever_may_not_vote_changes_nothing(rule, electorate, cast, others, closed):
    eligible = electorate.eligible(rule)
    without = {member: choice for member, choice in cast.items() if member in eligible}
    strangers = {member: choice for member, choice in others.items() if member not in eligible}
    expected = decide(rule, electorate, without, closed=closed)
    assert decide(rule, electorate, without | strangers, closed=closed) == expected


@given(rules, electorates, ballots)
def test_before_the_close_only_broken_silence_is_final(rule, electorate, cast):
    outcome = decide(rule, electorate, cast, closed=False)
    broken = rule.mode is Mode.SILENCE and bool(tally(rule, electorate, cast).no)
    assert (outcome.result is not Result.OPEN) == broken


@given(st.one_of(consensuses, silences), electorates, ballots)
def test_after_the_close_nothing_is_open_and_only_a_fallback_falls_back(rule, electorate, cast):
    plain = decide(rule, electorate, cast, closed=True)
    assert plain.result in (Result.ADOPTED, Result.REJECTED)
    majority = Rule(mode=Mode.VOTE, window_ms=1, criteria=(Criterion(share=HALF),))
    falling = decide(replace(rule, fallback=majority), electorate, cast, closed=True)
    broken = plain.result is Result.REJECTED and plain.article in ("silence", "objection")
    assert (falling.result is Result.FALLBACK) == broken


@given(electorates, ballots, st.integers(1, 9), st.integers(1, 9))
def test_multiplying_every_weight_changes_nothing(electorate, cast, numerator, factor):
    share = Fraction(numerator, 10)
    rule = Rule(
        mode=Mode.VOTE,
        window_ms=1,
        criteria=(Criterion(share=max(share, HALF), unit="weight:votes", base=Base.ELIGIBLE),),
    )
    scaled = {
        member: replace(voter, weights={"votes": voter.weights["votes"] * factor})
        for member, voter in electorate.voters.items()
    }
    expected = decide(rule, electorate, cast, closed=True)
    assert decide(rule, replace(electorate, voters=scaled), cast, closed=True) == expected
