"""Source side by side: lines as they run, bounded, with a warning wherever they might read otherwise."""

import time

import pytest

from serai.approvals.source import MAX_COLUMNS, MAX_COMPARED, MAX_LINES, compare_files, warnings_of
from serai.approvals.terms import Kind

OLD = b"import numpy\n\n\ndef f(x):\n    return x\n"


def only(before, after):
    (change,) = compare_files(before, after)
    return change


def test_a_changed_line_is_shown_with_those_around_it():
    change = only({"recipe.py": OLD}, {"recipe.py": OLD.replace(b"return x", b"return 2 * x")})
    assert change.kind is Kind.CHANGED
    assert "-    return x" in change.lines
    assert "+    return 2 * x" in change.lines
    assert " def f(x):" in change.lines
    assert change.warnings == ()


def test_files_come_and_go_and_what_is_the_same_is_left_out():
    found = compare_files({"a.py": OLD, "same.py": OLD}, {"b.py": b"x = 1\n", "same.py": OLD})
    assert [(one.name, one.kind) for one in found] == [("a.py", Kind.REMOVED), ("b.py", Kind.ADDED)]
    assert found[1].lines == ("+x = 1",)
    assert found[0].lines[0] == "-import numpy"


def test_what_reorders_a_line_is_an_escape_and_a_warning():
    trojan = "access = 'user\u202e \u2066# check if admin\u2069 \u2066'\n".encode()
    change = only({}, {"recipe.py": trojan})
    assert change.lines == ("+access = 'user\\u202e \\u2066# check if admin\\u2069 \\u2066'",)
    assert change.warnings == ("has characters that show nothing, here as escapes, in line 1",)


@pytest.mark.parametrize("blank", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_what_other_readers_take_for_a_line_break_breaks_no_line(blank):
    change = only({}, {"recipe.py": f"# harmless{blank}import os\n".encode()})
    assert len(change.lines) == 1
    assert blank not in change.lines[0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"# -*- coding: utf-7 -*-\nx = 1\n", "is read by Python as utf-7"),
        (b"#!/usr/bin/python\n# vim: set fileencoding=rot13 :\n", "is read by Python as rot13"),
        ("\u0430dmin = 1\n".encode(), "letters beyond ASCII"),
        (b"x = 1  " + b" " * MAX_COLUMNS + b"; import os\n", "more than 400 characters"),
        (b"\x00\xff\xfe", "not text in UTF-8"),
        (b"x\n" * 5 + "\u200b\n".encode() * 9, "lines 6, 7, 8, 9, 10 and 4 more"),
    ],
)
def test_whatever_makes_code_read_otherwise_than_it_runs_is_told(data, says):
    assert any(says in warning for warning in warnings_of(data))


@pytest.mark.parametrize("data", [OLD, b"# coding: utf-8\nx = '\xc3\xa9'.upper()\n"[:16], b"", b"x = 1\r\n"])
def test_ordinary_source_needs_no_warning(data):
    assert warnings_of(data) == ()


def test_a_long_line_is_shown_in_part_and_says_so():
    change = only({}, {"recipe.py": b"x" * 1000})
    assert change.lines == (f"+{'x' * MAX_COLUMNS} [and 600 characters more]",)


def test_many_lines_are_shown_in_part_and_say_so():
    change = only({}, {"recipe.py": b"x\n" * (MAX_LINES + 7)})
    assert len(change.lines) == MAX_LINES + 1
    assert change.lines[-1] == "[and 7 lines more, not shown]"


def test_lines_beyond_what_is_compared_are_not():
    long = b"x\n" * (MAX_COMPARED + 1)
    assert "are not compared" in only({"a": long}, {"a": long + b"y\n"}).lines[0]


def test_bytes_that_are_no_text_are_compared_by_their_digest_alone():
    assert only({"a": b"\xff"}, {"a": b"\xfe"}).lines == ("not text in UTF-8; only its digest is compared",)


def test_the_worst_files_that_are_compared_take_seconds():
    lines = [f"l{number % 100}" for number in range(MAX_COMPARED)]
    started_s = time.process_time()
    compare_files({"a": "\n".join(lines).encode()}, {"a": "\n".join(lines[::-1]).encode()})
    assert time.process_time() - started_s < 5
