"""Signed statements: in-toto Statement v1 inside a DSSE v1 envelope.

One entry of the log is one envelope with one signature. The statement's id is
the SHA-256 of what is signed (the DSSE pre-authentication encoding), which names
the signer. So neither base64 spelling nor a second signature can give one
statement two ids, and no two members' statements share one.

Sources: github.com/secure-systems-lab/dsse (protocol.md v1.0.2);
in-toto attestation framework, spec/v1/statement.md.
"""

import base64
import binascii
import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed
from serai.kernel.canonical import Json, canonical, parse
from serai.kernel.ids import Digest, KeyId, digest_of, parse_digest
from serai.kernel.keys import Signer, key_id, verify_signature

MAX_ENTRY_BYTES: Final = 65_535  # two-byte length prefix of an entry bundle (c2sp.org/tlog-tiles)
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_KIND_PREFIX: Final = "urn:serai:"
_KIND_SUFFIX: Final = ":v1"
_NONCE: Final = "nonce"
_SIGNER: Final = "signer"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A statement and one signature over it, as parsed from an entry's bytes.

    Attributes:
        id: SHA-256 of the pre-authentication encoding; names the statement.
        kind: what is said, such as ``ballot``.
        subject: digests of what it is about, by name.
        predicate: what is said, as JSON, without signer and nonce.
        signer: id of the signing key (a hint until verified).

    """

    id: Digest
    kind: str
    subject: Mapping[str, Digest]
    predicate: Mapping[str, Json]
    signer: KeyId
    signature: bytes
    payload: bytes

    def verify(self, public: bytes) -> None:
        """Check the signature with a raw Ed25519 public key.

        Raises:
            Unverified: the key is not the signer or the signature does not hold.

        """
        verify_signature(public, self.signature, _pae(self.payload))


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
    payload = canonical(
        {
            "_type": STATEMENT_TYPE,
            "predicate": {**predicate, _SIGNER: key_id(signer.public), **({_NONCE: nonce.hex()} if nonce else {})},
            "predicateType": f"{_KIND_PREFIX}{kind}{_KIND_SUFFIX}",
            "subject": [{"digest": {"sha256": subject[name]}, "name": name} for name in sorted(subject)],
        }
    )
    signature = signer.sign(_pae(payload))
    entry = canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key_id(signer.public), "sig": base64.b64encode(signature).decode()}],
        }
    )
    if len(entry) > MAX_ENTRY_BYTES:
        raise Malformed(
            "entry-too-large",
            f"a log entry holds at most {MAX_ENTRY_BYTES} bytes, this {kind} needs {len(entry)}; put long texts in a blob",
        )
    return entry


@functools.lru_cache(maxsize=16)  # whoever takes an entry in reads it for its name, and again to judge it
def parse_envelope(entry: bytes) -> Envelope:
    """Read an entry; the signature is *not* checked here.

    Raises:
        Malformed: not an in-toto Statement in a DSSE envelope with one signature.

    """
    outer = _object(parse(entry, MAX_ENTRY_BYTES), {"payload", "payloadType", "signatures"}, "envelope")
    signatures = outer["signatures"]
    if outer["payloadType"] != PAYLOAD_TYPE or not isinstance(signatures, list) or len(signatures) != 1:
        raise Malformed("envelope-form", f"expected payloadType {PAYLOAD_TYPE} and exactly one signature")
    signature = _object(signatures[0], {"keyid", "sig"}, "signature")
    payload = _base64(outer["payload"])
    statement = _object(
        parse(payload, MAX_ENTRY_BYTES), {"_type", "predicate", "predicateType", "subject"}, "statement"
    )
    if statement["_type"] != STATEMENT_TYPE:
        raise Malformed("statement-type", f"expected _type {STATEMENT_TYPE}, got {statement['_type']!r}")
    predicate = statement["predicate"]
    if not isinstance(predicate, Mapping):
        raise Malformed("statement-predicate", "expected the predicate to be an object")
    signer = KeyId(parse_digest(str(signature["keyid"])))
    if predicate.get(_SIGNER) != signer:
        # Else two keys could make statements of one id, and whoever came second would be taken for a repetition.
        raise Malformed("statement-signer", f"expected the predicate to name its signer, {signer[:12]}")
    return Envelope(
        id=digest_of(_pae(payload)),
        kind=_kind(statement["predicateType"]),
        subject=_subject(statement["subject"]),
        predicate={name: value for name, value in predicate.items() if name not in {_NONCE, _SIGNER}},
        signer=signer,
        signature=_base64(signature["sig"]),
        payload=payload,
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
