"""The command ``serai`` without masks, for ``exchange.py --clear``: what secure aggregation costs is the difference.

Usage: python benchmarks/unmasked.py zone start --home FOLDER

Everything but the keystreams is as ever: seeds are agreed upon, dealt and
released. Uploads show their vectors to everybody, so this is for made-up data
on one machine only. The product has no such switch.
"""

from serai.aggregation.masking import Keystreams
from serai.aggregation.ring import Lanes
from serai.cli.main import main


def _add_nothing(_self: Keystreams, _lanes: Lanes, _chunk: int) -> None:
    """Leave the lanes as they are."""


if __name__ == "__main__":
    Keystreams.add = _add_nothing  # type: ignore[method-assign]
    main()
