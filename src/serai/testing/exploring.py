"""Every state that some moves lead to, breadth first: the shortest way to a broken promise is found first."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

S = TypeVar("S")


class Broken(AssertionError):
    """A promise does not hold; the message has the moves that led there."""


@dataclass(frozen=True, slots=True)
class Explored(Generic[S]):
    """What was looked at.

    Attributes:
        states: how many different ones.
        moves: how many led to them, or to one seen before.
        depth: of the state that is the most moves away.
        ends: the states without a further move.
        is_whole: whether nothing was left out.

    """

    states: int
    moves: int
    depth: int
    ends: tuple[S, ...] = field(repr=False)
    is_whole: bool


def explore(
    start: S,
    moves: Callable[[S], Iterable[tuple[str, S]]],
    key: Callable[[S], Hashable],
    check: Callable[[S], str | None],
    depth: int,
) -> Explored[S]:
    """Look at every state within ``depth`` moves of ``start``.

    Args:
        start: where to begin.
        moves: what may happen next, in words, and the state that it leads to.
        key: equal for states of which it is enough to look at one.
        check: the promise that a state breaks, in words; None if it keeps them all.
        depth: how many moves to make.

    Raises:
        Broken: a state breaks a promise.

    """
    came: dict[Hashable, tuple[Hashable, str]] = {key(start): (None, "")}
    level, made, reached, ends = [start], 0, 0, []
    _hold(check(start), came, key(start))
    for reached in range(depth + 1):
        following = []
        for state in level:
            here, is_end = key(state), True
            if reached == depth:
                continue
            for words, after in moves(state):
                made, is_end, there = made + 1, False, key(after)
                if there not in came:
                    came[there] = (here, words)
                    _hold(check(after), came, there)
                    following.append(after)
            if is_end:
                ends.append(state)
        if not following:
            break
        level = following
    return Explored(len(came), made, reached, tuple(ends), reached < depth)


def _hold(fault: str | None, came: dict[Hashable, tuple[Hashable, str]], there: Hashable) -> None:
    if fault is None:
        return
    way, at = [], there
    while came[at][1]:
        at, words = came[at]
        way.append(words)
    raise Broken("\n".join([fault, *(f"{number:3} {words}" for number, words in enumerate(reversed(way), 1))]))
