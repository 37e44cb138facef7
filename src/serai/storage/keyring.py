"""Private keys in a private folder: signing keys by role, X25519 by purpose.

No private key leaves this module: callers get something that signs or agrees.
Files are PKCS #8 in PEM (RFC 5958, RFC 7468), so any tool can make or move them;
a hybrid key is one file with two keys, Ed25519 and then ML-DSA-65 (RFC 9881). A
file ``zone.token`` says instead that the key lies in a hardware token, and where.

A role has one key in use, ``zone.pem``, and while it is being replaced the next
one, ``zone.next.pem``. What is replaced is kept under its key id: nothing is
ever overwritten. Where there is both a token and a PEM file, the token counts.
"""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn, Protocol, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from serai.errors import Conflict, Malformed, Misconfigured, Missing
from serai.kernel.canonical import canonical
from serai.kernel.ids import KeyId
from serai.kernel.keys import Role, Signer, Suite, hybrid_key, key_id
from serai.kernel.records import to_json
from serai.storage.disk import no_room_explained
from serai.storage.record_files import read_record
from serai.storage.tokens import TokenKey, TokenSigner

_AGREEMENT: Final = "agree-"
_ELSEWHERE: Final = ".token"
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)  # RFC 7468 2
_Mark: TypeAlias = tuple[int, ...]
_Private = Ed25519PrivateKey | MLDSA65PrivateKey | X25519PrivateKey
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,127}")


class KeyAgreement(Protocol):
    """Something that can agree on secrets with one X25519 private key (RFC 7748), wherever that key lives."""

    @property
    def public(self) -> bytes:
        """The raw X25519 public key, 32 bytes."""

    def exchange(self, public: bytes) -> bytes:
        """The 32-byte secret shared with the holder of ``public``.

        Raises:
            Malformed: ``public`` is no usable X25519 key.

        """


