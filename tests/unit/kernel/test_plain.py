"""The plain form of a state is read back as what it was, and anything else is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import pytest
from immutables import Map

from serai.errors import Malformed
from serai.kernel.canonical import canonical
from serai.kernel.ids import Digest, MemberId, digest_of
from serai.kernel.plain import Reader, from_plain, to_plain
from serai.state import State

ID = digest_of(b"")


class Colour(StrEnum):
    """Some choice."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Leaf:
    """Two fields."""

    name: str
    share: Fraction


@dataclass(frozen=True)
class Twig:
    """Three fields, one of which may be another of its kind."""

    colour: Colour
    leaf: Leaf
    next: "Twig | None"


@dataclass(frozen=True)
class Tree:
    """Everything that a state may hold."""

    id: Digest
    flag: bool
    key: bytes
    members: frozenset[MemberId]
    twigs: Map[tuple[Digest, int], Twig]
    words: Mapping[str, int]
    either: Leaf | Twig
    value: str | int | tuple[str, ...]
    none: int | None


@dataclass(frozen=True)
class Other:
    """As long as a leaf."""

    name: str
    number: int


@dataclass(frozen=True)
class Guarded:
    """Refuses some values itself."""

    number: int

    def __post_init__(self):
        if self.number < 0:
            raise ValueError("expected a number of at least 0")


TWIG = Twig(Colour.RED, Leaf('a "quoted" ä', Fraction(-2, 3)), Twig(Colour.BLUE, Leaf("", Fraction(0)), None))
TREE = Tree(
    id=ID,
    flag=True,
    key=b"\x00\xff",
    members=frozenset({MemberId("bern"), MemberId("lima")}),
    twigs=Map({(ID, 10): TWIG, (ID, 9): TWIG}),
    words={"b": 2, "a": 1},
    either=TWIG,
    value=("x", "y"),
    none=None,
)


@pytest.mark.parametrize("value", ["text", 7, ("x",)])
@pytest.mark.parametrize("either", [TWIG, TWIG.leaf])
def test_what_is_read_is_what_was_written(value, either):
    tree = Tree(**{**vars(TREE), "value": value, "either": either})
    assert from_plain(Tree, to_plain(tree)) == tree


def test_maps_and_sets_stand_in_the_order_of_their_canonical_keys():
    plain = to_plain(TREE)
    assert plain[3] == ["bern", "lima"]
    assert [pair[0] for pair in plain[4]] == [[ID, 10], [ID, 9]]
    assert plain[5] == [["a", 1], ["b", 2]]
    keys = ["a", "a!", "a b", "\u00e4", '"', "\\", "\n", "aa"]
    assert [pair[0] for pair in to_plain(dict.fromkeys(keys, 0))] == sorted(keys, key=canonical)
    assert [pair[0] for pair in to_plain(dict.fromkeys([100, 20, 3], 0))] == [100, 20, 3]


def test_equal_texts_become_one_object():
    first, second = from_plain(tuple[Digest, ...], ["ab" * 32, "".join(["ab"] * 32)])
    assert first is second


def bent(place, value):
    plain = to_plain(TREE)
    plain[place] = value
    return plain


@pytest.mark.parametrize(
    "plain",
    [
        None,
        {},
        to_plain(TREE)[:-1],
        [*to_plain(TREE), 0],
        bent(0, "AB" * 32),
        bent(0, "ab"),
        bent(1, 1),
        bent(2, "0"),
        bent(2, "0A"),
        bent(2, 5),
        bent(3, "bern"),
        bent(3, ["bern", "bern"]),
        bent(3, ["Bern"]),
        bent(4, [[[ID, 1], to_plain(TWIG)]] * 2),
        bent(4, [[[ID], to_plain(TWIG)]]),
        bent(4, [[[ID, 1]]]),
        bent(4, {}),
        bent(5, [["a", True]]),
        bent(5, ["ab"]),
        bent(5, [[1, 1]]),
        bent(6, ["red"]),
        bent(6, ["green", *to_plain(TWIG)[1:]]),
        bent(6, ["a", [2, 4]]),
        bent(6, ["a", [1, 0]]),
        bent(6, ["a", [True, 1]]),
        bent(7, {"a": 1}),
        bent(7, None),
        bent(8, 2**53),
        bent(8, 1.0),
    ],
)
def test_anything_else_is_refused(plain):
    with pytest.raises(Malformed):
        from_plain(Tree, plain)


def test_what_a_type_itself_refuses_is_refused():
    with pytest.raises(Malformed, match="at least 0"):
        from_plain(Guarded, [-1])


def test_nesting_without_end_is_refused():
    plain = None
    for _ in range(2000):
        plain = ["red", ["a", [1, 1]], plain]
    with pytest.raises(Malformed, match="deeper"):
        from_plain(Twig, plain)


@pytest.mark.parametrize("annotation", [float, list[int], Map[str, float], object])
def test_a_type_that_is_not_known_is_named(annotation):
    with pytest.raises(TypeError, match="a state cannot hold"):
        Reader().of(annotation)


@pytest.mark.parametrize("annotation", [str | Colour, Leaf | Other, Leaf | tuple[int, ...], bytes | str])
def test_types_that_look_alike_cannot_stand_for_one_another(annotation):
    with pytest.raises(TypeError, match="told apart"):
        Reader().of(annotation)


def test_every_type_that_a_state_may_hold_is_known():
    assert from_plain(State, to_plain(State())) == State()
