"""Speaking: put a statement into the log, then see whether it holds, and if not, which article says so."""

from dataclasses import dataclass
from pathlib import Path

from serai.agent.session import Session
from serai.agent.settings import load_settings
from serai.errors import Refused
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest
from serai.kernel.keys import Role
from serai.kernel.statement import Body
from serai.state import State


@dataclass(frozen=True, slots=True)
class Spoken:
    """A statement that holds: its id, its place in the log, and what the log adds up to with it."""

    id: Digest
    index: int
    state: State


def open_session(home: Path) -> Session:
    """A member's look at the center, from the settings in its home.

    Raises:
        Misconfigured: the settings are wrong.

    """
    return Session(load_settings(home))


def say(session: Session, body: Body, role: Role) -> Spoken:
    """Say something with one of the member's keys and check that it has an effect.

    Raises:
        Refused: the statement stands in the log and is void; the article says why.
        Unavailable: the center does not answer.

    """
    index = session.say(body, role)
    state = session.state()
    if denied := state.void.get(index):
        raise Refused(
            "statement-void", f"entry {index} has no effect, by {denied.article}: {denied.reason}", denied.article
        )
    (entry,) = session.entries(index, index + 1)
    return Spoken(parse_envelope(entry).id, index, state)
