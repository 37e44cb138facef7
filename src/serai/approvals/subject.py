"""What is looked at when a run is approved, as a record that can be kept and compared with later."""

from collections.abc import Mapping
from dataclasses import dataclass

from serai.kernel.ids import Digest, MemberId
from serai.training.statements import RunPlan
from serai.zones.admission import Budget
from serai.zones.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A run as it stood when somebody looked at it.

    Attributes:
        run: the run's id.
        plan: its plan.
        policies: everything that binds the run in this zone.
        files: digests of the program's source, by file or by module.
        parties: members that the agreement binds, which receive what the run makes.
        retention_days: days after the run by which this zone deletes what it derived; None keeps it.

    """

    run: Digest
    plan: RunPlan
    policies: tuple[Policy, ...]
    files: Mapping[str, Digest]
    parties: tuple[MemberId, ...]
    retention_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A subject that was approved.

    Attributes:
        subject: what it was.
        entry: log index of the approval.
        shown: whether its differences were shown before; scripts approve without looking.

    """

    subject: Subject
    entry: int
    shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """How long earlier runs of a recipe took in this zone, by its own record.

    Attributes:
        runs: how many.
        rounds: how many rounds they had here.
        round_ms: the median time that one took to compute.
        longest_ms: the longest.

    """

    runs: int
    rounds: int
    round_ms: int
    longest_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run would take of this zone.

    Attributes:
        budgets: of each privacy budget that binds, what the run costs at most and what other runs have taken.
        privacy_note: where there is no figure, why.
        rounds: how many rounds it has.
        round_bytes: what one member sends in a round, and what it gets back.
        last_bytes: the same of the last round.
        experience: of earlier runs; None if there were none.
        cap_s: fewest seconds after which a term stops the run's program; None for no cap.
        worked_s: seconds that it has worked already.
        kept_days: fewest days that a term lets the zone keep what it derives; None for no limit.

    """

    budgets: tuple[Budget, ...]
    privacy_note: str
    rounds: int
    round_bytes: int
    last_bytes: int
    experience: Experience | None
    cap_s: int | None
    worked_s: int
    kept_days: int | None

    @property
    def traffic_bytes(self) -> int:
        """What one member sends in all; it receives as much."""
        return self.round_bytes * (self.rounds - 1) + self.last_bytes
