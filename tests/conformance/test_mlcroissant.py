"""Croissant documents are read and found valid by mlcroissant, the reference implementation, which fetches nothing."""

import json

import pytest

from serai.catalog.croissant import CONFORMS_TO, write_croissant

mlcroissant = pytest.importorskip("mlcroissant", reason="the reader of Croissant comes with `make extras`")
pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def read(record):
    return mlcroissant.Dataset(json.loads(write_croissant(record))).metadata


@pytest.mark.parametrize("name", ["described", "bare"])
def test_a_record_is_valid_croissant_1_1(name, request):
    metadata = read(request.getfixturevalue(name))
    assert not metadata.ctx.issues.errors
    assert metadata.conforms_to == [CONFORMS_TO]
    assert metadata.license
    assert metadata.url
    assert metadata.creators
    assert metadata.date_published.year == 2026


def test_every_language_and_every_column_arrives(described):
    metadata = read(described)
    assert metadata.name == {tag: text.title for tag, text in described.texts.items()}
    assert metadata.keywords == [word for text in described.texts.values() for word in text.keywords]
    rows, levels = metadata.record_sets
    assert [field.name for field in rows.fields] == [column.name for column in described.offer.columns]
    assert rows.fields[0].description == {"de": "Alter", "en": "age"}
    assert [line["levels/sex/name"] for line in levels.data] == ["w", "m", 'x"\\']
    assert rows.fields[2].references.field == "levels/sex/name"


def test_units_bounds_and_terms_stay_in_the_document_that_it_writes_again(described):
    again = read(described).to_json()
    age = again["recordSet"][0]["field"][0]
    assert age["unitText"] == "a"
    assert {"0", "120.5"} == {str(age["minValue"]), str(age["maxValue"])}
    constraints = again["usageInfo"]["odrl:permission"]["odrl:constraint"]
    assert {"@id": "odrl:purpose"} in [one.get("odrl:leftOperand") for one in constraints]
    assert again["usageInfo"]["odrl:prohibition"]["odrl:action"] == {"@id": "odrl:distribute"}


def test_a_column_of_no_known_type_would_be_found(described):
    document = json.loads(write_croissant(described))
    document["recordSet"][0]["field"][0]["dataType"] = "sc:Nonsense"
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(document)
