"""Local steps that a recipe takes while its vector travels, in a thread beside the zone's work."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from serai.errors import SeraiError
from serai.kernel.ids import Digest


@dataclass(slots=True)
class Ahead:
    """Steps on their way; they leave nothing but a memory.

    Attributes:
        after: the round after whose upload they are taken.
        work: takes them; returns the digest under which the memory is stored.
        began_s: when they began, on a clock that only grows.
        ended_s: when they ended; None while they go on.

    """

    after: Digest
    work: Callable[[], Digest]
    began_s: float = field(default_factory=time.monotonic)
    ended_s: float | None = None
    _memory: Digest | None = None
    _error: BaseException | None = None
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        # A daemon, so that a zone that is told to stop does not wait for it: the steps are taken again.
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """How long they took; 0 while they go on."""
        return 0.0 if self.ended_s is None else self.ended_s - self.began_s

    @property
    def has_failed(self) -> bool:
        """Whether they have ended without leaving a memory."""
        return self._error is not None

    def take(self) -> Digest:
        """Wait for the steps; the digest of the memory they left.

        Raises:
            SeraiError: what went wrong in them.

        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._memory is not None
        return self._memory

    def drop(self) -> Digest | None:
        """Wait until they have ended, whatever came of them; the digest of the memory, if they left one."""
        self._thread.join()
        return self._memory

    def _run(self) -> None:
        try:
            self._memory = self.work()
        except (SeraiError, OSError) as error:
            self._error = error
        finally:
            self.ended_s = time.monotonic()
