"""A zone says no and explains itself: the run goes on without it, or not at all."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from serai.aggregation.state import current_round
from serai.charter.agreements import Term
from serai.kernel.ids import MemberId
from serai.testing.federation import Federation, Terms

RESEARCH = Term(name="purpose", value=("research",), clause="1: for research and nothing else")
COHORT = Term(name="min_cohort", value=50, clause="2: never a sum over fewer than 50 of our rows")


def table(seed: int, count: int) -> list[list[float]]:
    """Rows of three features and a label."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 3))
    rows: list[list[float]] = np.column_stack((x, x @ [1, -1, 0.5] > 0)).tolist()
    return rows


def main() -> None:
    """Three stewards offer their data under the same terms; then two runs are planned."""
    tables = {"almaty": table(1, 240), "bern": table(2, 220), "cusco": table(3, 24)}
    with tempfile.TemporaryDirectory() as folder:
        bloc = Federation(Path(folder), tables)
        bloc.found()
        agreement = bloc.agree(Terms(offer=(RESEARCH, COHORT)))
        plan = bloc.plan(agreement, "newton", rounds=2, params={"features": "3"})

        research = bloc.say("almaty", plan)
        bloc.settle()
        marketing = bloc.say("almaty", replace(plan, title="who buys what", purpose="marketing"))
        bloc.settle()
        state = bloc.state

    for name, run in (("research", research), ("marketing", marketing)):
        planned = state.runs.plans[run]
        print(f"a run for {name}: {', '.join(sorted(planned.keys)) or 'nobody'} joined")
        for member, reasons in sorted(planned.declines.items()):
            for reason in reasons:
                print(f"  {member} declined: {reason.text}\n    by {reason.article}")

    # Nobody was overruled: cusco is in no sum, and the second run never had a round.
    this = current_round(state.rounds, research)
    assert this is not None
    assert this.summed == {"almaty", "bern"}
    assert set(state.runs.plans[research].declines) == {"cusco"}
    assert set(state.runs.plans[marketing].declines) == {MemberId(name) for name in tables}
    assert current_round(state.rounds, marketing) is None
    print("proved: each no quotes its clause, the small table is in no sum, and marketing never saw a round")


if __name__ == "__main__":
    main()
