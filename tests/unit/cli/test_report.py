"""The report page stands alone, says every number, and shows nothing that is not in the report."""

import copy
import re
from html.parser import HTMLParser

import pytest

from serai.cli.report import render
from serai.errors import Malformed

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
