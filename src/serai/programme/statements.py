"""What can be said about the plan and about projects, from a need to the close."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar, Final

from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body
from serai.programme.items import Item
from serai.programme.stages import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAdd:
    """A delegate puts items on the table; silence until the window closes makes them part of the plan.

    Attributes:
        items: new ones, and ones that take the place of items of the same number.
        reason: why items change or leave; needed where any does.

    """

    KIND: ClassVar[str] = "plan.add"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    items: tuple[Item, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """An owner reports on a task; silence until the window closes accepts it.

    Attributes:
        task: the task's number.
        text: what was done, or why it slipped.
        evidence: digests of what shows it: statements, models, files in the blob store.
        done: whether the task is done with this.

    """

    KIND: ClassVar[str] = "plan.report"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    task: str
    text: str
    evidence: tuple[Digest, ...] = ()
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanObject:
    """A member breaks the silence over items or a report.

    Attributes:
        subject: statement id of the ``plan.add`` or ``plan.report``.
        reason: for the record.

    """

    KIND: ClassVar[str] = "plan.object"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    subject: Digest
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDecide:
    """A member shows that the members have decided for what was objected to.

    Attributes:
        subject: what was objected to.
        proposal: the adopted proposal, whose text names the subject's id in full.

    """

    KIND: ClassVar[str] = "plan.decide"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    subject: Digest
    proposal: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSnapshot:
    """A member fixes the figures of a year that is over; every replay computes them again.

    Attributes:
        year: the year, UTC.
        values: every indicator, as the log has it before this entry.

    """

    KIND: ClassVar[str] = "plan.snapshot"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    year: int
    values: Mapping[str, Fraction]


class HoldKind(StrEnum):
    """Why a project is held."""

    INCIDENT = "incident"  # freezes its runs at once
    DISPUTE = "dispute"  # keeps it in its stage; its runs go on


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that comes with a step of a project; the bytes lie in the blob store.

    Attributes:
        kind: what it is, by the name of its template, such as ``close-out``.
        digest: of its bytes.
        language: BCP 47 tag.
        authoritative: whether this is the version that counts where languages differ.

    """

    kind: str
    digest: Digest
    language: str
    authoritative: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectOpen:
    """A member names a need; its statement id is the project's id, and the member leads it.

    Attributes:
        title: one line.
        need: what is needed, on one page.
        language: BCP 47 tag of that text.

    """

    KIND: ClassVar[str] = "project.open"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    title: str
    need: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectBack:
    """A member says that it is interested."""

    KIND: ClassVar[str] = "project.back"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    project: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAdvance:
    """The lead or a party takes a project to another stage.

    Attributes:
        project: the project.
        to: the stage.
        note: for the record.
        documents: what comes with it.
        proposal: the decision that it rests on, where one is needed.
        run: the run that it rests on, where one is needed.

    """

    KIND: ClassVar[str] = "project.advance"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    project: Digest
    to: Stage
    note: str = ""
    documents: tuple[Document, ...] = ()
    proposal: Digest | None = None
    run: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDeclare:
    """A member offers to review, and declares its conflicts of interest first.

    Attributes:
        project: the project.
        conflict: what it is; empty to declare that there is none.

    """

    KIND: ClassVar[str] = "review.declare"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    project: Digest
    conflict: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewCommit:
    """A reviewer fixes its review without showing it.

    Attributes:
        project: the project.
        commitment: what ``projects.commitment_of`` makes of the review, salt and all.

    """

    KIND: ClassVar[str] = "review.commit"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    project: Digest
    commitment: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewOpen:
    """A reviewer shows the review that it had fixed, once all have fixed theirs.

    Attributes:
        project: the project.
        technical: score, 0 to 5: can it be done so?
        scientific: score, 0 to 5: is it worth doing?
        text: for the lead and everybody else.
        salt: 32 random bytes, without which scores could be guessed from the commitment.

    """

    KIND: ClassVar[str] = "review.open"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    project: Digest
    technical: int
    scientific: int
    text: str
    salt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectHold:
    """A member stops a project where it is: an incident freezes its runs, a dispute its stage."""

    KIND: ClassVar[str] = "project.hold"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE, Role.STEWARD, Role.ZONE})

    project: Digest
    kind: HoldKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectLift:
    """A hold ends: by the member that placed it, or by a decision that spells out the hold's id.

    Attributes:
        hold: statement id of the hold.
        reason: what was found or settled.
        proposal: the decision, for anybody but the member that placed it.

    """

    KIND: ClassVar[str] = "project.lift"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    project: Digest
    hold: Digest
    reason: str
    proposal: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectBenefit:
    """A party tells how the released model is used at home, and what it brought.

    Attributes:
        project: the project.
        text: who uses it for what, faults, what it brought or cost.
        evidence: digests of what shows it.

    """

    KIND: ClassVar[str] = "project.benefit"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    project: Digest
    text: str
    evidence: tuple[Digest, ...] = ()


PLAN_STATEMENTS: Final[tuple[type[Body], ...]] = (PlanAdd, PlanReport, PlanObject, PlanDecide, PlanSnapshot)

PROJECT_STATEMENTS: Final[tuple[type[Body], ...]] = (
    ProjectOpen,
    ProjectBack,
    ProjectAdvance,
    ReviewDeclare,
    ReviewCommit,
    ReviewOpen,
    ProjectHold,
    ProjectLift,
    ProjectBenefit,
)

STATEMENTS: Final[tuple[type[Body], ...]] = (*PLAN_STATEMENTS, *PROJECT_STATEMENTS)
