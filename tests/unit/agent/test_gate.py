"""How many subjects stand behind counts is told by how many rows do, or not at all."""

import numpy as np
import pytest

from serai.agent.admission import Prepared
from serai.agent.gate import subjects_behind
from serai.training.methods import Data


def prepared(train, held_back, subjects):
    x, test_x = np.zeros((train, 1)), np.zeros((held_back, 1))
    data = Data(x=x, y=np.zeros(train), test_x=test_x, test_y=np.zeros(held_back), names=("x",))
    return Prepared(recipe=None, data=data, facts=None, subjects=subjects, close=lambda: None)


@pytest.mark.parametrize(
    ("held_back", "rows", "subjects", "behind"),
    [
        (10, 30, (12, 7), 12),
        (10, 10, (12, 7), 7),
        (30, 30, (12, 7), 7),  # either part may be meant, so the smaller counts
        (10, 11, (12, 7), None),
        (10, None, (12, 7), None),
        (10, 30, None, None),
    ],
)
def test_the_part_with_so_many_rows_is_the_one_behind(held_back, rows, subjects, behind):
    assert subjects_behind(prepared(30, held_back, subjects), rows) == behind
