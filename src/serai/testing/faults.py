"""Centers that lie, lose things or bend them, and parts that die: what a member's zone is tested against.

Each wraps the center, or another part of a zone, and is put in its place by
``Federation.deceive``. A ``Lens`` shows the truth; the others override the verb
they lie in.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from serai.agent.zone import Zone
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Signer
from serai.ledger.checkpoint import LogSigner, cosign
from serai.ledger.frontier import Frontier
from serai.ledger.merkle import leaf_hash
from serai.ledger.note import Note, parse_note, parse_signature
from serai.transport.port import Center, Health, LinkMeasured, News


class Lens:
    """Shows the center as it is."""

    def __init__(self, center: Center) -> None:
        self.center = center

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """As the center answers."""
        return self.center.news(size, witnessed, wait_s)

    def submit(self, entry: bytes) -> int:
        """Hand on."""
        return self.center.submit(entry)

    def cosign(self, member: MemberId, line: str, size: int) -> None:
        """Hand on."""
        self.center.cosign(member, line, size)

    def put_blob(self, digest: Digest, source: Path | bytes) -> None:
        """Hand on."""
        self.center.put_blob(digest, source)

    def get_blob(self, digest: Digest, target: Path) -> None:
        """As the center answers."""
        self.center.get_blob(digest, target)

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """As the center answers."""
        return self.center.read_blob(digest, offset, length)

    def stream_blob(self, digest: Digest, piece_bytes: int) -> Iterator[bytes]:
        """What ``read_blob`` shows, piece by piece."""
        offset = 0
        while piece := self.read_blob(digest, offset, piece_bytes):
            yield piece
            offset += len(piece)

    def has_blob(self, digest: Digest) -> bool:
        """As the center answers."""
        return self.center.has_blob(digest)

    def health(self) -> Health:
        """As the center answers."""
        return self.center.health()

    def link(self) -> LinkMeasured | None:
        """As measured."""
        return self.center.link()


class Forked(Lens):
    """Shows a history of its own, under checkpoints that the log's own key signs.

    Args:
        center: where blobs are.
        log: signs the checkpoints.
        entries: the history; ``entries`` may be extended.
        accomplices: witness keys that cosign whatever this shows.
        claims: with so many cosignatures, of one head, it says that the head is witnessed.

    """

    def __init__(
        self,
        center: Center,
        log: LogSigner,
        entries: Sequence[bytes],
        accomplices: Mapping[MemberId, Callable[[str], str]] | None = None,
        claims: int = 1_000,
    ) -> None:
        super().__init__(center)
        self.entries = list(entries)
        self._log = log
        self._accomplices = accomplices or {}
        self._claims = claims
        self._lines: dict[MemberId, str] = {}
        self._cosigned = 0

    def note(self, size: int) -> str:
        """The signed checkpoint of the first entries of this history."""
        return self._log.sign(size, Frontier().extend(leaf_hash(entry) for entry in self.entries[:size]).root())

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """What this history has beyond ``size`` entries."""
        del witnessed, wait_s
        end = len(self.entries)
        return News(size, tuple(self.entries[size:]), self.note(end), self._witnessed())

    def submit(self, entry: bytes) -> int:
        """Add to this history, and to no other."""
        if entry not in self.entries:
            self.entries.append(entry)
        return self.entries.index(entry)

    def cosign(self, member: MemberId, line: str, size: int) -> None:
        """Keep the cosignature, to show it with this history."""
        if size != self._cosigned:
            self._cosigned, self._lines = size, {}
        self._lines[member] = line

    def _witnessed(self) -> str | None:
        if len(self._accomplices.keys() | self._lines.keys()) < self._claims:
            return None
        note = parse_note(self.note(self._cosigned))
        lines = {**{name: sign(note.text) for name, sign in self._accomplices.items()}, **self._lines}
        return Note(note.text, (*note.signatures, *map(parse_signature, lines.values()))).encode()


def accomplice(member: MemberId, signer: Signer, time_s: Callable[[], int]) -> Callable[[str], str]:
    """A witness that cosigns any checkpoint it is shown."""
    return lambda body: cosign(body, member, signer, time_s())


class Frozen(Lens):
    """Shows the log as it is now for ever; nobody hears of what comes later.

    Args:
        center: the true one.
        shown: what there is to see, from the first entry on.

    """

    def __init__(self, center: Center, shown: News) -> None:
        super().__init__(center)
        self._shown = shown

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """Nothing beyond what there was."""
        del witnessed, wait_s
        end = self._shown.first + len(self._shown.entries)
        later = self._shown.entries[size - self._shown.first :] if size < end else ()
        return News(size, later, self._shown.checkpoint, self._shown.witnessed)


class Claiming(Lens):
    """Says that a checkpoint of its choice is the witnessed one.

    Args:
        center: the true one.
        witnessed: makes that note from the newest checkpoint's.

    """

    def __init__(self, center: Center, witnessed: Callable[[str], str | None]) -> None:
        super().__init__(center)
        self._witnessed = witnessed

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """The true entries, and the note in question."""
        news = self.center.news(size, witnessed, wait_s)
        return replace(news, witnessed=self._witnessed(news.checkpoint))


class Garbling(Lens):
    """Changes one bit of the last entry on its way."""

    def news(self, size: int, witnessed: int, wait_s: float) -> News:
        """The true checkpoint over bent entries."""
        news = self.center.news(size, witnessed, wait_s)
        if not news.entries:
            return news
        *entries, last = news.entries
        return replace(news, entries=(*entries, last[:-1] + bytes([last[-1] ^ 1])))


class Losing(Lens):
    """Takes entries of some kinds, answers as if they were in the log, and drops them.

    Args:
        center: the true one.
        kinds: what is dropped.

    """

    def __init__(self, center: Center, kinds: Collection[str]) -> None:
        super().__init__(center)
        self.kinds = kinds
        self.lost: list[bytes] = []

    def submit(self, entry: bytes) -> int:
        """An index, and nothing behind it for an entry of the kinds that are dropped."""
        if parse_envelope(entry).kind not in self.kinds:
            return self.center.submit(entry)
        self.lost.append(entry)
        return self.center.health().size


class Bending(Lens):
    """Shows blobs with one bit changed.

    Args:
        center: the true one.
        blobs: which ones.

    """

    def __init__(self, center: Center, blobs: Collection[Digest]) -> None:
        super().__init__(center)
        self.blobs = blobs

    def read_blob(self, digest: Digest, offset: int, length: int) -> bytes:
        """The bytes, the first of them bent."""
        data = self.center.read_blob(digest, offset, length)
        if digest not in self.blobs or not data:
            return data
        return bytes([data[0] ^ 1]) + data[1:]


class Crash(Exception):
    """A member's agent was killed; of no family of errors, for nobody is left to handle it."""

    def __init__(self, member: MemberId) -> None:
        super().__init__(f"{member} was killed")
        self.member = member


