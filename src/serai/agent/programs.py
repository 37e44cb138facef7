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
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from serai.agent.answered import Answered, read_counts, read_figures, read_memory, read_scores, read_vector
from serai.agent.rows import rows_call
from serai.agent.sandbox import ARTICLE, Answer, Call, Fence, Worker, find_fence, sweep
from serai.agent.settings import ForeignCode, SandboxMode, SandboxSettings
from serai.aggregation.codec import Codec
from serai.errors import Malformed, Refused
from serai.kernel.ids import Digest, digest_of
from serai.kernel.records import from_json, to_json
from serai.recipes.equipment import DEFAULTS, Equipment
from serai.recipes.evaluation import evaluating, first_totals
from serai.recipes.registry import RECIPES, build
from serai.training.methods import (
    MAX_COLUMNS,
    MAX_STEPS,
    Context,
    Data,
    Overlapping,
    Piecewise,
    Recipe,
    TwoPhased,
    Vector,
    columns_of,
    gives_probabilities,
)
from serai.training.rules import MAX_LENGTH, OUTPUTS
from serai.training.tensors import Model, Tensor, digest_model, read_model, write_model

T = TypeVar("T")

SCRATCH: Final = "scratch"  # folder for workers' files, where the fence gives them no place of their own
_FIRST_REST_S: Final = 5.0
_LONGEST_REST_S: Final = 600.0
_SLACK_BYTES: Final = 2**24
_LARGEST_START_BYTES: Final = 2**36  # what a foreign recipe may start from; takes room only as it is written
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
        evaluates: whether the program is to evaluate a model among its inputs, and train nothing.

    """

    recipe: str
    params: Mapping[str, str]
    inputs: Mapping[str, Model]
    archive: bytes | None = None
    length: int = 0
    evaluates: bool = False


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
        return self._fence(DEFAULTS)

    def find_obstacle(self, *, is_foreign: bool) -> str | None:
        """Why this zone does not run a program, by its own settings; None if it does."""
        mode, foreign = self.settings.mode, self.settings.foreign
        if is_foreign and foreign is ForeignCode.NEVER:
            return "this zone runs no program that does not come with serai (foreign_code in zone.toml)"
        if is_foreign and foreign is ForeignCode.SANDBOXED and mode is SandboxMode.OFF:
            return "a program that does not come with serai needs the sandbox, which is off in zone.toml"
        needs_whole = mode is SandboxMode.REQUIRED or (is_foreign and foreign is ForeignCode.SANDBOXED)
        if needs_whole and not self.fence.is_whole:
            self._warn()  # what is missing may name folders of this machine, and an obstacle is told in the log
            return "this program needs a whole sandbox, which this zone has not"
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
        equipment = self.settings.equipment
        ours = None if is_foreign else _ours(source, equipment)
        if ours is not None and self.settings.mode is SandboxMode.OFF:
            return Program(ours, lambda: None)
        self._warn()
        equipment = equipment.only_for(source.params)
        confined = Confined(source, ours, lambda: self._start(equipment), self.clock, equipment)
        return Program(confined, confined.close)

    def initial_digest(self, source: Source) -> Digest:
        """The digest of the model before round 0, computed here; no data are near.

        Raises:
            Refused, Missing, Malformed: as ``open``.

        """
        if source.evaluates:
            return digest_model(first_totals())
        if source.archive is None:
            return digest_model(_ours(source, self.settings.equipment).initial())
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

    def sweep(self) -> None:
        """Remove what the workers of a killed agent left behind; called once at start."""
        sweep(self.home / SCRATCH)

    def _start(self, equipment: Equipment) -> Worker:
        return Worker(self._fence(equipment), self.settings.limits, self.home / SCRATCH)

    def _fence(self, equipment: Equipment) -> Fence:
        return find_fence(self.home, self.settings.limits, tuple(map(Path, sorted(equipment.models.values()))))

    def _warn(self) -> None:
        if not self.fence.is_whole and not self._has_warned:
            self._has_warned = True
            _log.warning("recipes run without a whole sandbox: %s", "; ".join(self.fence.lacking))


def _ours(source: Source, equipment: Equipment) -> Recipe:
    recipe = build(source.recipe, source.params, source.inputs, equipment)
    return evaluating(recipe, source.inputs) if source.evaluates else recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    """What a recipe says of itself when it is opened."""

    name: str
    length: int
    outputs: tuple[str, ...]
    ahead: int
    last_length: int
    columns: tuple[str, ...]
    is_scored: bool


def is_scored(recipe: Recipe) -> bool:
    """Whether a recipe gives rows probabilities, here or in its worker."""
    return recipe.is_scored if isinstance(recipe, Confined) else gives_probabilities(recipe)


def goes_on(recipe: Recipe) -> bool:
    """Whether a recipe's memory goes on after each vector, summed or not; if not, it is as before a vector that was lost."""
    if isinstance(recipe, Confined):
        return recipe.ahead > 0 if recipe.ours is None else isinstance(recipe.ours, Overlapping)
    return isinstance(recipe, Overlapping)


