"""Templates that come with serai are whole, and what is drafted from them can be proposed, compared and negotiated."""

import pytest
from click.testing import CliRunner

from serai.charter.decision import Choice
from serai.charter.statements import Ballot
from serai.cli.documents import fill, find_template, parts_of_file, read_versions, templates
from serai.cli.main import main
from serai.cli.proposals import read_proposal
from serai.errors import Malformed, Missing
from serai.programme.negotiation import check_translation
from serai.programme.stages import LIFE
from serai.zones.terms import judge_forms

ALL = list(templates())
AGREEMENT = {"title": "Hearts", "project": "ab" * 32, "purpose": "health.heart", "parties": "3"}


def values(template):
    numbers = {"parties": "2", "uses": "5", "minimum": "3", "rows": "10", "retention": "30"}
    return {name: numbers.get(name, template.defaults.get(name, f"some {name}")) for name in template.fields} | (
        {"jurisdiction": "CH", "purpose": "health.heart"} if template.agreement else {}
    )


def run(*arguments):
    return CliRunner().invoke(main, ["project", *map(str, arguments)], catch_exceptions=False)


def drafted(path, template="project-agreement", **changes):
    path.write_text(fill(find_template(template, None), {**AGREEMENT, **changes}))
    return path


# What comes with serai


def test_the_fifteen_documents_are_all_there():
    assert [item.number for item in ALL if item.language == item.authoritative and item.number] == list(range(1, 16))


def test_every_document_that_a_project_needs_has_a_template():
    names = {item.name for item in ALL}
    assert {kind for way in LIFE for kind in way.documents} <= names


@pytest.mark.parametrize("template", ALL, ids=lambda item: f"{item.name}.{item.language}")
def test_a_template_asks_for_what_it_uses_and_no_more(template, tmp_path):
    made = fill(template, {name: value for name, value in values(template).items() if name in template.fields})
    assert "{{" not in made
    used = {name for name in template.fields if f"{{{{{name}}}}}" in template.text}
    assert used == set(template.fields)
    path = tmp_path / "document.md"
    path.write_text(made)
    assert [part.id for part in parts_of_file(path)] == [str(number + 1) for number in range(len(parts_of_file(path)))]


@pytest.mark.parametrize("template", [item for item in ALL if item.agreement], ids=lambda item: item.name)
def test_an_agreement_from_a_template_can_be_proposed_and_every_zone_understands_its_terms(template, tmp_path):
    path = tmp_path / "agreement.md"
    path.write_text(
        fill(template, {name: value for name, value in values(template).items() if name in template.fields})
    )
    text = read_proposal(path).agreement
    assert text.terms
    assert judge_forms(text.terms, "agreement") == ()


@pytest.mark.parametrize(
    "template", [item for item in ALL if item.language != item.authoritative], ids=lambda item: item.language
)
def test_a_translation_matches_the_authoritative_text(template, tmp_path):
    original = find_template(template.name, None)
    assert set(template.fields) == set(original.fields)
    assert template.defaults == original.defaults
    for item, name in ((original, "a.md"), (template, "b.md")):
        (tmp_path / name).write_text(fill(item, AGREEMENT))
    assert list(check_translation(parts_of_file(tmp_path / "a.md"), parts_of_file(tmp_path / "b.md"))) == []


# Filling in


def test_prose_and_terms_come_from_the_same_words(tmp_path):
    text = read_proposal(drafted(tmp_path / "a.md", minimum="4")).agreement
    assert ("min_participants", 4, "2") in {(term.name, term.value, term.clause) for term in text.terms}
    assert "fewer than 4 members" in text.clauses[1].text
    assert "ab" * 32 in text.text


def test_a_value_with_quotes_stays_within_its_place(tmp_path):
    path = drafted(tmp_path / "a.md", title='Hearts "and" \\ more')
    assert read_proposal(path).title == 'Hearts "and" \\ more'


@pytest.mark.parametrize("value", ["a\n## 99 Extra", "a\u2028b", "x" * 2_001, "a\tb"])
def test_a_value_that_could_open_a_clause_is_refused(value):
    with pytest.raises(Malformed, match="expected one line"):
        fill(find_template("project-agreement", None), {**AGREEMENT, "title": value})


def test_a_value_that_is_no_number_where_one_belongs_is_refused(tmp_path):
    with pytest.raises(Malformed):
        read_proposal(drafted(tmp_path / "a.md", parties='3\\nscope = ["train"]'))


def test_a_persian_title_keeps_its_joiners(tmp_path):
    title = "\u0645\u06cc\u200c\u0634\u0648\u062f"
    assert read_proposal(drafted(tmp_path / "a.md", title=title)).title == title


def test_what_a_template_lacks_is_said():
    template = find_template("project-agreement", None)
    with pytest.raises(Malformed, match="say --set purpose="):
        fill(template, {"title": "Hearts", "project": "x"})
    with pytest.raises(Malformed, match="no field 'wealth'"):
        fill(template, {**AGREEMENT, "wealth": "1"})
    with pytest.raises(Missing, match="no template is called 'treaty'"):
        find_template("treaty", None)
    with pytest.raises(Missing, match="it is in en, fr, ru, zh"):
        find_template("project-agreement", "eo")


# The verbs


def settings(**given):
    return [part for name, value in given.items() for part in ("--set", f"{name}={value}")]


def test_templates_are_listed_with_their_languages_and_fields():
    listed = run("draft").stdout
    assert "project-agreement" in listed
    assert "en fr ru zh" in listed
    assert "code of the purpose" in run("draft", "project-agreement", "--fields").stdout


