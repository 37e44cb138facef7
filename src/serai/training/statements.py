"""What can be said about a run: plan it, join it, decline it with reasons, tell one's pace, freeze and thaw it, cancel it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from serai.aggregation.codec import Codec
from serai.aggregation.job import Form
from serai.aggregation.noise import SumNoise
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body


class Action(StrEnum):
    """What a run does with data; an agreement's scope lists what it permits."""

    TRAIN = "train"  # the sums make a model
    STATISTICS = "statistics"  # the sums are the result
    EVALUATE = "evaluate"  # the sums, and what each member tells of its own rows, say how a model does


EVALUATED: Final = "model"
"""Name under which an evaluation's inputs give the model that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many local steps members take between two sums; see ``training.state.steps_of``.

    Attributes:
        exchange_permille: largest share of training and exchange together that the exchange of
            the slowest link may take, 1 to 999; 333 where members train on during an exchange, which
            then may take half as long again as it usually does.
        least: fewest steps of the fastest member.
        most: most steps of the fastest member.

    """

    exchange_permille: int
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Propose a run to the zones named in ``offers``; it commands nobody.

    Attributes:
        agreement: the agreement that permits it.
        title: one line for people.
        action: what it does with data.
        purpose: code of the purpose, as offers and agreements spell it.
        recipe: name of the program.
        code: digest of the program's source.
        params: the program's settings; numbers as decimal strings.
        inputs: digests of models it starts from or uses, by the name the recipe gives them.
        offers: the dataset offer of each invited member.
        minimum: fewest members whose sum may be opened.
        rounds: how many sums.
        codec: how a member's vector becomes integers.
        length: values in a member's vector.
        initial: digest of the model before round 0.
        round_ms: how long a round waits for uploads.
        outputs: what leaves the zones: ``aggregate``, ``model``, ``metrics``.
        threshold: how many members together can release for one that is lost after its
            upload; 0, the plain profile, if nobody can.
        noise: what each member adds to its integers before it masks them; None leaves sums exact.
        last: the form of the last round's vectors; None if it is that of the others.
        pace: how local steps follow from what members say of their pace; None if ``params`` say how many.
        least_ms: how long a round waits at least, where members are usually quicker than ``round_ms``;
            0 waits ``round_ms``.
        guard_permille: by how many thousandths a member's held-back loss may rise in a round before
            it objects to the sum; 0 for no guard.

    """

    KIND: ClassVar[str] = "run.plan"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE})

    agreement: Digest
    title: str
    action: Action
    purpose: str
    recipe: str
    code: Digest
    params: Mapping[str, str]
    inputs: Mapping[str, Digest]
    offers: Mapping[str, Digest]
    minimum: int
    rounds: int
    codec: Codec
    length: int
    initial: Digest
    round_ms: int
    outputs: tuple[str, ...]
    threshold: int = 0
    noise: SumNoise | None = None
    last: Form | None = None
    pace: Pace | None = None
    least_ms: int = 0
    guard_permille: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJoin:
    """A zone checked the plan and takes part.

    Attributes:
        plan: the run.
        agg_key: raw X25519 public key, 32 bytes, made for this run's masks.

    """

    KIND: ClassVar[str] = "run.join"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    plan: Digest
    agg_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a zone declined: the article or clause, and a sentence."""

    article: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDecline:
    """A zone checked the plan and does not take part; every reason is on record."""

    KIND: ClassVar[str] = "run.decline"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    plan: Digest
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPace:
    """How fast a zone that takes part is, as it measured; a later one takes the place of an earlier.

    Attributes:
        plan: the run.
        step_us: one local step, microseconds.
        exchange_ms: a round's transfers and round trips over this zone's link, milliseconds.

    """

    KIND: ClassVar[str] = "run.pace"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.ZONE})

    plan: Digest
    step_us: int
    exchange_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFreeze:
    """Hold a run for everybody, by the member that planned it or any that was invited, until that member thaws it.

    Attributes:
        plan: the run.
        reason: why, for the record.

    """

    KIND: ClassVar[str] = "run.freeze"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE, Role.STEWARD})

    plan: Digest
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunThaw:
    """Take one's own freeze back; the run goes on once nobody's holds it."""

    KIND: ClassVar[str] = "run.thaw"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE, Role.STEWARD})

    plan: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancel:
    """Stop a run for good, by the member that planned it or any that was invited."""

    KIND: ClassVar[str] = "run.cancel"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.DELEGATE, Role.STEWARD})

    plan: Digest
    reason: str


STATEMENTS: tuple[type[Body], ...] = (RunPlan, RunJoin, RunDecline, RunPace, RunFreeze, RunThaw, RunCancel)
