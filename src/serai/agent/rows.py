"""Rows on their way to a recipe's worker: columns in the file in memory in which they lie, anything else in a copy."""

from dataclasses import fields

import numpy as np

from serai.agent.readers.column_file import STRIDE, ColumnData
from serai.agent.sandbox import Call, Shared
from serai.training.methods import Data
from serai.training.tables import table_arrays, table_names
from serai.training.tensors import write_model


def rows_call(data: Data) -> Call:
    """The call that hands a worker its rows."""
    table = data.table
    levels = {name: list(order) for name, order in table.levels.items()}
    message = {"call": "rows", "names": list(data.names), "rows": table.rows, "levels": levels, "columns": {}}
    if isinstance(data, ColumnData):
        file, kinds = data.file, table_names(table)
        columns = {kinds[name]: dtype for name, dtype in file.dtypes.items()}
        return Call(message={**message, "columns": columns}, shared=Shared(file.fd, file.sizes(), STRIDE))
    values = {item.name: getattr(data, item.name) for item in fields(data)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return Call(message=message, parts=(write_model({**arrays, **table_arrays(table)}),))
