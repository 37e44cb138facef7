import numpy as np
import pytest

from serai.errors import Refused
from serai.training.tables import MISSING, Table, table_arrays, table_of
from serai.training.tensors import model_bytes, read_model

AGE = np.array([61.0, np.nan, 48.5])
SEX = np.array([0, 1, MISSING], np.int16)
TABLE = Table(rows=3, numbers={"age": AGE}, categories={"sex": SEX}, levels={"sex": ("female", "male")})


def test_a_table_comes_out_of_a_file_of_arrays_as_it_went_in():
    arrays = read_model(model_bytes(table_arrays(TABLE)))
    again = table_of(3, {"sex": ["female", "male"]}, arrays)
    assert again.rows == 3
    np.testing.assert_array_equal(again.number("age"), AGE)
    np.testing.assert_array_equal(again.category("sex")[0], SEX)
    assert again.category("sex")[1] == ("female", "male")


@pytest.mark.parametrize(("read", "name"), [("number", "sex"), ("number", "weight"), ("category", "age")])
def test_a_column_that_is_not_there_or_of_another_kind_is_named(read, name):
    with pytest.raises(Refused, match=f"no column '{name}' of kind {read}; there are"):
        getattr(TABLE, read)(name)
