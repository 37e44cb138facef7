"""``serai zone uses``: a steward's book of what left, as table, JSON and CSV; and whether it is whole."""

import csv
import io
import json

import pytest

from serai.agent.journal import open_journal


@pytest.fixture
def used(desk, monkeypatch):
    """A desk whose bloc has finished a run."""
    bloc = desk.bloc
    settings = {member.zone.settings.home: member.zone.settings for member in bloc.members.values()}
    monkeypatch.setattr("serai.cli.verbs.uses.load_settings", settings.__getitem__)
    desk.train = bloc.train(bloc.agree(), "newton", 1, {"features": "1"})
    bloc.settle()
    return desk


def test_every_use_is_listed_and_chosen_by_dataset_run_and_day(used):
    whole = used.json("bern", "zone", "uses")
    assert [use["left"] for use in whole] == ["vector", "unmasking", "counts"]
    assert {use["run"] for use in whole} == {used.train}
    assert used.json("bern", "zone", "uses", "--dataset", "rows") == whole
    assert used.json("bern", "zone", "uses", "--run", used.train[:8]) == whole
    assert used.json("bern", "zone", "uses", "--run", "ffff") == []
    assert used.json("bern", "zone", "uses", "--since", "2026-09-21") == whole
    assert used.json("bern", "zone", "uses", "--since", "2026-09-22T00:00:00Z") == []
    assert "expected a date" in used.refused("bern", "zone", "uses", "--since", "yesterday")
    assert "nobody had to look" in used.told("bern", "zone", "uses")


def test_a_spreadsheet_has_the_same_facts(used):
    rows = list(csv.DictReader(io.StringIO(used.told("bern", "zone", "uses", "--csv"))))
    whole = used.json("bern", "zone", "uses")
    assert [row["digest"] for row in rows] == [use["digest"] for use in whole]
    assert list(rows[0]) == list(whole[0])
    assert json.loads(rows[-1]["shown"]) == whole[-1]["shown"]


def test_a_whole_book_is_verified_and_a_torn_one_is_not(used):
    told = used.told("bern", "zone", "uses", "--verify")
    assert "3 receipts, chained and signed without a gap." in told
    assert "nothing of this zone's rows without a receipt" in told
    assert used.json("bern", "zone", "uses", "--verify") == {"ok": True, "receipts": 3, "missing": [], "unseen": []}

    journal = open_journal(used.bloc.members["bern"].zone.settings.home)
    with journal._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM uses WHERE number = 2")
    torn = used.run("bern", "zone", "uses", "--verify")
    assert torn.exit_code == 1
    assert "NO RECEIPT of what the log has" in torn.stdout
    assert "counts of run" in torn.stdout
    with journal._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM uses WHERE number = 0")
    assert "expected receipt 0" in used.refused("bern", "zone", "uses", "--verify")
    journal.close()
