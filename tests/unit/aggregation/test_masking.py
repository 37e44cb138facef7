import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from serai.aggregation.masking import Keystreams, Mask, Release, Roster, leftover_masks, pair_seed
from serai.aggregation.ring import CHUNK_VALUES, Ring
from serai.errors import Malformed

SEED = bytes(range(32))
SALT = bytes(32)


def keystream(seed, count, dtype):
    size = count * np.dtype(dtype).itemsize
    cipher = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()
    return np.frombuffer(cipher.update(bytes(size)), dtype)


@pytest.mark.parametrize("bits", [5, 8, 12, 16, 20, 32, 40, 64])
def test_a_mask_is_plain_aes_ctr_cut_into_lanes(bits):
    ring = Ring(bits)
    count = 2 * CHUNK_VALUES + 77
    lanes = ring.zeros(count)
    keystreams = Keystreams(ring, [Mask(SEED, 1)])
    for number in range(3):
        keystreams.add(lanes[number * CHUNK_VALUES : (number + 1) * CHUNK_VALUES], number)
    assert np.array_equal(lanes, keystream(SEED, count, ring.dtype))


def test_a_chunk_alone_gets_the_mask_it_has_in_the_whole():
    ring = Ring(16)
    lanes = ring.zeros(100)
    keystreams = Keystreams(ring, [Mask(SEED, -1)])
    keystreams.add(lanes, 2)
    keystreams.add(ring.zeros(5), 0)
    again = ring.zeros(100)
    keystreams.add(again, 2)
    expected = -keystream(SEED, 2 * CHUNK_VALUES + 100, "<u2")[2 * CHUNK_VALUES :]
    assert np.array_equal(lanes, expected)
    assert np.array_equal(again, expected)


def test_pair_seeds_are_hkdf_of_rfc_5869_written_out():
    shared = bytes(range(1, 33))
    extracted = hmac.digest(SALT, shared, "sha256")
    expanded = hmac.digest(extracted, b"serai/secagg/v1 pair bern chur\x01", "sha256")
    assert pair_seed(shared, SALT, "chur", "bern") == expanded
    assert pair_seed(shared, SALT, "bern", "chur") == expanded


def test_pair_seeds_differ_by_secret_salt_and_pair():
    shared, other = bytes(range(1, 33)), bytes(range(2, 34))
    seeds = {
        pair_seed(shared, SALT, "a", "b"),
        pair_seed(other, SALT, "a", "b"),
        pair_seed(shared, other, "a", "b"),
        pair_seed(shared, SALT, "a", "c"),
    }
    assert len(seeds) == 4


@pytest.mark.parametrize("shared", [bytes(32), bytes(31), b""])
def test_a_secret_that_anybody_knows_is_refused(shared):
    with pytest.raises(Malformed) as caught:
        pair_seed(shared, SALT, "a", "b")
    assert caught.value.code == "shared-secret"


def test_both_ends_of_a_pair_compute_one_seed_with_opposite_signs(world):
    salt = hashlib.sha256(b"leaf").digest()
    bern, chur = (Roster(me=name, keys=world.job.keys, salt=salt) for name in ("bern", "chur"))
    seed = bern.pair_seeds(world.keys["bern"], ["chur"])["chur"]
    assert chur.pair_seeds(world.keys["chur"], ["bern"]) == {"bern": seed}
    assert Mask(seed, 1) in bern.masks(world.keys["bern"], SEED)
    assert Mask(seed, -1) in chur.masks(world.keys["chur"], SEED)


def test_leftover_masks_undo_self_masks_and_those_of_the_missing():
    releases = {"b": Release(SEED, {"a": SALT, "c": SALT}), "d": Release(SALT, {})}
    assert leftover_masks(releases) == (Mask(SEED, -1), Mask(SALT, 1), Mask(SALT, -1), Mask(SALT, -1))


def test_seeds_do_not_show_when_printed(world):
    world.open()
    world.upload()
    world.close()
    release = world.release_body("bern")
    for record in (Mask(SEED, 1), Release(SEED, {"a": SEED}), release):
        assert SEED.hex() not in repr(record)
        assert "seed" not in repr(record)


@pytest.mark.parametrize(("seed", "sign"), [(bytes(31), 1), (SEED, 0), (SEED, 2)])
def test_a_mask_has_a_seed_of_32_bytes_and_a_sign(seed, sign):
    with pytest.raises(Malformed):
        Mask(seed, sign)


def test_a_roster_has_its_own_member_and_a_whole_salt(world):
    with pytest.raises(Malformed):
        Roster(me="elsewhere", keys=world.job.keys, salt=SALT)
    with pytest.raises(Malformed):
        Roster(me="bern", keys=world.job.keys, salt=SALT[:31])