class Keyring:
    """The keys of one member (or of the center) in one folder.

    Args:
        folder: an existing folder made by ``create``.

    Raises:
        Missing: there is no such folder.
        Misconfigured: others can enter the folder.

    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise Missing("keyring-missing", f"there is no keyring at {folder}; make one, or name the right folder")
        _check_private(folder, "700")
        self._folder = folder
        self._read: dict[Role, tuple[_Mark, Signer]] = {}  # each key as it was read last

    @classmethod
    def create(cls, folder: Path, roles: Iterable[Role], suite: Suite = Suite.ED25519) -> "Keyring":
        """Make a folder with one new key for each role.

        Raises:
            Conflict: one of the keys exists already; nothing is ever overwritten.

        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keyring = cls(folder)
        for role in roles:
            if role in keyring.roles or not _write_new(folder / f"{role}.pem", *_generate(suite)):
                raise Conflict(
                    "key-exists", f"{folder} already has a {role} key; use it, or name an empty folder for new keys"
                )
        return keyring

    @property
    def roles(self) -> frozenset[Role]:
        """The roles there are keys for."""
        return frozenset(role for role in Role if self._path(role).is_file())

    def signer(self, role: Role) -> Signer:
        """What signs for ``role``.

        Raises:
            Missing: there is no key for that role.
            Misconfigured: the file is readable by others, or holds other keys than a suite takes.

        """
        path = self._path(role)
        mark = _mark(path)
        known = self._read.get(role)
        if known is not None and known[0] == mark:
            return known[1]
        signer = _read_signer(path)
        if mark is not None:
            self._read[role] = (mark, signer)
        return signer

    def live_signer(self, role: Role) -> Signer:
        """What signs for ``role`` with the key in use at the time, for processes that outlive a key."""
        return _LiveSigner(self, role)

    def prepare(self, role: Role, suite: Suite = Suite.ED25519) -> Signer:
        """The key that is to replace the one in use; made if there is none yet.

        Raises:
            Misconfigured: the file is readable by others, or holds other keys than a suite takes.
            Unavailable: the disk is full.

        """
        path = self._path(f"{role}.next")
        if not path.exists():
            _write_new(path, *_generate(suite))  # whoever comes second reads the first one's key
        return _read_signer(path)

    def prepare_in_token(self, role: Role, key: TokenKey, suite: Suite = Suite.ED25519) -> Signer:
        """Take a key in a token as the role's first key, or as the one that is to replace it.

        Raises:
            Conflict: there is a next key already.
            Missing, Misconfigured, Unavailable: see ``TokenSigner``.

        """
        path = self._path(f"{role}.next" if role in self.roles else role).with_suffix(_ELSEWHERE)
        if suite is Suite.HYBRID:
            key = replace(key, mldsa_file=f"{key.label}.mldsa")
            _write_new(self._folder / f"{key.label}.mldsa", MLDSA65PrivateKey.generate())
        signer = _token_signer(self._folder, key)  # before it is written down: it has to work
        if self.find_next(role) is not None or not _write_bytes(path, canonical(to_json(key)) + b"\n"):
            raise Conflict("key-exists", f"{self._folder} already has a next {role} key; use that one")
        return signer

    def find_next(self, role: Role) -> Signer | None:
        """The key that is to replace the one in use, or None."""
        path = self._path(f"{role}.next")
        return _read_signer(path) if path.exists() else None

    def promote(self, role: Role) -> None:
        """Put the next key in the place of the one in use, which stays under its key id.

        Raises:
            Missing: there is no next key.

        """
        path, following = self._path(role), self._path(f"{role}.next")
        _read_signer(following)
        if path.exists():
            with contextlib.suppress(FileExistsError):  # a crash came before the rename
                os.link(path, self._folder / f"{role}.{key_id(_read_signer(path).public)[:16]}{path.suffix}")
        following.rename(self._folder / f"{role}{following.suffix}")  # at once: whoever reads finds one or the other
        if path.suffix != following.suffix:
            path.unlink(missing_ok=True)

    def find_signer(self, key: KeyId) -> Signer | None:
        """What signs with a key of this folder, of whatever role and in use or not; None if it is not here."""
        for path in sorted([*self._folder.glob("*.pem"), *self._folder.glob(f"*{_ELSEWHERE}")]):
            if not path.name.startswith(_AGREEMENT) and key_id((signer := _read_signer(path)).public) == key:
                return signer
        return None

    def _path(self, stem: str) -> Path:
        token = self._folder / f"{stem}{_ELSEWHERE}"
        return token if token.exists() else self._folder / f"{stem}.pem"

    def agreement(self, name: str) -> KeyAgreement:
        """The key agreement key kept under ``name``, such as a run's id; made at its first use.

        Raises:
            Malformed: ``name`` is not 1 to 128 of ``a-z 0-9 _ -``.
            Misconfigured: the file is readable by others, or holds no X25519 key.
            Unavailable: the disk is full.

        """
        path = self._agreement_path(name)
        if not path.exists():
            _write_new(path, X25519PrivateKey.generate())  # whoever comes second reads the first one's key
        (key, *others) = _read(path)
        if others or not isinstance(key, X25519PrivateKey):
            raise Misconfigured("key-kind", f"expected an X25519 private key in {path}; put the right file there")
        return _FileAgreement(key)

    def forget_agreement(self, name: str) -> None:
        """Destroy a key agreement key, so that what it protected stays secret even from who takes this machine.

        Raises:
            Malformed: ``name`` is not 1 to 128 of ``a-z 0-9 _ -``.

        """
        self._agreement_path(name).unlink(missing_ok=True)

    def _agreement_path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Malformed("key-name", f"expected a key name of 1 to 128 of a-z 0-9 _ -, got {name[:80]!r}")
        return self._folder / f"{_AGREEMENT}{name}.pem"


