"""What a model gives away about who was in its training rows: an attack by loss, counted.

Whoever has a row with its answer and the model can guess that the row was trained
on where the model's loss on it is low. Each zone plays that attacker against its
own rows, those trained on and those held back, and reports how often it is right.

The test shows this one attack on these rows. It shows no bound: stronger attacks
(with shadow models, or over several rounds) find more, and a model that passes may
give away single unusual rows. Only differential privacy bounds every attack.

Sources: S. Yeom, I. Giacomelli, M. Fredrikson and S. Jha, CSF 2018, 268-282, adversary
1 with the mean training loss as its threshold; N. Carlini et al., IEEE S&P 2022,
1897-1914, for the share found at few false alarms.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from serai.analytics.discrimination import Area, area, count_pairs
from serai.analytics.metrics import Interval, difference

PREFIX: Final = "mia_"
NAMES: Final = ("mia_in", "mia_out", "mia_u2", "mia_tp", "mia_fp", "mia_hits")
_LEAST: Final = 1e-12  # a probability below has no finite loss worth telling from others
_ALARMS: Final = 100  # one false alarm among so many


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How an attacker fares that guesses by loss.

    Attributes:
        advantage: share of training rows called so, minus that of held-back rows; 0 for a blind guess.
        interval: of the advantage, at 95 %.
        area: how well loss tells training rows from others; 1/2 for a blind guess.
        found: share of training rows that are told with at most 1 % false alarms.

    """

    advantage: Fraction
    interval: Interval
    area: Area
    found: Fraction


def membership_counts(inside: npt.NDArray[np.float64], outside: npt.NDArray[np.float64]) -> dict[str, int]:
    """The attack's counts.

    Args:
        inside: the probability that the model gave each training row's true answer, ``(m,)``.
        outside: the same of the rows held back, ``(n,)``.

    """
    inner, outer = (-np.log(np.maximum(given, _LEAST)) for given in (inside, outside))
    threshold = float(inner.mean())
    # The highest probability that more held-back rows than the alarms allowed reach.
    bar = np.sort(outside)[-(len(outside) // _ALARMS + 1)]
    return {
        "mia_in": len(inside),
        "mia_out": len(outside),
        "mia_u2": count_pairs(inside, outside),
        "mia_tp": int(np.count_nonzero(inner <= threshold)),
        "mia_fp": int(np.count_nonzero(outer <= threshold)),
        "mia_hits": int(np.count_nonzero(inside > bar)),
    }


def exposure_of(counts: Mapping[str, int]) -> Exposure | None:
    """How the attack went by an evaluation's counts; None where it was not made."""
    if not counts.keys() >= set(NAMES) or not counts["mia_in"] or not counts["mia_out"]:
        return None
    inside, outside = (counts["mia_tp"], counts["mia_in"]), (counts["mia_fp"], counts["mia_out"])
    return Exposure(
        advantage=Fraction(*inside) - Fraction(*outside),
        interval=difference(inside, outside),
        area=area(counts["mia_u2"], counts["mia_in"], counts["mia_out"]),
        found=Fraction(counts["mia_hits"], counts["mia_in"]),
    )


def find_membership_contradiction(counts: Mapping[str, int]) -> str | None:
    """Why the attack's counts cannot be true, or None when they can."""
    present = sorted(name for name in counts if name.startswith(PREFIX))
    if not present:
        return None
    if present != sorted(NAMES):
        return f"expected all of {', '.join(NAMES)} or none, got {', '.join(present)}"
    inside, outside = counts["mia_in"], counts["mia_out"]
    if min(inside, outside) < 1 or counts["mia_u2"] > 2 * inside * outside:
        return f"expected 0 to 2 x {inside} x {outside} half pairs and both at least 1, got {counts['mia_u2']}"
    if max(counts["mia_tp"], counts["mia_hits"]) > inside or counts["mia_fp"] > outside:
        return f"expected at most {inside} training and {outside} held-back rows in mia_tp, mia_hits and mia_fp"
    return None
