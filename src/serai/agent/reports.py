"""Reports of runs: a page in the zone's home for each run that has ended, written by itself.

A page is written when its run ends, and again when somebody evaluates the
model. Its first lines say how new it is, so that a zone which starts again
writes only what it has not written yet. A page is for its owner's eyes: it shows
this zone's own figures, also those that the plan does not let out.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from serai.agent.figures import read_record
from serai.agent.mirror import View
from serai.kernel.ids import Digest, MemberId
from serai.reports.course import Course, Status, course_of, figures_by_round, mark_of, status_of
from serai.reports.run_page import render_run
from serai.state import State
from serai.storage.disk import no_room_explained

FOLDER: Final = "reports"
_HEAD_BYTES: Final = 1024  # within which a page says how new it is
_ENDED: Final = frozenset({Status.FINISHED, Status.CANCELLED, Status.HALTED})


class Reports:
    """The pages of one zone. Used by one thread.

    Args:
        home: the zone's folder.
        member: whose zone it is.
        is_deleted: whether what a run derived from the data was deleted here; of such a run no page is written.

    """

    def __init__(self, home: Path, member: MemberId, is_deleted: Callable[[Digest], bool]) -> None:
        self._is_deleted = is_deleted
        self._home = home
        self._member = member
        self._marks: dict[Digest, str] = {}
        self._over: set[Digest] = set()

    def write(self, view: View) -> None:
        """Write the pages of runs that this zone joined and that have ended, where they lack something.

        Raises:
            Unavailable: the disk is full.

        """
        for run in view.state.runs.plans.values():
            if run.id in self._over or self._member not in run.keys or status_of(view.state, run) not in _ENDED:
                continue
            if self._is_deleted(run.id):
                self._over.add(run.id)
                continue
            mark = mark_of(view.state, run)
            if self._marks.get(run.id) == mark:
                continue
            course = look(self._home, self._member, view.state, run.id)
            path = self._home / FOLDER / f"{run.id}.html"
            if mark not in _head(path):
                _write(path, render_run(view.state, course, view.note, str(self._home)))
            self._marks[run.id] = mark
            if not course.owed:
                self._over.add(run.id)


def look(home: Path, member: MemberId, state: State, run: Digest) -> Course:
    """The course of a run as a zone sees it, with the zone's own figures.

    Raises:
        Missing: no such run was planned.

    """
    return course_of(state, run, member, figures_by_round(read_record(home, run)))


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _write(path: Path, page: str) -> None:
    """Put a private file in place at once; a crash leaves the old one, or none."""
    with no_room_explained(path.parent):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        made = path.with_suffix(".new")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(page)
        made.replace(path)
