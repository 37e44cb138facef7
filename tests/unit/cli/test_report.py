"""The report page stands alone, says every number, and shows nothing that is not in the report."""

import copy
import itertools
import re
from html.parser import HTMLParser

import pytest

from serai.cli.report import render
from serai.errors import Malformed
from serai.reports.plots import Bars, Dots, bar_plot, dot_plot, format_bytes, line_plot

MEMBERS = {"bern": "Bern", "tehran": "\u062a\u0647\u0631\u0627\u0646", "ghent": "Ghent <i>"}
REPORT = {
    "title": "Three hospitals & one model",
    "made": "2030-01-02 03:04 UTC",
    "machine": "2 cores",
    "members": [{"id": i, "name": n, "rows_train": 20, "rows_test": 10} for i, n in MEMBERS.items()],
    "story": [{"text": "They found a center.", "entry": 0, "id": "ab" * 32, "seconds": 1.25}],
    "results": [
        {
            "recipe": "newton",
            "members": {i: {"n": 10, "alone": 0.5, "joint": 0.8, "pooled": None} for i in MEMBERS},
            "rounds": [{"round": r, "members": dict.fromkeys(MEMBERS, 0.5 + r / 10)} for r in range(3)],
        }
    ],
    "border": [
        {
            "member": i,
            "out_bytes": 3000,
            "in_bytes": 900_000,
            "masked_bytes": 1000,
            "statement_bytes": 2000,
            "rows_out": 0,
        }
        for i in MEMBERS
    ],
    "model": {"digest": "cd" * 32, "size_bytes": 1480, "release": "ef" * 32},
    "log": {
        "origin": "x/log",
        "size": 42,
        "root": "12" * 32,
        "checkpoint": "x/log\n42\n",
        "witnesses": ["bern", "ghent"],
    },
    "audit": {"entries": 42, "rounds": 5, "ok": True, "tool": "audit_log.py"},
    "crash": {"member": "ghent", "killed_at_round": 7, "recovered_seconds": 1.8},
}


class Page(HTMLParser):
    """Collects what a browser would fetch, and checks that tags close in order."""

    void = frozenset({"meta", "link", "img", "br"})

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.fetched, self.tags, self.labels = [], [], [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.fetched += [given[name] for name in ("src", "href", "srcset") if name in given]
        self.labels += [given["aria-label"]] if tag == "svg" and "aria-label" in given else []
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, _attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page():
    parsed = Page()
    parsed.feed(render(REPORT))
    return parsed


def test_the_page_is_well_formed(page):
    assert page.open == []


def test_the_page_fetches_nothing():
    html = render(REPORT)
    parsed = Page()
    parsed.feed(html)
    assert parsed.fetched == []
    assert "script" not in parsed.tags
    assert not re.search(r"url\(|@import|https?:", html)


def test_the_page_serves_light_dark_and_print():
    html = render(REPORT)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_every_table_has_a_caption_and_every_plot_says_its_values(page):
    assert page.tags.count("caption") == page.tags.count("table") >= 2
    assert len(page.labels) == 3
    assert "alone 50.0%" in page.labels[0]


def test_names_from_members_are_shown_as_text_and_never_as_markup():
    html = render(REPORT)
    assert "Ghent &lt;i&gt;" in html
    assert "Ghent <i>" not in html
    assert "\u062a\u0647\u0631\u0627\u0646" in html
    assert "hospitals &amp; one" in html


def test_what_was_not_measured_is_left_out():
    report = {key: value for key, value in REPORT.items() if key not in {"model", "audit", "crash"}}
    html = render(report)
    assert "The crash" not in html
    assert "independent audit" not in html
    assert "The crash" in render(REPORT)


def test_a_failed_audit_is_said_loudly():
    report = copy.deepcopy(REPORT)
    report["audit"]["ok"] = False
    assert "Something does not hold." in render(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("title"), r"at title"),
        (lambda r: r.update(mood="good"), r"at mood"),
        (lambda r: r["border"][0].update(rows_out=-1), r"border\.0\.rows_out"),
        (lambda r: r["results"][0]["members"]["bern"].update(joint=1.5), r"joint"),
    ],
)
def test_a_report_of_another_form_is_refused_with_its_place(change, message):
    report = copy.deepcopy(REPORT)
    change(report)
    with pytest.raises(Malformed, match=message):
        render(report)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1480, "1.48 kB"),
        (999_600, "1 MB"),
        (25_000_000, "25 MB"),
        (10**9, "1 GB"),
    ],
)
def test_bytes_are_spelled_with_three_digits(size, text):
    assert format_bytes(size) == text


def xs(svg, cls, attribute="cx"):
    return [float(x) for x in re.findall(rf'class="{cls}" {attribute}="([\d.]+)"', svg)]


def test_a_better_accuracy_stands_further_right():
    svg = dot_plot([Dots("a", {"alone": 0.6, "joint": 0.9, "pooled": None})], "t")
    assert xs(svg, "alone")[0] < xs(svg, "joint")[0]
    assert "pooled" not in svg


def test_lines_end_labels_never_cover_each_other():
    svg = line_plot({str(n): [0.5, 0.8] for n in range(5)}, "t")
    places = sorted(float(y) for y in re.findall(r'class="name ink s\d" x="[\d.]+" y="([\d.]+)"', svg))
    assert len(places) == 5
    assert min(b - a for a, b in itertools.pairwise(places)) >= 17


def test_far_apart_sizes_get_a_logarithmic_scale_and_close_ones_do_not():
    assert "logarithmic" in bar_plot([Bars("a", {"x": 100, "y": 10**7})], "t")
    linear = bar_plot([Bars("a", {"x": 100, "y": 200})], "t")
    assert "logarithmic" not in linear
    first, second = (float(w) for w in re.findall(r'<rect class="bar b\d"[^>]* width="([\d.]+)"', linear))
    assert second == pytest.approx(2 * first, rel=1e-3)


def test_nothing_sent_is_a_bar_of_no_length():
    svg = bar_plot([Bars("a", {"x": 0, "y": 10**6, "z": 10})], "t")
    assert re.findall(r'<rect class="bar b0"[^>]* width="([\d.]+)"', svg) == ["0.0"]
