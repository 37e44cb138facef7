"""What the other rooms have on record, as the programme asks for it."""

from collections.abc import Iterator
from dataclasses import dataclass

from serai.aggregation.job import Job
from serai.aggregation.state import RoundsState, current_round, final_model
from serai.analytics.state import AnalyticsState
from serai.charter.constitution import OPERATIONS
from serai.charter.decision import Result
from serai.charter.state import CharterState
from serai.hub.state import HubState
from serai.kernel.ids import Digest, MemberId
from serai.training.state import Run, RunsState, job_of
from serai.zones.state import ZonesState


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The state of every other room."""

    charter: CharterState
    zones: ZonesState
    runs: RunsState
    rounds: RoundsState
    analytics: AnalyticsState
    hub: HubState

    @property
    def routine_ms(self) -> int:
        """How long silence has to last for routine matters: the window of the article on operations."""
        assert self.charter.charter is not None, "nothing is judged before the charter is in force"
        return self.charter.charter.articles[OPERATIONS].window_ms

    def is_adopted(self, proposal: Digest) -> bool:
        """Whether the members adopted a proposal; the charter has settled before any other room is asked."""
        found = self.charter.proposals.get(proposal)
        return found is not None and found.decided is not None and found.decided.outcome.result is Result.ADOPTED

    def names(self, proposal: Digest, subject: Digest) -> bool:
        """Whether a proposal's text or title spells out an id."""
        found = self.charter.proposals.get(proposal)
        return found is not None and (subject in found.body.text or subject in found.body.title)

    def in_order(self) -> Iterator[Run]:
        """Every run, in the order of planning."""
        return iter(sorted(self.runs.plans.values(), key=lambda run: run.at))

    def job(self, run: Digest) -> Job | None:
        """The sums of a run over everybody that joined; None if it was cancelled.

        What a run has come to does not change when a member leaves its agreement later.
        """
        return job_of(self.runs, run)

    def model(self, run: Digest) -> Digest | None:
        """The model a run ended with; None while it goes on, and where it was cancelled or has diverged."""
        job = self.job(run)
        return None if job is None else final_model(self.rounds, job)

    def contributors(self, run: Digest) -> frozenset[MemberId]:
        """The members in the last sum of a run: whose data its model has learnt from last."""
        last = current_round(self.rounds, run)
        return frozenset() if last is None else last.summed
