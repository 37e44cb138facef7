"""A recipe's rounds in one process: each member's vector through the codec, added in the ring, and the common step.

The integers are those of a real run; keys, log and masks are not there, for masks cancel.
"""

from collections.abc import Mapping

import numpy as np

from serai.aggregation.codec import check, decode, encode
from serai.errors import Refused
from serai.kernel.ids import MemberId, digest_of
from serai.recipes.registry import build
from serai.training.methods import Context, Data
from serai.training.tables import Table
from serai.training.tensors import Model, model_bytes, read_model


def sum_tables(recipe: str, params: Mapping[str, str], tables: Mapping[str, Table], rounds: int = 1) -> Model:
    """The model that some rounds of a recipe make of members' tables.

    Args:
        recipe: its name.
        params: its settings.
        tables: each member's columns.
        rounds: how many.

    Raises:
        Malformed: a setting does not fit.
        Refused: the data do not, or a value passes what the codec holds.

    """
    built = build(recipe, params, {})
    codec = built.codec(len(tables))
    check(codec, len(tables))
    model = built.initial()
    for number in range(rounds):
        total = codec.ring.zeros(codec.lanes)
        for name, table in tables.items():
            words = f"{name} {number}".encode()
            context = Context(
                round=number,
                seed=bytes.fromhex(digest_of(b"seed " + words)),
                secret=bytes.fromhex(digest_of(b"secret " + words)),
                member=MemberId(name),
                done=number,
                rounds=rounds,
            )
            vector = np.asarray(built.contribute(model, _data(table), context)[:])
            lanes, clipped = encode(codec, vector)
            if clipped:
                raise Refused("clipped", f"{clipped} values of {name} pass what the codec holds")
            codec.ring.add(total, lanes)
        codec.ring.reduce(total)
        model = read_model(model_bytes(built.combine(model, decode(codec, total), len(tables))))
    return model


def _data(table: Table) -> Data:
    nothing, none = np.zeros((table.rows, 0)), np.zeros(0)
    return Data(x=nothing, y=none, test_x=nothing[:0], test_y=none, names=(), table=table)
