"""Private keys in a private folder: Ed25519 by role, X25519 by purpose.

No private key leaves this module: callers get something that signs or agrees.
Files are PKCS #8 in PEM (RFC 5958, RFC 7468), so any tool can make or move them.
"""

import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NoReturn, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from serai.errors import Conflict, Malformed, Misconfigured, Missing
from serai.kernel.keys import Role, Signer
from serai.storage.disk import no_room_explained

_AGREEMENT: Final = "agree-"
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

    @classmethod
    def create(cls, folder: Path, roles: Iterable[Role]) -> "Keyring":
        """Make a folder with one new key for each role.

        Raises:
            Conflict: one of the keys exists already; nothing is ever overwritten.

        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keyring = cls(folder)
        for role in roles:
            if not _write_new(folder / f"{role}.pem", Ed25519PrivateKey.generate()):
                raise Conflict(
                    "key-exists", f"{folder} already has a {role} key; use it, or name an empty folder for new keys"
                )
        return keyring

    @property
    def roles(self) -> frozenset[Role]:
        """The roles there are keys for."""
        return frozenset(role for role in Role if (self._folder / f"{role}.pem").is_file())

    def signer(self, role: Role) -> Signer:
        """What signs for ``role``.

        Raises:
            Missing: there is no key for that role.
            Misconfigured: the file is readable by others, or holds no Ed25519 key.

        """
        path = self._folder / f"{role}.pem"
        key = _read(path)
        if not isinstance(key, Ed25519PrivateKey):
            raise Misconfigured("key-kind", f"expected an Ed25519 private key in {path}; put the right file there")
        return _FileSigner(key)

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
        key = _read(path)
        if not isinstance(key, X25519PrivateKey):
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


def _write_new(path: Path, key: Ed25519PrivateKey | X25519PrivateKey) -> bool:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = path.with_suffix(f".{secrets.token_hex(8)}")
    try:
        with no_room_explained(path.parent):
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
            # A hard link appears whole or not at all, and unlike a rename it never replaces a key.
            os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read(path: Path) -> object:
    try:
        _check_private(path, "600")
        pem = path.read_bytes()
    except FileNotFoundError:
        raise Missing("key-missing", f"there is no key at {path}; make it, or use the keyring that has it") from None
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise Misconfigured("key-unreadable", f"expected an unencrypted PKCS #8 key in {path}: {error}") from error


def _check_private(path: Path, mode: str) -> None:
    found = stat.S_IMODE(path.stat().st_mode)
    if found & 0o077:
        raise Misconfigured(
            "key-permissions", f"{path} can be used by others (mode {found:o}); run: chmod {mode} {path}"
        )
