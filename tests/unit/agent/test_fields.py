"""Fields: columns as all members see them, whatever a member's own table calls, measures and codes."""

import numpy as np
import pytest

from serai.agent.datasets import Field, FieldKind, described_columns
from serai.agent.settings import load_settings
from serai.agent.vault import Vault
from serai.errors import Malformed, Misconfigured, Refused
from serai.zones.statements import Column

ZONE = """\
member = "bern"
jurisdiction = "CH"

[datasets.heart]
title = "Heart disease"
path = "heart.csv"
missing_marks = ["", "?"]
subject = "who"

[datasets.heart.fields.age]
column = "alter"
kind = "number"
unit = "a"
low = "0"
high = "120"

[datasets.heart.fields.weight]
kind = "number"
unit = "kg"
factor = "0.45359237"
offset = "-0.5"

[datasets.heart.fields.sex]
column = "geschlecht"
kind = "category"
levels = ["female", "male"]
codes = {"W" = "female", "1" = "male"}
description = "as entered at admission"
"""

CSV = "alter,weight,geschlecht,who\n61, 150 ,W,p1\n?,200,male,p1\n40,,1,p2\n33,99.5,?,\n"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "zone.toml").write_text(ZONE)
    (tmp_path / "heart.csv").write_text(CSV)
    return tmp_path


def vault_of(home):
    return Vault(load_settings(home))


def test_numbers_come_in_the_members_common_unit_and_what_is_missing_drops_no_row(home):
    table = vault_of(home).load("heart", ("age", "weight")).table

    assert table.rows == 4
    assert np.array_equal(table.number("age"), [61, np.nan, 40, 33], equal_nan=True)
    pounds = np.array([150, 200, np.nan, 99.5])
    assert np.array_equal(table.number("weight"), pounds * 0.45359237 - 0.5, equal_nan=True)
    assert set(table.numbers) | set(table.categories) == {"age", "weight"}


def test_a_cell_of_a_category_is_a_level_or_a_code_for_one(home):
    places, levels = vault_of(home).load("heart", ("sex",)).table.category("sex")

    assert levels == ("female", "male")
    assert places.dtype == np.int16
    assert places.tolist() == [0, 1, 1, -1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "40,,1",
            "40,,2",
            r"heart\.csv, line 4, column 'geschlecht': expected one of the levels female, male.*got '2'",
        ),
        ("40,,1", "forty,,1", r"line 4, column 'alter': expected a finite number, got 'forty'"),
        ("200,", "1e308,", None),
    ],
)
def test_a_cell_that_is_neither_is_an_error_with_its_place(home, old, new, message):
    (home / "heart.csv").write_text(CSV.replace(old, new))
    if message is None:
        assert vault_of(home).load("heart", ("weight",)).table.number("weight")[1] == 1e308 * 0.45359237 - 0.5
        return
    with pytest.raises(Malformed, match=message):
        vault_of(home).load("heart", ("sex", "age"))


def test_a_number_that_the_unit_makes_infinite_is_refused(home):
    (home / "zone.toml").write_text(ZONE.replace("0.45359237", "1000"))
    (home / "heart.csv").write_text(CSV.replace("200,", "1e308,"))
    with pytest.raises(Malformed, match="line 3, column 'weight': expected a finite number"):
        vault_of(home).load("heart", ("weight",))


def test_only_the_columns_that_are_asked_for_are_looked_at(home):
    (home / "heart.csv").write_text(CSV.replace("40,,1", "forty,,1"))
    assert vault_of(home).load("heart", ("sex",)).table.rows == 4


def test_rows_and_subjects_of_fields_count_every_row(home):
    vault = vault_of(home)
    digest = vault.digest("heart")
    assert (vault.rows("heart"), vault.rows_by_digest(digest)) == (4, 4)
    assert (vault.subjects("heart"), vault.subjects_by_digest(digest), vault.subjects_apart(digest)) == (2, 2, (2, 0))


def test_the_meaning_of_a_field_is_part_of_the_digest(home):
    digest = vault_of(home).digest("heart")
    (home / "zone.toml").write_text(ZONE.replace('"W" = "female", "1" = "male"', '"W" = "male", "1" = "female"'))
    assert vault_of(home).digest("heart") != digest


