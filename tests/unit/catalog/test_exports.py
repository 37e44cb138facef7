"""The forms that other catalogs read: every language in them, no row, no path, nothing to fetch."""

import json
import re
from dataclasses import replace

from serai.catalog.card import write_card
from serai.catalog.croissant import write_croissant
from serai.catalog.dcat import Center, write_jsonld, write_ttl
from serai.catalog.names import escaped, moment
from serai.catalog.turtle import write_turtle
from serai.kernel.ids import Digest
from serai.zones.descriptions import Text

CENTER = Center(genesis=Digest("9e" * 32), name="Three hospitals")


def test_croissant_has_the_properties_that_the_specification_requires(heart, echo):
    for record in (heart, echo):
        document = json.loads(write_croissant(record))
        required = {
            "@context",
            "@type",
            "conformsTo",
            "description",
            "license",
            "name",
            "url",
            "creator",
            "datePublished",
            "distribution",
        }
        assert required <= set(document)
        (files,) = document["distribution"]
        assert not {"contentUrl", "containedIn", "sha256"} & set(files)


def test_croissant_has_columns_with_units_and_every_language(heart):
    document = json.loads(write_croissant(heart))
    assert document["name"] == {tag: text.title for tag, text in heart.texts.items()}
    age, pressure, sex = document["recordSet"][0]["field"]
    assert (age["name"], age["dataType"], age["unitText"]) == ("age", "sc:Float", "a")
    assert age["description"] == {"de": "Alter bei Aufnahme", "en": "age at admission"}
    assert pressure["@id"] == "rows/Blutdruck%2C%20systolisch"
    assert sex["dataType"] == "sc:Text"
    assert document["license"] == "https://spdx.org/licenses/CC-BY-4.0"
    assert "Contact: mailto:data@bern.example" in document["conditionsOfAccess"]["@value"]


def test_what_nobody_described_is_described_by_plain_facts(echo):
    document = json.loads(write_croissant(echo))
    assert document["name"] == "Echo"
    assert document["description"] == {"en": "9 rows of 1 columns, under the law of PE."}
    assert document["license"]["name"]["en"].startswith("No licence")
    assert document["creator"]["name"] == "Hospital de Lima"


def test_a_catalog_is_the_same_in_both_forms_and_holds_each_dataset_once(heart, echo):
    graph = json.loads(write_jsonld(CENTER, [heart, echo]))["@graph"]
    datasets = [item for item in graph if "dcat:Dataset" in item["@type"]]
    assert [item["dct:identifier"] for item in datasets] == [heart.id, echo.id]
    assert not any("dcat:distribution" in item for item in graph)
    turtle = write_ttl(CENTER, [heart, echo])
    assert '"أمراض القلب"@ar' in turtle
    assert '"Echo"' in turtle


def test_no_export_has_anything_to_fetch_or_says_where_data_lie(heart):
    for text in (write_croissant(heart), write_jsonld(CENTER, [heart]), write_ttl(CENTER, [heart])):
        assert "contentUrl" not in text
        assert "downloadURL" not in text
        assert "accessURL" not in text
        assert heart.offer.dataset not in text


def test_turtle_escapes_what_would_end_a_text_or_hide_in_it():
    said = 'a "quoted" \\ line\nand\x00 more'
    turtle = write_turtle({"ex": "urn:ex:"}, [{"@id": "urn:ex:1/2", "ex:says": said, "ex:list": {"@list": [1, "b"]}}])
    assert "<urn:ex:1/2>" in turtle
    assert r'"a \"quoted\" \\ line\nand\u0000 more"' in turtle
    assert '( 1 "b" )' in turtle


def test_a_card_speaks_one_language_and_names_it(heart):
    card = write_card(heart, "ja")
    assert "# 心臓病データ" in card
    assert "- shown in: ja; also described in ar, de, en" in card
    assert "| age | number | a |  | Alter bei Aufnahme (de) |" in card
    assert "| expires\\_ms | 2027-12-28 13:20:00 UTC | 4 |" in card
    assert "Joint heart work, in force, permits train, evaluate; parties: bern, lima" in card


def test_a_card_shows_what_members_wrote_as_text(heart):
    text = Text(title="# Fine | <script>\u202egnp.x", description="[click](https://evil.example)\n---\n*now*")
    card = write_card(replace(heart, texts={**heart.texts, "en": text}), "en")
    assert "# \\# Fine \\| &lt;script&gt;\\\\u202egnp.x" in card
    assert "\\[click\\](https://evil.example)" in card
    assert not re.search(r"^\*now\*|<script>|\u202e", card, re.MULTILINE)


def test_names_hold_only_what_an_iri_may_hold():
    assert escaped("Größe (cm)/ä") == "Gr%C3%B6%C3%9Fe%20%28cm%29%2F%C3%A4"
    assert moment(1_790_000_000_456) == "2026-09-21T14:13:20.456Z"
    assert moment(253_402_300_800_000) is None
