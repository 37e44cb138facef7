"""A member's next keys come into use when the log says so."""

from serai.charter.state import settle
from serai.kernel.ids import MemberId
from serai.kernel.keys import Role, key_id
from serai.state import State
from serai.storage.keyring import Keyring


def take_up_keys(keys: Keyring, member: MemberId, state: State) -> tuple[Role, ...]:
    """Put each next key that is in force by now in the place of the one in use.

    Returns:
        The roles whose key has changed.

    Raises:
        Misconfigured: a key file is readable by others, or holds no key.

    """
    changed = []
    charter = settle(state.charter, state.now)
    for role in Role:
        following = keys.find_next(role)
        holder = None if following is None else charter.keys.get(key_id(following.public))
        if holder is not None and (holder.member, holder.role, holder.until) == (member, role, None):
            keys.promote(role)
            changed.append(role)
    return tuple(changed)
