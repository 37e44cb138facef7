"""A legal profile is data with a day and an end, and says where it is wrong."""

import pytest

from serai.agent.legal import Rules, read_profile, resolve
from serai.errors import Misconfigured

PROFILE = """\
title = "Rules of the house"
dated = 2026-01-15
until = 2026-12-31
members = { almaty = "KZ" }

[[terms]]
name = "min_cohort"
value = 50
clause = "2"

[[terms]]
name = "outputs"
value = ["model"]
clause = "3"

[[instruments]]
name = "treaty-7"
to = ["KZ", "PE"]
until = 2026-06-30
"""
DAY_MS = 86_400_000


@pytest.fixture
def path(tmp_path):
    (tmp_path / "house.toml").write_text(PROFILE)
    return tmp_path / "house.toml"


def test_a_profile_counts_from_its_day_to_the_end_of_its_last(path):
    limits = {term.name: term.value for term in read_profile(path).limits}
    assert limits["expires_ms"] - limits["embargo_until_ms"] == 351 * DAY_MS


def test_an_instrument_is_in_force_on_its_last_day(path):
    (held,) = resolve(Rules(profile="house.toml"), path.parent).instruments
    assert (held.name, held.to, held.since_ms) == ("treaty-7", {"KZ", "PE"}, 0)
    assert held.until_ms == 1_782_864_000_000  # 2026-07-01, 00:00 UTC


def test_what_stands_in_the_zones_file_goes_before_the_profile(path):
    found = resolve(Rules(profile="house.toml", members={"almaty": "XX", "bern": "CH"}), path.parent)
    assert found.places == {"almaty": "XX", "bern": "CH"}


BENT = [
    ("dated = 2026-01-15\n", "", "dated is required"),
    ("until = 2026-12-31\n", "", "until is required"),
    ("2026-12-31", "2025-12-31", "is after until 2025-12-31"),
    ("2026-12-31", '"some day"', "expected a day such as 2027-06-30, got 'some day'"),
    ('title = "', "title = ", r"not valid TOML: .*line 1"),
    ('almaty = "KZ"', 'almaty = ""', "members.almaty needs a jurisdiction"),
    ('almaty = "KZ"', '"Al Maty" = "KZ"', "expected 1 to 63"),
    ("members =", "member =", r"line 4: .*no field 'member'; known: title"),
    ("value = 50", "value = 5.5", r"line 6: .*terms\[0\]"),
    ('value = ["model"]', "value = [1]", r"line 11: .*terms\[1\]"),
    ('clause = "3"', 'claus = "3"', r"line 11: .*no field 'claus'"),
    ('to = ["KZ", "PE"]', "to = []", "jurisdictions that it covers"),
    ("2026-06-30", "2026-06-31", "not valid TOML"),
    ("value = 50", f"value = {'5' * 5000}", "not valid TOML"),
    ("value = 50", f"value = {'[' * 5000}", "not valid TOML"),
]


@pytest.mark.parametrize(("old", "new", "says"), BENT, ids=[says for _, _, says in BENT])
def test_a_bent_profile_is_refused_at_its_line(path, old, new, says):
    assert old in PROFILE
    path.write_text(PROFILE.replace(old, new, 1))
    with pytest.raises(Misconfigured, match=says) as caught:
        read_profile(path)
    assert str(path) in caught.value.message
