"""Keys in a PKCS #11 token, tested with SoftHSM: they sign as files do, and the private part never comes out."""

import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from serai.cli.verbs.keys import new
from serai.errors import Conflict, Malformed, Misconfigured, Missing
from serai.kernel.envelope import parse_envelope, sign_statement
from serai.kernel.keys import Role, Suite, find_suite, key_id, verify_signature
from serai.storage.keyring import Keyring
from serai.storage.tokens import TokenKey, TokenSigner, make_token_key

LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
LIBRARY = next((path for path in LIBRARIES if Path(path).exists()), None)
PIN = "271828"

needs_token = pytest.mark.skipif(
    LIBRARY is None or shutil.which("softhsm2-util") is None or importlib.util.find_spec("pkcs11") is None,
    reason="needs SoftHSM2 (Debian: softhsm2) and the extra serai[hsm]",
)


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """A fresh token; the library reads its settings once in a process, so there is one for this module."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "bern", "--pin", PIN, "--so-pin", "314159"],
        check=True,
        capture_output=True,
    )
    return "bern"


@pytest.fixture
def pin_file(tmp_path):
    path = tmp_path / "pin"
    path.write_text(f"{PIN}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def make(token, pin_file):
    return lambda role: make_token_key(LIBRARY, token, pin_file, PIN, f"serai-{role}")


@needs_token
@pytest.mark.parametrize("suite", Suite)
def test_a_key_in_a_token_signs_statements_as_one_in_a_file_does(tmp_path, make, suite):
    keyring = Keyring.create(tmp_path / "keys", [])
    public = keyring.prepare_in_token(Role.ROOT, make(Role.ROOT), suite).public
    assert find_suite(public) is suite
    assert keyring.roles == {Role.ROOT}
    signer = Keyring(tmp_path / "keys").signer(Role.ROOT)
    assert signer.public == public
    verify_signature(public, signer.sign(b"hello"), b"hello")
    parse_envelope(sign_statement("ballot", {"choice": "yes"}, {}, signer)).verify(public)
    assert keyring.find_signer(key_id(public)).public == public
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(signer)
    files = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    assert sum(b"PRIVATE KEY" in data for data in files.values()) == (suite is Suite.HYBRID)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


@needs_token
def test_two_roles_share_one_token_and_one_login(tmp_path, make):
    keyring = Keyring.create(tmp_path / "keys", [])
    for role in (Role.ZONE, Role.WITNESS):
        keyring.prepare_in_token(role, make(role))
    signers = [keyring.signer(role) for role in (Role.ZONE, Role.WITNESS)]
    for signer in signers * 2:
        verify_signature(signer.public, signer.sign(b"hello"), b"hello")
    assert signers[0].public != signers[1].public


@needs_token
def test_a_key_moves_from_a_file_into_a_token_and_back(tmp_path, make):
    keyring = Keyring.create(tmp_path / "keys", [Role.ZONE])
    in_file = keyring.signer(Role.ZONE).public
    live = keyring.live_signer(Role.ZONE)
    in_token = keyring.prepare_in_token(Role.ZONE, make(Role.ZONE)).public
    assert live.public == in_file
    with pytest.raises(Conflict, match="next zone key"):
        keyring.prepare_in_token(Role.ZONE, make(Role.ZONE))
    keyring.promote(Role.ZONE)
    assert live.public == in_token
    assert keyring.find_signer(key_id(in_file)).public == in_file
    with pytest.raises(Conflict, match="already has a zone key"):
        Keyring.create(tmp_path / "keys", [Role.ZONE])
    back = keyring.prepare(Role.ZONE).public
    keyring.promote(Role.ZONE)
    assert live.public == back
    assert {key_id(public) for public in (in_file, in_token, back)} == {
        key for key in map(key_id, (in_file, in_token, back)) if keyring.find_signer(key)
    }


@needs_token
def test_what_is_wrong_with_a_token_is_named(tmp_path, make, token, pin_file):
    good = make(Role.ROOT)

    def at(**changes):
        return TokenKey(**{name: getattr(good, name) for name in ("module", "token", "label", "pin_file")} | changes)

    with pytest.raises(Missing, match="not one key labelled 'other'"):
        TokenSigner(at(label="other"), PIN)
    with pytest.raises(Misconfigured, match="knows no token 'geneva'"):
        TokenSigner(at(token="geneva"), PIN)
    with pytest.raises(Misconfigured, match=r"cannot use /nowhere\.so"):
        TokenSigner(at(module="/nowhere.so"), PIN)
    keyring = Keyring.create(tmp_path / "keys", [])
    with pytest.raises(Misconfigured, match="expected the token's PIN"):
        keyring.prepare_in_token(Role.ROOT, at(pin_file=str(tmp_path / "none")))
    pin_file.chmod(0o644)
    with pytest.raises(Misconfigured, match="can be used by others"):
        keyring.prepare_in_token(Role.ROOT, good)
    assert keyring.roles == frozenset()
    assert token == "bern"


@needs_token
def test_a_wrong_pin_is_refused_and_not_shown(token):
    """In a process of its own: in this one, the login has been made."""
    program = (
        "import sys\nfrom serai.errors import Misconfigured\nfrom serai.storage.tokens import TokenKey, TokenSigner\n"
        f"key = TokenKey(module={LIBRARY!r}, token={token!r}, label='x', pin_file='')\n"
        "try:\n    TokenSigner(key, '999999')\nexcept Misconfigured as error:\n    print(error.code, error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.startswith("token-pin token 'bern' does not take the PIN")
    assert "999999" not in done.stdout + done.stderr


@needs_token
def test_the_verb_makes_a_key_in_a_token(tmp_path, token, pin_file):

    where = ["--module", LIBRARY, "--token", token, "--pin-file", str(pin_file)]
    done = CliRunner().invoke(new, ["root", "--keys", str(tmp_path / "keys"), *where], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert Keyring(tmp_path / "keys").signer(Role.ROOT).public.hex() in done.output
    with pytest.raises(Malformed, match="all three"):
        CliRunner().invoke(new, ["root", "--keys", str(tmp_path / "keys"), *where[:2]], catch_exceptions=False)


def test_without_the_extra_the_way_to_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(Misconfigured, match=r"pip install 'serai\[hsm\]'"):
        TokenSigner(TokenKey(module="m", token="t", label="l", pin_file="p"), PIN)
