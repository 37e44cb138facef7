"""What is known about a job when its terms are judged; an unknown fact is ``None``, never a guess."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from serai.kernel.ids import Digest, MemberId


class Unit(StrEnum):
    """Whose presence in the data a privacy cost speaks of."""

    RECORD = "record"  # one row of one member's data
    MEMBER = "member"  # everything that one member contributes, each of its rows included


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyCost:
    """A bound of differential privacy, in whole numbers so that ledgers add up everywhere.

    Attributes:
        unit: whose presence it hides.
        epsilon_millionths: epsilon in units of 10^-6, rounded up.
        delta_trillionths: delta in units of 10^-12, rounded up.

    """

    unit: Unit
    epsilon_millionths: int
    delta_trillionths: int


class Output(StrEnum):
    """What may leave a zone or come out of a sum."""

    AGGREGATE = "aggregate"  # sums over members, such as moments
    MODEL = "model"  # weights that the members hold in common
    METRICS = "metrics"  # a member's own integer counts, such as tp and fp


@dataclass(frozen=True, slots=True)
class Transfer:
    """A jurisdiction abroad that outputs would go to.

    Attributes:
        to: the jurisdiction.
        instruments: the legal instruments that the zone holds for it and that are in force.

    """

    to: str
    instruments: tuple[str, ...]


RELEASE: Final = "release"
"""The action of releasing a model."""

COMPARED: Final = ("accuracy", "balanced_accuracy", "auc", "brier")
"""Metrics by which models are compared."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a joint model is to the member for whom it compares worst with a model that the member trained alone.

    Attributes:
        metric: by which metric, one of ``COMPARED``.
        member: for whom.
        millionths: by how much the joint model is better, rounded down; negative where it is worse.

    """

    metric: str
    member: MemberId
    millionths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """The facts that terms are held against; ``None`` means the fact is not known.

    A term that needs a fact which is ``None`` denies: what nobody measured
    cannot be shown to satisfy anything.

    Attributes:
        action: what the job does, one of ``serai.charter.agreements.ACTIONS``.
        purpose: purpose code of the run; dots descend, as in ``health.heart``.
        code: digest of the program that will run.
        rows: rows of the zone's dataset that the job would read.
        outputs: kinds of output the job declares, each an ``Output``.
        participants: members whose zones take part.
        minimum: fewest members whose vectors a sum may hold.
        recipients: members who receive the outputs; ``public`` for everybody.
        approvals: distinct members whose stewards or delegates approved the run.
        jurisdiction: where the job executes, such as ``CH``.
        secure_sum: whether what leaves is summed under masks.
        parties: parties of the cited agreement; what the word ``parties`` stands for.
        recipient_jurisdictions: jurisdictions of the recipients.
        transfers: each jurisdiction abroad that outputs would go to.
        retention_days: days after a run by which the zone deletes what it derived from its data.
        uses: other runs that have used the offer under the agreement.
        privacy: what the job's declared outputs cost at most; None without noise, or
            where nobody can tell.
        subjects: distinct subjects, such as patients, whom those rows are about.
        release_approvals: distinct parties who approved the model that is to be released.
        has_airlock: whether outputs that a term asks to be looked at wait for the zone's steward.
        worked_s: whole seconds that the run's program has worked in this zone so far.
        cohort: fewest of those rows that the job adds up by themselves: of a group, where it asks by group; all, where
            it does not.
        changes: of a model that is to be released, one for each metric in which every participant
            compared it with its own.
        advantage_millionths: of such a model, the largest advantage over a blind guess that any
            participant measured of an attacker who asks whether a row was trained on, rounded up.

    """

    action: str
    purpose: str | None
    code: Digest | None
    rows: int | None
    outputs: tuple[str, ...] | None
    participants: frozenset[MemberId] | None
    minimum: int | None
    recipients: tuple[str, ...] | None
    approvals: int | None
    jurisdiction: str | None
    secure_sum: bool | None
    parties: frozenset[MemberId] | None = None
    recipient_jurisdictions: tuple[str, ...] | None = None
    transfers: tuple[Transfer, ...] | None = None
    retention_days: int | None = None
    uses: int | None = None
    privacy: PrivacyCost | None = None
    subjects: int | None = None
    worked_s: int | None = None
    release_approvals: int | None = None
    cohort: int | None = None
    changes: tuple[Change, ...] | None = None
    advantage_millionths: int | None = None
    has_airlock: bool | None = None


def release_facts(changes: tuple[Change, ...], advantage_millionths: int | None) -> JobFacts:
    """What the evaluations of a model tell when it is to be released, and nothing besides."""
    return JobFacts(
        action=RELEASE,
        purpose=None,
        code=None,
        rows=None,
        outputs=(Output.MODEL,),
        participants=None,
        minimum=None,
        recipients=None,
        approvals=None,
        jurisdiction=None,
        secure_sum=None,
        changes=changes,
        advantage_millionths=advantage_millionths,
    )
