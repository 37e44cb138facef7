"""The whole agent on one page: settings in, three loops out.

One thread follows the log: fetch, verify, keep, replay, cosign. Another works
on runs. They share nothing but the mirror's view, which never changes once it is
made. Neither sleeps on a timer: the center holds the question until there is
news, and the worker wakes with each new view. The third looks now and then for
statements that should have shown in the log by now, mostly none.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Final

from serai.agent.attesting import Attester, to_keep
from serai.agent.carrying import CARRY_S, Carrier
from serai.agent.endpoint import Endpoint, Gossip
from serai.agent.handover import bring_along, follow_heir
from serai.agent.heap import bound_heap
from serai.agent.journal import open_journal
from serai.agent.mirror import View
from serai.agent.programs import Programs
from serai.agent.runner import Runner, wanted_witness
from serai.agent.session import dial_center, open_mirror
from serai.agent.settings import ZoneSettings
from serai.agent.succession import take_up_keys
from serai.agent.vault import Vault
from serai.agent.witness import cosign_head
from serai.agent.zone import Zone
from serai.errors import SeraiError, Unavailable
from serai.storage.blobs import FileBlobs
from serai.storage.keyring import Keyring
from serai.storage.snapshots import SnapshotKeeper
from serai.zones.policy import LEGAL_PROFILE, ZONE_POLICY
from serai.zones.terms import judge_forms

TROUBLE_WAIT_S: Final = 5.0  # how long work that met trouble waits before it is tried again
NEWS_WAIT_S: Final = 25.0  # how long the center may hold a question; then the head is cosigned again, with a fresh time
LAZY_WAIT_S: Final = 1.0  # how long a head that nobody waits for stays without this member's cosignature
_MASK_THREADS: Final = 4  # more only wait for the one that hashes and writes
RETRY_S: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)  # pauses while the center does not answer
_log = logging.getLogger("serai.agent")


def run(settings: ZoneSettings) -> None:
    """Run a member's agent until SIGTERM or SIGINT; called on the main thread.

    Raises:
        Misconfigured: the zone has not joined a center, or its charter is not the pinned one.
        Unverified: the mirrored log is damaged.

    """
    logging.basicConfig(stream=sys.stderr, level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    bound_heap()
    _warn_of_terms(settings)
    zone = build(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    carrier = Carrier(zone, settings.peers)
    agent = Agent(zone, stop, carrier)
    with Endpoint(zone, carrier).serve(settings.listen) if settings.listen else contextlib.nullcontext():
        print(f"ready {zone.member}", flush=True)  # noqa: T201  # whoever started this process waits for the line
        agent.run()
    zone.journal.close()


def _warn_of_terms(settings: ZoneSettings) -> None:
    """Say which of the member's own terms cannot be enforced, for under them no run is let in."""
    for source, terms in ((ZONE_POLICY, settings.policy), (LEGAL_PROFILE, settings.legal)):
        for denied in judge_forms(terms, source):
            _log.warning("every run is refused by %s: %s", denied.article, denied.reason)


def build(settings: ZoneSettings) -> Zone:
    """Open what lies in the zone's home; nothing runs yet.

    Raises:
        Misconfigured: the zone has not joined a center, or its charter is not the pinned one.
        Unverified: the mirrored log is damaged.

    """
    keys = Keyring(settings.keys_folder)
    mirror = open_mirror(settings)
    center = dial_center(settings, keys, mirror)
    blobs = FileBlobs(settings.home / "blobs")
    blobs.sweep()
    programs = Programs(settings.sandbox, settings.home)
    programs.sweep()
    return Zone(
        settings=settings,
        center=center,
        keys=keys,
        mirror=mirror,
        journal=open_journal(settings.home),
        blobs=blobs,
        vault=Vault(settings),
        programs=programs,
        now_ms=lambda: time.time_ns() // 1_000_000,
        random=os.urandom,
        threads=min(_MASK_THREADS, os.cpu_count() or 1),
        dial=center.at,
    )


