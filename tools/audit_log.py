"""Audit a serai log alone: one file, Python's standard library and `cryptography`, nothing of serai.

    audit_log.py FOLDER_OR_URL --genesis DIGEST          trust the charter with this digest
    audit_log.py FOLDER_OR_URL --log-key VKEY [...]      trust these keys instead

Checks every entry, bundle and tile, the root, that every founder signed one charter, every statement's signature, the
log's own, and that a quorum of members cosigned (the founders', unless --witness names others); else ends with status 1.

Formats: RFC 6962; c2sp.org/signed-note, tlog-checkpoint, tlog-tiles, tlog-cosignature; DSSE v1.
"""

import argparse
import base64
import hashlib
import http.client
import json
import sys
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH = 256  # hashes in a full tile, entries in a full bundle
COSIGNATURE = 4  # signature type of a witness; 1 is a log's
Read = Callable[[str], bytes | None]


class FailedAudit(Exception):
    """Something does not hold; the text says what."""


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def reader(source: str) -> Read:
    """Read published files by path, from a folder or over one connection to a web server; None if not there."""
    parts = urllib.parse.urlsplit(source)
    if parts.scheme not in {"http", "https"}:
        return lambda path: (Path(source) / path).read_bytes() if (Path(source) / path).is_file() else None
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=60)

    def read(path: str) -> bytes | None:
        connection.request("GET", f"{parts.path.rstrip('/')}/{path}")
        response = connection.getresponse()
        data = response.read()
        if response.status not in {200, 404}:
            raise FailedAudit(f"{source}/{path}: expected status 200, got {response.status}")
        return data if response.status == 200 else None

    return read


def tile_path(level: str, index: int, width: int) -> str:
    """Path of a tile or entry bundle (c2sp.org/tlog-tiles)."""
    name = f"{index % 1000:03d}"
    while index := index // 1000:
        name = f"x{index % 1000:03d}/{name}"
    return f"tile/{level}/{name}" + ("" if width == WIDTH else f".p/{width}")


def read_part(read: Read, level: str, index: int, width: int) -> bytes:
    """Read a partial file, or the full one that took its place."""
    for path in (tile_path(level, index, width), tile_path(level, index, WIDTH)):
        if (data := read(path)) is not None:
            return data
    raise FailedAudit(f"{tile_path(level, index, width)} is missing")


