"""Signed requests: RFC 9421 HTTP message signatures with Ed25519, RFC 9530 content digests, no replays.

The profile that members use covers ``@method``, ``@path`` and ``@query``, and
``content-digest`` for every body that the path does not already name by its
digest; ``content-range`` where a piece of such a body comes. ``@authority`` stays out, because proxies rewrite it, and nothing is lost:
what a request carries is signed again inside (entries, cosignatures) or named by
its digest (blobs).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed, Unavailable, Unverified
from serai.kernel.ids import KeyId, parse_digest
from serai.kernel.keys import Signer, ed25519_part, ed25519_signature, key_id, verify_signature

MAX_AGE_S: Final = 120  # how far a member's clock may be off, and how long a request stays fresh
MAX_NONCES: Final = 1_000_000  # about 4,000 requests/s for the whole window; 150 MB when full
_LABEL: Final = "serai"
_REQUIRED: Final = ("@method", "@path", "@query")
_IF_PRESENT: Final = ("content-digest", "content-range")
_INPUT: Final = re.compile(r'([a-z][a-z0-9_.*-]{0,63})=(\(((?:"[a-z0-9@-]{1,64}" ?){1,32})\)((?:;[^,]*)?))')
_PARAMETER: Final = re.compile(
    r';(created|expires|nonce|keyid|alg)=(?:"([\x20\x21\x23-\x5b\x5d-\x7e]*)"|([0-9]{1,15}))'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """What of a request can be covered by a signature.

    Attributes:
        method: upper case.
        path: absolute, as it was sent (percent-encoded).
        query: without the question mark; "" if there is none.
        headers: by lower-case name; repeated ones joined with ", ".

    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    def component(self, name: str) -> str:
        """The value of a covered component (RFC 9421 2.1, 2.2).

        Raises:
            Unverified: the request has no such component.

        """
        derived = {
            "@method": self.method,
            "@path": self.path or "/",
            "@query": "?" + self.query,
            "@authority": self.headers.get("host", "").lower(),
        }
        if name in derived:
            return derived[name]
        if name not in self.headers:
            raise Unverified("request-component", f"the signature covers {name!r}, which the request does not have")
        return self.headers[name].strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSignature:
    """One signature of a request, as its two header fields say it.

    Attributes:
        components: names of what is covered, in order.
        raw: the covered components and parameters exactly as they came: the text
            that is signed.
        created: Unix time in seconds; 0 if not given.
        nonce: "" if not given.
        keyid: as given; in serai's profile the id of a key.
        signature: 64 bytes.

    """

    components: tuple[str, ...]
    raw: str
    created: int
    nonce: str
    keyid: str
    signature: bytes

    def base(self, head: RequestHead) -> bytes:
        """What is signed (RFC 9421 2.5).

        Raises:
            Unverified: a covered component is not in the request.

        """
        lines = [f'"{name}": {head.component(name)}' for name in self.components]
        return "\n".join([*lines, f'"@signature-params": {self.raw}']).encode()

    def verify(self, head: RequestHead, public: bytes) -> None:
        """Check the signature with a public key, of whose suite a request takes the Ed25519 part.

        Raises:
            Unverified: the signature does not hold.

        """
        verify_signature(ed25519_part(public), self.signature, self.base(head))


