"""``serai catalog``: from ``zone.toml`` into the log, and out of it in every form."""

import json
from dataclasses import replace

import pytest

from serai.agent.datasets import ColumnNote, TextNote
from serai.catalog.odrl import parse_policy
from serai.cli.catalogs import FORMATS
from serai.kernel.ids import MemberId
from serai.zones.statements import Offer

TEXTS = {
    "en": TextNote(title="Heart rows", description="Rows of 1988.", keywords=("heart",), columns={"x0": "age"}),
    "ar": TextNote(title="صفوف القلب"),
}


def describe(desk, member, **changes):
    """What the member's ``zone.toml`` says of its rows."""
    speaker = desk.bloc.members[MemberId(member)]
    settings = speaker.zone.settings
    (name,) = settings.datasets
    dataset = settings.datasets[name]
    column = dataset.used_columns[0]
    texts = {tag: replace(note, columns=dict.fromkeys(note.columns and [column], "age")) for tag, note in TEXTS.items()}
    given = {
        "title": "Herzdaten",
        "language": "de",
        "texts": texts,
        "contact": "https://bern.example/data",
        "columns": {column: ColumnNote(unit="a", description="Alter")},
        **changes,
    }
    changed = replace(settings, datasets={name: replace(dataset, **given)})
    speaker.zone = replace(speaker.zone, settings=changed)
    return name


@pytest.fixture
def offered(desk):
    agreement = desk.bloc.agree(parties=("bern", "lima"))
    name = describe(desk, "bern")
    offer = desk.json("bern", "zone", "offer", name)["offer"]
    desk.told("bern", "zone", "grant", offer[:10], agreement[:10], "--term", "min_cohort=2")
    return offer


def test_what_the_settings_say_is_offered_found_and_shown_in_the_language_asked(desk, offered):
    body = desk.state.zones.offers[offered].body
    assert isinstance(body, Offer)
    assert body.about.texts["en"].columns[0].description == "age"
    assert desk.json("lima", "catalog", "show", offered)["said"]["about"]["language"] == "de"
    (hit,) = desk.json("lima", "catalog", "search", "heart", "--unit", "a", "--language", "ar")
    assert (hit["offer"], hit["title"], hit["language"]) == (offered, "صفوف القلب", "ar")
    assert {one["part"] for one in hit["matches"]} == {"unit", "title"}
    assert hit["agreements"][0]["usable"]
    assert desk.json("oslo", "catalog", "search", "heart", "--usable") == []
    assert "oslo is not a party" in desk.told("oslo", "catalog", "show", offered[:8])
    assert "also described in ar, en" in desk.told("lima", "catalog", "show", offered[:8], "--language", "de")


def test_a_list_shows_every_open_offer_and_what_this_member_may_use(desk, offered):
    rows = desk.json("oslo", "catalog", "list", "--language", "fr")
    assert {row["member"] for row in rows} == {"bern", "lima"}
    (row,) = (row for row in rows if row["offer"] == offered)
    assert (row["title"], row["language"], row["usable"]) == ("Heart rows", "en", "no")
    desk.told("bern", "zone", "withdraw", offered)
    assert offered not in {row["offer"] for row in desk.json("oslo", "catalog", "list")}
    assert "the offer was taken back" in desk.told("oslo", "catalog", "show", offered)


def test_an_offer_is_exported_in_every_form(desk, offered, tmp_path):
    assert (
        json.loads(desk.told("lima", "catalog", "export", offered, "--format", "croissant"))["name"]["de"]
        == "Herzdaten"
    )
    policy = parse_policy(desk.told("lima", "catalog", "export", offered, "--format", "odrl").encode())
    assert policy.uid.endswith(offered)
    agreement = desk.json("lima", "catalog", "show", offered)["agreements"][0]["agreement"]
    agreed = desk.told("lima", "catalog", "export", offered, "--format", "odrl", "--agreement", agreement[:9])
    assert [one.source.partition(" ")[0] for one in parse_policy(agreed.encode()).policies] == [
        "agreement",
        "offer",
        "grant",
    ]
    assert "# Herzdaten" in desk.told("lima", "catalog", "export", offered, "--format", "card", "--language", "de")
    whole = desk.told("lima", "catalog", "export", "--all", "--format", "dcat-ttl")
    assert whole.count("a dcat:Dataset") == 3
    out = tmp_path / "catalog.json"
    desk.told("lima", "catalog", "export", "--all", "--format", "dcat", "--out", out)
    assert json.loads(out.read_text(encoding="utf-8"))["@graph"][0]["@type"] == "dcat:Catalog"


@pytest.mark.parametrize("form", FORMATS)
def test_no_form_has_a_row_or_says_where_the_data_lie(desk, offered, form):
    text = desk.told("lima", "catalog", "export", offered, "--format", form)
    assert str(desk.bloc.folder) not in text
    assert ".csv" not in text
    assert desk.state.zones.offers[offered].body.dataset not in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--format", "card"), "either an offer or --all"),
        (("--all", "--format", "card"), "describes one dataset"),
        (("{offer}", "--format", "card", "--agreement", "abcd"), "--agreement with odrl"),
        (("{offer}", "--format", "odrl", "--agreement", "0123"), "no agreement that the dataset is granted to"),
        (("0000", "--format", "odrl"), "no offer has an id"),
    ],
)
def test_what_cannot_be_exported_is_said(desk, offered, arguments, says):
    assert says in desk.refused("lima", "catalog", "export", *(one.format(offer=offered) for one in arguments))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"language": "klingon!"}, "expected a language tag"),
        ({"language": "EN"}, "described once"),
        ({"texts": {"fr": TextNote(title="")}}, "needs a title"),
        ({"texts": {"fr": TextNote(title="t", columns={"no": "x"})}}, "which is not offered"),
        ({"contact": "javascript:alert(1)"}, "expected a contact"),
        ({"license": "my own!"}, "SPDX"),
    ],
)
def test_a_description_that_could_stand_in_no_catalog_is_not_said(desk, changes, says):
    name = describe(desk, "bern", **changes)
    size = desk.state.size
    assert says in desk.refused("bern", "zone", "offer", name)
    assert desk.state.size == size


def test_a_text_in_a_language_that_is_not_told_is_of_an_undetermined_one(desk):
    name = describe(desk, "bern", language="")
    offer = desk.json("bern", "zone", "offer", name)["offer"]
    assert desk.state.zones.offers[offer].body.about.language == "und"
    assert desk.json("lima", "catalog", "show", offer, "--language", "fr")["language"] == "en"


def test_a_text_is_offered_and_found_like_any_dataset(text_desk):
    offer = text_desk.json("bern", "zone", "offer", "rows")["offer"]
    (hit,) = text_desk.json("lima", "catalog", "search", "documents", "--column", "text")
    assert hit["offer"] == offer
    field = json.loads(text_desk.told("lima", "catalog", "export", offer, "--format", "croissant"))["recordSet"][0][
        "field"
    ]
    assert [(one["name"], one["dataType"]) for one in field] == [("text", "sc:Text")]
