"""Any threshold of shares gives a seed back; fewer fit every seed equally well."""

import hashlib
from collections import Counter
from itertools import combinations, count, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serai.aggregation import shares
from serai.aggregation.shares import PRIME, SHARE_BYTES, combine, split
from serai.errors import Malformed

SEEDS = st.binary(min_size=32, max_size=32)


def stream(key):
    """Reproducible bytes, other ones at each call."""
    numbers = count()
    return lambda size: hashlib.shake_256(key + next(numbers).to_bytes(8)).digest(size)


def seed_of(value):
    return value.to_bytes(SHARE_BYTES)[1:] if value < 2**256 else None


@st.composite
def dealt(draw):
    total = draw(st.integers(1, 12))
    threshold = draw(st.integers(1, total))
    chosen = draw(st.permutations(range(1, total + 1)))[:threshold]
    return draw(SEEDS), threshold, total, chosen


@given(dealt(), st.binary(max_size=8))
def test_any_threshold_of_shares_in_any_order_gives_the_seed_back(case, key):
    secret, threshold, total, chosen = case
    made = split(secret, threshold, total, stream(key))
    assert [len(share) for share in made] == [SHARE_BYTES] * total
    assert seed_of(combine({x: made[x - 1] for x in chosen})) == secret


@given(SEEDS, SEEDS, st.integers(2, 9), st.data())
def test_one_share_too_few_fits_any_other_seed_too(secret, other, threshold, data):
    made = split(secret, threshold, 9, stream(b""))
    chosen = data.draw(st.permutations(range(1, 10)))[:threshold]
    known, last = chosen[:-1], chosen[-1]
    # Exactly one value of the last share leads to any given seed: the value at 0 is linear in it, with a slope that is
    # not zero. So who knows the others has learnt nothing about which seed it is.
    zero, one = (combine({**{x: made[x - 1] for x in known}, last: v.to_bytes(SHARE_BYTES)}) for v in (0, 1))
    fitting = (int.from_bytes(other) - zero) * pow(one - zero, -1, PRIME) % PRIME
    forged = {**{x: made[x - 1] for x in known}, last: fitting.to_bytes(SHARE_BYTES)}
    assert seed_of(combine(forged)) == other


def test_in_a_small_field_fewer_shares_have_the_same_distribution_whatever_the_secret(monkeypatch):
    """All 7 * 7 polynomials of degree 2 over the field of 7 elements, counted for each secret and each pair of shares."""
    monkeypatch.setattr(shares, "PRIME", 7)
    for pair in combinations(range(1, 5), 2):
        seen = {}
        for secret in range(7):
            counts = Counter()
            for drawn in product(range(7), repeat=2):
                values = iter(drawn)
                made = split(secret.to_bytes(32), 3, 4, lambda size, values=values: next(values).to_bytes(size))
                counts[tuple(made[x - 1] for x in pair)] += 1
                assert combine({x: made[x - 1] for x in (1, 2, 4)}) == secret
            seen[secret] = counts
        assert all(counts == seen[0] for counts in seen.values())
        assert set(seen[0].values()) == {1}
        assert len(seen[0]) == 49


@given(SEEDS, st.integers(0, 4), st.integers(1, PRIME - 1))
def test_a_changed_share_gives_another_seed(secret, which, change):
    made = dict(enumerate(split(secret, 5, 5, stream(b"")), 1))
    bent = (int.from_bytes(made[which + 1]) + change) % PRIME
    made[which + 1] = bent.to_bytes(SHARE_BYTES)
    assert seed_of(combine(made)) != secret


def test_the_modulus_is_the_smallest_prime_above_all_seeds():
    def is_probable_prime(number):
        twos = ((number - 1) & -(number - 1)).bit_length() - 1
        odd = (number - 1) >> twos
        return all(
            pow(base, odd, number) == 1 or any(pow(base, odd << k, number) == number - 1 for k in range(twos))
            for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
        )

    assert is_probable_prime(PRIME)
    assert not any(is_probable_prime(number) for number in range(2**256 + 1, PRIME, 2))


@pytest.mark.parametrize(("length", "threshold", "total"), [(31, 2, 3), (33, 2, 3), (32, 0, 3), (32, 1, 0)])
def test_what_cannot_be_split_is_refused(length, threshold, total):
    with pytest.raises(Malformed, match="expected a seed of 32 bytes") as caught:
        split(bytes(length), threshold, total, stream(b""))
    assert caught.value.code == "share-split"


@pytest.mark.parametrize("share", [(0, bytes(33)), (1, bytes(32)), (1, PRIME.to_bytes(33))])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(Malformed, match="expected shares of 33 bytes") as caught:
        combine(dict([share]))
    assert caught.value.code == "share-form"
