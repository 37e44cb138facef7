"""A run of three or more members over a made-up log, without the rooms around it."""

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from serai.aggregation.codec import Block, Codec, Encoder
from serai.aggregation.dealing import deal, open_row
from serai.aggregation.exchange import ChunkDigests, masked_chunks, read_total, sum_chunks
from serai.aggregation.job import Job
from serai.aggregation.masking import Roster
from serai.aggregation.ring import chunk_bytes
from serai.aggregation.rules import judge
from serai.aggregation.state import RoundsState, apply, current_round
from serai.aggregation.statements import RoundClose, RoundOpen, RoundRecover, RoundRelease, RoundResult, RoundUpload
from serai.kernel.ids import Digest, digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import Said
from serai.kernel.units import Instant
from serai.kernel.verdict import GRANTED

MEMBERS = ("aarau", "bern", "chur", "davos")
RUN = digest_of(b"run")
FIRST = digest_of(b"model 0")


class PrivateKey:
    """X25519 in memory."""

    def __init__(self, member):
        self._key = X25519PrivateKey.from_private_bytes(hashlib.sha256(member.encode()).digest())

    @property
    def public(self):
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def exchange(self, public):
        return self._key.exchange(X25519PublicKey.from_public_bytes(public))


@dataclass
class World:
    """A log with rounds, its blobs, and shortcuts that say the honest thing unless told otherwise."""

    length: int = 10
    bits: int = 16
    minimum: int = 3
    rounds: int = 2
    threshold: int = 0
    members: tuple = MEMBERS
    state: RoundsState = field(default_factory=RoundsState)
    time_ms: int = 1000
    index: int = 0
    blobs: dict = field(default_factory=dict)

    def __post_init__(self):
        self.keys = {member: PrivateKey(member) for member in self.members}
        self.codec = Codec(bits=self.bits, limit=500, blocks=(Block(length=self.length, step=Fraction(1, 100)),))
        self.job = Job(
            run=RUN,
            keys={member: key.public for member, key in self.keys.items()},
            minimum=self.minimum,
            rounds=self.rounds,
            codec=self.codec,
            length=self.length,
            initial=FIRST,
            round_ms=1000,
            threshold=self.threshold,
        )

    def said(self, body, member, role=Role.ZONE):
        name = digest_of(f"{self.index} {member} {body}".encode())
        return Said(
            id=name, body=body, member=member, role=role, key=digest_of(member.encode()), leaf=digest_of(name.encode())
        )

    def say(self, body, member="operator", role=None):
        """Judge; apply if granted. Returns the verdict's article, or ``""``."""
        role = role or (Role.OPERATOR if member == "operator" else Role.ZONE)
        said, at = self.said(body, member, role), Instant(self.index, self.time_ms)
        verdict = judge({RUN: self.job}, self.state, said, at)
        self.index += 1
        if verdict != GRANTED:
            assert verdict.reason
            return verdict.article
        self.state = apply(self.state, said, at)
        return ""

    @property
    def current(self):
        return current_round(self.state, RUN)

    def open_body(self, **changes):
        fields = {
            "run": RUN,
            "number": self.state.runs[RUN].opened if RUN in self.state.runs else 0,
            "model": FIRST,
            "participants": MEMBERS,
            "deadline_ms": self.time_ms + 1000,
        }
        return RoundOpen(**(fields | changes))

    def vector(self, member):
        seed = int.from_bytes(hashlib.sha256(member.encode()).digest()[:4], "big")
        return np.random.default_rng(seed).standard_normal(self.length)

    def self_seed(self, member):
        return hashlib.sha256(f"{self.current.id} {member}".encode()).digest()

    def roster(self, member, salt=None):
        keys = {name: self.job.keys[name] for name in self.current.body.participants}
        return Roster(me=member, keys=keys, salt=bytes.fromhex(salt or self.current.salt))

    def upload_body(self, member, salt=None):
        masks = self.roster(member, salt).masks(self.keys[member], self.self_seed(member))
        chunks, digests = [], ChunkDigests()
        for chunk in masked_chunks(self.codec, Encoder(self.codec, self.vector(member)).chunk, masks):
            digests.add(chunk)
            chunks.append(bytes(chunk))
        self.blobs[digests.blob] = b"".join(chunks)
        self.chunk_lists = {**getattr(self, "chunk_lists", {}), member: digests.chunks}
        said = self.deal(member)[0] if self.threshold else None
        return RoundUpload(
            open=self.current.id,
            blob=digests.blob,
            chunks=digests.chunk_list,
            size_bytes=digests.size_bytes,
            deal=said,
        )

    def deal(self, member):
        seed = hashlib.sha256(f"deal {self.current.id} {member}".encode()).digest()
        said, blob = deal(self.roster(member), self.keys[member], self.self_seed(member), (self.threshold, seed))
        self.blobs[said.blob] = blob
        return said, blob

    def row(self, giver, lost):
        said = self.current.uploads[lost].body.deal
        return open_row(self.roster(giver), self.keys[giver], lost, said, self.blobs[said.blob])

    def recover_body(self, giver, lost, owed=None, **changes):
        row = self.row(giver, lost)
        owed = self.current.missing | {lost} if owed is None else owed
        fields = {
            "close": self.current.closed.id,
            "member": lost,
            "rows": row.rows,
            "seeds": row.seeds,
            "row": row.row,
            "shares": {name: row.shares[name] for name in owed},
        }
        return RoundRecover(**(fields | changes))

    def read(self, blob, number):
        size = chunk_bytes(self.bits)
        return memoryview(self.blobs[blob])[number * size : (number + 1) * size]

    def close_body(self, **changes):
        uploads = {member: upload.body.blob for member, upload in self.current.uploads.items()}
        readers = [lambda number, blob=blob: self.read(blob, number) for blob in uploads.values()]
        masked = b"".join(bytes(chunk) for chunk in sum_chunks(self.codec, readers))
        self.blobs[digest_of(masked)] = masked
        fields = {"open": self.current.id, "uploads": uploads, "masked_sum": digest_of(masked)}
        return RoundClose(**(fields | changes))

    def release_body(self, member, **changes):
        fields = {
            "close": self.current.closed.id,
            "self_seed": self.self_seed(member),
            "pair_seeds": self.roster(member).pair_seeds(self.keys[member], self.current.missing),
        }
        return RoundRelease(**(fields | changes))

    def total(self):
        this = self.current
        out = np.empty(self.length)
        digest = read_total(self.codec, lambda number: self.read(this.closed.body.masked_sum, number), this.masks, out)
        return digest, out

    def result_body(self, model="model 1", **changes):
        fields = {"close": self.current.closed.id, "total": digest_of(b"total"), "model": digest_of(model.encode())}
        return RoundResult(**(fields | changes))

    def open(self, **changes):
        assert self.say(self.open_body(**changes)) == ""

    def upload(self, *members):
        for member in members or MEMBERS:
            assert self.say(self.upload_body(member), member) == ""

    def close(self):
        assert self.say(self.close_body()) == ""

    def release(self, *members):
        for member in members or sorted(self.current.summed):
            assert self.say(self.release_body(member), member) == ""

    def recover(self, lost, *givers):
        for giver in givers:
            assert self.say(self.recover_body(giver, lost), giver) == ""

    def finish(self, model="model 1"):
        for member in sorted(self.current.summed):
            assert self.say(self.result_body(model), member) == ""


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_world():
    return World


@pytest.fixture
def digest():
    return lambda text: Digest(digest_of(text.encode()))
