"""Ed25519 keys inside hardware tokens, by PKCS #11; needs the extra ``serai[hsm]``.

The private key is made in the token and never leaves it. A process logs in to a
token once, whatever number of its keys it uses: PKCS #11 knows one login for a
process, and refuses a second. Tokens of today hold no ML-DSA keys (PKCS #11 3.2
defines them): in the hybrid suite that part lies in a file beside.

Source: OASIS PKCS #11 3.1, 2.3.6 and 2.3.14 (Edwards curves and EdDSA).
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from serai.errors import Misconfigured, Missing, Unavailable
from serai.kernel.keys import ED25519_KEY_BYTES

_CURVE: Final = b"\x13\x0cedwards25519"  # PrintableString, as SoftHSM 2.6 wants it
_POINT: Final = b"\x04\x20"  # OCTET STRING of 32 bytes, around the raw key


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """Where a private key lies.

    Attributes:
        module: path of the token's PKCS #11 library.
        token: the token's label.
        label: the key's label in it.
        pin_file: path of a file with the user PIN, for the owner alone.
        mldsa_file: name of the file beside this record with the ML-DSA-65 key, in
            the hybrid suite.

    """

    module: str
    token: str
    label: str
    pin_file: str
    mldsa_file: str | None = None


class TokenSigner:
    """Signs with an Ed25519 key in a token.

    Args:
        key: where it lies.
        pin: the user PIN.

    Raises:
        Missing: the token has no such key.
        Misconfigured: there is no such library or token, the PIN is wrong, or the extra is not installed.
        Unavailable: the token does not answer.

    """

    def __init__(self, key: TokenKey, pin: str) -> None:
        self._key, self._pin = key, pin
        with _session(key.module, key.token, pin) as session:
            point: bytes = _find(session, key, "PUBLIC_KEY")[_pkcs11().Attribute.EC_POINT]
        self._public = point.removeprefix(_POINT)
        if len(self._public) != ED25519_KEY_BYTES:
            raise Misconfigured("token-key-kind", f"expected an Ed25519 key under {key.label!r} in token {key.token!r}")

    @property
    def public(self) -> bytes:
        """The raw Ed25519 public key, 32 bytes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of ``message``.

        Raises:
            Unavailable: the token does not answer.

        """
        with _session(self._key.module, self._key.token, self._pin) as session:
            private = _find(session, self._key, "PRIVATE_KEY")
            return bytes(private.sign(message, mechanism=_pkcs11().Mechanism.EDDSA))

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied to another process: it would have to log in anew."""
        raise TypeError("a private key does not leave its process")


def make_token_key(module: str, token: str, pin_file: Path, pin: str, purpose: str) -> TokenKey:
    """Make a new Ed25519 key in a token, under a label that begins with ``purpose`` and was never used.

    Raises:
        Misconfigured: there is no such library or token, the PIN is wrong, or the extra is not installed.
        Unavailable: the token does not answer.

    """
    pkcs11 = _pkcs11()
    label = f"{purpose}-{secrets.token_hex(8)}"
    with _session(module, token, pin) as session:
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS, {pkcs11.Attribute.EC_PARAMS: _CURVE}, local=True
        )
        curve.generate_keypair(mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label)
    return TokenKey(module=module, token=token, label=label, pin_file=str(pin_file))


_LOCK: Final = threading.RLock()  # python-pkcs11 leaves it to its caller that one thread uses a session at a time
_SESSIONS: dict[tuple[str, str], Any] = {}


@contextmanager
def _session(module: str, token: str, pin: str) -> Iterator[Any]:
    pkcs11 = _pkcs11()
    with _LOCK:
        try:
            if (module, token) not in _SESSIONS:
                opened = pkcs11.lib(module).get_token(token_label=token).open(user_pin=pin, rw=True)
                _SESSIONS[module, token] = opened
            yield _SESSIONS[module, token]
        except pkcs11.exceptions.PinIncorrect as error:
            raise Misconfigured("token-pin", f"token {token!r} does not take the PIN; correct its file") from error
        except pkcs11.exceptions.NoSuchToken as error:
            raise Misconfigured(
                "token-missing", f"{module} knows no token {token!r}; plug it in, or name the right one"
            ) from error
        except pkcs11.exceptions.PKCS11Error as error:
            if _SESSIONS.pop((module, token), None) is None:
                raise Misconfigured("token-library", f"cannot use {module}: {_told(error)}") from error
            raise Unavailable("token-silent", f"token {token!r} does not answer: {_told(error)}") from error


def _find(session: Any, key: TokenKey, kind: str) -> Any:
    pkcs11 = _pkcs11()
    try:
        return session.get_key(object_class=getattr(pkcs11.ObjectClass, kind), label=key.label)
    except (pkcs11.exceptions.NoSuchKey, pkcs11.exceptions.MultipleObjectsReturned) as error:
        raise Missing("token-key", f"token {key.token!r} has not one key labelled {key.label!r}") from error


def _pkcs11() -> Any:
    try:
        import pkcs11  # noqa: PLC0415  # an extra: only who has a token needs it
    except ImportError as error:
        raise Misconfigured("hsm-extra", "a key in a token needs the extra: pip install 'serai[hsm]'") from error
    return pkcs11


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
