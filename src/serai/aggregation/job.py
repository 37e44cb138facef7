"""What the rounds of a run need to know about its plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from serai.aggregation.codec import Codec
from serai.aggregation.noise import SumNoise
from serai.kernel.ids import Digest, MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form of a vector.

    Attributes:
        codec: how it becomes ring elements.
        length: number of values; the codec's blocks add up to it.

    """

    codec: Codec
    length: int


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
        last: the form of the last round's vectors; None if it is that of the others.
        steps: local steps that each joined member takes in a round opened now; empty where the plan sets no pace.
        least_ms: as ``round_ms``, for a round that the center closes early because members are quick.
        has_figures: whether members show figures of their training with an upload.
        is_guarded: whether members may object to a sum that spoilt the model.

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
    last: Form | None = None
    steps: Mapping[MemberId, int] = field(default_factory=dict)
    least_ms: int = 0
    has_figures: bool = False
    is_guarded: bool = False

    def is_last(self, done: int) -> bool:
        """Whether the round after ``done`` finished ones is the last of the run."""
        return done + 1 >= self.rounds

    def at(self, done: int) -> "Job":
        """The same job with the form of the round after ``done`` finished ones."""
        if self.last is None or not self.is_last(done):
            return self
        return replace(self, codec=self.last.codec, length=self.last.length)