def test_an_agreement_is_drafted_and_its_translation_checked(tmp_path):
    for language, name in ((None, "a.md"), ("ru", "b.md")):
        chosen = [] if language is None else ["--language", language]
        done = run("draft", "project-agreement", *settings(**AGREEMENT), *chosen, "--output", tmp_path / name)
        assert done.exit_code == 0, done.output
    assert "11 clauses match" in run("compare", tmp_path / "a.md", tmp_path / "b.md", "--translation").stdout
    (tmp_path / "b.md").write_text((tmp_path / "b.md").read_text().replace("## 4 ", "## 44 "))
    done = run("compare", tmp_path / "a.md", tmp_path / "b.md", "--translation")
    assert done.exit_code == 1
    assert "expected the clauses" in done.stderr


def test_members_versions_become_one_text_then_a_clean_one_that_can_be_proposed(tmp_path):
    drafted(tmp_path / "bern.md", minimum="3")
    drafted(tmp_path / "lima.md", minimum="4", retention="30")
    drafted(tmp_path / "oslo.md", minimum="4")
    versions = [f"{member}={tmp_path}/{member}.md" for member in ("bern", "lima", "oslo")]
    run("merge", *versions, "--output", tmp_path / "text.md")
    listed = run("clean", tmp_path / "text.md").stdout
    assert "lima, oslo" in listed
    with pytest.raises(Malformed, match="2 brackets are open, the first between bern; lima, oslo"):
        read_proposal(tmp_path / "text.md")
    done = run("clean", tmp_path / "text.md", "--take", "1=lima", "--output", tmp_path / "text.md")
    assert "1 bracket left" in done.stderr
    done = run("clean", tmp_path / "text.md", "--take", "1=bern", "--output", tmp_path / "text.md")
    assert "The text is clean." in done.stderr
    assert "is clean" in run("clean", tmp_path / "text.md").stdout
    terms = {term.name: term.value for term in read_proposal(tmp_path / "text.md").agreement.terms}
    assert (terms["min_participants"], terms["retention_days"]) == (4, 365)


def test_versions_that_differ_in_their_clauses_are_not_stacked(tmp_path):
    drafted(tmp_path / "bern.md")
    text = drafted(tmp_path / "lima.md").read_text()
    (tmp_path / "lima.md").write_text(text.replace("## 3 What leaves a zone", "## 3 Nothing leaves"))
    done = run("merge", f"bern={tmp_path}/bern.md", f"lima={tmp_path}/lima.md")
    assert done.exit_code == 1
    assert "agree on the headings first" in done.stderr


def test_versions_that_differ_at_their_head_are_not_stacked(tmp_path):
    drafted(tmp_path / "bern.md")
    drafted(tmp_path / "lima.md", title="Other")
    assert "settings at their head" in run("merge", f"bern={tmp_path}/bern.md", f"lima={tmp_path}/lima.md").stderr


@pytest.mark.parametrize("texts", [[], ["bern=a.md"], ["bern"], ["bern=", "lima=b.md"]])
def test_a_merge_takes_versions_of_two_members(texts):
    with pytest.raises(Malformed):
        read_versions(texts)


def test_two_files_are_compared_clause_by_clause(tmp_path):
    before, after = drafted(tmp_path / "a.md"), drafted(tmp_path / "b.md", minimum="5")
    told = run("compare", before, after).stdout
    assert "clause 2 changed" in told
    assert "term min_participants: 3 -> 5" in told
    assert run("compare", before, before).stdout == "No clause differs.\n"


def test_an_agreement_in_the_log_is_compared_with_a_file(desk, tmp_path):
    path = drafted(tmp_path / "a.md")
    agreement = desk.json("bern", "propose", path)["proposal"]
    for member in desk.bloc.members:
        desk.bloc.say(member, Ballot(proposal=agreement, choice=Choice.YES))
    assert desk.told("lima", "project", "compare", agreement[:12], path) == "No clause differs.\n"
    later = drafted(tmp_path / "b.md", rows="99")
    (found,) = desk.json("lima", "project", "compare", agreement[:12], later)
    assert (found["clause"], found["terms"]) == ("2", {"min_cohort": {"before": "50", "after": "99"}})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "abcdef", "a.md"), "give --home"),
        (("compare", "/nowhere.md", "a.md"), "cannot read"),
        (("clean", "/nowhere.md"), "cannot read"),
        (("draft", "close-out", "--set", "project"), "expected FIELD=TEXT"),
    ],
)
def test_what_is_wrong_is_said(arguments, said):
    done = run(*arguments)
    assert done.exit_code == 1
    assert said in done.stderr


def test_a_bracket_is_taken_by_its_number(tmp_path):
    (tmp_path / "a.md").write_text("[bern: x | lima: y]")
    assert "NUMBER=MEMBER" in run("clean", tmp_path / "a.md", "--take", "bern").stderr
    assert "no bracket 2" in run("clean", tmp_path / "a.md", "--take", "2=bern").stderr


@pytest.mark.parametrize("data", [b"\xff", b"# no settings", b"+++\n[broken\n+++\n"])
def test_a_file_that_is_no_document_is_refused(tmp_path, data):
    (tmp_path / "a.md").write_bytes(data)
    done = run("compare", tmp_path / "a.md", tmp_path / "a.md")
    assert done.exit_code == 1
    assert "a.md" in done.stderr
