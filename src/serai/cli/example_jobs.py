"""Example jobs: facts in a TOML file, by which a steward tests a policy.

They lie beside the policy as its tests::

    [defaults]
    recipients = ["bern", "lima"]
    at = 2026-11-25T10:00:00Z

    [[jobs]]
    name = "marketing is refused"
    purpose = "marketing"
    expect = "deny"
    because = ["purpose"]

A fact that the file does not give is unknown, and denies where a term asks for it;
where a zone is named, its settings give what they hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from serai.agent.toml_files import read_toml
from serai.cli.moments import unix_ms
from serai.kernel.ids import Digest, MemberId
from serai.zones.forms import parse_dp


class Answer(StrEnum):
    """What a policy says to a job."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An example job: its name, what is expected, and its facts, each as ``JobFacts`` has it.

    Attributes:
        because: terms that must be among the reasons.
        cohort: fewest rows of a group; all rows if it is not given.
        at: log time, as a date and time; UTC unless it says otherwise.
        dp: what it costs in privacy: unit, epsilon and delta.
        changes_permille: by metric, how much better a model to be released is to the member for whom it is worst.
        advantage_permille: the largest advantage of an attacker that a member measured of it.

    """

    name: str = ""
    expect: Answer | None = None
    because: tuple[str, ...] = ()
    at: str | None = None
    action: str = "train"
    purpose: str | None = None
    code: Digest | None = None
    rows: int | None = None
    cohort: int | None = None
    subjects: int | None = None
    outputs: tuple[str, ...] | None = None
    participants: tuple[MemberId, ...] | None = None
    parties: tuple[MemberId, ...] | None = None
    minimum: int | None = None
    recipients: tuple[MemberId, ...] | None = None
    approvals: int | None = None
    jurisdiction: str | None = None
    secure_sum: bool | None = None
    retention_days: int | None = None
    uses: int | None = None
    worked_s: int | None = None
    release_approvals: int | None = None
    dp: tuple[str, ...] | None = None
    changes_permille: Mapping[str, int] | None = None
    advantage_permille: int | None = None
    has_airlock: bool | None = None

    def __post_init__(self) -> None:
        """Refuse a moment or a cost that is none.

        Raises:
            ValueError: as above.

        """
        if self.at is not None:
            unix_ms(datetime.fromisoformat(self.at))
        if self.dp is not None and parse_dp(self.dp) is None:
            raise ValueError(f"dp: expected unit, epsilon and delta, such as ['record', '1', '1e-6'], got {self.dp!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobsFile:
    jobs: tuple[Job, ...]
    defaults: Job = field(default_factory=Job)


def read_jobs(path: Path) -> tuple[Job, ...]:
    """Read example jobs.

    Raises:
        Misconfigured: the file is missing, not TOML, or has an unknown key or a value of the wrong type.

    """
    read = read_toml(_JobsFile, path, "write example jobs first; docs/how-to/write-a-policy.md shows some")
    return tuple(merge(read.defaults, job) for job in read.jobs)


def merge(under: Job, over: Job) -> Job:
    """``over``, and where it leaves a field as it is by default, ``under``."""
    default = Job()
    given = {
        item.name: getattr(over, item.name)
        for item in fields(Job)
        if getattr(over, item.name) != getattr(default, item.name)
    }
    return replace(under, **given)
