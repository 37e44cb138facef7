"""Mock rows have the schema of an offer and nothing of its data, and a zone reads them as they were drawn."""

import numpy as np
import pytest

from serai.agent.datasets import described_columns
from serai.agent.settings import load_settings
from serai.agent.vault import Vault
from serai.client.mock import mock_table, write_mock, zone_table
from serai.zones.statements import Column

COLUMNS = (
    Column(name="age", kind="number", unit="a", description='said "at\tadmission"', low="18", high="95"),
    Column(name="Größe, cm", kind="number", unit="cm", description="", low="-2.5"),
    Column(name="fat", kind="number", unit="", description="", high="-3"),
    Column(name="sex", kind="category", unit="", description="", levels=("female", "male", 'a "b", c')),
    Column(name="site", kind="category", unit="", description=""),
)


def drawn(rows=500, seed=1):
    return mock_table(COLUMNS, rows, np.random.Generator(np.random.PCG64(seed)))


def test_numbers_lie_within_their_public_bounds_and_levels_are_those_of_the_offer():
    table = drawn()
    for name, low, high in (("age", 18, 95), ("Größe, cm", -2.5, -1.5), ("fat", -4, -3)):
        values = table.number(name)
        assert low <= np.nanmin(values) < np.nanmax(values) <= high
        assert 0.01 < np.isnan(values).mean() < 0.12
    places, levels = table.category("sex")
    assert levels == ("female", "male", 'a "b", c')
    assert set(places.tolist()) == {-1, 0, 1, 2}


def test_the_same_seed_draws_the_same_rows():
    assert np.array_equal(drawn().number("age"), drawn().number("age"), equal_nan=True)
    assert not np.array_equal(drawn().number("age"), drawn(seed=2).number("age"), equal_nan=True)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_zone_reads_mock_rows_with_the_table_that_comes_with_them(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    table, path = drawn(60), tmp_path / f"mock.{suffix}"
    write_mock(table, COLUMNS, path)
    (tmp_path / "zone.toml").write_text(
        'member = "bern"\njurisdiction = "CH"\n' + zone_table(COLUMNS, "Hearts", path), encoding="utf-8"
    )
    settings = load_settings(tmp_path)
    data = Vault(settings).load("mock", tuple(column.name for column in COLUMNS))
    for name, values in table.numbers.items():
        assert np.array_equal(data.table.number(name), values, equal_nan=True)
    for name, places in table.categories.items():
        assert np.array_equal(data.table.category(name)[0], places)
    described = described_columns(settings.datasets["mock"])
    assert [(one.name, one.kind, one.unit, one.low, one.high) for one in described] == [
        (one.name, one.kind, one.unit, one.low, one.high) for one in COLUMNS
    ]
    assert described[0].description == 'said "at\N{REPLACEMENT CHARACTER}admission"'