class _FileSigner:
    __slots__ = ("_key", "_public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @property
    def public(self) -> bytes:
        return self._public

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key does not leave its process")


class _HybridSigner:
    """Ed25519, wherever that key lives, and ML-DSA-65 from a file."""

    __slots__ = ("_ed25519", "_mldsa", "_mldsa_public", "_public")

    def __init__(self, ed25519: Signer, mldsa: MLDSA65PrivateKey) -> None:
        self._ed25519, self._mldsa = ed25519, mldsa
        self._mldsa_public = mldsa.public_key().public_bytes_raw()
        self._public = hybrid_key(ed25519.public, self._mldsa_public)

    @property
    def public(self) -> bytes:
        return self._public

    def sign(self, message: bytes) -> bytes:
        return self._ed25519.sign(message) + self._mldsa_public + self._mldsa.sign(message)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key does not leave its process")


class _LiveSigner:
    """Reads the key anew at each use."""

    def __init__(self, keyring: Keyring, role: Role) -> None:
        self._keyring, self._role = keyring, role

    @property
    def public(self) -> bytes:
        return self._keyring.signer(self._role).public

    def sign(self, message: bytes) -> bytes:
        return self._keyring.signer(self._role).sign(message)


class _FileAgreement:
    __slots__ = ("_key", "_public")

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @property
    def public(self) -> bytes:
        return self._public

    def exchange(self, public: bytes) -> bytes:
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:  # wrong length, or a point of small order (RFC 7748 6.1)
            raise Malformed("agreement-key", f"expected a 32-byte X25519 public key: {error}") from error

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key does not leave its process")


def _generate(suite: Suite) -> tuple[_Private, ...]:
    match suite:
        case Suite.ED25519:
            return (Ed25519PrivateKey.generate(),)
        case Suite.HYBRID:
            return (Ed25519PrivateKey.generate(), MLDSA65PrivateKey.generate())


def _mark(path: Path) -> _Mark | None:
    """What tells a key's file from any other that lies in its place; None for a key in a token, or none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return None if path.suffix == _ELSEWHERE else (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)


def _read_signer(path: Path) -> Signer:
    if path.suffix == _ELSEWHERE:
        _check_private(path, "600")
        return _token_signer(path.parent, read_record(TokenKey, path))
    match _read(path):
        case [Ed25519PrivateKey() as key]:
            return _FileSigner(key)
        case [Ed25519PrivateKey() as key, MLDSA65PrivateKey() as mldsa]:
            return _HybridSigner(_FileSigner(key), mldsa)
        case _:
            raise Misconfigured(
                "key-kind",
                f"expected an Ed25519 private key in {path}, alone or before an ML-DSA-65 key; put the right file there",
            )


def _token_signer(folder: Path, key: TokenKey) -> Signer:
    pin_file = folder / key.pin_file
    try:
        _check_private(pin_file, "600")
        pin = pin_file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise Misconfigured("token-pin-file", f"expected the token's PIN in {pin_file}; write it there") from None
    ed25519 = TokenSigner(key, pin)
    if key.mldsa_file is None:
        return ed25519
    match _read(folder / key.mldsa_file):
        case [MLDSA65PrivateKey() as mldsa]:
            return _HybridSigner(ed25519, mldsa)
        case _:
            raise Misconfigured("key-kind", f"expected one ML-DSA-65 private key in {folder / key.mldsa_file}")


def _write_new(path: Path, *keys: _Private) -> bool:
    pem = b"".join(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys)
    return _write_bytes(path, pem)


def _write_bytes(path: Path, data: bytes) -> bool:
    temporary = path.with_suffix(f".{secrets.token_hex(8)}")
    try:
        with no_room_explained(path.parent):
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # A hard link appears whole or not at all, and unlike a rename it never replaces a key.
            os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read(path: Path) -> list[object]:
    try:
        _check_private(path, "600")
        pem = path.read_bytes()
    except FileNotFoundError:
        raise Missing("key-missing", f"there is no key at {path}; make it, or use the keyring that has it") from None
    try:
        blocks = [match[0] for match in _BLOCK.finditer(pem)] or [pem]
        return [load_pem_private_key(block, password=None) for block in blocks]
    except (ValueError, TypeError) as error:
        raise Misconfigured("key-unreadable", f"expected an unencrypted PKCS #8 key in {path}: {error}") from error


def _check_private(path: Path, mode: str) -> None:
    found = stat.S_IMODE(path.stat().st_mode)
    if found & 0o077:
        raise Misconfigured(
            "key-permissions", f"{path} can be used by others (mode {found:o}); run: chmod {mode} {path}"
        )