def combines_here(recipe: Recipe) -> bool:
    """Whether sums are combined in this process, while the worker may be busy."""
    return not isinstance(recipe, Confined) or recipe.ours is not None


def find_piecewise(recipe: Recipe) -> Piecewise | None:
    """The recipe as one that takes a sum piece by piece in this process; None if it cannot."""
    here = recipe.ours if isinstance(recipe, Confined) else recipe
    return here if isinstance(here, Piecewise) else None


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
        equipment: what the zone trains with.

    Attributes:
        ours: as given.

    """

    def __init__(
        self,
        source: Source,
        ours: Recipe | None,
        start: Callable[[], Worker],
        clock: Callable[[], float],
        equipment: Equipment = DEFAULTS,
    ) -> None:
        self._source = source
        self.ours = ours
        self._start = start
        self._equipment = equipment
        self._worker: Worker | None = None
        self._is_open = False
        self._told: _About | None = None
        self._given: Data | None = None
        self._rest = _Rest(clock)
        self._post_open()  # it starts while the agent reads the rows

    @property
    def name(self) -> str:
        """Name in plans."""
        return self._about().name

    @property
    def length(self) -> int:
        """Values in a member's vector."""
        return self._about().length

    @property
    def outputs(self) -> tuple[str, ...]:
        """What leaves the zones."""
        return self._about().outputs

    @property
    def ahead(self) -> int:
        """Local steps that it takes ahead; 0 if it takes none, or knows no such thing."""
        return self._about().ahead

    @property
    def last_length(self) -> int:
        """Values in a member's vector in the last round."""
        return self._about().last_length

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads; none if it takes features and label."""
        return self._about().columns

    def codec(self, members: int) -> Codec:
        """A codec for so many members; of a foreign recipe, its word."""
        if self.ours is not None:
            return self.ours.codec(members)
        answer = self._ask(Call(message={"call": "codec", "members": members}))
        return self._checked(lambda: from_json(Codec, answer.message.get("codec")))

    def last_codec(self, members: int) -> Codec | None:
        """The last round's codec, likewise; None if that round is like the others."""
        if self.ours is not None:
            return self.ours.last_codec(members) if isinstance(self.ours, TwoPhased) else None
        answer = self._ask(Call(message={"call": "last_codec", "members": members}))
        told = answer.message.get("codec")
        return None if told is None else self._checked(lambda: from_json(Codec, told))

    def initial(self) -> Model:
        """The model before round 0."""
        if self.ours is not None:
            return self.ours.initial()
        answer = self._ask(Call(message={"call": "initial"}, capacity=_LARGEST_START_BYTES))
        return self._checked(lambda: read_model(answer.outbox.view(0)))

    def contribute(self, model: Model, data: Data, context: Context) -> Answered:
        """What this member adds to the sum; ``context`` is changed as the recipe changed its copy.

        Figures of a foreign recipe are dropped: in numbers of its choice it could spell out a row.

        Raises:
            Refused: the recipe failed, or its vector is not what was declared.

        """
        self._give(data)
        about = self._about()
        length = about.last_length if context.is_last else about.length
        answer = self._ask(_training("contribute", model, context, 8 * length))
        vector = self._checked(lambda: read_vector(answer, length))
        self._keep(answer, 1, context)
        if self.ours is not None:
            context.figures.update(self._checked(lambda: read_figures(answer.message.get("figures"))))
        return vector

    def train_ahead(self, model: Model, data: Data, context: Context) -> None:
        """Train on; ``context.memory`` is changed as the recipe changed its copy.

        Raises:
            Refused: the recipe failed.

        """
        self._give(data)
        self._keep(self._ask(_training("train_ahead", model, context)), 0, context)

    def combine(self, model: Model, total: Vector, members: float) -> Model:
        """The next model."""
        if self.ours is not None:
            return self.ours.combine(model, total, members)
        parts = (write_model(model), (np.ascontiguousarray(total).view(np.uint8).data,))
        message = {"call": "combine", "dtype": str(total.dtype), "members": members}
        capacity = 4 * (_size(model) + total.nbytes) + _SLACK_BYTES
        answer = self._ask(Call(message=message, parts=parts, capacity=capacity))
        return self._checked(lambda: read_model(answer.outbox.view(0)))

    def evaluate(self, model: Model, data: Data) -> Mapping[str, int]:
        """Counts on this member's held-back rows.

        Raises:
            Refused: the recipe failed, or its counts are not such as may leave.

        """
        self._give(data)
        answer = self._ask(Call(message={"call": "evaluate"}, parts=(write_model(model),)))
        rows = None if self.ours is not None else len(data.test_x)
        return self._checked(lambda: read_counts(answer.message.get("counts"), rows))

    @property
    def is_scored(self) -> bool:
        """Whether it gives rows probabilities."""
        return self._about().is_scored

    def scores(self, model: Model, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The probability of yes of each row.

        Raises:
            Refused: the recipe failed, or what it gave are no probabilities.

        """
        parts = (write_model(model), write_model({"x": x}))
        answer = self._ask(Call(message={"call": "scores"}, parts=parts, capacity=8 * len(x) + _SLACK_BYTES))
        return self._checked(lambda: read_scores(answer, len(x)))

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
        self._worker, self._is_open, self._given = None, False, None

    def _about(self) -> _About:
        if (ours := self.ours) is not None:
            return _About(
                name=ours.name,
                length=ours.length,
                outputs=ours.outputs,
                ahead=ours.ahead if isinstance(ours, Overlapping) else 0,
                last_length=ours.last_length if isinstance(ours, TwoPhased) else ours.length,
                columns=columns_of(ours),
                is_scored=gives_probabilities(ours),
            )
        if self._told is None:
            self._running()
        assert self._told is not None
        return self._told

    def _give(self, data: Data) -> None:
        """Hand the worker the rows, unless it has them."""
        self._running()
        if self._given is data:
            return
        self._ask(rows_call(data))
        self._given = data

    def _keep(self, answer: Answer, part: int, context: Context) -> None:
        """Take over the memory that a recipe left."""
        memory = self._checked(lambda: read_memory(answer, part))
        context.memory.clear()
        context.memory.update(memory)

    def _running(self) -> Worker:
        """The worker, started and opened."""
        self._rest.check()
        if self._worker is None or not self._worker.is_alive:
            with self._rest.after_trouble():
                self._post_open()
        assert self._worker is not None
        if not self._is_open:
            with self._rest.after_trouble():
                self._told = self._take_open(self._worker)
                self._is_open = True
        return self._worker

    def _take_open(self, worker: Worker) -> _About:
        try:
            answer = worker.take()
        except Refused:
            self.close()
            raise
        return self._checked(lambda: self._read_about(answer.message))

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
            "equipment": to_json(self._equipment),
            "evaluates": source.evaluates,
        }
        self._worker.post(Call(message=message, parts=(archive, *models)))

    def _read_about(self, message: Mapping[str, object]) -> _About:
        name, length, outputs = (message.get(key) for key in ("name", "length", "outputs"))
        ahead, last_length = message.get("ahead"), message.get("last_length")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Malformed("recipe-name", f"expected a name of small letters, digits and '_', got {str(name)[:80]!r}")
        if type(length) is not int or not 1 <= length <= MAX_LENGTH:
            raise Malformed("recipe-length", f"expected a vector of 1 to {MAX_LENGTH} values, got {str(length)[:80]}")
        if type(last_length) is not int or not 1 <= last_length <= MAX_LENGTH:
            raise Malformed(
                "recipe-length", f"expected a last vector of 1 to {MAX_LENGTH} values, got {str(last_length)[:80]}"
            )
        if type(ahead) is not int or not 0 <= ahead <= MAX_STEPS:
            raise Malformed("recipe-ahead", f"expected 0 to {MAX_STEPS} steps ahead, got {str(ahead)[:80]}")
        if not isinstance(outputs, list) or not outputs or not OUTPUTS.issuperset(map(str, outputs)):
            raise Malformed("recipe-outputs", f"expected outputs among {sorted(OUTPUTS)}, got {str(outputs)[:80]}")
        if self._source.length and length != self._source.length:
            raise Malformed(
                "recipe-length", f"expected {self._source.length} values as planned, the recipe has {length}"
            )
        columns = message.get("columns")
        if not isinstance(columns, list) or len(columns) > MAX_COLUMNS or not all(isinstance(c, str) for c in columns):
            raise Malformed(
                "recipe-columns", f"expected at most {MAX_COLUMNS} columns by name, got {str(columns)[:80]}"
            )
        return _About(
            name=name,
            length=length,
            outputs=tuple(outputs),
            ahead=ahead,
            last_length=last_length,
            columns=tuple(columns),
            is_scored=message.get("is_scored") is True,
        )

    def _ask(self, call: Call) -> Answer:
        worker = self._running()
        with self._rest.after_trouble():
            return worker.ask(call)

    def _checked(self, read: Callable[[], T]) -> T:
        """Read an answer; a worker whose answer is none is not asked again."""
        try:
            with self._rest.after_trouble():
                try:
                    return read()
                except Malformed as error:
                    raise Refused(
                        "sandbox-answer", f"the recipe's answer is refused: {error.message}", ARTICLE
                    ) from None
        except Refused:
            self.close()
            raise


class _Rest:
    """How long a recipe is left alone after trouble.

    Args:
        clock: seconds that only grow.

    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._trouble: Refused | None = None
        self._span_s = 0.0
        self._until_s = 0.0

    def check(self) -> None:
        """Say again what was wrong, while the rest lasts.

        Raises:
            Refused: what the last call was refused for.

        """
        if self._trouble is not None and self._clock() < self._until_s:
            raise Refused(self._trouble.code, self._trouble.message, self._trouble.article)

    @contextmanager
    def after_trouble(self) -> Iterator[None]:
        """Begin a rest if what is done inside is refused."""
        try:
            yield
        except Refused as error:
            self._trouble = error
            self._span_s = min(max(2 * self._span_s, _FIRST_REST_S), _LONGEST_REST_S)
            self._until_s = self._clock() + self._span_s
            raise


def _training(call: str, model: Model, context: Context, answer_bytes: int = 0) -> Call:
    """A call that sees data and this member's memory."""
    message = {
        "call": call,
        "round": context.round,
        "seed": context.seed.hex(),
        "secret": context.secret.hex(),
        "member": context.member,
        "done": context.done,
        "rounds": context.rounds,
        "steps": context.steps,
        "share": context.share,
        "sent": None if context.sent is None else asdict(context.sent),
    }
    kept = write_model(context.memory) if context.memory else iter(())
    capacity = answer_bytes + 4 * (_size(model) + _size(context.memory)) + _SLACK_BYTES
    return Call(message=message, parts=(write_model(model), kept), capacity=capacity)


def _size(model: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in model.values())
