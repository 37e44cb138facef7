"""What noise costs: known figures, two accountants that agree, and advice where the library is missing."""

import math
import sys
from fractions import Fraction

import pytest

from serai.agent import accounting
from serai.agent.accounting import member_cost, noise_for, quick_cost, recorded_cost
from serai.aggregation.noise import SumNoise
from serai.errors import Misconfigured
from serai.training.privacy import Mechanism
from serai.zones.facts import Unit

RARE = Mechanism(noise=Fraction(1), rate=Fraction(1, 100), steps=100, delta=Fraction(1, 10**6))


def test_without_the_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)  # what Python does with a package that is not there
    with pytest.raises(Misconfigured, match=r"pip install 'serai\[privacy\]'"):
        accounting._library()


@pytest.fixture(scope="module")
def _library():
    pytest.importorskip("dp_accounting", reason="dp-accounting is an extra: pip install 'serai[privacy]'")


@pytest.mark.usefixtures("_library")
class TestWithTheLibrary:
    def test_a_thousand_rare_steps_cost_what_the_accountants_are_known_to_say(self):
        # dp-accounting 0.6: sampled Gaussian, noise 1, rate 0.01, delta 1e-6, 1,000 steps: Renyi 2.437, PLD 2.125.
        assert quick_cost(RARE, 10).epsilon_millionths == pytest.approx(2_437_000, rel=2e-3)
        assert recorded_cost(RARE, 10).epsilon_millionths == pytest.approx(2_125_000, rel=2e-3)

    def test_one_full_step_costs_no_less_than_the_gaussian_mechanism_is_known_to(self):
        # Balle and Wang 2018, theorem 8: delta = Phi(1/2s - es) - exp(e) Phi(-1/2s - es).
        def phi(x):
            return (1 + math.erf(x / math.sqrt(2))) / 2

        full = Mechanism(noise=Fraction(4), rate=Fraction(1), steps=1, delta=Fraction(1, 10**5))
        epsilon = recorded_cost(full, 1).epsilon_millionths / 1e6
        exact = phi(1 / 8 - 4 * epsilon) - math.exp(epsilon) * phi(-1 / 8 - 4 * epsilon)
        assert exact <= 1e-5
        assert exact == pytest.approx(1e-5, rel=0.01)

    def test_the_record_is_never_above_what_was_reserved(self):
        for noise in (Fraction(1), Fraction(3)):
            for rate in (Fraction(1, 50), Fraction(1)):
                mechanism = Mechanism(noise=noise, rate=rate, steps=5, delta=Fraction(1, 10**5))
                quick, recorded = quick_cost(mechanism, 2), recorded_cost(mechanism, 2)
                assert 0 < recorded.epsilon_millionths <= quick.epsilon_millionths
                assert recorded.delta_trillionths == quick.delta_trillionths == 10**7

    def test_more_rounds_cost_more(self):
        assert quick_cost(RARE, 1).epsilon_millionths < quick_cost(RARE, 2).epsilon_millionths

    def test_hardly_any_noise_costs_more_than_any_term_allows_but_is_still_a_number(self):
        bare = Mechanism(noise=Fraction(1, 1000), rate=Fraction(1), steps=10**6, delta=Fraction(1, 10**6))
        assert quick_cost(bare, 1000).epsilon_millionths > 10**12

    def test_the_noise_for_an_epsilon_is_the_least_that_keeps_it(self):
        noise = noise_for(Fraction(2), RARE, 10)

        def cost(deviation):
            return quick_cost(Mechanism(noise=deviation, rate=RARE.rate, steps=100, delta=RARE.delta), 10)

        assert cost(noise).epsilon_millionths <= 2_000_000 < cost(noise - Fraction(1, 1000)).epsilon_millionths

    def test_noisy_sums_cost_what_concentrated_privacy_says(self):
        # rho = norm^2 / (2 variance) = 1/8, so epsilon <= rho + 2 sqrt(rho ln(1/delta)) (arXiv:1605.02065 prop. 1.3).
        noise = SumNoise(norm=50, variance=Fraction(10_000), delta=Fraction(1, 10**6))
        cost = member_cost(noise, 4, 10, 1)
        bound = 1 / 8 + 2 * math.sqrt(math.log(10**6) / 8)
        assert cost.unit is Unit.MEMBER
        assert 0.8 * bound < cost.epsilon_millionths / 1e6 <= bound
        assert member_cost(noise, 4, 10, 4).epsilon_millionths > cost.epsilon_millionths

    def test_narrow_shares_cost_more_for_their_sum_is_no_gaussian(self):
        wide, narrow = (SumNoise(norm=scale, variance=Fraction(4 * scale**2)) for scale in (1_000, 1))
        assert member_cost(wide, 12, 100, 1).epsilon_millionths < member_cost(narrow, 12, 100, 1).epsilon_millionths
