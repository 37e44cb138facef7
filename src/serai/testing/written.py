"""What a member may have written to the center: every request is one that the log accounts for, or an error.

Questions carry nothing but sizes and digests. Statements are in the log and signed by
this member. Cosignatures are this member's, of heads of this very log. Blobs have
the digest that they are stored under, which this member's statements name, or
which members agreed on as a model. Headers are of few kinds and forms.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import ValidationError

import serai
from serai.errors import Malformed, Unverified
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, KeyId, MemberId, digest_of
from serai.kernel.keys import Role
from serai.ledger.checkpoint import Checkpoint, verify_cosignature, witness_key
from serai.ledger.merkle import leaf_hash, root_of
from serai.state import State
from serai.testing.tap import Asked
from serai.transport.signatures import RequestHead, parse_signature, verify_content_digest
from serai.transport.wire import CosignRequest

QUESTION: Final = "question"
BLOB: Final = "blob"
COSIGNATURE: Final = "cosignature"

_HEX: Final = "[0-9a-f]{64}"
_TARGETS: Final[Mapping[str, re.Pattern[str]]] = {
    "GET": re.compile(
        rf"/news\?size=\d{{1,9}}&witnessed=\d{{1,9}}&wait_ms=\d{{1,5}}|/(?:blobs|uploads)/{_HEX}|/health"
    ),
    "HEAD": re.compile(rf"/blobs/{_HEX}"),
    "PUT": re.compile(rf"/blobs/{_HEX}"),
    "POST": re.compile(r"/entries|/cosignatures"),
}
_HEADERS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(form)
    for name, form in {
        "host": r"127\.0\.0\.1:\d{4,5}",
        "accept-encoding": "identity",
        "user-agent": rf"serai/{re.escape(serai.__version__)} \([a-z0-9-]{{1,63}}\)",
        "content-length": r"\d{1,8}",
        "content-type": "application/json",
        "content-digest": r"sha-256=:[A-Za-z0-9+/]{43}=:",
        "range": r"bytes=\d{1,9}-\d{0,9}",
        "signature-input": (
            r'serai=\("@method" "@path" "@query"(?: "content-digest")?\)'
            rf';created=\d{{10}};nonce="[0-9a-f]{{32}}";keyid="({_HEX})";alg="ed25519"'
        ),
        "signature": r"serai=:[A-Za-z0-9+/]{86}==:",
    }.items()
}
_MAX_LINE_CHARS: Final = 200  # of a cosignature


class Written:
    """What one member may have written, by a log as it stands.

    Args:
        member: who wrote.
        state: what the log adds up to.
        entries: the log.

    """

    def __init__(self, member: MemberId, state: State, entries: Sequence[bytes]) -> None:
        self._member = member
        self._keys = {key: holder for key, holder in state.charter.keys.items() if holder.member == member}
        charter = state.charter.charter
        if charter is None:
            raise Malformed("written-charter", "expected a log with a charter in force")
        self._origin = charter.origin
        self._logged = set(entries)
        self._leaves = [leaf_hash(entry) for entry in entries]
        self._blobs = set(_announced(state, member))

    def take_all(self, requests: Iterable[Asked]) -> list[str]:
        """What each request carries: a question, a blob, a cosignature, or a statement by its kind.

        Raises:
            Malformed: a target, a header or a body has another form.
            Unverified: a signature does not hold, or the log does not account for what was sent.

        """
        return [self.take(asked) for asked in requests]

    def take(self, asked: Asked) -> str:
        """What one request carries; raises as ``take_all``."""
        if not _TARGETS[asked.method].fullmatch(asked.target):
            raise Malformed("written-target", f"no zone asks for {asked.method} {asked.target[:200]!r}")
        self._check_headers(asked)
        if asked.method in {"GET", "HEAD"}:
            if asked.body:
                raise Malformed("written-body", f"a question carries nothing, got {len(asked.body)} bytes")
            return QUESTION
        if asked.method == "PUT":
            return self._take_blob(asked)
        return self._take_entry(asked.body) if asked.target == "/entries" else self._take_cosignature(asked.body)

    def _check_headers(self, asked: Asked) -> None:
        headers = dict(asked.headers)
        for name, value in headers.items():
            form = _HEADERS.get(name)
            if form is None or not form.fullmatch(value):
                raise Malformed("written-header", f"no zone sends {name}: {value[:200]!r}")
        signed = _HEADERS["signature-input"].fullmatch(headers.get("signature-input", ""))
        holder = None if signed is None else self._keys.get(KeyId(signed[1]))
        if holder is None or f"({self._member})" not in headers["user-agent"]:
            raise Unverified("written-signer", f"expected a request signed and named by {self._member}")
        path, _, query = asked.target.partition("?")
        head = RequestHead(method=asked.method, path=path, query=query, headers=headers)
        parse_signature(headers).verify(head, holder.public)
        if "content-digest" in headers:
            verify_content_digest(head, asked.body)

    def _take_blob(self, asked: Asked) -> str:
        digest = asked.target.removeprefix("/blobs/")
        if digest_of(asked.body) != digest or digest not in self._blobs:
            raise Unverified("written-blob", f"nothing in the log names blob {digest[:12]} of {self._member}")
        return BLOB

    def _take_entry(self, body: bytes) -> str:
        envelope = parse_envelope(body)
        if envelope.signer not in self._keys or body not in self._logged:
            raise Unverified("written-entry", f"the log has no such {envelope.kind} of {self._member}")
        envelope.verify(self._keys[envelope.signer].public)
        return envelope.kind

    def _take_cosignature(self, body: bytes) -> str:
        try:
            told = CosignRequest.model_validate_json(body)
        except ValidationError as error:
            raise Malformed("written-cosignature", f"expected a cosignature, got {body[:80]!r}") from error
        if told.member != self._member or told.model_dump_json().encode() != body or len(told.line) > _MAX_LINE_CHARS:
            raise Malformed("written-cosignature", f"expected a cosignature of {self._member} and no more")
        (public,) = (holder.public for holder in self._keys.values() if holder.role is Role.WITNESS)
        note = Checkpoint(self._origin, told.size, root_of(self._leaves[: told.size])).body()
        verify_cosignature(note, told.line, witness_key(self._origin, self._member, public))
        return COSIGNATURE


def _announced(state: State, member: MemberId) -> Iterable[Digest]:
    """Digests of what a member said that it sends, and of models that members agreed on or plans name."""
    for this in state.rounds.rounds.values():
        yield this.body.model
        yield from (result.model for result in this.results.values())
        if (upload := this.uploads.get(member)) is not None:
            yield upload.body.blob
            yield upload.body.chunks
            if upload.body.deal is not None:
                yield upload.body.deal.blob
