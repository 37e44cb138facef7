"""The first characters of an id name one thing or nothing."""

import pytest

from serai.client.find import find_id
from serai.errors import Conflict, Malformed, Missing

KNOWN = ["abcd" + "0" * 60, "abce" + "0" * 60, "ffff" + "0" * 60]


def test_a_prefix_of_one_id_finds_it():
    assert find_id(KNOWN, "ffff", "thing") == KNOWN[2]
    assert find_id(KNOWN, KNOWN[0], "thing") == KNOWN[0]


def test_a_prefix_of_two_ids_finds_neither():
    with pytest.raises(Malformed, match="at least 4"):
        find_id(KNOWN, "abc", "thing")
    with pytest.raises(Conflict, match="2 ids start with 'abcd'"):
        find_id([KNOWN[0], "abcd1" + "0" * 59], "abcd", "thing")


def test_an_unknown_prefix_names_what_was_looked_for():
    with pytest.raises(Missing, match="no proposal has an id"):
        find_id(KNOWN, "1234", "proposal")
