"""Who keeps the log after another: how members appoint a center without one.

Theory of operation
-------------------
A center that lies, fails or is gone cannot be asked to order the votes about its
own successor. So members' delegates sign, each by itself, one and the same
appointment: the successor's keys and address, and the size and root of the log
that it takes over. The successor goes on with exactly these entries, under a name
and a key of its own, and the first entries that it adds are these signatures.

An appointment takes effect with the signature that completes it:

- the article on ``operations`` would adopt it, were every signature a yes and every
  other member silent;
- the signers are as many as must cosign a checkpoint. So two appointments cannot
  both be complete, and none can leave out what a quorum witnessed: an honest
  signer holds and has cosigned no more than the log that it signs for.

From then on the old center's key ends, heads are signed with the new one, and
zones dial the new address.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from serai.charter.constitution import OPERATIONS, Charter
from serai.charter.decision import Choice, Electorate, Result, Voter, decide
from serai.charter.keys import Keys
from serai.charter.members import OPERATOR_ID, KeyHolder
from serai.charter.statements import OperatorAppoint
from serai.errors import Misconfigured
from serai.kernel.ids import MemberId
from serai.kernel.keys import Role, key_id
from serai.kernel.quorum import quorum


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointing:
    """An appointment that gathers signatures, entry by entry.

    Attributes:
        body: what is signed.
        members: who has signed.

    """

    body: OperatorAppoint
    members: frozenset[MemberId] = field(default_factory=frozenset)

    @property
    def next_index(self) -> int:
        """Where in the log the next signature stands: they follow each other without a gap."""
        return self.body.size + len(self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """A completed appointment.

    Attributes:
        body: what was signed.
        members: who signed.
        before: verifier key of the log that ends with it.
        since: log index of the first entry after it; heads of this size and larger carry the new key.

    """

    body: OperatorAppoint
    members: frozenset[MemberId]
    before: str
    since: int


def is_carried(
    charter: Charter, voters: Mapping[MemberId, Voter], signers: frozenset[MemberId], witnesses: tuple[int, int]
) -> bool:
    """Whether an appointment is complete.

    Args:
        charter: has the article on operations.
        voters: every member in good standing.
        signers: who has signed.
        witnesses: how many members witness, and how many of them may be faulty.

    """
    try:
        needed = quorum(*witnesses)
    except Misconfigured:
        return False
    if len(signers) < needed:
        return False
    ballots = dict.fromkeys(signers, Choice.YES)
    return (
        decide(charter.articles[OPERATIONS], Electorate(voters=voters), ballots, closed=True).result is Result.ADOPTED
    )


def log_keys(charter: Charter, successions: Sequence[Succession]) -> tuple[str, ...]:
    """Verifier keys of the logs that this one continues, and its own at the end."""
    return (*(succession.before for succession in successions), charter.log_key)


def with_signer(before: Appointing | None, body: OperatorAppoint, member: MemberId) -> Appointing:
    """An appointment with one more signature; what another text has gathered does not count for it."""
    known = before.members if before is not None and before.body == body else frozenset()
    return Appointing(body=body, members=known | {member})


def with_operator(charter: Charter, keys: Keys, body: OperatorAppoint, index: int) -> tuple[Charter, Keys]:
    """The charter with a successor's log and key, and the keys as they are from a log index on."""
    old = key_id(charter.operator)
    changed = {
        old: replace(keys[old], until=index),
        key_id(body.operator): KeyHolder(OPERATOR_ID, Role.OPERATOR, body.operator, since=index),
    }
    origin = body.log_key.partition("+")[0]
    return replace(charter, origin=origin, log_key=body.log_key, operator=body.operator), keys.update(changed)
