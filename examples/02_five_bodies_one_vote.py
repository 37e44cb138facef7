"""Five real bodies decide one question: the same ballots, and not the same answer."""

from serai.charter.decision import Choice, Electorate, Result, Voter, decide
from serai.charter.presets import PRESETS
from serai.kernel.ids import MemberId

# Six members: votes as their shares of a supercomputer might be, population in thousands.
WEIGHTS = {
    "almaty": {"votes": 20, "population": 20_000},
    "bern": {"votes": 25, "population": 9_000},
    "cusco": {"votes": 15, "population": 34_000},
    "delhi": {"votes": 30, "population": 90_000},
    "espoo": {"votes": 5, "population": 6_000},
    "fez": {"votes": 5, "population": 37_000},
}
BALLOTS = {
    "almaty": Choice.YES,
    "bern": Choice.YES,
    "cusco": Choice.RESERVE,  # yes, with an opinion on record
    "delhi": Choice.OBJECT,  # no, with a reason on record
    "espoo": Choice.YES,
}  # and fez is silent


def main() -> None:
    """Put "may we train on this data?" to each body's article on agreements."""
    everyone = {MemberId(name): Voter(weights=weights) for name, weights in WEIGHTS.items()}
    electorate = Electorate(voters=everyone, participants=frozenset(everyone))
    ballots = {MemberId(name): choice for name, choice in BALLOTS.items()}

    results = {}
    for body, articles in PRESETS.items():
        outcome = decide(articles["agreement"], electorate, ballots, closed=True)
        results[body] = outcome.result
        print(f"{body:<11} {outcome.result:<9} by {outcome.article}: {outcome.reason}")

    # Where one objection stops the text, what would it take? That the one who objects stands aside.
    ballots[MemberId("delhi")] = Choice.ABSTAIN
    aside = decide(PRESETS["consensus"]["agreement"], electorate, ballots, closed=True)
    print(f"\ndelhi abstains instead; consensus: {aside.result}, {aside.reason}")

    # Nothing hangs on the order in which ballots came.
    backwards = dict(reversed(ballots.items()))
    assert decide(PRESETS["consensus"]["agreement"], electorate, backwards, closed=True) == aside
    adopted = [body for body, result in results.items() if result is Result.ADOPTED]
    rejected = [body for body, result in results.items() if result is Result.REJECTED]
    assert (adopted, rejected) == (["cern", "eu", "consortium"], ["consensus", "eurohpc"])
    print(f"proved: on the same ballots {', '.join(adopted)} adopt what {' and '.join(rejected)} reject")


if __name__ == "__main__":
    main()