def content_digest(body: bytes) -> str:
    """The ``Content-Digest`` field of a body (RFC 9530 2)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def verify_content_digest(head: RequestHead, body: bytes) -> None:
    """Check that ``body`` is the one that the (signed) head names.

    Raises:
        Unverified: it is another body, or the head names none by SHA-256.

    """
    if content_digest(body) not in [item.strip() for item in head.headers.get("content-digest", "").split(",")]:
        raise Unverified("request-digest", "the body does not have the sha-256 in Content-Digest; send it again whole")


def sign_request(head: RequestHead, signer: Signer, *, created: int, nonce: str) -> dict[str, str]:
    """The two header fields that sign a request in serai's profile.

    Covers ``content-digest`` and ``content-range`` if the head has them.
    """
    components = (*_REQUIRED, *(name for name in _IF_PRESENT if name in head.headers))
    covered = " ".join(f'"{name}"' for name in components)
    keyid = key_id(signer.public)
    raw = f'({covered});created={created};nonce="{nonce}";keyid="{keyid}";alg="ed25519"'
    unsigned = RequestSignature(
        components=components, raw=raw, created=created, nonce=nonce, keyid=keyid, signature=b""
    )
    signature = base64.b64encode(ed25519_signature(signer, unsigned.base(head))).decode()
    return {"signature-input": f"{_LABEL}={raw}", "signature": f"{_LABEL}=:{signature}:"}


def parse_signature(headers: Mapping[str, str]) -> RequestSignature:
    """Read the one signature of a request from ``signature-input`` and ``signature``.

    Raises:
        Unverified: the request is not signed.
        Malformed: the fields are not of the form in RFC 9421 4, or hold several signatures.

    """
    if "signature-input" not in headers or "signature" not in headers:
        raise Unverified("request-unsigned", "expected a request signed by a member's key (RFC 9421); sign it")
    match = _INPUT.fullmatch(headers["signature-input"].strip())
    if not match:
        raise Malformed("request-signature-input", "expected one signature with quoted component names (RFC 9421 4.1)")
    label, raw, names, rest = match.groups()
    components = tuple(name.strip('"') for name in names.split())
    if len(set(components)) != len(components):
        raise Malformed("request-signature-input", "a component is covered twice (RFC 9421 2.5)")
    given = dict(_parameters(rest))
    if given.get("alg", "ed25519") != "ed25519":
        raise Malformed("request-signature-input", f"expected alg ed25519, got {given['alg']!r}")
    return RequestSignature(
        components=components,
        raw=raw,
        created=int(given.get("created", "0")),
        nonce=given.get("nonce", ""),
        keyid=given.get("keyid", ""),
        signature=_signature(headers["signature"].strip(), label),
    )


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    end = 0
    seen: set[str] = set()
    for match in _PARAMETER.finditer(text):
        name, quoted, number = match.groups()
        is_number = number is not None
        if match.start() != end or name in seen or is_number != (name in {"created", "expires"}):
            break
        seen.add(name)
        end = match.end()
        yield name, number if is_number else quoted
    if end != len(text):
        raise Malformed(
            "request-signature-input", f"expected known signature parameters, once each; got {text[:200]!r}"
        )


def _signature(field: str, label: str) -> bytes:
    prefix = f"{label}=:"
    if field.startswith(prefix) and field.endswith(":"):
        try:
            signature = base64.b64decode(field[len(prefix) : -1], validate=True)
        except (binascii.Error, ValueError):
            signature = b""
        if len(signature) == 64:
            return signature
    raise Malformed("request-signature", f"expected {label}=:<base64 of 64 bytes>: in the Signature field")


class RequestVerifier:
    """Tells who signed a request, once: an old one, or the same one again, is refused.

    The nonces seen are held in memory. After a restart a request of the last
    ``MAX_AGE_S`` could be replayed; since every verb is safe to repeat, that
    achieves nothing. Used from one thread.

    Args:
        keys: the raw public key of a key id, or None if the key is not known.
        now_s: Unix time in seconds.

    """

    def __init__(self, keys: Callable[[KeyId], bytes | None], now_s: Callable[[], float]) -> None:
        self._keys = keys
        self._now_s = now_s
        self._seen: dict[str, float] = {}  # nonce with key -> when it may be forgotten, oldest first

    def verify(self, head: RequestHead, *, with_body: bool) -> KeyId:
        """Check a request's signature; the id of the key that signed.

        ``with_body`` asks that ``content-digest`` be covered; the caller compares it
        to the body with ``verify_content_digest``.

        Raises:
            Unverified: unsigned, too old, replayed, by an unknown key, not covering
                what it must, or the signature does not hold.
            Malformed: the signature fields have another form.
            Unavailable: more fresh requests than the window remembers.

        """
        signature = parse_signature(head.headers)
        required = {*_REQUIRED, "content-digest"} if with_body else set(_REQUIRED)
        if "content-range" in head.headers:
            required.add("content-range")
        if lacking := required.difference(signature.components):
            raise Unverified("request-component", f"the signature must also cover {', '.join(sorted(lacking))}")
        now = self._now_s()
        if abs(now - signature.created) > MAX_AGE_S:
            raise Unverified(
                "request-expired",
                f"expected a request signed within {MAX_AGE_S} s of {int(now)}, got {signature.created}; check the clock",
            )
        key = KeyId(parse_digest(signature.keyid))
        public = self._keys(key)
        if public is None:
            raise Unverified("request-key", f"key {key[:12]} belongs to no member; register it or use another")
        signature.verify(head, public)
        self._remember(f"{key}{signature.nonce}", signature.nonce, now)
        return key

    def _remember(self, mark: str, nonce: str, now: float) -> None:
        # After the signature check, so that only members can fill the window.
        if not 16 <= len(nonce) <= 64:
            raise Unverified("request-nonce", f"expected a nonce of 16 to 64 characters, got {len(nonce)}")
        while self._seen and next(iter(self._seen.values())) < now:
            del self._seen[next(iter(self._seen))]
        if mark in self._seen:
            raise Unverified("request-replayed", "this request was received before; sign a new one")
        if len(self._seen) >= MAX_NONCES:
            raise Unavailable("request-flood", "too many requests within the replay window; try again in two minutes")
        # A request signed MAX_AGE_S ahead of this clock stays fresh for twice that.
        self._seen[mark] = now + 2 * MAX_AGE_S
