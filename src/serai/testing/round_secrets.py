"""What a center can compute from all that it was ever sent: which masks it knows, and which vectors that shows.

Theory of operation
    An upload is a member's vector plus keystreams, each known as soon as its seed
    is. A seed is known when somebody shows it, when an accomplice shares it, or
    when as many as the threshold show or hold shares of it. What is left is linear
    algebra: uploads are rows over the vectors and the keystreams nobody knows.
    Rows are eliminated by those keystreams; what remains are the sums that can be
    read. A vector shows if its member alone is in their span.

    A keystream is named by its seed's bytes, so one that is used twice is one
    unknown. The vector of a member from one model is one unknown as well, however
    often it is sent: the worst case, for a recipe that draws anew shows less.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from serai.aggregation.state import SaidInRound
from serai.aggregation.statements import RoundClose, RoundRecover, RoundRelease, RoundUpload
from serai.kernel.ids import Digest, MemberId
from serai.testing.round_zones import Row, Zones

Closes: TypeAlias = Mapping[Digest, RoundClose]


class Vector(NamedTuple):
    """What a member sends from a model."""

    member: MemberId
    model: Digest


Unknown: TypeAlias = Vector | bytes
"""A vector, or the keystream of a seed."""
Equation: TypeAlias = dict[Unknown, Fraction]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the center and its accomplices have.

    Attributes:
        uploads: those of honest members, with what only their makers know.
        shown: the seeds that somebody released.
        shares: how many members gave a share of a seed, by seed; accomplices' own are not counted here.
        threshold: how many shares give a seed back; 0 if none were dealt.
        colluders: the accomplices.

    """

    uploads: tuple[Row, ...]
    shown: frozenset[bytes]
    shares: Mapping[bytes, int]
    threshold: int
    colluders: frozenset[MemberId]

    def seeds(self) -> set[bytes]:
        """Every seed that was shown, that an accomplice shares, or of which there are shares enough."""
        known = set(self.shown)
        for row in self.uploads:
            for partner, mask in row.masks.items():
                shares = self.shares.get(mask.seed, 0) + len(self.colluders)
                if partner in self.colluders or 0 < self.threshold <= shares:
                    known.add(mask.seed)
        return known


def learn(zones: Zones, colluders: Collection[MemberId], said: Iterable[SaidInRound], closes: Closes) -> Knowledge:
    """What follows from all that honest members said.

    Args:
        zones: the members.
        colluders: the accomplices.
        said: by honest members, wherever it was shown.
        closes: those that releases and shares can be for, by statement id.

    """
    uploads, shown, givers = [], set[bytes](), dict[bytes, set[MemberId]]()
    for one in said:
        match one.body:
            case RoundUpload(blob=blob):
                uploads.append(zones.rows[blob])
            case RoundRelease() as body:
                shown |= {body.self_seed, *body.pair_seeds.values()}
            case RoundRecover() as body:
                masks = zones.rows[closes[body.close].uploads[body.member]].masks
                for partner in body.shares:
                    givers.setdefault(masks[partner].seed, set()).add(one.member)
            case _:
                pass
    return Knowledge(
        uploads=tuple(uploads),
        shown=frozenset(shown),
        shares={seed: len(those) for seed, those in givers.items()},
        threshold=zones.job.threshold,
        colluders=frozenset(colluders),
    )


def read_vectors(knowledge: Knowledge) -> frozenset[MemberId]:
    """The honest members whose vectors are in the span of what is known."""
    known = knowledge.seeds()
    equations = [_equation(row, known) for row in knowledge.uploads]
    alone = [row for row in _reduced(_eliminated(equations)) if len(row) == 1]
    return frozenset(name.member for row in alone for name in row if isinstance(name, Vector))


def _equation(row: Row, known: set[bytes]) -> Equation:
    equation: Equation = {Vector(row.member, row.model): Fraction(1)}
    for mask in row.masks.values():
        if mask.seed not in known:
            equation[mask.seed] = equation.get(mask.seed, Fraction(0)) + mask.sign
    return equation


def _eliminated(rows: list[Equation]) -> list[Equation]:
    """What follows from the rows about vectors alone."""
    while (unknown := next((name for row in rows for name in row if isinstance(name, bytes)), None)) is not None:
        pivot = next(row for row in rows if unknown in row)
        rows = [_less(row, pivot, unknown) for row in rows if row is not pivot]
    return rows


def _reduced(rows: list[Equation]) -> list[Equation]:
    """The reduced row echelon form, in which every vector that is determined has a row of its own."""
    done: list[Equation] = []
    rest = [row for row in rows if row]
    while rest:
        pivot = rest.pop()
        unknown = next(iter(pivot))
        pivot = {name: value / pivot[unknown] for name, value in pivot.items()}
        rest = [row for row in (_less(row, pivot, unknown) for row in rest) if row]
        done = [*(_less(row, pivot, unknown) for row in done), pivot]
    return done


def _less(row: Equation, pivot: Equation, unknown: Unknown) -> Equation:
    """A row less the multiple of another that takes an unknown out of it."""
    share = row.get(unknown, Fraction(0)) / pivot[unknown]
    names = row.keys() | pivot.keys()
    found = {name: row.get(name, Fraction(0)) - share * pivot.get(name, Fraction(0)) for name in names}
    return {name: value for name, value in found.items() if value}
