"""Who may review when: declarations first, then commitments, and nothing is opened before all have committed.

| article  | says                                                                                         |
| -------- | -------------------------------------------------------------------------------------------- |
| review 1 | the project is under review; its lead reviews nothing of its own                             |
| review 2 | a member declares once, before any review is open                                            |
| review 3 | a reviewer without a conflict commits once, before any review is open                        |
| review 4 | reviews open once all that can have committed and they are enough, or enough and time is up  |
| review 5 | a review opens once and is the one that was committed to, with scores from 0 to 5            |

Enough are three reviewers, or all members but the lead where there are fewer.
Time is the window of the article on projects: once for commitments, and as long
again for opening.
"""

from typing import Final

from serai.charter.constitution import PROJECT
from serai.charter.state import members_in_good_standing
from serai.kernel.ids import MemberId
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED, Denied, Verdict
from serai.programme.projects import Project, commitment_of
from serai.programme.record import Record
from serai.programme.stages import Stage
from serai.programme.statements import ReviewCommit, ReviewDeclare, ReviewOpen

ENOUGH: Final = 3
MAX_SCORE: Final = 5
SALT_BYTES: Final = 32


def judge_review(
    record: Record, project: Project, body: ReviewDeclare | ReviewCommit | ReviewOpen, member: MemberId, at: Instant
) -> Verdict:
    """Whether a member may declare, commit to or open a review now."""
    if project.stage is not Stage.REVIEW:
        return Denied("review 1", f"the project is in stage {project.stage}, not under review")
    if member == project.lead:
        return Denied("review 1", f"{member} leads the project and does not review it")
    panel = project.panel
    if isinstance(body, ReviewOpen):
        return _judge_opening(record, project, body, member, at)
    if panel.reviews:
        article = "review 2" if isinstance(body, ReviewDeclare) else "review 3"
        return Denied(article, f"{', '.join(sorted(panel.reviews))} opened a review already; it is too late")
    if isinstance(body, ReviewDeclare):
        if member in panel.declared:
            return Denied("review 2", f"{member} has declared already")
        return GRANTED
    if member not in panel.free:
        reason = "declared a conflict" if member in panel.declared else "has not declared its conflicts yet"
        return Denied("review 3", f"{member} {reason}")
    if member in panel.commitments:
        return Denied("review 3", f"{member} has committed to its review already")
    return GRANTED


def enough(record: Record, project: Project, at: Instant) -> int:
    """How many reviews a project needs."""
    others = members_in_good_standing(record.charter, at) - {project.lead}
    return max(1, min(ENOUGH, len(others)))


def is_reviewed(record: Record, project: Project, at: Instant) -> bool:
    """Whether enough reviews are open and none that was committed to may still come."""
    panel = project.panel
    if len(panel.reviews) < enough(record, project, at):
        return False
    return len(panel.reviews) == len(panel.commitments) or at.time_ms >= project.since.time_ms + 2 * _window_ms(record)


def _judge_opening(record: Record, project: Project, body: ReviewOpen, member: MemberId, at: Instant) -> Verdict:
    panel, wanted = project.panel, enough(record, project, at)
    if len(panel.commitments) < wanted:
        return Denied(
            "review 4", f"it takes {wanted} commitments before any review opens, got {len(panel.commitments)}"
        )
    missing = sorted(panel.free - set(panel.commitments))
    if missing and not panel.reviews and at.time_ms < project.since.time_ms + _window_ms(record):
        return Denied("review 4", f"reviews open once {', '.join(missing)} has committed, or time is up")
    if member not in panel.commitments or member in panel.reviews:
        return Denied("review 5", f"{member} has no review to open")
    if not (0 <= body.technical <= MAX_SCORE and 0 <= body.scientific <= MAX_SCORE) or len(body.salt) != SALT_BYTES:
        return Denied("review 5", f"expected scores from 0 to {MAX_SCORE} and a salt of {SALT_BYTES} bytes")
    if commitment_of(body, member) != panel.commitments[member]:
        return Denied("review 5", f"this is not the review that {member} committed to")
    return GRANTED


def _window_ms(record: Record) -> int:
    assert record.charter.charter is not None, "nothing is judged before the charter is in force"
    return record.charter.charter.articles[PROJECT].window_ms
