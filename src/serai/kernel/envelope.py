"""Signed statements: in-toto Statement v1 inside a DSSE v1 envelope.

One entry of the log is one envelope with one signer. Where the signer's suite takes
two signatures, both stand in it, under the one key id; further signatures of
foreign suites may follow (``serai.kernel.extras``). The statement's id is the
SHA-256 of what is signed (the DSSE pre-authentication encoding), which names the
signer. So neither base64 spelling nor a further signature can give one statement
two ids, and no two members' statements share one.

Sources: github.com/secure-systems-lab/dsse (protocol.md v1.0.2);
in-toto attestation framework, spec/v1/statement.md.
"""

import base64
import binascii
import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from serai.errors import Malformed
from serai.kernel.canonical import Json, canonical, parse
from serai.kernel.extras import MAX_EXTRAS, ExtraSignature
from serai.kernel.ids import Digest, KeyId, digest_of, parse_digest
from serai.kernel.keys import Signer, key_id, split_signature, verify_parts

MAX_PARTS: Final = 2  # signatures that a suite takes at most
MAX_ENTRY_BYTES: Final = 65_535  # two-byte length prefix of an entry bundle (c2sp.org/tlog-tiles)
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_KIND_PREFIX: Final = "urn:serai:"
_KIND_SUFFIX: Final = ":v1"
_NONCE: Final = "nonce"
_SIGNER: Final = "signer"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A statement and its signer's word for it, as parsed from an entry's bytes.

    Attributes:
        id: SHA-256 of the pre-authentication encoding; names the statement.
        kind: what is said, such as ``ballot``.
        subject: digests of what it is about, by name.
        predicate: what is said, as JSON, without signer and nonce.
        signer: id of the signing key (a hint until verified).
        parts: the signer's signatures, as many as its suite takes.
        payload: what was signed, without its type.
        extras: further signatures, which decide nothing.

    """

    id: Digest
    kind: str
    subject: Mapping[str, Digest]
    predicate: Mapping[str, Json]
    signer: KeyId
    parts: tuple[bytes, ...]
    payload: bytes
    extras: tuple[ExtraSignature, ...] = ()

    @property
    def message(self) -> bytes:
        """What is signed: the pre-authentication encoding."""
        return _pae(self.payload)

    def verify(self, public: bytes) -> None:
        """Check every signature of the signer's suite.

        Raises:
            Unverified: the key is not the signer, or one of its signatures is missing or does not hold.

        """
        verify_parts(public, self.parts, self.message)

    def encode(self) -> bytes:
        """The envelope as a log entry.

        Raises:
            Malformed: the entry exceeds 65,535 bytes.

        """
        own = [{"keyid": self.signer, "sig": base64.b64encode(part).decode()} for part in self.parts]
        extras = [{"keyid": extra.key, "sig": base64.b64encode(extra.signature).decode()} for extra in self.extras]
        entry = canonical(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [*own, *extras],
            }
        )
        if len(entry) > MAX_ENTRY_BYTES:
            raise Malformed(
                "entry-too-large",
                f"a log entry holds at most {MAX_ENTRY_BYTES} bytes, this {self.kind} needs {len(entry)}; "
                "put long texts in a blob",
            )
        return entry

    def with_extra(self, extra: ExtraSignature) -> "Envelope":
        """The same statement with one more further signature, in the order of their keys.

        Raises:
            Malformed: there are too many, or one by that key is there already.

        """
        extras = tuple(sorted((*self.extras, extra)))
        _check_extras(extras)
        return replace(self, extras=extras)


def sign_statement(
    kind: str, predicate: Mapping[str, Json], subject: Mapping[str, Digest], signer: Signer, nonce: bytes = b""
) -> bytes:
    """Build, sign and encode a statement as one log entry.

    Args:
        kind: what is said, such as ``ballot``.
        predicate: what is said, as JSON; ``nonce`` and ``signer`` are no fields of it.
        subject: digests of what it is about, by name.
        signer: whoever says it.
        nonce: makes this statement another than an equal one said before, such as
            a ballot that returns to an earlier choice; empty where once is enough.

    Raises:
        Malformed: the predicate is not canonical JSON, or the entry exceeds 65,535 bytes.

    """
    payload = write_payload(kind, predicate, subject, key_id(signer.public), nonce)
    return sign_payload(payload, signer).encode()


def write_payload(
    kind: str, predicate: Mapping[str, Json], subject: Mapping[str, Digest], signer: KeyId, nonce: bytes = b""
) -> bytes:
    """What is to be signed, for somebody who signs elsewhere; see ``sign_statement``.

    Raises:
        Malformed: the predicate is not canonical JSON.

    """
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "predicate": {**predicate, _SIGNER: signer, **({_NONCE: nonce.hex()} if nonce else {})},
            "predicateType": f"{_KIND_PREFIX}{kind}{_KIND_SUFFIX}",
            "subject": [{"digest": {"sha256": subject[name]}, "name": name} for name in sorted(subject)],
        }
    )


def sign_payload(payload: bytes, signer: Signer) -> Envelope:
    """Sign what ``write_payload`` made.

    Raises:
        Malformed: it is no statement, or names another signer.

    """
    envelope = read_payload(payload)
    if envelope.signer != key_id(signer.public):
        raise Malformed(
            "statement-signer",
            f"the statement names signer {envelope.signer[:12]}, and this key is {key_id(signer.public)[:12]}; "
            "use the key it asks for",
        )
    return replace(envelope, parts=split_signature(signer.public, signer.sign(envelope.message)))


def sign_again(entry: bytes, signer: Signer) -> bytes:
    """Say with another key what an entry says, which is then another statement.

    Raises:
        Malformed: not a statement, or the new entry exceeds 65,535 bytes.

    """
    statement = parse(parse_envelope(entry).payload, MAX_ENTRY_BYTES)
    assert isinstance(statement, dict)
    assert isinstance(statement["predicate"], dict)
    statement["predicate"][_SIGNER] = key_id(signer.public)
    return sign_payload(canonical(statement), signer).encode()


@functools.lru_cache(maxsize=256)  # whoever takes an entry in reads it for its name, and again to judge it
def parse_envelope(entry: bytes) -> Envelope:
    """Read an entry; the signatures are *not* checked here.

    Raises:
        Malformed: not an in-toto Statement in a DSSE envelope with one signer.

    """
    outer = _object(parse(entry, MAX_ENTRY_BYTES), {"payload", "payloadType", "signatures"}, "envelope")
    signatures = outer["signatures"]
    if outer["payloadType"] != PAYLOAD_TYPE or not isinstance(signatures, list):
        raise Malformed("envelope-form", f"expected payloadType {PAYLOAD_TYPE} and a list of signatures")
    if not 0 < len(signatures) <= MAX_PARTS + MAX_EXTRAS:
        raise Malformed("envelope-form", f"expected 1 to {MAX_PARTS + MAX_EXTRAS} signatures, got {len(signatures)}")
    given = [_object(item, {"keyid", "sig"}, "signature") for item in signatures]
    payload = _base64(outer["payload"])
    statement = _statement(payload)
    signer = statement["predicate"].get(_SIGNER)
    own = [item for item in given if item["keyid"] == signer]
    if not 0 < len(own) <= MAX_PARTS or own != given[: len(own)]:
        # Else two keys could make statements of one id, and whoever came second would be taken for a repetition.
        raise Malformed(
            "statement-signer",
            f"expected 1 to {MAX_PARTS} signatures first, by the signer that the predicate names, {str(signer)[:12]}",
        )
    extras = tuple(ExtraSignature(str(item["keyid"]), _base64(item["sig"])) for item in given[len(own) :])
    if extras:
        _check_extras(extras)
    return _envelope(payload, statement, tuple(_base64(item["sig"]) for item in own), extras)


def read_payload(payload: bytes) -> Envelope:
    """Read what is to be signed, or was; there are no signatures yet.

    Raises:
        Malformed: not an in-toto Statement that names its signer.

    """
    return _envelope(payload, _statement(payload), (), ())


def _statement(payload: bytes) -> Mapping[str, Any]:
    statement = _object(
        parse(payload, MAX_ENTRY_BYTES), {"_type", "predicate", "predicateType", "subject"}, "statement"
    )
    if statement["_type"] != STATEMENT_TYPE:
        raise Malformed("statement-type", f"expected _type {STATEMENT_TYPE}, got {statement['_type']!r}")
    if not isinstance(statement["predicate"], Mapping):
        raise Malformed("statement-predicate", "expected the predicate to be an object")
    return statement


def _envelope(
    payload: bytes, statement: Mapping[str, Any], parts: tuple[bytes, ...], extras: tuple[ExtraSignature, ...]
) -> Envelope:
    predicate = statement["predicate"]
    return Envelope(
        id=digest_of(_pae(payload)),
        kind=_kind(statement["predicateType"]),
        subject=_subject(statement["subject"]),
        predicate={name: value for name, value in predicate.items() if name not in {_NONCE, _SIGNER}},
        signer=KeyId(parse_digest(str(predicate.get(_SIGNER)))),
        parts=parts,
        payload=payload,
        extras=extras,
    )


def _check_extras(extras: tuple[ExtraSignature, ...]) -> None:
    keys = [extra.key for extra in extras]
    if len(keys) > MAX_EXTRAS or keys != sorted(set(keys)):
        raise Malformed(
            "envelope-form", f"expected at most {MAX_EXTRAS} further signatures, in order, one for each key"
        )


def _pae(payload: bytes) -> bytes:
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _object(value: Json, keys: set[str], what: str) -> Mapping[str, Json]:
    if not isinstance(value, Mapping) or set(value) != keys:
        raise Malformed("envelope-form", f"expected the {what} to be an object with exactly {sorted(keys)}")
    return value


def _base64(value: Json) -> bytes:
    data = b""
    if isinstance(value, str):
        with contextlib.suppress(binascii.Error, ValueError):
            data = base64.b64decode(value, validate=True)
    if base64.b64encode(data).decode() != value:
        raise Malformed("envelope-base64", "expected standard base64 with padding")
    return data


def _kind(value: Json) -> str:
    if isinstance(value, str) and value.startswith(_KIND_PREFIX) and value.endswith(_KIND_SUFFIX):
        return value[len(_KIND_PREFIX) : -len(_KIND_SUFFIX)]
    raise Malformed("statement-kind", f"expected predicateType {_KIND_PREFIX}<kind>{_KIND_SUFFIX}, got {value!r}")


def _subject(value: Json) -> dict[str, Digest]:
    if not isinstance(value, list):
        raise Malformed("statement-subject", "expected the subject to be a list")
    subject: dict[str, Digest] = {}
    for item in value:
        resource = _object(item, {"digest", "name"}, "subject")
        digest = _object(resource["digest"], {"sha256"}, "subject digest")
        subject[str(resource["name"])] = parse_digest(str(digest["sha256"]))
    if list(subject) != sorted(subject) or len(subject) != len(value):
        raise Malformed("statement-subject", "expected distinct subject names in sorted order")
    return subject
