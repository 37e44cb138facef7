"""Plots put values where they belong, names beside each other, and say in words what they show."""

import itertools
import re

import pytest

from serai.reports.pages import number, signed
from serai.reports.plots import DOTTED, NAMED, Bars, Dots, bar_plot, curve_plot, dot_plot, format_bytes, line_plot


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1480, "1.48 kB"),
        (999_600, "1 MB"),
        (25_000_000, "25 MB"),
        (10**9, "1 GB"),
    ],
)
def test_bytes_are_spelled_with_three_digits(size, text):
    assert format_bytes(size) == text


def xs(svg, cls, attribute="cx"):
    return [float(x) for x in re.findall(rf'class="{cls}" {attribute}="([\d.]+)"', svg)]


def test_a_better_accuracy_stands_further_right():
    svg = dot_plot([Dots("a", {"alone": 0.6, "joint": 0.9, "pooled": None})], "t")
    assert xs(svg, "alone")[0] < xs(svg, "joint")[0]
    assert "pooled" not in svg


def test_lines_end_labels_never_cover_each_other():
    svg = line_plot({str(n): [0.5, 0.8] for n in range(5)}, "t")
    places = sorted(float(y) for y in re.findall(r'class="name ink s\d" x="[\d.]+" y="([\d.]+)"', svg))
    assert len(places) == 5
    assert min(b - a for a, b in itertools.pairwise(places)) >= 17


def test_far_apart_sizes_get_a_logarithmic_scale_and_close_ones_do_not():
    assert "logarithmic" in bar_plot([Bars("a", {"x": 100, "y": 10**7})], "t")
    linear = bar_plot([Bars("a", {"x": 100, "y": 200})], "t")
    assert "logarithmic" not in linear
    first, second = (float(w) for w in re.findall(r'<rect class="bar b\d"[^>]* width="([\d.]+)"', linear))
    assert second == pytest.approx(2 * first, rel=1e-3)


def test_nothing_sent_is_a_bar_of_no_length():
    svg = bar_plot([Bars("a", {"x": 0, "y": 10**6, "z": 10})], "t")
    assert re.findall(r'<rect class="bar b0"[^>]* width="([\d.]+)"', svg) == ["0.0"]


def points(svg):
    lines = re.findall(r'<polyline class="line s\d" points="([^"]*)"', svg)
    return [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in lines]


def ticks(svg):
    return re.findall(r'class="end tick"[^>]*>([^<]*)<', svg)


def test_a_higher_value_stands_higher_and_a_later_round_further_right():
    ((first, second, last),) = points(curve_plot({"a": {0: 0.9, 1: 0.5, 3: 0.7}}, "t", number))
    assert first[0] < second[0] < last[0]
    assert first[1] < last[1] < second[1]
    assert last[0] - second[0] == pytest.approx(2 * (second[0] - first[0]), abs=0.2)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.31, 0.86, ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]),
        (0.0, 43.0, ["0", "10", "20", "30", "40", "50"]),
        (1000.0, 3400.0, ["1,000", "1,500", "2,000", "2,500", "3,000", "3,500"]),
        (-0.2, 0.3, ["-0.2", "-0.1", "0", "0.1", "0.2", "0.3"]),
        (5.0, 5.0, ["5", "6"]),
        (0.0, 0.0, ["0", "0.2"]),
    ],
)
def test_a_scale_has_round_numbers_around_its_values(low, high, shown):
    assert ticks(curve_plot({"a": {0: low, 1: high}}, "t", number)) == shown


def test_a_scale_may_begin_at_nothing():
    assert ticks(curve_plot({"a": {0: 40.0, 1: 40.0}}, "t", number, from_zero=True))[0] == "0"


def test_curves_are_named_while_names_have_room_and_dotted_while_dots_can_be_told_apart():
    few = curve_plot({str(member): {0: 1.0, 1: 2.0} for member in range(NAMED)}, "t", number)
    many = curve_plot({str(member): {0: 1.0, 1: 2.0} for member in range(NAMED + 1)}, "t", number)
    assert (few.count("name ink"), many.count("name ink")) == (NAMED, 0)
    long = curve_plot({"a": {number: float(number) for number in range(DOTTED + 1)}}, "t", number)
    assert ("<circle" in few, "<circle" in long) == (True, False)


def test_a_plot_says_its_first_and_last_values_and_escapes_names():
    svg = curve_plot({"<a>": {2: -0.25, 5: 0.5}}, "Gap & more", signed)
    assert 'aria-label="Gap &amp; more. &lt;a&gt; from -0.250 to +0.500"' in svg