ZONE_VERBS: Final = frozenset(
    (
        "news",
        "submit",
        "cosign",
        "put_blob",
        "read_blob",
        "stream_blob",
        "word",
        "seed",
        "record_upload",
        "record_progress",
        "write",
        "hold",
        "let_pass",
    )
)
"""What a zone does that reaches beyond its memory."""

_PARTS: Final = frozenset(("uses", "airlock"))  # of the journal, deadly as well


class Deadly:
    """Any part of a zone, deadly to use: each call kills the caller before it acts, then after it, and then answers.

    Args:
        part: the real part.
        member: who dies.
        deaths: how often each call has killed; shared by all lives of one member.

    """

    def __init__(self, part: Any, member: MemberId, deaths: Counter[str]) -> None:
        self._part = part
        self._member = member
        self._deaths = deaths

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._part, name)
        if name in _PARTS:
            return Deadly(verb, self._member, self._deaths)
        return self._deadly(name, verb) if name in ZONE_VERBS else verb

    def _deadly(self, name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: object) -> Any:
            mark = f"{name} {[item for item in args if not callable(item)]}"
            self._deaths[mark] += 1
            if self._deaths[mark] == 1:
                raise Crash(self._member)
            result = verb(*args)
            if self._deaths[mark] == 2:
                raise Crash(self._member)
            return result

        return call


def deadly(zone: Zone, deaths: Counter[str]) -> Zone:
    """A zone whose center and journal are deadly to use."""
    journal: Any = Deadly(zone.journal, zone.member, deaths)
    return replace(zone, center=Deadly(zone.center, zone.member, deaths), journal=journal)


def see_through(make: Callable[[Center], Center]) -> Callable[[Zone], Zone]:
    """The lens that replaces a zone's center by what ``make`` makes of it."""
    return lambda zone: replace(zone, center=make(zone.center))