def entries_of(read: Read, size: int) -> Iterator[bytes]:
    """Every entry, from the entry bundles."""
    for start in range(0, size, WIDTH):
        width = min(WIDTH, size - start)
        bundle, place = read_part(read, "entries", start // WIDTH, width), 0
        for index in range(start, start + width):
            end = place + 2 + int.from_bytes(bundle[place : place + 2], "big")
            if place + 2 > len(bundle) or end > len(bundle):
                raise FailedAudit(f"the entry bundle ends inside entry {index}")
            yield bundle[place + 2 : end]
            place = end


def fold(hashes: list[bytes]) -> bytes:
    """Common ancestor of 1, 2, 4, ... neighbours."""
    while len(hashes) > 1:
        hashes = [sha256(b"\1" + left + right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


@dataclass
class Tree:
    """A Merkle tree (RFC 6962) rebuilt from entries; each tile it completes is compared with the published one."""

    read: Read
    size: int = 0
    tiles: int = 0
    levels: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(8)])  # enough for 2^64 entries

    def add(self, entry: bytes) -> None:
        """Add one entry."""
        self.size += 1
        level, carried = 0, [sha256(b"\0" + entry)]
        while carried:
            self.levels[level] += carried
            carried = []
            if len(self.levels[level]) == WIDTH:
                self.compare(level)
                carried, self.levels[level] = [fold(self.levels[level])], []
            level += 1

    def compare(self, level: int) -> None:
        """Compare the last tile of a level with the published one."""
        hashes = self.levels[level]
        index = ((self.size >> (8 * level)) - 1) // WIDTH
        if read_part(self.read, str(level), index, len(hashes))[: 32 * len(hashes)] != b"".join(hashes):
            raise FailedAudit(f"{tile_path(str(level), index, len(hashes))} is not made of the entries below it")
        self.tiles += 1

    def root(self) -> bytes:
        """Root of everything added, after comparing the partial tiles."""
        root = b""
        for level, hashes in enumerate(self.levels):
            if hashes:
                self.compare(level)
            end = len(hashes)
            while end:
                start = end - (end & -end)  # the right-most complete subtree of this row
                part = fold(hashes[start:end])
                root, end = sha256(b"\1" + part + root) if root else part, start
        return root or sha256(b"")


@dataclass
class Statements:
    """Checks what is said: one charter signed by every founder, and each signature by a key that members named."""

    genesis: str = ""
    charter: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)  # by key id: member, role, public key
    founders: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    seen: set[bytes] = field(default_factory=set)
    appointed: dict[str, set[str]] = field(default_factory=dict)  # who has signed each appointment of a successor

    def add(self, index: int, entry: bytes) -> None:
        """Check one entry."""
        try:
            outer = json.loads(entry)
            payload, payload_type = base64.b64decode(outer["payload"], validate=True), outer["payloadType"].encode()
            statement = json.loads(payload)
            kind = statement["predicateType"].removeprefix("urn:serai:").removesuffix(":v1")
            if kind == "charter.adopt":
                self.adopt(statement["predicate"]["charter"])
            (line,) = outer["signatures"]
            member, role, public = self.keys[line["keyid"]]
            signature = base64.b64decode(line["sig"], validate=True)
        except KeyError as error:
            raise FailedAudit(f"entry {index}: {error} is missing, or no member's key") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise FailedAudit(f"entry {index} is not a signed statement: {error}") from error
        signed = b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type, len(payload), payload)
        if not holds(public, signature, signed):
            raise FailedAudit(f"entry {index} ({kind}): the signature of {member} does not hold")
        if kind == "charter.adopt" and role == "root":
            self.founders.add(member)
        if kind == "operator.appoint" and role == "delegate" and statement["predicate"]["size"] <= index:
            self.appoint(statement["predicate"], member)
        if kind == "proposal.open" and statement["predicate"].get("accession"):
            self.learn(statement["predicate"]["accession"])
        self.kinds["said twice" if sha256(signed) in self.seen else kind] += 1
        self.seen.add(sha256(signed))

    def adopt(self, charter: dict[str, Any]) -> None:
        """Take the first charter; refuse another one."""
        digest = sha256(json.dumps(charter, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hex()
        if self.genesis not in {"", digest}:
            raise FailedAudit(f"two charters were signed, {self.genesis} and {digest}")
        if not self.genesis:
            self.genesis, self.charter = digest, charter
            for member in [*charter["members"], {"id": "operator", "keys": {"operator": [charter["operator"]]}}]:
                self.learn(member)

    def appoint(self, body: dict[str, Any], member: str) -> None:
        """Take another log key once as many founders as make a quorum have signed for it."""
        said = json.dumps([body[name] for name in ("log_key", "operator", "url", "size", "root")])
        signers = self.appointed.setdefault(said, set())
        signers |= {member} & self.founders
        if len(signers) >= (len(self.founders) + self.charter.get("faulty", 0)) // 2 + 1:
            self.charter = {**self.charter, "log_key": body["log_key"]}
            self.learn({"id": "operator", "keys": {"operator": [body["operator"]]}})

    def learn(self, member: dict[str, Any]) -> None:
        """Learn a member's keys."""
        for role, keys in member["keys"].items():
            for key in map(bytes.fromhex, keys):
                self.keys.setdefault(sha256(key).hex(), (member["id"], role, key))

    def founding_witnesses(self, origin: str) -> list[tuple[str, bytes]]:
        """Witness keys of the founders, all of whom must have signed."""
        members = {member["id"]: member["keys"]["witness"][0] for member in self.charter.get("members", [])}
        if not members or set(members) - self.founders:
            raise FailedAudit(f"the charter is not in force, unsigned by {sorted(set(members) - self.founders)}")
        return [(f"{origin}/witness/{name}", bytes([COSIGNATURE]) + bytes.fromhex(members[name])) for name in members]


def parse_vkey(vkey: str) -> tuple[str, bytes]:
    """Name, and type with public key, of a verifier key (c2sp.org/signed-note)."""
    name, _, rest = vkey.partition("+")
    tagged = base64.b64decode(rest.partition("+")[2], validate=True)
    if rest.partition("+")[0] != sha256(name.encode() + b"\n" + tagged)[:4].hex() or len(tagged) != 33:
        raise FailedAudit(f"the verifier key {vkey} does not fit its key id")
    return name, tagged


def signed_by(text: str, lines: list[str], key: tuple[str, bytes]) -> int | None:
    """When a key signed a note (0 for a plain signature), or None if no line is by it."""
    (name, tagged), latest = key, None
    for line in lines:
        dash, found, blob = [*line.split(" "), "", ""][:3]
        data = base64.b64decode(blob, validate=True)
        if dash != "\u2014" or len(data) < 68:
            raise FailedAudit(f"not a signature line: {line[:80]!r}")
        if (found, data[:4]) != (name, sha256(name.encode() + b"\n" + tagged)[:4]):
            continue
        time_s, message, signature = 0, text.encode(), data[4:]
        if tagged[0] == COSIGNATURE:
            time_s, signature = int.from_bytes(data[4:12], "big"), data[12:]
            message = f"cosignature/v1\ntime {time_s}\n{text}".encode()
        if not holds(tagged[1:], signature, message):
            raise FailedAudit(f"the checkpoint's signature by {name} does not hold")
        latest = max(time_s, latest or 0)
    return latest


def check_witnesses(text: str, lines: list[str], keys: list[tuple[str, bytes]], faulty: int) -> dict[str, str]:
    """Who cosigned and when; a quorum of distinct members must have."""
    needed = (len(keys) + faulty) // 2 + 1
    if len({tagged for _, tagged in keys}) < len(keys) or not 0 <= faulty <= len(keys) - needed:
        raise FailedAudit(f"{len(keys)} witnesses of whom {faulty} may lie: they are too few, or two share a key")
    times = {key[0]: time_s for key in keys if (time_s := signed_by(text, lines, key)) is not None}
    if len(times) < needed:
        raise FailedAudit(f"expected {needed} of {len(keys)} members to have cosigned, got {sorted(times)}")
    return {name: datetime.fromtimestamp(time_s, UTC).isoformat() for name, time_s in times.items()}


def audit(read: Read, options: argparse.Namespace) -> dict[str, Any]:
    """Check everything; the summary of what was found."""
    text, _, signatures = (read("checkpoint") or b"").decode().rpartition("\n\n")
    if len(rows := text.split("\n")) != 3:
        raise FailedAudit("there is no checkpoint, or it is not a signed note of three lines")
    (origin, size, root), text, lines = rows, text + "\n", signatures.rstrip("\n").split("\n")
    tree, statements = Tree(read), Statements()
    for index, entry in enumerate(entries_of(read, int(size))):
        tree.add(entry)
        statements.add(index, entry)
    if base64.b64encode(tree.root()).decode() != root:
        raise FailedAudit(f"the {size} entries do not have the root in the checkpoint")
    witnesses = statements.founding_witnesses(origin)
    if options.genesis not in {None, statements.genesis}:
        raise FailedAudit(f"expected the charter {options.genesis}, the log was founded on {statements.genesis}")
    log_key = parse_vkey(options.log_key or statements.charter["log_key"])
    if log_key[0] != origin or signed_by(text, lines, log_key) is None:
        raise FailedAudit(f"the checkpoint of {origin} is not signed by the key of {log_key[0]}")
    faulty = statements.charter.get("faulty", 0) if options.faulty is None else options.faulty
    cosigned = check_witnesses(text, lines, [parse_vkey(vkey) for vkey in options.witness] or witnesses, faulty)
    summary = {"ok": True, "origin": origin, "entries": tree.size, "root": root, "tiles": tree.tiles}
    return {**summary, "genesis": statements.genesis, "cosigned": cosigned, "statements": dict(statements.kinds)}


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 0 if everything holds, else 1 and a reason."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", help="folder or http(s) address with checkpoint and tile/")
    parser.add_argument("--genesis", help="digest of the founding charter that you hold")
    parser.add_argument("--log-key", help="the log's verifier key (name+id+base64)")
    parser.add_argument("--witness", action="append", default=[], help="a witness's verifier key; repeat for each")
    parser.add_argument("--faulty", type=int, help="how many witnesses may lie (default: as the charter says)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    options = parser.parse_args(arguments)
    if not options.genesis and not options.log_key:
        parser.error("say what you trust, --genesis or --log-key: keys that come from the log alone prove nothing")
    try:
        summary = audit(reader(options.source), options)
    except (FailedAudit, OSError, http.client.HTTPException) as error:
        summary = {"ok": False, "reason": str(error)}
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        summary = {"ok": False, "reason": f"something does not have its form: {error!r}"}
    print(json.dumps(summary) if options.json else "\n".join(f"{name:<11} {summary[name]}" for name in summary))
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
