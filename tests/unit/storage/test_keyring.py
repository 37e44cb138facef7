import pickle
import stat
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from serai.errors import Conflict, Malformed, Misconfigured, Missing
from serai.kernel.keys import Role, Suite, find_suite, key_id, verify_signature
from serai.storage.keyring import Keyring


@pytest.fixture
def keyring(tmp_path):
    return Keyring.create(tmp_path / "keys", [Role.ZONE, Role.WITNESS])


def test_a_signature_verifies_under_the_public_key(keyring):
    signer = keyring.signer(Role.ZONE)
    verify_signature(signer.public, signer.sign(b"hello"), b"hello")


def test_each_role_has_its_own_key_and_opening_again_finds_it(keyring, tmp_path):
    again = Keyring(tmp_path / "keys")
    assert again.roles == {Role.ZONE, Role.WITNESS}
    assert again.signer(Role.ZONE).public == keyring.signer(Role.ZONE).public
    assert keyring.signer(Role.ZONE).public != keyring.signer(Role.WITNESS).public


def test_keys_and_their_folder_are_private(keyring, tmp_path):
    keyring.agreement("run")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    files = sorted((tmp_path / "keys").iterdir())
    assert [file.name for file in files] == ["agree-run.pem", "witness.pem", "zone.pem"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_key_file_is_plain_pkcs8_for_other_tools(keyring, tmp_path):
    key = load_pem_private_key((tmp_path / "keys" / "zone.pem").read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    assert key.public_key().public_bytes_raw() == keyring.signer(Role.ZONE).public


def test_creating_never_overwrites_a_key(keyring, tmp_path):
    before = keyring.signer(Role.ZONE).public
    with pytest.raises(Conflict, match="already has a zone key"):
        Keyring.create(tmp_path / "keys", [Role.ZONE])
    assert keyring.signer(Role.ZONE).public == before


@pytest.mark.usefixtures("keyring")
def test_keys_for_further_roles_can_be_added(tmp_path):
    assert Keyring.create(tmp_path / "keys", [Role.ROOT]).roles == {Role.ROOT, Role.ZONE, Role.WITNESS}


def test_two_holders_agree_on_one_secret(keyring):
    one, two = keyring.agreement("one"), keyring.agreement("two")
    assert one.exchange(two.public) == two.exchange(one.public)
    assert len(one.exchange(two.public)) == 32


def test_an_agreement_key_is_kept_until_it_is_forgotten(keyring):
    first = keyring.agreement("run").public
    assert keyring.agreement("run").public == first
    keyring.forget_agreement("run")
    keyring.forget_agreement("run")
    assert keyring.agreement("run").public != first


def test_threads_that_ask_together_get_one_agreement_key(keyring):
    found = []
    start = threading.Barrier(8)

    def ask():
        start.wait()
        found.append(keyring.agreement("run").public)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("public", [b"", b"short", b"\0" * 32, b"\1" + b"\0" * 31])
def test_a_useless_public_key_is_malformed_not_a_shared_zero(keyring, public):
    with pytest.raises(Malformed, match="X25519 public key"):
        keyring.agreement("run").exchange(public)


@pytest.mark.parametrize("name", ["", "../zone", "a/b", "a.pem", "A", "x" * 129])
def test_an_agreement_name_cannot_leave_the_folder(keyring, name):
    with pytest.raises(Malformed, match="key name"):
        keyring.agreement(name)
    with pytest.raises(Malformed, match="key name"):
        keyring.forget_agreement(name)


@pytest.mark.usefixtures("keyring")
@pytest.mark.parametrize("of", ["file", "folder"])
def test_a_key_that_others_could_read_is_not_used(tmp_path, of):
    path = tmp_path / "keys" / "zone.pem" if of == "file" else tmp_path / "keys"
    path.chmod(0o640 if of == "file" else 0o750)
    with pytest.raises(Misconfigured, match="chmod"):
        Keyring(tmp_path / "keys").signer(Role.ZONE)


def test_what_is_not_there_or_not_a_key_is_named(keyring, tmp_path):
    with pytest.raises(Missing, match="no keyring"):
        Keyring(tmp_path / "elsewhere")
    with pytest.raises(Missing, match="no key at"):
        keyring.signer(Role.ROOT)
    (tmp_path / "keys" / "root.pem").write_bytes(b"not a key")
    (tmp_path / "keys" / "root.pem").chmod(0o600)
    with pytest.raises(Misconfigured, match="PKCS #8"):
        keyring.signer(Role.ROOT)


def test_a_key_of_another_kind_is_refused(keyring, tmp_path):
    keyring.agreement("run")
    (tmp_path / "keys" / "agree-run.pem").rename(tmp_path / "keys" / "root.pem")
    with pytest.raises(Misconfigured, match="expected an Ed25519"):
        keyring.signer(Role.ROOT)


def test_a_private_key_neither_shows_nor_leaves_its_process(keyring):
    for held in (keyring.signer(Role.ZONE), keyring.agreement("run")):
        assert "PRIVATE" not in repr(held)
        with pytest.raises(TypeError, match="does not leave"):
            pickle.dumps(held)


def test_a_hybrid_key_is_one_file_of_two_keys_and_signs_with_both(tmp_path):
    keyring = Keyring.create(tmp_path / "keys", [Role.ROOT], Suite.HYBRID)
    signer = keyring.signer(Role.ROOT)
    text = (tmp_path / "keys" / "root.pem").read_bytes()
    assert text.count(b"BEGIN PRIVATE KEY") == 2
    assert find_suite(signer.public) is Suite.HYBRID
    verify_signature(signer.public, signer.sign(b"hello"), b"hello")
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(signer)


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (1,), (0, 1, 1)], ids=["swapped", "twice", "half", "three"])
def test_a_file_of_other_keys_than_a_suite_takes_signs_nothing(tmp_path, order):
    keyring = Keyring.create(tmp_path / "keys", [Role.ROOT], Suite.HYBRID)
    path = tmp_path / "keys" / "root.pem"
    blocks = [block + b"-----END PRIVATE KEY-----\n" for block in path.read_bytes().split(b"-----END PRIVATE KEY-----")]
    path.write_bytes(b"".join(blocks[number] for number in order))
    with pytest.raises(Misconfigured, match="expected an Ed25519 private key"):
        keyring.signer(Role.ROOT)


