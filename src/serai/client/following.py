"""A run followed to its end: its course now, and with all that is new."""

import math
import time
from collections.abc import Iterator
from typing import Final

from serai.agent.reports import look
from serai.agent.session import Session
from serai.errors import Unavailable
from serai.kernel.ids import Digest
from serai.reports.course import Course, Status

NEWS_WAIT_S: Final = 25.0  # how long the center may hold a question
RETRY_S: Final = 1.0  # pause while the center does not answer


def follow(session: Session, run: Digest, wait_s: float = math.inf) -> Iterator[tuple[Course, bool]]:
    """The course of a run now and with all that is new, until it is over; and whether the center answers.

    Evaluations of a model that the run came to are waited for as long as a round waits.

    Args:
        session: a member's.
        run: the run's id.
        wait_s: seconds after which it ends, wherever the run is by then.

    Raises:
        Missing: no such run was planned.
        Unavailable: the center does not answer the first question.

    """
    view, until_s = session.view(), time.monotonic() + wait_s
    is_finished = False
    while True:
        course = look(session.settings.home, session.settings.member, view.state, run)
        yield course, True
        if not is_finished and course.status is Status.FINISHED:
            is_finished = True
            until_s = min(until_s, time.monotonic() + course.run.plan.round_ms / 1000)
        left_s = until_s - time.monotonic()
        if course.is_over or left_s <= 0:
            return
        try:
            view = session.mirror.follow(session.center, view.size, min(NEWS_WAIT_S, left_s))
        except Unavailable:
            yield course, False
            time.sleep(min(RETRY_S, left_s))
