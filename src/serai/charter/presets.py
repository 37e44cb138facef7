"""Articles modelled on how known bodies decide, to start a charter from.

Each table is like its namesake, never a copy: a charter changes what it needs.
Tables that count weights name the weights table which the charter must bring:
``votes`` for ``eurohpc``, ``population`` for ``eu``.

| table        | agreements of use of data                           | standing           | daily matters          |
| ------------ | --------------------------------------------------- | ------------------ | ---------------------- |
| `consensus`  | nobody objects, most are heard (SCO Charter 16)     | without the member | silence                |
| `cern`       | 2/3 of all and of participants (Convention V)       | 2/3 of the others  | majority of votes cast |
| `eurohpc`    | 75 % of all weighted votes (Regulation 2021/1173)   | 75 %               | consensus, else 75 %   |
| `eu`         | 55 % of members with 65 % of population (TEU 16(4)) | all the others     | silence, else majority |
| `consortium` | more than half of the members                       | 2/3 of the others  | majority of votes cast |
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Final

from serai.charter.articles import HALF, Base, Criterion, Mode, Rule
from serai.charter.constitution import ACCESSION, AGREEMENT, CHARTER, OPERATIONS, PROJECT, STANDING

DAY_MS: Final = 24 * 3600 * 1000

_MAJORITY = Criterion(share=HALF)
_QUORUM = Criterion(share=HALF, base=Base.ELIGIBLE)
_MAJORITY_OF_ALL = Criterion(share=HALF, base=Base.ELIGIBLE)
_TWO_THIRDS_OF_ALL = Criterion(share=Fraction(2, 3), strict=False, base=Base.ELIGIBLE)
_TWO_THIRDS_OF_PARTICIPANTS = Criterion(share=Fraction(2, 3), strict=False, base=Base.PARTICIPANTS)
_ALL = Criterion(share=Fraction(1), strict=False, base=Base.ELIGIBLE)
_WEIGHTED_75 = Criterion(share=Fraction(3, 4), strict=False, unit="weight:votes", base=Base.ELIGIBLE)
_EU_MEMBERS = Criterion(share=Fraction(55, 100), strict=False, base=Base.ELIGIBLE)
_EU_POPULATION = Criterion(share=Fraction(65, 100), strict=False, unit="weight:population", base=Base.ELIGIBLE)

_CONSENSUS = Rule(mode=Mode.CONSENSUS, window_ms=30 * DAY_MS, quorum=_QUORUM)
_QUICK_CONSENSUS = replace(_CONSENSUS, window_ms=14 * DAY_MS, early_close=True)
_SILENCE = Rule(mode=Mode.SILENCE, window_ms=3 * DAY_MS, early_close=True)
_UNANIMITY = Rule(mode=Mode.VOTE, window_ms=30 * DAY_MS, criteria=(_ALL,))
_SIMPLE = Rule(mode=Mode.VOTE, window_ms=7 * DAY_MS, criteria=(_MAJORITY,), quorum=_QUORUM, early_close=True)
_TWO_THIRDS = Rule(mode=Mode.VOTE, window_ms=30 * DAY_MS, criteria=(_TWO_THIRDS_OF_ALL,))
_PROGRAMME = Rule(
    mode=Mode.VOTE,
    window_ms=14 * DAY_MS,
    criteria=(_TWO_THIRDS_OF_ALL, _TWO_THIRDS_OF_PARTICIPANTS),
    quorum=_QUORUM,
    early_close=True,
)
_WEIGHTED = Rule(mode=Mode.VOTE, window_ms=14 * DAY_MS, criteria=(_WEIGHTED_75,), early_close=True)
_DOUBLE = Rule(
    mode=Mode.VOTE,
    window_ms=14 * DAY_MS,
    criteria=(_EU_MEMBERS, _EU_POPULATION),
    blocking_min=4,
    early_close=True,
)

PRESETS: Final[Mapping[str, Mapping[str, Rule]]] = {
    "consensus": {
        CHARTER: _CONSENSUS,
        ACCESSION: _CONSENSUS,
        STANDING: replace(_CONSENSUS, exclude_concerned=True),
        AGREEMENT: _QUICK_CONSENSUS,
        PROJECT: _QUICK_CONSENSUS,
        OPERATIONS: _SILENCE,
    },
    "cern": {
        CHARTER: _UNANIMITY,
        ACCESSION: _UNANIMITY,
        STANDING: replace(_TWO_THIRDS, exclude_concerned=True),
        AGREEMENT: _PROGRAMME,
        PROJECT: _PROGRAMME,
        OPERATIONS: _SIMPLE,
    },
    "eurohpc": {
        CHARTER: _UNANIMITY,
        ACCESSION: replace(_WEIGHTED, window_ms=30 * DAY_MS, early_close=False),
        STANDING: replace(_WEIGHTED, window_ms=30 * DAY_MS, early_close=False),
        AGREEMENT: _WEIGHTED,
        PROJECT: _WEIGHTED,
        OPERATIONS: replace(_QUICK_CONSENSUS, fallback=_WEIGHTED),
    },
    "eu": {
        CHARTER: _UNANIMITY,
        ACCESSION: _UNANIMITY,
        STANDING: replace(_UNANIMITY, exclude_concerned=True),
        AGREEMENT: _DOUBLE,
        PROJECT: _DOUBLE,
        OPERATIONS: replace(_SILENCE, fallback=_DOUBLE),
    },
    "consortium": {
        CHARTER: _TWO_THIRDS,
        ACCESSION: _TWO_THIRDS,
        STANDING: replace(_TWO_THIRDS, exclude_concerned=True),
        AGREEMENT: replace(_SIMPLE, criteria=(_MAJORITY_OF_ALL,), window_ms=14 * DAY_MS),
        PROJECT: _SIMPLE,
        OPERATIONS: _SIMPLE,
    },
}
"""Tables of articles by name; each has a rule for every topic that a charter needs."""


def with_window(articles: Mapping[str, Rule], window_ms: int) -> dict[str, Rule]:
    """The same articles with one window for every ballot and no notice, as an exercise needs."""
    return {topic: _with_window(rule, window_ms) for topic, rule in articles.items()}


def _with_window(rule: Rule, window_ms: int) -> Rule:
    fallback = None if rule.fallback is None else _with_window(rule.fallback, window_ms)
    return replace(rule, window_ms=window_ms, notice_ms=0, fallback=fallback)