@dataclass(frozen=True, slots=True)
class Agent:
    """The loops of a zone."""

    zone: Zone
    stop: threading.Event
    carrier: Carrier

    def run(self) -> None:
        """Follow and work until told to stop."""
        threads = [
            threading.Thread(target=loop, name=loop.__name__.strip("_"), daemon=True)
            for loop in (self._follow, self._work, self._carry)
        ]
        for thread in threads:
            thread.start()
        keeper = self.zone.mirror.snapshot and SnapshotKeeper(self.zone.mirror.snapshot)
        while not self.stop.wait(0.5):
            if not all(thread.is_alive() for thread in threads):
                _log.error("a part of the agent has died; restart it: nothing is lost")
                os._exit(1)  # a zone that follows without working, or the other way round, helps nobody
            if keeper:
                keeper.offer(to_keep(self.zone.mirror.view, self.zone.member))
        if keeper:
            keeper.close(to_keep(self.zone.mirror.view, self.zone.member))

    def _follow(self) -> None:
        follower, patience = Follower(self.zone), Patience(self.stop)
        gossip = Gossip(self.zone, self.zone.settings.peers)
        while not self.stop.is_set():
            gossip.ask(is_urgent=patience.is_tried)
            try:
                follower.step(NEWS_WAIT_S)
                patience.reset()
            except (Unavailable, OSError) as error:
                patience.wait(str(error))
            except SeraiError as error:
                patience.wait(f"what the center sent is refused: {error}")

    def _carry(self) -> None:
        while not self.stop.wait(CARRY_S):
            try:
                self.carrier.step()
            except (SeraiError, OSError) as error:
                _log.warning("carrying goes on later: %s", error)

    def _work(self) -> None:
        runner, patience = Runner(self.zone), Patience(self.stop)
        view = self.zone.mirror.view
        while not self.stop.is_set():
            try:
                runner.work(view)
                patience.reset()
            except (Unavailable, OSError) as error:
                patience.wait(str(error))
            else:
                # What stood in the way may pass without any news: a worker that died, a file that comes back.
                view = self.zone.mirror.wait(view, TROUBLE_WAIT_S if runner.has_trouble else NEWS_WAIT_S)


class Follower:
    """Follows the log and cosigns it: at once where somebody waits for it, else a little later.

    Args:
        zone: the member's side of everything.

    """

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._cosigned = 0
        self._attester = Attester(zone)
        self._successions = 0  # for which this zone has brought the center what it may lack

    def step(self, wait_s: float) -> View:
        """Ask for news once, and cosign what it calls for.

        Raises:
            Unavailable: the center does not answer.
            Unverified: what came is not the log that this zone follows.

        """
        zone = self._zone
        heir = zone.mirror.heir
        if heir is not None and follow_heir(zone, heir) is not None:
            self._cosigned = 0
        before = zone.mirror.view
        if len(before.state.charter.successions) > self._successions:
            bring_along(zone, before)
            self._successions = len(before.state.charter.successions)
        is_behind = before.size > self._cosigned
        # Without something that waits for a quorum, a cosignature is no news.
        witnessed = before.witnessed_size if wanted_witness(zone, before) else before.size
        view = zone.mirror.follow(zone.center, witnessed, min(wait_s, LAZY_WAIT_S) if is_behind else wait_s)
        for role in take_up_keys(zone.keys, zone.member, view.state):
            _log.info("the new %s key of %s is in use", role, zone.member)
        if view.size == before.size or _needs_witness(before, view):
            self._cosigned = max(self._cosigned, cosign_head(zone, view))
        self._attester.step(view)
        return view


class Patience:
    """Waits longer after each failure in a row, and says each reason once."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._failures = 0
        self._said = ""

    @property
    def is_tried(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def reset(self) -> None:
        """It worked."""
        if self._failures:
            _log.info("it goes on")
        self._failures, self._said = 0, ""

    def wait(self, reason: str) -> None:
        """It did not; wait before the next try."""
        if reason != self._said:
            _log.warning("%s", reason)
        self._said = reason
        self._stop.wait(RETRY_S[min(self._failures, len(RETRY_S) - 1)])
        self._failures += 1


def _needs_witness(before: View, after: View) -> bool:
    """Whether somebody may wait for a quorum on what is new: all but the steps inside a round."""
    old, new = before.state, after.state
    return (
        len(new.rounds.closes) != len(old.rounds.closes)
        or new.time_ms != old.time_ms
        or any(
            getattr(new, room) is not getattr(old, room) for room in ("charter", "zones", "runs", "analytics", "hub")
        )
    )
