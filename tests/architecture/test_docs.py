"""The pages lead somewhere: links resolve, verbs exist, words are explained."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
VERB = re.compile(r"^([a-z-]+):.*## ", re.MULTILINE)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def prose(page):
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_page_that_exists(page):
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        leads_to = (page.parent / path).resolve() if path else page
        assert leads_to.exists(), target
        if anchor:
            assert anchor in anchors(leads_to), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_make_verb_in_the_pages_exists(page):
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE))

    assert named <= set(VERB.findall(MAKEFILE))


def test_every_verb_of_the_makefile_says_what_it_does():
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)

    assert set(phony[1].split()) == set(VERB.findall(MAKEFILE))


def test_the_glossary_is_in_order_and_explains_each_word_once():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [word.lower() for word in re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE)]

    assert len(words) > 50
    assert words == sorted(set(words))


def test_every_decision_is_listed_and_says_what_was_rejected():
    folder = ROOT / "docs" / "decisions"
    decisions = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    index = (folder / "README.md").read_text(encoding="utf-8")

    assert decisions
    for path in decisions:
        assert f"({path.name})" in index, path.name
        assert "## Rejected" in path.read_text(encoding="utf-8"), path.name


def test_every_test_that_the_threat_model_names_exists():
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    page = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_[a-z_]+)`", page))

    assert len(named) > 10
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


def test_every_lock_pins_every_package_with_hashes_and_names_no_place():
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        entries = re.findall(r"^[A-Za-z0-9].*(?:\\\n.*)+", text, re.MULTILINE)
        assert entries, path.name
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries), path.name
        assert len(entries) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)), path.name
        assert not re.search(r"^-|://|/opt/|/tmp/", text, re.MULTILINE), path.name


def test_the_lock_names_every_dependency_of_the_project():
    project = re.search(
        r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    wanted = set(re.findall(r'"([a-z0-9-]+)[><=]', project[1]))
    locked = set(
        re.findall(
            r"^([a-z0-9-]+)==", (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8"), re.MULTILINE
        )
    )

    assert wanted
    assert wanted <= locked
