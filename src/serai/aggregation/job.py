"""What the rounds of a run need to know about its plan."""

from collections.abc import Mapping
from dataclasses import dataclass

from serai.aggregation.codec import Codec
from serai.aggregation.noise import SumNoise
from serai.kernel.ids import Digest, MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run, as the room that plans runs shows it to this one.

    Attributes:
        run: the run's id, that is the statement id of its plan.
        keys: raw X25519 public keys of the members that joined, 32 bytes each.
        minimum: fewest members whose sum may become readable.
        rounds: how many rounds the run has.
        codec: how vectors become ring elements.
        length: number of values in a vector; the codec's blocks add up to it.
        initial: digest of the model that round 0 starts from.
        round_ms: how long members have to upload, and then to release.
        threshold: how many members together can release for a lost one; 0 if nobody can.
        noise: what each member adds to its integers before it masks them; None for nothing.

    """

    run: Digest
    keys: Mapping[MemberId, bytes]
    minimum: int
    rounds: int
    codec: Codec
    length: int
    initial: Digest
    round_ms: int
    threshold: int = 0
    noise: SumNoise | None = None
