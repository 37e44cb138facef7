"""Training rows come first and in their order; a source that changes between its two readings is not used."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from serai.agent.datasets import DatasetSettings, Feature, FeatureKind, Label
from serai.agent.readers.cells import Batch, TextCells
from serai.agent.readers.column_file import ColumnFile
from serai.agent.readers.reading import FEATURES, LABEL, reading_of
from serai.agent.readers.split import choose_test_rows, fill
from serai.errors import Missing

SETTINGS = DatasetSettings(
    title="t",
    path="t.csv",
    features=(Feature(name="x", column="x", kind=FeatureKind.NUMBER),),
    label=Label(column="y", above=0),
    test_share=Fraction(1, 3),
)
LABELS = [number % 2 for number in range(20)]


def source(*sizes):
    """Batches of these sizes; another list of sizes each time it is read."""
    readings = iter(sizes)

    def read(_reading):
        start = 0
        for size in next(readings):
            numbers = range(start, start + size)
            cells = {"x": TextCells([str(n) for n in numbers]), "y": TextCells([str(n % 2) for n in numbers])}
            yield Batch(size, cells, str)
            start += size

    return read


def filled(*sizes):
    reading = reading_of(SETTINGS, None, subject=False)
    file = ColumnFile(reading.dtypes)
    return file, fill(file, source(*sizes), reading, SETTINGS)


@pytest.mark.parametrize("sizes", [[20], [1] * 20, [7, 6, 7]])
def test_rows_keep_their_order_on_each_side_however_they_come(sizes):
    file, held_back = filled(sizes, sizes)
    test = choose_test_rows(np.array(LABELS, np.int8), SETTINGS)
    x, y = file.column(FEATURES)[:, 0], file.column(LABEL)
    assert held_back == 6  # a third of ten of each label, rounded down
    assert x.tolist() == [*np.flatnonzero(~test), *np.flatnonzero(test)]
    assert y.tolist() == (x % 2).tolist()


@pytest.mark.parametrize("later", [[19], [21], [20, 1]])
def test_rows_that_come_or_go_in_between_are_noticed(later):
    with pytest.raises(Missing, match="has changed while it was read"):
        filled([20], later)


def test_where_nothing_is_held_back_the_source_is_read_once():
    settings = replace(SETTINGS, test_share=Fraction(0))
    reading = reading_of(settings, None, subject=False)
    file = ColumnFile(reading.dtypes)
    assert fill(file, source([20]), reading, settings) == 0
    assert file.rows == 20