def test_the_next_key_waits_beside_the_one_in_use_and_takes_its_place_whole(keyring):
    before = keyring.signer(Role.ZONE).public
    live = keyring.live_signer(Role.ZONE)
    assert keyring.find_next(Role.ZONE) is None
    following = keyring.prepare(Role.ZONE).public
    assert following == keyring.prepare(Role.ZONE).public == keyring.find_next(Role.ZONE).public
    assert keyring.signer(Role.ZONE).public == live.public == before != following
    keyring.promote(Role.ZONE)
    assert keyring.signer(Role.ZONE).public == live.public == following
    verify_signature(following, live.sign(b"hello"), b"hello")
    assert keyring.find_next(Role.ZONE) is None
    assert keyring.find_signer(key_id(before)).public == before
    assert keyring.find_signer(key_id(b"nobody's")) is None
    with pytest.raises(Missing, match="no key at"):
        keyring.promote(Role.ZONE)


def test_a_crash_while_a_key_is_replaced_leaves_the_old_one_in_use(keyring, tmp_path):
    before, following = keyring.signer(Role.ZONE).public, keyring.prepare(Role.ZONE).public
    (tmp_path / "keys" / f"zone.{key_id(before)[:16]}.pem").hardlink_to(tmp_path / "keys" / "zone.pem")
    assert keyring.signer(Role.ZONE).public == before
    keyring.promote(Role.ZONE)
    assert keyring.signer(Role.ZONE).public == following


def test_a_key_that_was_read_is_read_anew_once_another_lies_in_its_place(keyring, tmp_path):
    first, path = keyring.signer(Role.ZONE), tmp_path / "keys" / "zone.pem"
    assert keyring.signer(Role.ZONE) is first
    other = Keyring.create(tmp_path / "other", [Role.ZONE]).signer(Role.ZONE)
    (tmp_path / "other" / "zone.pem").replace(path)
    assert keyring.signer(Role.ZONE).public == other.public != first.public
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="can be used by others"):
        keyring.signer(Role.ZONE)
    path.unlink()
    with pytest.raises(Missing):
        keyring.signer(Role.ZONE)
