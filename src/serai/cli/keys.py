"""Root statements, from a request to the log; and what has become of keys.

Root keys speak through files: one machine writes what is to be said, another
that is on no network shows it and signs, a third hands it in. Where the root key
lies beside the rest, the three are one machine, and the way is the same.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from serai.agent.session import Session
from serai.agent.succession import take_up_keys
from serai.charter.keys import root_keys, word_of
from serai.charter.members import MemberRecord
from serai.charter.state import holder_of, settle
from serai.charter.statements import CharterAdopt, MemberRotate
from serai.cli.reading import read_line
from serai.cli.words import sentence
from serai.errors import Malformed, Missing, Refused
from serai.kernel.envelope import Envelope, parse_envelope, read_payload, sign_payload, write_payload
from serai.kernel.extras import ExtraVerifier, judge_extras
from serai.kernel.ids import Digest, KeyId, MemberId
from serai.kernel.keys import Role, find_suite, key_id
from serai.kernel.records import from_json, to_json
from serai.kernel.statement import Body, Said
from serai.state import KINDS, State
from serai.storage.keyring import Keyring
from serai.storage.request_files import read_request, write_request

EXTRA_VERIFIERS: Final = "serai.signatures"
"""Entry points of installed packages: the name of a suite, and an ``ExtraVerifier`` for it."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A root key's word in the log.

    Attributes:
        index: where it stands.
        said: how many of the member's root keys have said the same.
        threshold: how many it takes; for a rotation, of the present ones.
        is_effective: whether it is the member's word now.
        changed: roles whose key in this zone has changed by it.

    """

    index: int
    said: int
    threshold: int
    is_effective: bool
    changed: tuple[Role, ...]


def write_requests(folder: Path, body: Body, signers: Sequence[KeyId]) -> list[Path]:
    """Write one request for each key that may say something; as many are to be signed as the threshold asks."""
    folder.mkdir(parents=True, exist_ok=True)
    predicate = to_json(body)
    assert isinstance(predicate, dict)
    paths = []
    for signer in signers:
        envelope = read_payload(write_payload(body.KIND, predicate, {}, signer, os.urandom(8)))
        path = folder / f"{body.KIND}-{envelope.id[:8]}-by-{signer[:12]}.request"
        write_request(path, envelope, describe(envelope))
        paths.append(path)
    return paths


def sign_request_file(path: Path, keys: Keyring) -> Envelope:
    """Sign a request with the key it asks for, into the same file.

    Raises:
        Missing: that key is not in this folder.
        Malformed: the file holds no statement that is known here.

    """
    envelope = read_request(path)
    remarks = describe(envelope)
    signer = keys.find_signer(envelope.signer)
    if signer is None:
        raise Missing(
            "key-elsewhere", f"{path} asks for key {envelope.signer}, which is not in this folder; name the right one"
        )
    signed = sign_payload(envelope.payload, signer)
    for extra in envelope.extras:
        signed = signed.with_extra(extra)
    write_request(path, signed, remarks)
    return signed


def submit_request(session: Session, path: Path) -> Submitted:
    """Hand a signed request in, and see what comes of it.

    Raises:
        Malformed: it is not signed, or holds no statement that is known here.
        Refused: the statement stands in the log and is void; the article says why.
        Unverified: the signature does not hold, or the key has ended.

    """
    envelope = read_request(path)
    body = read_body(envelope)
    if not envelope.parts:
        raise Malformed("signing-file-unsigned", f"{path} is not signed; sign it with: serai keys sign {path}")
    index = session.submit(envelope.encode())
    state = session.state()
    if denied := state.void.get(index):
        raise Refused(
            "statement-void", f"entry {index} has no effect, by {denied.article}: {denied.reason}", denied.article
        )
    return _submitted(session, state, envelope, body, index)


def _submitted(session: Session, state: State, envelope: Envelope, body: Any, index: int) -> Submitted:
    holder = holder_of(state.charter, envelope.signer, body)
    assert holder is not None, "else the entry were void"
    said = Said(envelope.id, body, holder.member, holder.role, envelope.signer, Digest(""))
    waiting = state.charter.words.get(word_of(said), frozenset())
    changed = take_up_keys(session.keys, MemberId(session.settings.member), state)
    threshold = state.charter.members[holder.member].root_threshold
    return Submitted(index, len(waiting) or threshold, threshold, not waiting, changed)


def read_body(envelope: Envelope) -> Body:
    """What a statement says, typed.

    Raises:
        Malformed: this version of serai does not know it, or it has another form.

    """
    kind = KINDS.get(envelope.kind)
    if kind is None:
        raise Malformed(
            "signing-file-kind", f"no statement of kind {envelope.kind!r} is known here; sign nothing unknown"
        )
    body: Body = from_json(kind, envelope.predicate)
    return body


def describe(envelope: Envelope) -> list[str]:
    """A statement in words and in full, from what is signed and from nothing else.

    Raises:
        Malformed: this version of serai does not know it, or it has another form.

    """
    said = sentence(f"The holder of key {envelope.signer[:12]}", read_body(envelope))
    full = json.dumps(envelope.predicate, ensure_ascii=False, indent=2, sort_keys=True)
    about = [f"about {name}: {digest}" for name, digest in envelope.subject.items()]
    lines = [f"{said}.", *about, *full.split("\n"), f"statement {envelope.id}", f"by key {envelope.signer}"]
    return [shown(line) for line in lines]


def shown(text: str) -> str:
    """A text for a terminal: whatever would move the cursor or turn the writing is spelled out."""
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)


# What can be requested


def parse_keys(texts: Sequence[str]) -> tuple[bytes, ...]:
    """Public keys from hex, as `serai keys new` prints them.

    Raises:
        Malformed: one is not hex.

    """
    try:
        return tuple(bytes.fromhex(text) for text in texts)
    except ValueError:
        raise Malformed("key-hex", "expected public keys as hex, as `serai keys new` prints them") from None


def next_keys(
    state: State, keys: Keyring, member: MemberId, roots: Sequence[bytes], threshold: int | None
) -> MemberRotate:
    """A member's next set: each next key of this folder in the place of the one in use, and the root keys that are named.

    Args:
        state: what the log adds up to.
        keys: the member's keys on this machine.
        member: whose they are.
        roots: the next root keys, all of them; empty to leave them as they are.
        threshold: how many of them must say the same; None for as many as now.

    Raises:
        Missing: there is no next key.

    """
    record = record_of(state, member)
    changed: dict[str, tuple[bytes, ...]] = {Role.ROOT.value: tuple(roots)} if roots else {}
    for role in Role:
        following = keys.find_next(role)
        if following is not None and role.value not in changed:
            kept = [public for public in record.keys.get(role, ()) if public != keys.signer(role).public]
            changed[role.value] = (*kept, following.public)
    if not changed and threshold is None:
        raise Missing("key-no-next", "there is no next key here; make one with: serai keys new ROLE, or name --root")
    return MemberRotate(
        member=member,
        version=record.version + 1,
        keys={**record.keys, **changed},
        root_threshold=record.root_threshold if threshold is None else threshold,
    )


def signers_of(state: State, member: MemberId, body: Body) -> list[KeyId]:
    """Which keys may say something for a member: its root keys, and for a rotation the next ones too."""
    if isinstance(body, CharterAdopt) and state.charter.charter is None:
        present = {
            key_id(item.public) for item in body.charter.holders() if (item.member, item.role) == (member, Role.ROOT)
        }
    else:
        present = set(root_keys(state.charter.keys, record_of(state, member)))
    following = {key_id(public) for public in body.keys[Role.ROOT]} if isinstance(body, MemberRotate) else set()
    return [*sorted(present), *sorted(following - present)]


def record_of(state: State, member: MemberId) -> MemberRecord:
    """A member as the log has it.

    Raises:
        Missing: no member of that name.

    """
    record = settle(state.charter, state.now).members.get(member)
    if record is None:
        raise Missing("member-unknown", f"the log has no member {member}; check the name, or catch up first")
    return record


# What there is to see


def key_rows(state: State) -> Iterator[dict[str, Any]]:
    """Every key there ever was, member by member."""
    keys = settle(state.charter, state.now).keys
    for id_, holder in sorted(keys.items(), key=lambda item: (item[1].member, item[1].role, item[1].since)):
        ended = "revoked" if holder.revoked else "replaced"
        yield {
            "member": holder.member,
            "role": holder.role.value,
            "key": id_,
            "suite": str(find_suite(holder.public)),
            "since": holder.since,
            "until": holder.until,
            "standing": "in use" if holder.until is None else ended,
        }


def disputed_rows(session: Session, state: State) -> Iterator[dict[str, Any]]:
    """Every disputed statement, with the key that made it."""
    for index, key in sorted(state.disputed.items()):
        (entry,) = session.entries(index, index + 1)
        line = read_line(state, entry, index)
        yield {"entry": index, "key": key, "kind": line.kind, "text": line.text, "statement": line.id}


def signature_rows(session: Session, state: State, index: int) -> Iterator[dict[str, Any]]:
    """Every signature of an entry: the signer's, and further ones, which count where there is a verifier for them."""
    (entry,) = session.entries(index, index + 1)
    envelope = parse_envelope(entry)
    holder = holder_of(state.charter, envelope.signer, read_body(envelope))
    suite = "unknown" if holder is None else str(find_suite(holder.public))
    yield {"key": envelope.signer, "suite": suite, "holds": "no" if index in state.void else "yes"}
    words = {None: "no verifier here", True: "yes", False: "no"}
    for key, holds in judge_extras(envelope.extras, envelope.message, find_verifiers()).items():
        yield {"key": key, "suite": key.partition(":")[0], "holds": words[holds]}


def find_verifiers() -> Mapping[str, ExtraVerifier]:
    """The verifiers of further signatures that are installed here."""
    return {point.name: point.load() for point in entry_points(group=EXTRA_VERIFIERS)}
