"""The airlock: what is unusual about an output that the policy lets out, so that a person looks before it leaves.

Theory of operation. The gate asks what may be told of an output: its kind, its
length, the rows behind it. Whether a vector of the right length carries a sum or
somebody's row, no rule can tell. What can be told is that it is *unlike* what
the same program sent before, and then it waits for the steward. The measures are
few, cost one pass and constant memory, and are compared with those of earlier
vectors only, for what is usual differs from program to program.

A term asks for it, and the strictest term counts:

===========  ==========================================================================
``first``    a program whose like never left this zone has its first output looked at
``unusual``  so is whatever differs from before, as ``judge_vector`` and ``judge_counts`` tell
``always``   so is every output
===========  ==========================================================================

KNOWN GAP: a program that wants to hide a row in the low bits of a long vector, and
enciphers it, leaves nothing to measure. What stops that is to know the program:
``code`` terms, the steward's approval, the sandbox. And a sum of one's own honest
vector with others' tells no more than the sum.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from serai.zones.policy import Policy

SMALL_CELL: Final = 5  # a count of fewer rows may tell one of them apart
_ENOUGH: Final = 4096  # values from which the spread of low bits tells more than chance
_MORE: Final = 0.01  # by which a share that should not grow may
_ZEROS: Final = 0.25  # by which the share of zeros may leave the range of before
_BITS: Final = 3.0  # an eightfold growth; that values shrink is what convergence looks like
_LOW_BITS: Final = 0.5
_FEW_KNOWN: Final = 8  # values that chance may make equal to a cell
_ROWS: Final = 0.1


class Airlock(StrEnum):
    """Which outputs a steward looks at before they leave, from few to all."""

    FIRST = "first"
    UNUSUAL = "unusual"
    ALWAYS = "always"


def airlock_of(policies: Iterable[Policy]) -> Airlock | None:
    """The strictest ``airlock`` term among some policies; None if there is none. A malformed one denies elsewhere."""
    asked = {term.value for policy in policies for term in policy.terms if term.name == "airlock"}
    found = [mode for mode in Airlock if mode in asked]
    return found[-1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorFacts:
    """What was measured about a vector: of its integers, before noise and masks.

    Attributes:
        values: how many.
        limit: the largest magnitude that the codec holds.
        zeros: how many are zero.
        clipped: how many were beyond the limit.
        bits: the sum of the bit lengths of their magnitudes.
        low_bits: entropy of the low byte of those that are not zero, in thousandths of a bit.
        known: how many stand in the rows as they are, zeros and ones not counted.

    """

    values: int
    limit: int
    zeros: int
    clipped: int
    bits: int
    low_bits: int
    known: int

    @property
    def nonzero(self) -> int:
        """How many are not zero."""
        return self.values - self.zeros


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What of a program left this zone before.

    Attributes:
        vectors: what was measured about its vectors, those of this run if there are any.
        counts: the counts that left, oldest first.
        sent: how many vectors of this run left.
        planned: how many sums the run's plan has.

    """

    vectors: Sequence[VectorFacts] = ()
    counts: Sequence[Mapping[str, int]] = ()
    sent: int = 0
    planned: int = 0


def judge_vector(mode: Airlock | None, facts: VectorFacts, past: Past) -> tuple[str, ...]:
    """Why a steward has to look at a vector before it leaves, a sentence each; empty if nobody has to."""
    return _asked(mode, has_past=bool(past.vectors), unusual=lambda: _vector(facts, past))


def judge_counts(mode: Airlock | None, counts: Mapping[str, int], past: Past) -> tuple[str, ...]:
    """Why a steward has to look at counts before they leave in the clear, a sentence each; empty if nobody has to."""
    return _asked(mode, has_past=bool(past.counts), unusual=lambda: _counts(counts, past.counts))


def _asked(mode: Airlock | None, *, has_past: bool, unusual: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    if mode is None:
        return ()
    found = [] if has_past else ["nothing of this program has left this zone before"]
    if mode is not Airlock.FIRST:
        found += unusual()
    if mode is Airlock.ALWAYS:
        found.append("the policy has every output looked at")
    return tuple(found)


def _vector(facts: VectorFacts, past: Past) -> Iterator[str]:
    if past.sent > past.planned:
        yield f"the run plans {past.planned} sums, and {past.sent} of its vectors have left"
    alike = [earlier for earlier in past.vectors if earlier.limit == facts.limit]
    if not alike:
        return
    yield from _outside("zeros", _share(facts.zeros, facts), [_share(one.zeros, one) for one in alike], _ZEROS)
    yield from _above("values beyond the codec", facts.clipped, facts, [one.clipped / one.values for one in alike])
    known = [one.known / one.values for one in alike]
    if facts.known >= _FEW_KNOWN:
        yield from _above("values that stand in the rows as they are", facts.known, facts, known)
    grown = _mean_bits(facts) - max(map(_mean_bits, alike))
    if grown > _BITS:
        yield f"its values are {2**grown:.0f} times as large as the largest before"
    spread = [one.low_bits / 1000 for one in alike if one.nonzero >= _ENOUGH]
    if facts.nonzero >= _ENOUGH and spread:
        found = facts.low_bits / 1000
        if not min(spread) - _LOW_BITS <= found <= max(spread) + _LOW_BITS:
            yield (
                f"the low bits of its values hold {found:.1f} bits each, before {min(spread):.1f} to {max(spread):.1f}:"
                " something else than measured numbers may be in them"
            )


def _counts(counts: Mapping[str, int], earlier: Sequence[Mapping[str, int]]) -> Iterator[str]:
    if small := sorted(name for name, value in counts.items() if 0 < value < SMALL_CELL):
        shown = ", ".join(f"{name} {counts[name]}" for name in small[:8])
        yield f"{len(small)} of its counts are of fewer than {SMALL_CELL} rows: {shown}"
    if not earlier:
        return
    if new := sorted(set(counts) - {name for one in earlier for name in one}):
        yield f"{len(new)} of its counts are new: {', '.join(new[:8])}"
    rows, before = counts.get("n"), [one["n"] for one in earlier if "n" in one]
    if rows is not None and before and not min(before) * (1 - _ROWS) <= rows <= max(before) * (1 + _ROWS):
        yield f"it is about {rows} rows, before about {min(before)} to {max(before)}"


def _share(part: int, facts: VectorFacts) -> float:
    return part / facts.values


def _mean_bits(facts: VectorFacts) -> float:
    return facts.bits / facts.nonzero if facts.nonzero else 0.0


def _outside(what: str, found: float, before: Sequence[float], margin: float) -> Iterator[str]:
    low, high = min(before), max(before)
    if not low - margin <= found <= high + margin:
        yield f"{found:.1%} of its values are {what}, before {low:.1%} to {high:.1%}"


def _above(what: str, part: int, facts: VectorFacts, before: Sequence[float]) -> Iterator[str]:
    found, high = _share(part, facts), max(before)
    if found > high + _MORE:
        yield f"{found:.1%} of its values are {what}, before at most {high:.1%}"
