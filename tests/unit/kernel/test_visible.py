"""What others wrote is shown as it is: nothing in it hides, reorders, or moves a cursor."""

import sys
import unicodedata

import pytest

from serai.kernel.visible import visible_code, visible_line, visible_text

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


@pytest.mark.parametrize("char", BIDI + "\x00\x1b\x7f\x9b\u00ad\ufeff\u2028\ue000\ufff9\U000e0041")
def test_what_shows_nothing_is_an_escape_in_code_and_in_words(char):
    for shown in (visible_code(f"a{char}b"), visible_text(f"a{char}b")):
        assert char not in shown
        assert shown.startswith("a\\")
        assert shown.encode().decode("unicode-escape") == f"a{char}b"


def test_the_line_that_runs_otherwise_than_it_reads_is_seen():
    # The "early return" of CVE-2021-42574: the comment's end is moved into it.
    line = "    ''' Subtract funds then \u2067''' ;return"
    assert visible_code(line) == "    ''' Subtract funds then \\u2067''' ;return"


def test_code_keeps_lines_and_tabs_but_no_other_blank():
    assert visible_code("if x:\n\ty\u00a0= '\u3000'\r\n") == "if x:\n\ty\\xa0= '\\u3000'\\x0d\n"


@pytest.mark.parametrize("words", ["می\u200cخواهم", "क्\u200dष", "👩\u200d⚕️", "心臓\u3000病", "l\u00a0an", "Zürich"])
def test_words_keep_what_their_script_needs(words):
    assert visible_text(words) == words


def test_a_line_stays_one_line():
    assert visible_line("a\nb") == "a\\nb"


def test_no_character_that_shows_nothing_is_left_out():
    kept = [char for char in map(chr, range(sys.maxunicode + 1)) if visible_code(char) == char and char not in "\n\t "]
    assert {unicodedata.category(char)[0] for char in kept} <= set("LMNPS")
