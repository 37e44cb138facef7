"""A statement as the rooms see it: typed, attributed to a key, placed in the log."""

from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar

from serai.kernel.envelope import sign_statement
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role, Signer
from serai.kernel.records import to_json


class Body(Protocol):
    """What every statement class in a room's ``statements.py`` declares.

    A body is a frozen dataclass that ``serai.kernel.records`` can read, with two
    class variables: ``KIND``, its name in the log, and ``ROLES``, the roles whose
    keys may say it.
    """

    KIND: ClassVar[str]
    ROLES: ClassVar[frozenset[Role]]


B_co = TypeVar("B_co", bound=Body, covariant=True)


@dataclass(frozen=True, slots=True)
class Said(Generic[B_co]):
    """One statement, parsed and with its signature verified, at its place in the log.

    Attributes:
        id: the statement's id.
        body: what is said.
        member: whose key signed; for the center's operator key, ``operator``.
        role: the role of that key in the charter at that index.
        key: id of the signing key.
        leaf: RFC 6962 leaf hash of the entry, which salts the masks of a round.

    """

    id: Digest
    body: B_co
    member: MemberId
    role: Role
    key: KeyId
    leaf: Digest


def sign_body(body: Body, signer: Signer, subject: dict[str, Digest] | None = None, nonce: bytes = b"") -> bytes:
    """Sign a statement body as one log entry.

    Args:
        body: what is said.
        signer: whoever says it.
        subject: digests of what it is about, by name.
        nonce: fresh bytes, so that the same can be said again later.

    Raises:
        Malformed: the body cannot be encoded or is too large for an entry.

    """
    predicate = to_json(body)
    assert isinstance(predicate, dict)
    return sign_statement(body.KIND, predicate, subject or {}, signer, nonce)
