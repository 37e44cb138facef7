"""A program that does not come with serai is permitted by a term or by the own steward's witnessed word, or not at all."""

from dataclasses import replace

import pytest

from serai.charter.agreements import Term
from serai.kernel.ids import Digest
from serai.zones.admission import ProgramFacts
from serai.zones.guard import is_foreign_permitted
from serai.zones.policy import Policy, names_code

CODE, OTHER = Digest("c0" * 32), Digest("0c" * 32)
FOREIGN = ProgramFacts(is_foreign=True)


def policy(name, value):
    return Policy(source="agreement 1", terms=(Term(name=name, value=value, clause="1"),))


def test_nothing_said_permits_nothing():
    assert not is_foreign_permitted(FOREIGN, (), CODE, 100)
    assert not is_foreign_permitted(FOREIGN, (Policy(source="zone policy", terms=()),), CODE, 100)


@pytest.mark.parametrize(
    ("name", "value", "is_named"),
    [
        ("code", (CODE,), True),
        ("code", (OTHER, CODE), True),
        ("code", (OTHER,), False),
        ("code", CODE, False),
        ("code", (), False),
        ("purpose", (CODE,), False),
    ],
)
def test_only_a_well_formed_code_term_with_that_very_digest_permits(name, value, is_named):
    assert names_code((policy(name, value),), CODE) is is_named
    assert is_foreign_permitted(FOREIGN, (policy(name, value),), CODE, 100) is is_named


@pytest.mark.parametrize(("index", "is_permitted"), [(None, False), (99, True), (100, False), (101, False)])
def test_a_stewards_approval_counts_once_a_quorum_has_witnessed_it(index, is_permitted):
    assert is_foreign_permitted(replace(FOREIGN, approved_at=index), (), CODE, 100) is is_permitted
