"""Rows on their way to a recipe's worker: those in a file in memory as they lie there, any others in a copy."""

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
    if isinstance(data, ColumnData) and data.is_of_file:
        file = data.file
        names = table_names(table) if table.rows else dict(zip(file.dtypes, ("x", "y"), strict=True))
        columns = {names[name]: dtype for name, dtype in file.dtypes.items()}
        shared = Shared(file.fd, file.sizes(), STRIDE)
        return Call(message={**message, "columns": columns, "trained": len(data.y)}, shared=shared)
    values = {item.name: getattr(data, item.name) for item in fields(Data)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return Call(message=message, parts=(write_model({**arrays, **table_arrays(table)}),))
