"""A run's page stands alone, gives every member's numbers before any mean, and stays whole whatever members say."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from serai.aggregation.noise import SumNoise
from serai.kernel.ids import MemberId
from serai.reports.course import Part, Status
from serai.reports.plan_words import plan_in_words
from serai.reports.run_page import CHARTS, render_run
from serai.state import State
from serai.training.statements import Pace, Reason

MOST = 2**53 - 1  # the largest number that a statement may hold


class Page(HTMLParser):
    """The cells of each table, what a browser would fetch, and whether tags close in order."""

    void = frozenset({"meta", "link", "img", "br"})

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.fetched, self.tags, self.tables = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in {"src", "href", "srcset"}]
        if tag not in self.void:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, _attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data.strip()


def render(course, checkpoint=""):
    return render_run(State(), course, checkpoint, "/home/bern")


def test_the_page_is_well_formed_and_fetches_and_runs_nothing(course):
    html = render(course)
    page = Page(html)
    assert page.open == []
    assert page.fetched == []
    assert "script" not in page.tags
    assert not re.search(r"url\(|@import|https?:", html)


def test_every_member_has_its_row_and_every_figure_its_curve(course):
    page = Page(render(course))
    header, *rows = page.tables[0]
    assert [row[0] for row in rows] == ["bern", "lima", "oslo"]
    oslo = dict(zip(header, rows[2], strict=True))
    assert oslo["Loss"] == "0.8"
    assert oslo["Gap"] == "+0.300"
    assert oslo["Sent"] == "120 B"
    assert oslo["Busy"] == "75.0%"
    assert page.tags.count("svg") == len(CHARTS)


def test_evaluations_come_member_by_member_and_means_after_them(course):
    evaluations = Page(render(course)).tables[1]
    assert [row[0] for row in evaluations[1:]] == ["bern", "lima", "oslo", "Mean over members", "All rows"]
    assert [row[2] for row in evaluations[1:]] == ["90.0%", "50.0%", "100.0%", "80.0%", "73.3%"]


def test_other_models_that_were_evaluated_stand_apart(course):
    others = Page(render(course)).tables[2]
    assert others[1] == ["lima", "efefefefefef", "30", "40.0%", "\N{EN DASH}"]


def test_a_mean_that_one_member_lacks_is_no_mean(course):
    measured = {"n": 4, "predicted": 1000, "micronats": 2_000_000_000}
    evaluations = Page(render(replace(course, evaluations={**course.evaluations, MemberId("bern"): measured}))).tables[
        1
    ]
    assert evaluations[1] == ["bern", "4", "\N{EN DASH}", "\N{EN DASH}", "2"]
    assert evaluations[4][2:] == ["\N{EN DASH}"] * 3


def test_a_failed_round_says_why(course):
    html = render(course)
    assert "Round 1 failed: lima did not release in time." in html
    assert "No round failed" not in html
    assert "No round failed" in render(replace(course, rounds=course.rounds[:1]))


def test_a_run_that_was_stopped_says_so_and_why(course):
    stopped = replace(course, status=Status.CANCELLED, why="lima cancelled it: <b>enough", model=None, evaluations={})
    html = render(stopped)
    assert "It was cancelled after 2 of 2 rounds." in html
    assert "lima cancelled it: &lt;b&gt;enough" in html
    assert "nothing yet" in html


def test_a_member_that_declined_is_listed_with_its_reasons(course):
    run = course.run
    declined = replace(
        run,
        keys=run.keys.delete("oslo"),
        declines=run.declines.set("oslo", (Reason(article="guard 4", text="no <law>"),)),
    )
    html = render(replace(course, run=declined))
    assert "declined: no &lt;law&gt; (guard 4)" in html
    assert "2 of 3 invited members joined" in html


def test_words_of_members_are_text_and_never_markup(course):
    html = render(course)
    assert "<title>Three hospitals &amp; &lt;one&gt; model</title>" in html
    assert "<one>" not in html


@pytest.mark.parametrize("value", [0, -1, 1, MOST, -MOST])
def test_no_figure_that_a_statement_may_hold_breaks_the_page(course, value):
    names = ("micronats", "steps", "train_ms", "stall_ms", "clipped_ppm", "residual_permille", "gain_permille")

    def bent(this):
        parts = {member: replace(part, figures=dict.fromkeys(names, value)) for member, part in this.parts.items()}
        parts["bern"] = replace(this.parts["bern"], sent_bytes=MOST)
        return replace(this, parts=parts)

    html = render(replace(course, rounds=tuple(map(bent, course.rounds)), now_ms=abs(value)))
    assert Page(html).open == []
    assert "nan" not in re.findall(r'<polyline class="line s\d" points="([^"]*)"', html)[0]


def test_a_run_before_its_first_round_has_a_page_without_curves(course):
    planned = replace(course, rounds=(), finished=0, model=None, evaluations={}, others={}, status=Status.PLANNED)
    page = Page(render(planned))
    assert page.tags.count("svg") == 0
    assert page.tables[0][1][1:3] == ["0", "\N{EN DASH}"]


def test_many_members_have_curves_without_names_beside_them(course):
    many = {MemberId(f"m{number:02}"): b"" for number in range(40)}
    first = course.rounds[0].parts["bern"]
    rounds = tuple(replace(this, parts=dict.fromkeys(many, first)) for this in course.rounds)
    keys = course.run.keys.__class__(many)
    html = render(replace(course, run=replace(course.run, keys=keys), rounds=rounds))
    assert Page(html).open == []
    assert 'class="name ink' not in html


def test_the_commands_that_check_the_run_are_on_the_page(course):
    assert "serai audit --home /home/bern abababababab" in render(course)


def test_a_plan_says_what_protects_it_and_what_it_asks(course):
    plain = dict(plan_in_words(State(), course.run))
    assert plain["leaves the zones"] == "model, metrics; rows never do"
    assert "nobody can release" in plain["lost members"]
    assert "guard" not in plain

    plan = replace(
        course.run.plan,
        threshold=3,
        noise=SumNoise(norm=3, variance=2),
        pace=Pace(exchange_permille=100, least=5, most=50),
        guard_permille=250,
        least_ms=5000,
    )
    told = dict(plan_in_words(State(), replace(course.run, plan=plan)))
    assert told["lost members"].startswith("3 members together")
    assert told["guard"].startswith("a member objects to a sum that raises its held-back loss by more than 25 %")
    assert "5 to 50" in told["local steps"]
    assert "at most 10 %" in told["local steps"]
    assert told["waits"].endswith("at least 5 s where members are usually quicker")
    assert "Gaussian" in told["noise"]


def test_a_member_without_a_part_in_a_round_costs_no_number(course):
    absent = replace(course.rounds[0], parts={"bern": course.rounds[0].parts["bern"], "lima": Part()})
    page = Page(render(replace(course, rounds=(absent,))))
    assert [row[1] for row in page.tables[0][1:]] == ["1", "0", "0"]
