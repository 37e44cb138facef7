"""Columns in a file in memory: written as rows come, read without a copy, and believed only as far as they were checked."""

import os
import sys

import numpy as np
import pytest

from serai.agent.datasets import DatasetSettings, Field, FieldKind, Format
from serai.agent.readers import child, column_file, confined
from serai.agent.readers.column_file import ColumnFile, table_data, training_data
from serai.agent.readers.reading import Category, Features, Flag, Number, Reading
from serai.agent.rows import rows_call
from serai.errors import Malformed, Misconfigured

DTYPES = {"x": "(2,)<f8", "y": "<f8"}


def written():
    file = ColumnFile(DTYPES)
    file.append([np.array([[1.0, 2], [3, 4]]), np.array([0.0, 1])])
    file.append([np.array([[5.0, 6]]), np.array([1.0])])
    file.finish()
    return file


def test_rows_come_back_in_order_and_in_their_shape():
    file = written()
    assert file.rows == 3
    assert file.column("x").tolist() == [[1, 2], [3, 4], [5, 6]]
    assert file.column("y").tolist() == [0, 1, 1]


def test_what_is_written_to_an_array_stays_its_own_and_the_file_is_final():
    file = written()
    array = file.column("y")
    array[:] = 7
    assert file.column("y").tolist() == [0, 1, 1]
    with pytest.raises(PermissionError):
        os.pwrite(file.fd, b"x", 0)


def test_an_array_outlives_the_file_that_it_was_made_of():
    array = written().column("x")
    assert array.sum() == 21


def test_a_column_longer_than_its_stretch_is_refused(monkeypatch):
    monkeypatch.setattr(column_file, "STRIDE", 4096)
    file = ColumnFile({"y": "<f8"})
    file.append([np.zeros(512)])
    with pytest.raises(Malformed, match="more than 4096 bytes in one column, in row 512"):
        file.append([np.zeros(1)])


def test_room_is_taken_only_as_it_is_written():
    file = ColumnFile({str(number): "<f8" for number in range(200)})
    file.append([np.zeros(1)] * 200)
    assert os.fstat(file.fd).st_blocks * 512 <= 200 * 4096


def test_rows_that_were_changed_since_are_handed_over_in_a_copy():
    data = training_data(written(), 1, ("a", "b"))
    assert rows_call(data).shared is not None
    other = training_data(written(), 1, ("a", "b"))
    object.__setattr__(other, "x", other.x * 2)
    call = rows_call(other)
    assert call.shared is None
    assert len(call.parts) == 1


def test_a_table_tells_numbers_from_categories():
    file = ColumnFile({"age": "<f8", "sex": "<i2"})
    file.append([np.array([1.0, np.nan]), np.array([0, -1])])
    table = table_data(file, {"sex": ("f", "m")}).table
    assert list(table.numbers) == ["age"]
    assert table.category("sex")[0].tolist() == [0, -1]


@pytest.mark.parametrize(
    ("part", "dtype", "value"),
    [
        (Category("c", {"a": 0}, ("a",)), "<i2", 1),
        (Category("c", {"a": 0}, ("a",)), "<i2", -2),
        (Flag("c", "a"), "<f8", 0.5),
        (Flag("c", "a"), "<f8", np.nan),
        (Number("c"), "<f8", np.inf),
        (Features((Number("c"),)), "<f8", np.nan),
    ],
)
def test_a_reader_that_writes_what_its_column_cannot_hold_is_not_believed(part, dtype, value):
    file = ColumnFile({"c": dtype})
    file.append([np.array([0, value])])
    with pytest.raises(Malformed, match="values that the column cannot have"):
        confined._check(file, Reading(parts={"c": part}), "rows.parquet")


def test_a_library_that_is_not_there_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "serai.agent.readers.arrow_files", None)
    fields = {"x": Field(kind=FieldKind.NUMBER)}
    with pytest.raises(Misconfigured, match=r"stored as parquet needs .*pip install 'serai\[data\]'"):
        child._reader(DatasetSettings(title="t", path="t.parquet", format=Format.PARQUET, fields=fields))
