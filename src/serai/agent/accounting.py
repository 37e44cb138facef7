"""What noise costs in privacy: the two accountants of dp-accounting, behind three functions.

Rényi accounting answers in milliseconds and is never too low: it decides at
admission. Privacy loss distributions are tighter and take a second: the charge on
record is the smaller of the two bounds, for both hold. The library is an extra
(``pip install serai[privacy]``); a zone whose terms set no budget does without.
"""

import functools
import importlib
import math
from fractions import Fraction
from typing import Any, Final

from serai.aggregation.noise import SumNoise, spread_of_sum
from serai.errors import Misconfigured
from serai.training.privacy import Mechanism
from serai.zones.facts import PrivacyCost, Unit

_ORDERS: Final = (*range(2, 64), 80, 96, 128, 192, 256, 512, 1024)  # whole: each is a finite sum, exact and quick
_LARGE: Final = 20.0  # such an epsilon promises nothing, and its loss distribution takes minutes


def quick_cost(mechanism: Mechanism, rounds: int) -> PrivacyCost:
    """A bound on what so many rounds cost each record, by Rényi accounting (arXiv:1908.10530).

    Raises:
        Misconfigured: dp-accounting is not installed.

    """
    return _cost(Unit.RECORD, _renyi(mechanism, rounds), mechanism.delta)


def recorded_cost(mechanism: Mechanism, rounds: int) -> PrivacyCost:
    """The tighter of two bounds on what so many rounds cost each record; of a large cost, the quick one.

    Raises:
        Misconfigured: dp-accounting is not installed.

    """
    quick = _renyi(mechanism, rounds)
    return _cost(Unit.RECORD, min(quick, _loss(mechanism, rounds)) if quick < _LARGE else quick, mechanism.delta)


@functools.lru_cache(maxsize=256)
def member_cost(noise: SumNoise, minimum: int, dimension: int, rounds: int) -> PrivacyCost:
    """A bound on what so many noisy sums cost each member: whether its vector was in them at all.

    The sum of discrete Gaussians is concentrated DP with the parameters of
    arXiv:2102.06387 proposition 13, which rounds add up.

    Args:
        noise: what the plan asks for.
        minimum: fewest members in a sum.
        dimension: values in the vector.
        rounds: how many sums.

    Raises:
        Misconfigured: dp-accounting is not installed.

    """
    dp, rdp, _ = _library()
    spread = float(spread_of_sum(noise, minimum, dimension))
    ratio = noise.norm**2 / float(noise.variance)
    epsilon = min(math.sqrt(ratio + spread / 2), math.sqrt(ratio) + math.sqrt(spread * dimension))
    accountant = rdp.RdpAccountant(_ORDERS)
    accountant.compose(dp.ZCDpEvent(epsilon * epsilon / 2), rounds)
    return _cost(Unit.MEMBER, accountant.get_epsilon(float(noise.delta)), noise.delta)


@functools.lru_cache(maxsize=256)
def noise_for(epsilon: Fraction, mechanism: Mechanism, rounds: int) -> Fraction:
    """The least noise, to a thousandth, with which so many rounds cost no more than ``epsilon``.

    Args:
        epsilon: what they may cost.
        mechanism: with any noise; it is replaced.
        rounds: how many.

    Raises:
        Misconfigured: dp-accounting is not installed.

    """
    low, high = 0, 1_000_000  # thousandths
    while high - low > 1:
        middle = (low + high) // 2
        tried = Mechanism(
            noise=Fraction(middle, 1000), rate=mechanism.rate, steps=mechanism.steps, delta=mechanism.delta
        )
        if _renyi(tried, rounds) <= epsilon:
            high = middle
        else:
            low = middle
    return Fraction(high, 1000)


@functools.lru_cache(maxsize=256)
def _renyi(mechanism: Mechanism, rounds: int) -> float:
    dp, rdp, _ = _library()
    return _epsilon(rdp.RdpAccountant(_ORDERS), dp, mechanism, rounds)


@functools.lru_cache(maxsize=256)
def _loss(mechanism: Mechanism, rounds: int) -> float:
    dp, _, pld = _library()
    return _epsilon(pld.PLDAccountant(), dp, mechanism, rounds)


def _epsilon(accountant: Any, dp: Any, mechanism: Mechanism, rounds: int) -> float:
    event = dp.GaussianDpEvent(float(mechanism.noise))
    if mechanism.rate < 1:
        event = dp.PoissonSampledDpEvent(float(mechanism.rate), event)
    accountant.compose(event, mechanism.steps * rounds)
    return float(accountant.get_epsilon(float(mechanism.delta)))


def _cost(unit: Unit, epsilon: float, delta: Fraction) -> PrivacyCost:
    if not math.isfinite(epsilon):
        epsilon = 1e9  # more than any term allows
    return PrivacyCost(
        unit=unit,
        epsilon_millionths=math.ceil(epsilon * 10**6),
        delta_trillionths=math.ceil(delta * 10**12),
    )


def _library() -> tuple[Any, Any, Any]:
    names = ("dp_accounting", "dp_accounting.rdp", "dp_accounting.pld")
    try:
        dp, rdp, pld = (importlib.import_module(name) for name in names)
    except ImportError as error:
        raise Misconfigured(
            "privacy-extra",
            f"a privacy budget needs dp-accounting, and {error.name} is not installed here; "
            "run pip install 'serai[privacy]', then start the agent again",
        ) from error
    return dp, rdp, pld
