"""How many members make a quorum when some of them may lie."""

from serai.errors import Misconfigured


def quorum(members: int, faulty: int | None = None) -> int:
    """How many of ``members`` must say the same.

    Any two quorums share at least one honest member, so no two that disagree can
    both be: q = floor((n + f) / 2) + 1.

    Args:
        members: how many there are, n.
        faulty: how many of them may lie, f; by default the most that still
            leaves a quorum of honest ones, floor((n - 1) / 3).

    Raises:
        Misconfigured: so many may lie that the honest alone make no quorum.

    """
    f = (members - 1) // 3 if faulty is None else faulty
    needed = (members + f) // 2 + 1
    if f < 0 or needed > members - f:
        raise Misconfigured(
            "witness-quorum", f"{members} witnesses cannot bear {f} faulty ones; name at least {3 * max(f, 0) + 1}"
        )
    return needed