def test_fields_alone_cannot_be_trained_on(home):
    with pytest.raises(Refused, match="has fields, but no features and label"):
        vault_of(home).load("heart")


def test_a_dataset_may_have_fields_and_features_and_each_recipe_gets_what_it_asks_for(home):
    features = 'label = {column = "geschlecht", equals = "W"}\nmissing = "drop"\n'
    features += 'features = [{name = "age", column = "alter", kind = "number"}]\ntest_share = [0, 1]\nsubject = "who"\n'
    (home / "zone.toml").write_text(ZONE.replace('subject = "who"\n', features))
    vault = vault_of(home)
    data = vault.load("heart")

    assert data.x.tolist() == [[61.0], [40.0]]
    assert data.y.tolist() == [1.0, 0.0]
    assert vault.load("heart", ("age",)).table.rows == 4
    with pytest.raises(Refused, match="no column 'alter'; it has age, sex, weight"):
        vault.load("heart", ("alter",))


def test_an_offer_describes_fields_with_unit_levels_and_bounds_and_no_word_of_the_member_s_own(home):
    columns = described_columns(load_settings(home).datasets["heart"])

    assert columns == (
        Column(name="age", kind="number", unit="a", description="", low="0", high="120"),
        Column(name="weight", kind="number", unit="kg", description=""),
        Column(
            name="sex",
            kind="category",
            unit="",
            description="as entered at admission",
            levels=("female", "male"),
        ),
    )
    assert "geschlecht" not in str(columns)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": FieldKind.NUMBER, "levels": ("a",)}, "a number has no levels"),
        ({"kind": FieldKind.NUMBER, "factor": "1e3"}, "factor must be a decimal"),
        ({"kind": FieldKind.NUMBER, "factor": "0.0"}, "factor must not be 0"),
        ({"kind": FieldKind.NUMBER, "factor": ""}, "factor must be a decimal"),
        ({"kind": FieldKind.NUMBER, "low": "3", "high": "3.0"}, "low must be below high"),
        ({"kind": FieldKind.CATEGORY}, "needs 1 to 32767 levels"),
        ({"kind": FieldKind.CATEGORY, "levels": ("a", "a")}, "each once"),
        ({"kind": FieldKind.CATEGORY, "levels": ("a ",)}, "no space around it"),
        ({"kind": FieldKind.CATEGORY, "levels": ("a",), "unit": "kg"}, "a category has no unit"),
        ({"kind": FieldKind.CATEGORY, "levels": ("a",), "codes": {"1": "b"}}, "codes lead to 'b', which is no level"),
        ({"kind": FieldKind.CATEGORY, "levels": ("a", "b"), "codes": {"a": "b"}}, "'a' is a level and also a code"),
    ],
)
def test_a_field_that_no_cell_could_be_read_as_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Field(**settings)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('path = "heart.csv"\n', "", "a dataset needs path"),
        ("heart.csv", "heart\\u0000.csv", "without the character"),
        ('path = "heart.csv"\n', 'path = "heart.csv"\nquery = "select 1"\n', "query is for databases"),
        ('path = "heart.csv"\n', 'path = "heart.duckdb"\n', "a database needs query"),
        ('path = "heart.csv"\n', 'query = "select 1"\nformat = "postgres"\n', "needs service"),
        ('path = "heart.csv"\n', 'path = "heart.csv"\nkind = "images"\n', "images need their size"),
        ('path = "heart.csv"\n', 'path = "heart.csv"\nkind = "text"\n', "a text has documents for rows"),
        ("[datasets.heart.fields.age]", '[datasets.heart.fields."a\\nb"]', "printable characters"),
        ('subject = "who"\n', 'label = {column = "alter", above = 1}\n', "a label, which is predicted, and features"),
        ('kind = "number"\nunit = "a"', 'kind = "date"', "expected one of number, category"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(home, old, new, message):
    assert old in ZONE
    (home / "zone.toml").write_text(ZONE.replace(old, new))
    with pytest.raises(Misconfigured, match=message):
        load_settings(home)
