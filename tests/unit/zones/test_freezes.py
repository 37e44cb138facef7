"""A freeze holds for what it names, however that is named, until it is thawed."""

from dataclasses import replace

import pytest

from serai.kernel.ids import Digest, MemberId
from serai.zones.freezes import Freeze, Frozen, Touched, find_freezes

TOUCHED = Touched(
    run=Digest("ab" * 32),
    agreement=Digest("cd" * 32),
    dataset=Digest("ef" * 32),
    dataset_name="hearts",
    members=frozenset({MemberId("bern"), MemberId("lima")}),
)


def freeze(what, name, digest="", **changes):
    made = Freeze(id=1, what=what, name=name, digest=digest, reason="an incident", by="anna", since_ms=7)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("held", "holds"),
    [
        (freeze(Frozen.RUN, "abab"), True),
        (freeze(Frozen.RUN, "ab" * 32), True),
        (freeze(Frozen.RUN, "cdcd"), False),
        (freeze(Frozen.AGREEMENT, "cdcd"), True),
        (freeze(Frozen.AGREEMENT, "abab"), False),
        (freeze(Frozen.MEMBER, "lima"), True),
        (freeze(Frozen.MEMBER, "lim"), False),
        (freeze(Frozen.DATASET, "hearts", "00" * 32), True),
        (freeze(Frozen.DATASET, "renamed", "ef" * 32), True),
        (freeze(Frozen.DATASET, "lungs", "00" * 32), False),
        (freeze(Frozen.RUN, "abab", thawed_ms=8), False),
    ],
)
def test_what_is_named_is_frozen_and_nothing_else(held, holds):
    found = list(find_freezes([held], TOUCHED))
    assert bool(found) is holds
    assert found in ([], [f"this zone has frozen {held.what} {held.name}: an incident"])


def test_a_dataset_that_is_not_known_here_is_frozen_by_nobodys_digest():
    unknown = replace(TOUCHED, dataset=None, dataset_name=None)
    assert not list(find_freezes([freeze(Frozen.DATASET, "hearts")], unknown))
