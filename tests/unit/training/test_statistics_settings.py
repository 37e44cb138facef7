"""Columns, levels, events and grids as plans write them, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serai.errors import Malformed, Refused
from serai.training.parameters import Parameters
from serai.training.statistics.columns import Category, Event, Grid, Number, terms_of
from serai.training.statistics.notation import (
    bounds_setting,
    cut,
    levels_setting,
    read_categories,
    read_event,
    read_numbers,
    split,
    written,
)
from serai.training.statistics.regression import LinearSettings
from serai.training.statistics.summaries import CrosstabSettings, DescribeSettings, QuantilesSettings
from serai.training.statistics.survival import CoxSettings, KaplanMeierSettings
from serai.training.tables import Table

ALL = slice(None)
TIMES = {"time": "t", "event": "e", "until": "10", "step": "1"}


def numbers(text):
    return read_numbers(Parameters("test", {"bounds": text}), "test")


def categories(text):
    return read_categories(Parameters("test", {"levels": text}), "test")


def test_bounds_are_read_exactly():
    age, weight = numbers("age=0:120,birth weight=-0.5:6.25")
    assert (age.name, age.low, age.high) == ("age", 0, 120)
    assert (weight.name, weight.low, weight.high) == ("birth weight", Fraction(-1, 2), Fraction(25, 4))
    assert (age.middle, age.half) == (60.0, 60.0)


@pytest.mark.parametrize(
    "text",
    ["age", "age=", "age=1", "age=2:1", "age=1:1", "age=a:b", "age=0:nan", "=0:1", "a=0:1,a=0:2", "a=0:1,,b=0:1", ","],
)
def test_bounds_that_are_none_are_refused(text):
    with pytest.raises(Malformed):
        numbers(text)


@pytest.mark.parametrize("text", ["sex", "sex=", "sex=a|", "sex=a|a", "=a|b", "a=x,a=y"])
def test_levels_that_are_none_are_refused(text):
    with pytest.raises(Malformed):
        categories(text)


@pytest.mark.parametrize("name", ["<=20", "a,b", "a|b", "a:b", "\\", "\\,", "x\\", "st-t abnormality", "多"])
def test_any_name_and_any_level_can_be_written(name):
    assert categories(levels_setting({name: [name, name + "."]})) == (Category(name, (name, name + ".")),)
    assert numbers(bounds_setting({name: ("0", "1")})) == (Number(name, Fraction(0), Fraction(1)),)
    assert read_event(Parameters("test", {"event": f"{written(name)}={written(name)}"}), "event") == Event(name, name)


def test_a_backslash_before_a_backslash_does_not_hide_the_mark_after_it():
    assert split(r"a\\,b", ",") == [r"a\\", "b"]
    assert cut(r"a\=b=c", "=") == (r"a\=b", "=", "c")
    assert split("", ",") == []


def test_values_outside_are_set_to_the_bound_and_counted_and_missing_ones_are_neither():
    table = Table(rows=5, numbers={"x": np.array([-1.0, 0.0, 5.0, np.inf, np.nan])})
    values, present, outside = Number("x", Fraction(0), Fraction(10)).read(table, ALL)
    np.testing.assert_array_equal(values, [0, 0, 5, 10, np.nan])
    assert present.tolist() == [True, True, True, True, False]
    assert outside.tolist() == [True, False, False, True, False]
    np.testing.assert_array_equal(Number("x", Fraction(0), Fraction(10)).scaled(values), [-1, -1, 0, 1, np.nan])


def test_a_zone_with_other_levels_refuses_and_says_which():
    table = Table(rows=2, categories={"sex": np.array([0, 1], np.int16)}, levels={"sex": ("m", "f")})
    with pytest.raises(Refused, match=r"m\|f here, the plan says f\|m"):
        Category("sex", ("f", "m")).read(table, ALL)
    with pytest.raises(Refused, match="no column 'age'"):
        Category("age", ("f", "m")).read(table, ALL)


def test_an_event_is_a_column_of_0_and_1_or_a_level():
    table = Table(
        rows=3,
        numbers={"dead": np.array([0.0, 1.0, np.nan]), "grade": np.array([1.0, 2.0, 3.0])},
        categories={"state": np.array([1, 0, -1], np.int16)},
        levels={"state": ("alive", "dead")},
    )
    np.testing.assert_array_equal(Event("dead").read(table, ALL), [0, 1, np.nan])
    np.testing.assert_array_equal(Event("state", "dead").read(table, ALL), [1, 0, np.nan])
    with pytest.raises(Refused, match="0 and 1"):
        Event("grade").read(table, ALL)
    with pytest.raises(Refused, match="no level 'gone'"):
        Event("state", "gone").read(table, ALL)


def test_a_time_counts_as_the_first_point_of_the_grid_at_or_after_it():
    grid = Grid(Fraction(1), Fraction(1, 10))
    assert grid.points == 11
    times = np.array([0.0, 0.05, 0.1, 0.3, 0.1 + 0.2, 0.31, 1.0, 1.01, 1e300, np.inf])
    assert grid.places(times).tolist() == [0, 1, 1, 3, 3, 4, 10, 11, 11, 11]
    assert grid.times()[3] == 0.3


@pytest.mark.parametrize("changed", [{"until": "10.5"}, {"step": "0"}, {"until": "1e9"}, {"event": "="}, {"time": "e"}])
def test_grids_and_columns_that_cannot_be_are_refused(changed):
    with pytest.raises(Malformed):
        KaplanMeierSettings.read({**TIMES, **changed})


def test_levels_become_terms_against_the_first():
    terms = terms_of(numbers("age=20:80"), categories("sex=f|m,size=s|m|l"))
    assert [term.name for term in terms] == ["age", "sex=m", "size=m", "size=l"]
    assert (terms[0].middle, terms[0].half, terms[1].middle, terms[1].half) == (50, 30, 0, 1)


@pytest.mark.parametrize(
    ("settings", "params"),
    [
        (DescribeSettings, {"bounds": "a=0:1", "by": "sex"}),
        (DescribeSettings, {"bounds": "a=0:1", "least": "5", "noise": "2"}),
        (DescribeSettings, {"bounds": "a=0:1", "bin": "5"}),
        (CrosstabSettings, {"levels": "a=x|y", "rows": "a", "columns": "a"}),
        (CrosstabSettings, {"levels": "a=x|y", "rows": "a", "columns": "b"}),
        (QuantilesSettings, {"bounds": "a=0:1", "probabilities": "0.5,0.25"}),
        (QuantilesSettings, {"bounds": "a=0:1", "probabilities": "1.5"}),
        (QuantilesSettings, {"bounds": "", "probabilities": "0.5"}),
        (CoxSettings, TIMES),
        (CoxSettings, {**TIMES, "bounds": "t=0:1"}),
        (LinearSettings, {"bounds": "a=0:1", "outcome": "a"}),
        (LinearSettings, {"bounds": "a=0:1", "outcome": "b"}),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, params):
    with pytest.raises(Malformed):
        settings.read(params)


@given(text=st.text("ab=,:|\\\\0123.-é ", max_size=30))
@settings(max_examples=300)
def test_any_text_is_columns_that_can_be_written_again_or_refused(text):
    for read, write in ((numbers, _bounds), (categories, _levels)):
        try:
            found = read(text)
        except Malformed:
            continue
        assert read(write(found)) == found


def _bounds(found):
    return bounds_setting({number.name: (_decimal(number.low), _decimal(number.high)) for number in found})


def _decimal(value):
    return f"{float(value):.10f}".rstrip("0").rstrip(".")


def _levels(found):
    return levels_setting({category.name: category.levels for category in found})
