import pytest

from serai.client.joint_columns import joint_columns
from serai.errors import Conflict, Missing
from serai.zones.statements import Column, Offer


def offer(*columns):
    return Offer(dataset="ab" * 32, title="t", description="d", rows=9, columns=columns, jurisdiction="XX", terms=())


def number(name, low="", high="", unit="a"):
    return Column(name=name, kind="number", unit=unit, description="", low=low, high=high)


def category(name, *levels):
    return Column(name=name, kind="category", unit="", description="", levels=levels)


def test_bounds_are_the_widest_that_any_steward_gives():
    found = joint_columns({"bern": offer(number("age", "18", "99.5")), "lima": offer(number("age", "-0.5", "110"))})
    assert (found.get("age").low, found.get("age").high) == ("-0.5", "110")


def test_bounds_are_not_known_where_one_steward_gives_none():
    found = joint_columns({"bern": offer(number("age", "18", "99")), "lima": offer(number("age"))})
    assert (found.get("age").low, found.get("age").high) == ("", "")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (number("weight"), "missing: offered at bern, missing at lima"),
        (number("age", unit="d"), "unit: a at bern, d at lima"),
        (category("age", "young", "old"), "kind: number at bern, category at lima"),
    ],
)
def test_a_column_that_is_not_the_same_everywhere_says_why(other, why):
    found = joint_columns({"bern": offer(number("age")), "lima": offer(other)})
    with pytest.raises(Conflict, match=why):
        found.get("age")


def test_levels_have_one_order():
    found = joint_columns({"bern": offer(category("sex", "f", "m")), "lima": offer(category("sex", "m", "f"))})
    with pytest.raises(Conflict, match="levels: f, m at bern, m, f at lima"):
        found.get("sex")


def test_a_column_nobody_has_is_answered_with_those_that_all_have():
    with pytest.raises(Missing, match="no offer has a column 'weight'; those that all have are age"):
        joint_columns({"bern": offer(number("age"))}).get("weight")


def test_a_column_of_another_kind_than_asked_for_is_named():
    with pytest.raises(Conflict, match="column 'age' is a number, expected a category"):
        joint_columns({"bern": offer(number("age"))}).get("age", "category")
