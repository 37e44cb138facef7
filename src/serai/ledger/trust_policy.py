"""Which logs to believe and whose cosignatures make a quorum, as a file for anybody (c2sp.org/tlog-policy)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from serai.errors import Malformed, Unverified
from serai.kernel.ids import MemberId
from serai.ledger.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, witness_key
from serai.ledger.note import Note, NoteKey, NoteKeyKind, parse_vkey
from serai.ledger.policy import Witnesses

MAX_POLICY_BYTES: Final = 1 << 20
MAX_NAMES: Final = 1024  # witnesses and groups together; the specification recommends at least 64
NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Group:
    """So many of these, each a witness or another group."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """What a policy file says.

    Attributes:
        logs: keys of the logs; a checkpoint of any of them counts.
        witnesses: by the name that the file gives them.
        groups: by name, each after what it names.
        quorum: name of a witness or group; ``none`` asks for no cosignature.
        urls: where logs and witnesses answer, by vkey, as far as the file says.

    """

    logs: tuple[NoteKey, ...]
    witnesses: Mapping[str, NoteKey]
    groups: Mapping[str, Group]
    quorum: str
    urls: Mapping[str, str]

    def encode(self) -> str:
        """Spell the file."""
        lines = [self._with_url(f"log {key.encode()}", key) for key in self.logs]
        lines += [self._with_url(f"witness {name} {key.encode()}", key) for name, key in self.witnesses.items()]
        for name, group in self.groups.items():
            lines.append(f"group {name} {group.threshold} {' '.join(group.members)}")
        return "\n".join([*lines, f"quorum {self.quorum}"]) + "\n"

    def open(self, note: Note, since_s: int = 0) -> tuple[Checkpoint, dict[str, int]]:
        """Read a checkpoint that this policy believes.

        Args:
            note: the checkpoint, with its signatures.
            since_s: cosignatures before this time do not count, Unix seconds; a file says nothing of freshness.

        Returns:
            The checkpoint, and when each witness of the policy cosigned it, Unix seconds by name.

        Raises:
            Malformed: the note holds no checkpoint.
            Unverified: no log of the policy signed it, or there is no quorum.

        """
        origin = parse_checkpoint(note.text).origin
        key = next((log for log in self.logs if log.name == origin and log in note.verify([log])), None)
        if key is None:
            raise Unverified("policy-log", f"no log of the policy has signed the checkpoint of {origin}")
        checkpoint = open_checkpoint(note, key)
        times = note.verify(tuple(self.witnesses.values()))
        seen = {name: times[key] for name, key in self.witnesses.items() if times.get(key, -1) >= since_s}
        if not self._holds(frozenset(seen)):
            when = f" since {since_s}" if since_s else ""
            raise Unverified(
                "policy-quorum", f"cosigned{when} by {', '.join(sorted(seen)) or 'nobody'}: not {self.quorum}"
            )
        return checkpoint, seen

    def _holds(self, seen: frozenset[str]) -> bool:
        held = set(seen)
        for name, group in self.groups.items():  # each stands after what it names
            if sum(member in held for member in group.members) >= group.threshold:
                held.add(name)
        return self.quorum == NONE or self.quorum in held

    def _with_url(self, line: str, key: NoteKey) -> str:
        url = self.urls.get(key.encode())
        return f"{line} {url}" if url else line


def policy_of(
    key: NoteKey, witnesses: Witnesses, constituencies: Mapping[str, Iterable[MemberId]], urls: Mapping[str, str]
) -> TrustPolicy:
    """The policy of a center: its log, its members' witnesses, and a quorum of them.

    Args:
        key: the log's.
        witnesses: of the members, with the number that may be faulty.
        constituencies: members by group; where there are any, a quorum also takes a
            majority of each. A member counts in the first of its groups, by name.
        urls: where log and witnesses answer, by vkey.

    """
    keys = {str(name): witness_key(key.name, name, witnesses.keys[name]) for name in sorted(witnesses.keys)}
    parts = _parts(tuple(keys), constituencies)
    if len(parts) < 2:
        groups = {"members": Group(witnesses.quorum, tuple(keys))}
    else:
        thresholds = {name: len(part) // 2 + 1 for name, part in parts.items()}
        while sum(thresholds.values()) < witnesses.quorum:  # majorities of parts may be fewer than a quorum of all
            widest = max(sorted(parts), key=lambda name: len(parts[name]) - thresholds[name])
            thresholds[widest] += 1
        groups = {name: Group(thresholds[name], part) for name, part in parts.items()}
        groups["members"] = Group(len(parts), tuple(parts))
    return TrustPolicy(logs=(key,), witnesses=keys, groups=groups, quorum="members", urls=urls)


def _parts(members: tuple[str, ...], constituencies: Mapping[str, Iterable[MemberId]]) -> dict[str, tuple[str, ...]]:
    """The members by constituency, each once; who is in none makes a part of its own."""
    left, parts = set(members), dict[str, tuple[str, ...]]()
    for name, named in [*sorted(constituencies.items()), ("", [MemberId(member) for member in members])]:
        if part := tuple(sorted(left.intersection(named))):
            parts[f"constituency-{name}" if name else "others"] = part
            left -= set(part)
    return parts


def parse_policy(text: str) -> TrustPolicy:
    """Read a policy file.

    Raises:
        Malformed: not a policy; the message names the line.

    """
    if len(text) > MAX_POLICY_BYTES:
        raise Malformed("policy-too-large", f"expected a policy of at most {MAX_POLICY_BYTES} bytes, got {len(text)}")
    logs: list[NoteKey] = []
    witnesses: dict[str, NoteKey] = {}
    groups: dict[str, Group] = {}
    urls: dict[str, str] = {}
    quorum, listed = "", set[str]()
    for number, line in enumerate(text.split("\n"), 1):
        if any(char < " " and char != "\t" for char in line):
            raise _bad(number, "a control character")
        match line.replace("\t", " ").split():
            case []:
                pass
            case [first, *_] if first.startswith("#"):
                pass
            case ["log", vkey, *url] if len(url) < 2:
                logs.append(_key(number, vkey, NoteKeyKind.ED25519, logs))
                urls.update(dict.fromkeys([vkey], *url) if url else {})
            case ["witness", name, vkey, *url] if len(url) < 2:
                _check_fresh(number, name, {*witnesses, *groups})
                witnesses[name] = _key(number, vkey, NoteKeyKind.COSIGNATURE, witnesses.values())
                urls.update(dict.fromkeys([vkey], *url) if url else {})
            case ["group", name, threshold, *members]:
                _check_fresh(number, name, {*witnesses, *groups})
                groups[name] = _group(number, threshold, tuple(members), {*witnesses, *groups} - listed)
                listed |= set(members)
            case ["quorum", name] if not quorum and (name == NONE or name in witnesses or name in groups):
                quorum = name
            case _:
                raise _bad(number, repr(line[:80]))
    if not quorum:
        raise Malformed("policy-form", "expected exactly one line `quorum <name>`, with a name that stands before it")
    return TrustPolicy(logs=tuple(logs), witnesses=witnesses, groups=groups, quorum=quorum, urls=urls)


def _group(number: int, threshold: str, members: tuple[str, ...], known: set[str]) -> Group:
    least = {"all": len(members), "any": 1}.get(threshold)
    if least is None:
        least = int(threshold) if threshold.isascii() and threshold.isdecimal() and len(threshold) < 5 else 0
    if not 1 <= least <= len(members) or len(set(members)) != len(members) or not set(members) <= known:
        raise _bad(number, "a group whose members stand before it, in no other group, and a threshold among them")
    return Group(least, members)


def _key(number: int, vkey: str, kind: NoteKeyKind, others: Iterable[NoteKey]) -> NoteKey:
    key = parse_vkey(vkey)
    if key.kind is not kind or any(key.public == other.public for other in others):
        raise _bad(number, f"a key of another kind, or one that stands there already: {vkey[:80]}")
    return key


def _check_fresh(number: int, name: str, known: set[str]) -> None:
    if name == NONE or name in known or len(known) >= MAX_NAMES:
        raise _bad(number, f"the name {name[:80]!r}, which is taken, or one too many")


def _bad(number: int, got: str) -> Malformed:
    return Malformed("policy-form", f"line {number} of the policy: unexpected {got}")
