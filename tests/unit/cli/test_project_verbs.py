"""``serai project`` as members use it, from a need to a decision, and what is kept at home meanwhile."""

import pytest


@pytest.fixture
def project(desk):
    return desk.json("bern", "project", "open", "--title", "Rivers", "--need", "Floods come unannounced.")["project"]


def facts(desk, project, member="oslo"):
    told = desk.json(member, "project", "show", project[:12])["facts"]
    return {fact["about"]: fact["text"] for fact in told}


def review(desk, member, project):
    desk.told(member, "project", "declare", project[:12])
    desk.told(
        member, "project", "review", project[:12], "--technical", 4, "--scientific", 5, "--text", f"{member} likes it."
    )


@pytest.fixture
def reviewed(desk, project, tmp_path):
    """A project under review, to which two reviewers have committed."""
    for kind in ("concept", "proposal", "impact"):
        (tmp_path / f"{kind}.md").write_text(f"# {kind}")
    desk.told("lima", "project", "back", project[:12])
    desk.told("bern", "project", "advance", project[:12], "concept", "--document", f"concept={tmp_path}/concept.md@en")
    desk.told(
        *("bern", "project", "advance", project[:12], "proposal", "--document", f"proposal={tmp_path}/proposal.md"),
        *("--document", f"impact-assessment={tmp_path}/impact.md", "--note", "as agreed in May"),
    )
    desk.told("bern", "project", "advance", project[:12], "review")
    for member in ("lima", "oslo"):
        review(desk, member, project)
    return project


def test_a_need_is_listed_and_shows_what_it_waits_for(desk, project):
    (row,) = desk.json("lima", "project", "list")
    assert (row["id"], row["stage"], row["lead"]) == (project, "need", "bern")
    assert "Rivers" in desk.told("lima", "project", "list")
    assert facts(desk, project)["next: concept"] == (
        "by bern, with concept; from need to concept it takes that another member backs it"
    )
    assert "goes to concept, closed" in desk.refused("bern", "project", "advance", project[:12], "run")


def test_reviews_stay_at_home_until_all_have_committed(desk, reviewed):
    told = desk.told("bern", "log")
    assert "lima commits to a review" in told
    assert "likes it" not in told
    kept = desk.bloc.folder / "lima" / "reviews" / f"{reviewed}.json"
    assert "likes it" in kept.read_text()
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert "committed" in desk.refused(
        *("lima", "project", "review", reviewed[:12], "--technical", 0, "--scientific", 0, "--text", "No.")
    )
    assert "likes it" in kept.read_text()
    for member in ("lima", "oslo"):
        desk.told(member, "project", "reveal", reviewed[:12])
    assert facts(desk, reviewed)["reviewer lima"] == "technical 4, scientific 5: lima likes it."
    desk.told("bern", "project", "advance", reviewed[:12], "decision")
    assert "spells out" in facts(desk, reviewed)["next: agreement"]


def test_a_member_that_kept_no_review_has_none_to_open(desk, reviewed):
    assert "there is no file" in desk.refused("bern", "project", "reveal", reviewed[:12])


def test_a_conflict_is_on_record(desk, project, reviewed):
    del project
    desk.told("bern", "project", "advance", reviewed[:12], "proposal", "--document", "proposal=/dev/null")
    desk.told("bern", "project", "advance", reviewed[:12], "review")
    desk.told("lima", "project", "declare", reviewed[:12], "--conflict", "We would run it.")
    assert facts(desk, reviewed)["reviewer lima"] == "conflict: We would run it."


def test_documents_lie_at_the_center_and_the_first_of_a_kind_counts(desk, project, tmp_path):
    (tmp_path / "c.md").write_text("# Concept")
    (tmp_path / "c.fr.md").write_text("# Projet")
    desk.told("lima", "project", "back", project[:12])
    given = [f"concept={tmp_path}/c.md@en", f"concept={tmp_path}/c.fr.md@fr"]
    desk.told("bern", "project", "advance", project[:12], "concept", "--document", given[0], "--document", given[1])
    step = desk.state.programme.projects.projects[project].steps[-1]
    assert [(item.language, item.authoritative) for item in step.documents] == [("en", True), ("fr", False)]
    assert desk.bloc.center_parts.blobs.read_range(step.documents[1].digest, 0, 99) == b"# Projet"


@pytest.mark.parametrize(
    ("document", "said"),
    [("concept.md", "expected KIND=FILE"), ("concept=/nowhere.md", "cannot read"), ("=x", "expected KIND=FILE")],
)
def test_a_document_of_another_form_is_named(desk, project, document, said):
    assert said in desk.refused("bern", "project", "advance", project[:12], "concept", "--document", document)


def test_a_hold_is_placed_and_lifted_and_stays_on_record(desk, project):
    hold = desk.json("lima", "project", "hold", project[:12], "dispute", "--reason", "Credit.")["hold"]
    assert desk.json("oslo", "project", "list")[0]["held"] == ["dispute by lima: Credit."]
    assert "lima lifts it" in desk.refused("bern", "project", "lift", project[:12], hold[:12], "--reason", "x")
    desk.told("lima", "project", "lift", project[:12], hold[:12], "--reason", "Settled.")
    assert "lifted at entry" in facts(desk, project)[f"dispute {hold[:12]}"]


def test_what_was_said_about_a_project_explains_itself(desk, project):
    hold = desk.json("lima", "project", "hold", project[:12], "dispute", "--reason", "Credit.")["hold"]
    for id_ in (project, hold):
        told = {fact["about"]: fact["text"] for fact in desk.json("oslo", "explain", id_[:12])["facts"]}
        assert told["project"] == f"Rivers ({project[:12]}), in stage need"
        assert "Credit." in told[f"dispute {hold[:12]}"]


def test_benefits_wait_for_use(desk, project):
    assert "not in use yet" in desk.refused("bern", "project", "benefit", project[:12], "--text", "Warned.")
