"""Recipes as the agent sees them: the contract, whether they run here or in a worker.

A recipe that comes with serai starts and combines in the agent, for that much
sees public values only and must be fast; what sees data (``contribute``,
``evaluate``) goes to a worker. Of a recipe that came as an archive everything
goes to the worker. The answers are judged here: a vector is finite and as long
as the plan says, counts are few and bounded, models are canonical.

A worker that died is started again with the next call. After trouble a recipe
rests, each time twice as long, so that one that loops for ever does not keep a
zone from its other runs.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

import numpy as np

from serai.agent.sandbox import ARTICLE, Answer, Call, Fence, Worker, find_fence
from serai.agent.settings import ForeignCode, SandboxMode, SandboxSettings
from serai.aggregation.codec import Codec
from serai.errors import Malformed, Refused, SeraiError
from serai.kernel.ids import Digest, digest_of
from serai.kernel.records import from_json
from serai.recipes.registry import RECIPES, build
from serai.training.methods import Context, Data, Recipe, Vector
from serai.training.rules import MAX_LENGTH, OUTPUTS
from serai.training.tensors import Model, Tensor, digest_model, read_model, write_model

MAX_COUNTS: Final = 4_096
MAX_COUNT: Final = 2**53 - 1  # what canonical JSON holds exactly
FOREIGN_COUNTS: Final = frozenset({"n", "correct", "tp", "fp", "tn", "fn"})
"""Counts leave in the clear: names or values of a stranger's choice could spell out a row."""

