"""Reading whole columns at once gives the same as reading cell by cell: the same arrays, or an error at the same place."""

import contextlib
import csv
import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serai.agent.datasets import DatasetSettings, Field, FieldKind
from serai.agent.readers import csv_file
from serai.agent.readers.sources import read_columns
from serai.errors import Malformed

DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
MARKS = ("", "?", "-9")
PLACES = {"no": 0, "yes": 1, "0": 0, "1": 1}
FIELDS = {
    "x": Field(kind=FieldKind.NUMBER, factor="0.1", offset="7"),
    "y": Field(kind=FieldKind.NUMBER),
    "z": Field(kind=FieldKind.CATEGORY, levels=("no", "yes"), codes={"0": "no", "1": "yes"}),
}

numbers = (
    st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.integers(-(10**20), 10**20).map(str)
    | st.sampled_from(["1.", ".5", "+3", "1E5", "-0", "1e-400", *MARKS])
)
odd = st.sampled_from(
    ["1_0", "nan", "inf", "1e999", "0x1", "\u0663", "1 2", "--1", "e5", ".", "1,5", "a\nb", "\xa05", "1\x00"]
)
levels = st.sampled_from(["no", "yes", "0", "1", *MARKS, " yes "])
rows = st.tuples(numbers | numbers | numbers | odd, numbers.map(lambda text: f" {text}\t"), levels | levels | odd)


def cell_by_cell(path):
    """What the file says, by the plainest way to read it; the error's line and column where it is wrong."""
    arrays = ([], [], [])
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(iter(file.readlines()), strict=True)
        next(reader)
        for row in reader:
            for name, cell, values in zip(FIELDS, map(str.strip, row), arrays, strict=True):
                if cell in MARKS:
                    values.append(-1 if name == "z" else math.nan)
                elif name == "z":
                    if cell not in PLACES:
                        return f"line {reader.line_num}, column 'z'"
                    values.append(PLACES[cell])
                elif not DECIMAL.fullmatch(cell) or math.isinf(float(cell)):
                    return f"line {reader.line_num}, column {name!r}"
                else:
                    values.append(float(cell) * 0.1 + 7 if name == "x" else float(cell))
    return arrays


@settings(max_examples=150, deadline=None)
@given(
    table=st.lists(rows, min_size=1, max_size=12),
    most=st.sampled_from([1, 3, 2**15]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
@example(table=[("1", "2", "no"), ("a\nb", "2", "no")], most=2**15, newline="\n")
@example(table=[("1", "a", "no"), ("a", "2", "no")], most=2**15, newline="\n")
@example(table=[("1\x00", "2", "no")], most=2**15, newline="\n")
def test_columns_at_once_are_as_cell_by_cell(tmp_path_factory, table, most, newline):
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator=newline).writerows([["x", "y", "z"], *table])
    expected = cell_by_cell(path)
    settings_of = DatasetSettings(title="t", path=str(path), fields=FIELDS, missing_marks=MARKS)
    with in_steps_of(most):
        if isinstance(expected, str):
            with pytest.raises(Malformed, match=re.escape(expected)):
                read_columns(settings_of, tuple(FIELDS))
            return
        got = read_columns(settings_of, tuple(FIELDS))
    for name, values in zip(FIELDS, expected, strict=True):
        assert np.array_equal(got.column(name), values, equal_nan=name != "z")


@contextlib.contextmanager
def in_steps_of(rows):
    """Batches of so many rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "_STEP_ROWS", min(rows, csv_file._STEP_ROWS))
        patch.setattr(csv_file, "_BATCH_ROWS", rows)
        yield
