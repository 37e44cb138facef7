"""Every run leaves a page in each zone that took part, and its course is there for whoever looks."""

import json
from dataclasses import replace

import pytest

from serai.agent.reports import FOLDER, look
from serai.agent.session import CHARTER_FILE, Session
from serai.aggregation.state import Stage
from serai.client import following
from serai.client.following import follow
from serai.errors import Missing, Unavailable
from serai.kernel.ids import Digest
from serai.reports.course import Status
from serai.storage.record_files import write_record
from serai.training.statements import RunCancel

FEATURES = {"features": "3"}


def page(story, member, run):
    return story.bloc.members[member].zone.settings.home / FOLDER / f"{run}.html"


def course(story, member, run):
    zone = story.bloc.members[member].zone
    return look(zone.settings.home, zone.member, zone.mirror.view.state, run)


def plan(story, agreement, **changes):
    return story.bloc.say("bern", replace(story.bloc.plan(agreement, "newton", 2, FEATURES), **changes))


def test_each_zone_has_a_private_page_with_what_everybody_evaluated(agreed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.bloc.settle()
    for member in story.bloc.members:
        path = page(story, member, run)
        html = path.read_text()
        assert "finished, 3 evaluations" in html.splitlines()[1]
        assert "All 2 rounds finished." in html
        assert story.final(run) in html
        assert story.bloc.state.charter.genesis in html
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_zone_that_was_away_writes_what_it_missed_and_nothing_twice(agreed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.step_until(lambda: story.final(run))
    story.bloc.members["lima"].is_up = False
    story.bloc.settle()
    assert not page(story, "lima", run).exists()

    story.bloc.restart("lima")
    story.bloc.settle()
    assert "3 evaluations" in page(story, "lima", run).read_text()
    written = page(story, "bern", run)
    marked = written.read_text() + "<!-- kept -->"
    written.write_text(marked)
    story.bloc.restart("bern")
    story.bloc.settle()
    assert written.read_text() == marked

    written.unlink()
    story.bloc.restart("bern")
    story.bloc.settle()
    assert "3 evaluations" in written.read_text()


def test_a_cancelled_run_has_a_page_that_says_who_cancelled_it(running):
    story, run = running
    assert not page(story, "oslo", run).exists()
    story.bloc.say("lima", RunCancel(plan=run, reason="the <grant> has ended"))
    story.bloc.settle()
    html = page(story, "oslo", run).read_text()
    assert "lima cancelled it: the &lt;grant&gt; has ended" in html
    found = course(story, "oslo", run)
    assert (found.status, found.is_over, found.finished) == (Status.CANCELLED, True, 0)


def test_a_zone_that_did_not_join_keeps_no_page(agreed):
    story, agreement = agreed
    made = story.bloc.plan(agreement, "newton", 2, FEATURES)
    run = story.bloc.say(
        "bern", replace(made, offers={name: made.offers[name] for name in ("bern", "oslo")}, title="two only")
    )
    story.bloc.settle()
    assert page(story, "bern", run).exists()
    assert not page(story, "lima", run).exists()


def test_a_round_waits_for_whom_it_names_and_once_it_failed_says_who_it_was(uploaded):
    story, run = uploaded
    story.bloc.members["lima"].is_up = False
    story.step_until(lambda: {"bern", "oslo"} <= set(story.round(run).releases))
    story.bloc.settle()
    this = course(story, "bern", run).rounds[0]
    assert (this.stage, this.absent) == (Stage.CLOSED, ("lima",))

    story.bloc.tick(70_000)
    story.bloc.settle()
    first = course(story, "bern", run).rounds[0]
    assert first.stage is Stage.FAILED
    assert first.why == "lima did not release in time"
    assert {name: part.has_released for name, part in first.parts.items()} == {
        "bern": True,
        "lima": False,
        "oslo": True,
    }


def test_a_round_with_too_few_uploads_says_who_sent_none(running):
    story, run = running
    for member in ("lima", "oslo"):
        story.bloc.members[member].zone.settings.stop_file.touch()  # they still witness, so time goes on
    story.bloc.settle()
    assert course(story, "bern", run).rounds[0].absent == ("lima", "oslo")
    story.bloc.tick(70_000)
    story.bloc.settle()
    found = course(story, "bern", run)
    assert found.failed[0].why == "1 of at least 2 uploads came in time; none from lima, oslo"
    assert (found.status, found.finished) == (Status.RUNNING, 0)


def test_figures_that_the_plan_lets_nobody_see_are_there_for_their_own_zone(agreed):
    story, agreement = agreed
    run = plan(story, agreement, outputs=("model",))
    story.bloc.settle()
    parts = course(story, "bern", run).rounds[0].parts
    assert parts["bern"].figures["train_ms"] >= 0
    assert parts["lima"].figures == {}
    assert parts["lima"].sent_bytes > 0
    assert course(story, "bern", run).is_over


def test_the_course_of_a_run_is_the_same_for_all_where_figures_are_public(agreed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.bloc.settle()
    seen = {member: course(story, member, run) for member in story.bloc.members}
    assert seen["bern"] == seen["lima"] == seen["oslo"]
    assert seen["bern"].rounds[0].parts["lima"].figures["sent_bytes"] == seen["bern"].rounds[0].parts["lima"].sent_bytes


def test_a_record_that_was_bent_by_hand_breaks_no_page(agreed):
    story, agreement = agreed
    run = plan(story, agreement, outputs=("model",))
    home = story.bloc.members["bern"].zone.settings.home
    (home / "figures").mkdir(exist_ok=True)
    lines = [
        json.dumps(line)
        for line in ({"round": "x"}, {"round": 0, "steps": "y"}, {"round": 0, "steps": 10**400}, {}, [])
    ]
    (home / "figures" / f"{run}.jsonl").write_text("\n".join([*lines, "{", ""]))
    story.bloc.settle()
    assert page(story, "bern", run).exists()


def test_a_zone_that_halted_writes_nothing(agreed):
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    story.bloc.settle()
    page(story, "bern", run).unlink()
    story.bloc.restart("bern")
    bern = story.bloc.members["bern"]
    bern.runner.work(replace(bern.zone.mirror.view, halt="a fork"))
    assert not page(story, "bern", run).exists()
    bern.runner.work(bern.zone.mirror.view)
    assert page(story, "bern", run).exists()


class Eventful:
    """A center at which something happens each time that somebody asks for news, and that is away once."""

    def __init__(self, bloc, away_at):
        self._bloc, self._away_at, self._asked = bloc, away_at, 0

    def news(self, size, witnessed, wait_s):
        self._asked += 1
        if self._asked == self._away_at:
            raise Unavailable("center-unreachable", "no center answers")
        self._bloc.step()
        return self._bloc.center.news(size, witnessed, wait_s)


def watcher(story, member, away_at=0):
    settings = story.bloc.members[member].zone.settings
    write_record(settings.home / CHARTER_FILE, story.bloc.charter)
    session = Session(settings)
    session.center = Eventful(story.bloc, away_at)
    return session


def test_a_watcher_sees_a_run_to_its_end_though_the_center_is_away_in_between(agreed, monkeypatch):
    monkeypatch.setattr(following, "RETRY_S", 0.0)
    story, agreement = agreed
    run = story.bloc.train(agreement, "newton", 2, FEATURES)
    seen = list(follow(watcher(story, "bern", away_at=4), run))
    assert [answers for _, answers in seen].count(False) == 1
    assert seen[0][0].status is Status.PLANNED
    last, _ = seen[-1]
    assert (last.status, last.owed, len(last.evaluations)) == (Status.FINISHED, frozenset(), 3)
    assert not any(course.is_over for course, _ in seen[:-1])


def test_a_watcher_waits_for_a_late_evaluation_as_long_as_a_round(agreed):
    story, agreement = agreed
    run = plan(story, agreement, round_ms=1000)
    story.step_until(lambda: story.final(run))
    story.bloc.members["lima"].is_up = False
    last, _ = list(follow(watcher(story, "bern"), run))[-1]
    assert last.status is Status.FINISHED
    assert last.owed == {"lima"}


def test_a_run_that_the_log_does_not_have_cannot_be_watched(agreed):
    story, _ = agreed
    with pytest.raises(Missing, match="the log has no run"):
        next(follow(watcher(story, "bern"), Digest("00" * 32)))