_FIRST_REST_S: Final = 5.0
_LONGEST_REST_S: Final = 600.0
_SLACK_BYTES: Final = 2**24
_PIECE: Final = 2**18
_COUNT_NAME: Final = re.compile(r"[A-Za-z0-9_./@-]{1,64}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a plan says about its program.

    Attributes:
        recipe: its name.
        params: its settings.
        inputs: models it starts from or uses.
        archive: its packed source; None for one that comes with serai.
        length: values in a member's vector; 0 if the recipe is still to be asked.

    """

    recipe: str
    params: Mapping[str, str]
    inputs: Mapping[str, Model]
    archive: bytes | None = None
    length: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """A recipe ready to run, and how to let go of what it holds."""

    recipe: Recipe
    close: Callable[[], None]


@dataclass(slots=True)
class Programs:
    """Opens recipes as the zone's settings say.

    Attributes:
        settings: where recipes run, and within what limits.
        home: the zone's home folder.
        clock: seconds that only grow.

    """

    settings: SandboxSettings
    home: Path
    clock: Callable[[], float] = time.monotonic
    _initial: dict[tuple[Digest, ...], Digest] = field(default_factory=dict)
    _has_warned: bool = False

    @property
    def fence(self) -> Fence:
        """What stands around workers here."""
        return find_fence(self.home, self.settings.limits)

    def find_obstacle(self, *, is_foreign: bool) -> str | None:
        """Why this zone does not run a program, by its own settings; None if it does."""
        mode, foreign = self.settings.mode, self.settings.foreign
        if is_foreign and foreign is ForeignCode.NEVER:
            return "this zone runs no program that does not come with serai (foreign_code in zone.toml)"
        if is_foreign and foreign is ForeignCode.SANDBOXED and mode is SandboxMode.OFF:
            return "a program that does not come with serai needs the sandbox, which is off in zone.toml"
        needs_whole = mode is SandboxMode.REQUIRED or (is_foreign and foreign is ForeignCode.SANDBOXED)
        if needs_whole and not self.fence.is_whole:
            return f"this program needs a whole sandbox, which this zone has not: {self.fence.lacking[0]}"
        return None

    def open(self, source: Source) -> Program:
        """Make a recipe ready.

        Raises:
            Refused: the zone's settings demand a sandbox that it has not, or the recipe does not start.
            Missing: no recipe of that name comes with serai.
            Malformed: settings or inputs do not fit.

        """
        is_foreign = source.archive is not None
        if obstacle := self.find_obstacle(is_foreign=is_foreign):
            raise Refused("sandbox-missing", obstacle, ARTICLE)
        ours = None if is_foreign else build(source.recipe, source.params, source.inputs)
        if ours is not None and self.settings.mode is SandboxMode.OFF:
            return Program(ours, lambda: None)
        self._warn()
        confined = Confined(source, ours, self._start, self.clock)
        return Program(confined, confined.close)

    def initial_digest(self, source: Source) -> Digest:
        """The digest of the model before round 0, computed here; no data are near.

        Raises:
            Refused, Missing, Malformed: as ``open``.

        """
        if source.archive is None:
            return digest_model(build(source.recipe, source.params, source.inputs).initial())
        settings = repr((source.recipe, sorted(source.params.items()), sorted(source.inputs))).encode()
        inputs = (digest_model(model) for _, model in sorted(source.inputs.items()))
        key = (digest_of(source.archive), digest_of(settings), *inputs)
        if key not in self._initial:
            program = self.open(source)
            try:
                self._initial[key] = digest_model(program.recipe.initial())
            finally:
                program.close()
        return self._initial[key]

    def _start(self) -> Worker:
        return Worker(self.fence, self.settings.limits, self.home / "scratch")

    def _warn(self) -> None:
        if not self.fence.is_whole and not self._has_warned:
            self._has_warned = True
            _log.warning("recipes run without a whole sandbox: %s", "; ".join(self.fence.lacking))


def is_foreign_name(recipe: str) -> bool:
    """Whether a plan's recipe is none of those that come with serai."""
    return recipe not in RECIPES


class Confined:
    """A recipe whose sight of data is confined to a worker.

    Args:
        source: the program.
        ours: the same recipe in this process, if it comes with serai; None sends every call to the worker.
        start: starts a worker.
        clock: seconds that only grow.

    """

    def __init__(
        self, source: Source, ours: Recipe | None, start: Callable[[], Worker], clock: Callable[[], float]
    ) -> None:
        self._source = source
        self._ours = ours
        self._start = start
        self._clock = clock
        self._worker: Worker | None = None
        self._is_open = False
        self._told: tuple[str, int, tuple[str, ...]] | None = None
        self._given: Data | None = None
        self._rest = _Rest()
        if ours is not None:
            self._post_open()  # it starts while the agent reads the rows

    @property
    def name(self) -> str:
        """Name in plans."""
        return self._about()[0]

    @property
    def length(self) -> int:
        """Values in a member's vector."""
        return self._about()[1]

    @property
    def outputs(self) -> tuple[str, ...]:
        """What leaves the zones."""
        return self._about()[2]

    def codec(self, members: int) -> Codec:
        """A codec for so many members; of a foreign recipe, its word."""
        if self._ours is not None:
            return self._ours.codec(members)
        answer = self._ask(Call(message={"call": "codec", "members": members}))
        return self._checked(lambda: from_json(Codec, answer.message.get("codec")))

    def initial(self) -> Model:
        """The model before round 0."""
        if self._ours is not None:
            return self._ours.initial()
        answer = self._ask(Call(message={"call": "initial"}, capacity=_SLACK_BYTES + 16 * MAX_VALUES))
        return self._checked(lambda: read_model(answer.outbox.read(0)))

    def contribute(self, model: Model, data: Data, context: Context) -> Vector:
        """What this member adds to the sum; ``context.memory`` is changed as the recipe changed its copy.

        Raises:
            Refused: the recipe failed, or its vector is not what was declared.

        """
        self._give(data)
        length = self.length
        kept = write_model(context.memory) if context.memory else iter(())
        message = {"call": "contribute", "round": context.round, "seed": context.seed.hex(), "member": context.member}
        capacity = 8 * length + 4 * (_size(model) + _size(context.memory)) + _SLACK_BYTES
        answer = self._ask(Call(message=message, parts=(write_model(model), kept), capacity=capacity))
        vector = self._checked(lambda: _vector(answer, length))
        memory = self._checked(lambda: _memory(answer))
        context.memory.clear()
        context.memory.update(memory)
        return vector

    def combine(self, model: Model, total: Vector, members: int) -> Model:
        """The next model."""
        if self._ours is not None:
            return self._ours.combine(model, total, members)
        parts = (write_model(model), (np.ascontiguousarray(total).view(np.uint8).data,))
        message = {"call": "combine", "dtype": str(total.dtype), "members": members}
        capacity = 4 * (_size(model) + total.nbytes) + _SLACK_BYTES
        answer = self._ask(Call(message=message, parts=parts, capacity=capacity))
        return self._checked(lambda: read_model(answer.outbox.read(0)))

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Counts on this member's held-back rows.

        Raises:
            Refused: the recipe failed, or its counts are not such as may leave.

        """
        self._give(data)
        answer = self._ask(Call(message={"call": "evaluate"}, parts=(write_model(model),)))
        rows = None if self._ours is not None else len(data.test_x)
        return self._checked(lambda: _counts(answer.message.get("counts"), rows))

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
        self._worker, self._is_open, self._given = None, False, None

    def _about(self) -> tuple[str, int, tuple[str, ...]]:
        if self._ours is not None:
            return self._ours.name, self._ours.length, self._ours.outputs
        if self._told is None:
            self._running()
        assert self._told is not None
        return self._told

    def _give(self, data: Data) -> None:
        """Hand the worker the rows, unless it has them."""
        self._running()
        if self._given is data:
            return
        values = {item.name: getattr(data, item.name) for item in fields(data)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        words = {name: list(value) for name, value in values.items() if name not in arrays}
        self._ask(Call(message={"call": "rows", "words": words}, parts=(write_model(arrays),)))
        self._given = data

    def _running(self) -> Worker:
        """The worker, started and opened."""
        self._rest.check(self._clock())
        with self._rest.after_trouble(self._clock):
            if self._worker is None or not self._worker.is_alive:
                self._post_open()
            assert self._worker is not None
            if not self._is_open:
                answer = self._worker.take()
                self._is_open = True
                self._told = self._checked(lambda: self._read_about(answer.message))
            return self._worker

    def _post_open(self) -> None:
        self.close()
        self._worker = self._start()
        source = self._source
        models = tuple(write_model(model) for _, model in sorted(source.inputs.items()))
        archive = () if source.archive is None else (source.archive,)
        message = {
            "call": "open",
            "recipe": source.recipe,
            "params": dict(source.params),
            "inputs": sorted(source.inputs),
        }
        self._worker.post(Call(message=message, parts=(archive, *models)))

    def _read_about(self, message: Mapping[str, object]) -> tuple[str, int, tuple[str, ...]]:
        name, length, outputs = (message.get(key) for key in ("name", "length", "outputs"))
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Malformed("recipe-name", f"expected a name of small letters, digits and '_', got {str(name)[:80]!r}")
        if type(length) is not int or not 1 <= length <= MAX_LENGTH:
            raise Malformed("recipe-length", f"expected a vector of 1 to {MAX_LENGTH} values, got {str(length)[:80]}")
        if not isinstance(outputs, list) or not outputs or not OUTPUTS.issuperset(map(str, outputs)):
            raise Malformed("recipe-outputs", f"expected outputs among {sorted(OUTPUTS)}, got {str(outputs)[:80]}")
        if self._source.length and length != self._source.length:
            raise Malformed("recipe-length", f"expected {self._source.length} values as planned, the recipe has {length}")
        return name, length, tuple(outputs)

    def _ask(self, call: Call) -> Answer:
        worker = self._running()
        with self._rest.after_trouble(self._clock):
            answer = worker.ask(call)
        self._rest.forget()
        return answer
