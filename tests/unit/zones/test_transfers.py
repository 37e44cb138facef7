"""Where outputs go is known of every recipient, or not at all."""

from serai.kernel.units import Instant
from serai.zones.facts import Transfer
from serai.zones.transfers import Instrument, find_jurisdictions, find_transfers

PLACED = {"almaty": "KZ", "bern": "CH", "cusco": "PE", "zug": "CH"}
TREATY = Instrument(name="treaty-7", to=frozenset({"KZ", "PE"}), since_ms=100, until_ms=200)
CLAUSES = Instrument(name="clauses", to=frozenset({"KZ"}), since_ms=0, until_ms=150)


def test_each_jurisdiction_counts_once_and_one_recipient_in_no_known_place_makes_all_unknown():
    assert find_jurisdictions(["bern", "almaty", "zug"], PLACED) == ("CH", "KZ")
    assert find_jurisdictions(["bern", "delhi"], PLACED) is None
    assert find_jurisdictions(["bern", "delhi"], {**PLACED, "delhi": ""}) is None
    assert find_jurisdictions([], PLACED) is None


def test_home_is_not_abroad_and_each_other_place_has_what_covers_it_on_that_day():
    def at(time_ms):
        return find_transfers(("CH", "KZ", "PE"), "CH", [TREATY, CLAUSES], Instant(1, time_ms))

    assert at(99) == (Transfer("KZ", ("clauses",)), Transfer("PE", ()))
    assert at(100) == (Transfer("KZ", ("clauses", "treaty-7")), Transfer("PE", ("treaty-7",)))
    assert at(150) == (Transfer("KZ", ("treaty-7",)), Transfer("PE", ("treaty-7",)))
    assert at(200) == (Transfer("KZ", ()), Transfer("PE", ()))


def test_at_no_time_and_for_unknown_places_nothing_is_known():
    assert find_transfers(("CH", "KZ"), "CH", [CLAUSES], Instant(1, 0)) is None
    assert find_transfers(None, "CH", [CLAUSES], Instant(1, 100)) is None
    assert find_transfers(("CH",), "CH", [], Instant(1, 100)) == ()
