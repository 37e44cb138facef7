"""A whole bloc in one process: it votes, trains one model, releases it, and traces it back to the votes."""

import tempfile
from pathlib import Path

import numpy as np

from serai.analytics.state import evaluations_of
from serai.charter.state import outcome_of
from serai.hub.statements import Release
from serai.kernel.ids import Digest, digest_of
from serai.state import Jobs, State, replay
from serai.state import outcome_of as outcome_of_run
from serai.testing.federation import Federation


def table(seed: int) -> list[list[float]]:
    """A member's forty rows of three features and a label; each member's patients differ a little."""
    generator = np.random.default_rng(seed)
    x = generator.normal(seed / 10, 1, (40, 3))
    rows: list[list[float]] = np.column_stack((x, x @ [1, -1, 0.5] + generator.normal(0, 0.5, 40) > 0)).tolist()
    return rows


def main() -> None:
    """From a charter to a released model, and the way back."""
    tables = {name: table(seed) for seed, name in enumerate(("almaty", "bern", "cusco"))}
    with tempfile.TemporaryDirectory() as folder:
        bloc = Federation(Path(folder), tables)
        bloc.found()
        run = bloc.train(bloc.agree(), "newton", rounds=5, params={"features": "3"})
        bloc.settle()  # joins, five masked sums, evaluations

        outcome = outcome_of_run(bloc.state, run, bloc.state.now)
        assert outcome is not None
        assert outcome.model is not None
        found = evaluations_of(bloc.state.analytics, run, outcome.model)
        card = b"# Trained together"
        bloc.center.put_blob(digest_of(card), card)
        bloc.say("bern", Release(
            run=run, model=outcome.model, size_bytes=bloc.center_parts.blobs.size(outcome.model),
            format="safetensors", title="Trained together", card=digest_of(card), license="Apache-2.0",
            evaluations=tuple(found[member].id for member in sorted(found)),
        ))  # fmt: skip
        entries = bloc.entries

    # The log alone is enough from here on: anybody who has it can go all the way back.
    state = replay(entries)
    trace(state, outcome.model)
    assert not state.void
    assert set(state.runs.plans[run].keys) == set(tables)
    assert Jobs(state, state.now)[run].minimum == 2
    print(f"proved: {state.size} entries lead from model {outcome.model[:12]} back to every vote and every dataset")


def trace(state: State, model: Digest) -> None:
    """Print what a released model rests on."""
    release = state.hub.releases[state.hub.by_model[model]]
    planned = state.runs.plans[release.body.run]
    print(f"model {model[:12]}, released by {release.member} at entry {release.at.index}")
    for member, record in sorted(evaluations_of(state.analytics, release.body.run, model).items()):
        print(f"  evaluated by {member}: {record.body.counts['correct']} of {record.body.counts['n']} rows right")
    print(f"  made by run {planned.id[:12]}, planned by {planned.planner} at entry {planned.at.index}")
    for name, offer in sorted(planned.plan.offers.items()):
        print(f"    with {state.zones.offers[Digest(offer)].body.rows} rows of {name}, which never left it")
    proposal = state.charter.proposals[planned.plan.agreement]
    decided = outcome_of(state.charter, planned.plan.agreement, state.now)
    print(f"  permitted by agreement {planned.plan.agreement[:12]}: {decided.result} ({decided.reason})")
    for member, vote in sorted(proposal.votes.items()):
        print(f"    {member} voted {vote.choice} at entry {vote.at.index}")


if __name__ == "__main__":
    main()
