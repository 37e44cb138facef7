"""What a member's agent shows to others, where its settings give it an address.

==========================================  ====================================================
POST /add-checkpoint                        cosigns, as c2sp.org/tlog-witness says
GET  /{SHA-256 of the log's name}/checkpoint  what this witness cosigned last, for monitors
GET  /checkpoint, /tile/...                 the mirrored log again (c2sp.org/tlog-tiles)
GET  /head                                  its newest head, which no quorum may have cosigned yet
POST /withheld                              carries a statement that the center does not show
==========================================  ====================================================

And the other way round: ``Gossip`` asks the endpoints of other members for their
heads. A center that shows members different histories is found out as soon as two
of them talk; one that withholds, or is gone, is passed by.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from serai.agent.bundles import HEAD, TileSource, publish
from serai.agent.carrying import WITHHELD, Carrier
from serai.agent.receipts import MAX_EVIDENCE_BYTES
from serai.agent.witness import add_checkpoint, cosigned_checkpoint
from serai.agent.zone import Zone
from serai.errors import Conflict, Missing, SeraiError, Unavailable
from serai.ledger.checkpoint import parse_checkpoint
from serai.ledger.note import parse_note
from serai.ledger.witnessing import MAX_REQUEST_BYTES
from serai.storage.tile_files import TileFiles
from serai.transport.published import PublicFiles
from serai.transport.serving import Answer, Asked, SmallServer, answer_file

PUBLIC: Final = "public"
MAX_BODY_BYTES: Final = max(MAX_REQUEST_BYTES, MAX_EVIDENCE_BYTES)
GOSSIP_S: Final = 30.0  # between two questions to the same peer, while the center answers
URGENT_S: Final = 2.0  # while it does not
PEER_TIMEOUT_S: Final = 5.0  # a peer is asked between two questions to the center, so it may not hold these up long
_log = logging.getLogger(__name__)


class Endpoint:
    """Answers others. Used from several threads.

    Args:
        zone: whose mirror and witness it shows.
        carrier: takes statements that the center does not show; None where this zone carries none.

    """

    def __init__(self, zone: Zone, carrier: Carrier | None = None) -> None:
        self._zone = zone
        self._carrier = carrier
        self._tiles = TileFiles(zone.settings.home / PUBLIC)
        self._shown: tuple[int, int] = (-1, -1)
        self._lock = threading.Lock()

    def serve(self, address: str) -> SmallServer:
        """A server at ``host:port`` that answers by ``handle``."""
        host, _, port = address.rpartition(":")
        return SmallServer(host, int(port), self.handle, MAX_BODY_BYTES)

    def handle(self, asked: Asked) -> Answer:
        """Answer one request."""
        if asked.method == "POST":
            return self._post(asked)
        view = self._zone.mirror.view
        if not view.size:
            return Answer(404, b"this mirror is empty\n")
        origin = self._zone.mirror.key_after(view.state).name
        if asked.path == f"/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint":
            found = cosigned_checkpoint(self._zone)
            return Answer(200, found) if found else _NOWHERE
        with self._lock:
            if self._shown != (view.size, view.witnessed_size):
                publish(self._tiles, self._zone.mirror)
                self._shown = (view.size, view.witnessed_size)
            return answer_file(self._tiles.read, asked.path)

    def _post(self, asked: Asked) -> Answer:
        if asked.path == "/add-checkpoint":
            if len(asked.body) > MAX_REQUEST_BYTES:
                return Answer(413, f"expected a body of at most {MAX_REQUEST_BYTES} bytes\n".encode())
            return add_checkpoint(self._zone, asked.body)
        if asked.path == WITHHELD and self._carrier is not None:
            return self._carrier.take(asked.body)
        return _NOWHERE


class Gossip:
    """Compares this zone's mirror with those of other members. Used by the thread that follows the log.

    Args:
        zone: this member's side.
        peers: where others show theirs.

    """

    def __init__(self, zone: Zone, peers: Sequence[str]) -> None:
        self._zone = zone
        self._peers = {url: PublicFiles(url, PEER_TIMEOUT_S) for url in peers}
        self._asked_s = float("-inf")
        self._said: dict[str, str] = {}

    def ask(self, *, is_urgent: bool) -> None:
        """Ask every peer, unless that was done a short time ago.

        Args:
            is_urgent: the center does not answer, so that peers are the only source.

        """
        now_s = time.monotonic()
        if now_s - self._asked_s < (URGENT_S if is_urgent else GOSSIP_S):
            return
        self._asked_s = now_s
        for url, files in self._peers.items():
            try:
                self._compare(files)
                self._said.pop(url, None)
            except (Unavailable, Missing, Conflict):
                continue  # away, or behind
            except SeraiError as error:
                if self._said.get(url) != error.message:
                    _log.error("%s shows another log: %s", url, error.message)
                self._said[url] = error.message

    def _compare(self, files: PublicFiles) -> None:
        mirror, source = self._zone.mirror, TileSource(files.read)
        head = files.read(HEAD)[:MAX_REQUEST_BYTES].decode(errors="replace")
        if parse_checkpoint(parse_note(head).text).origin != mirror.key_after(mirror.view.state).name:
            mirror.succeed(source)
            return
        if mirror.judge_head(head).size >= mirror.view.size:
            mirror.follow(source, mirror.view.witnessed_size, 0)


_NOWHERE: Final = Answer(404, b"there is nothing here\n")
