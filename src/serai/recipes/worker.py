"""The process in which a recipe runs: it has no keys, no network and no way out but its answers.

Started by an agent as ``python -I -m serai.recipes.worker``. It reads calls from
a socket, answers each, and ends when the socket does or when the agent dies.
Nothing it answers is trusted: see ``serai.agent.sandbox``.
"""

import importlib.util
import os
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from serai.errors import Malformed, SeraiError
from serai.kernel.ids import MemberId
from serai.kernel.records import from_json, to_json
from serai.recipes.archive import ENTRY_FILE, unpack
from serai.recipes.confinement import Bounds, confine, die_with_parent
from serai.recipes.equipment import Equipment, equip
from serai.recipes.evaluation import evaluating
from serai.recipes.frames import Bulk, Message, map_parts, receive_call, send_frame, write_parts
from serai.recipes.registry import build
from serai.training.methods import (
    Context,
    Data,
    Overlapping,
    Recipe,
    Scored,
    Sent,
    TwoPhased,
    Vector,
    columns_of,
    gives_probabilities,
)
from serai.training.tables import table_of
from serai.training.tensors import Model, read_model, write_model

MAX_ERROR_CHARS: Final = 600
_MODULE: Final = "recipe"
_PIECE: Final = 2**18  # values written at a time

Parts = list[memoryview]
Answer = tuple[Message, list[Iterable[Bulk]]]


def main() -> None:
    """Give up what is not needed, then answer calls until there are no more."""
    fd, parent, *bounds = map(int, sys.argv[1:])
    die_with_parent(parent)
    given_up = confine(Bounds(memory_bytes=bounds[0], data_bytes=bounds[1], file_bytes=bounds[2]))
    with socket.socket(fileno=fd) as channel:
        Worker(given_up).serve(channel)


class Worker:
    """Answers calls for one recipe.

    Args:
        lacking: what of its confinement could not be had; told in the first answer.

    """

    def __init__(self, lacking: tuple[str, ...]) -> None:
        self._lacking = lacking
        self._recipe: Recipe | None = None
        self._data: Data | None = None
        self._calls: Mapping[str, Callable[[Message, Parts], Answer]] = {
            "open": self._open,
            "codec": self._codec,
            "initial": self._initial,
            "last_codec": self._last_codec,
            "rows": self._rows,
            "contribute": self._contribute,
            "train_ahead": self._train_ahead,
            "combine": self._combine,
            "evaluate": self._evaluate,
            "scores": self._scores,
        }

    def serve(self, channel: socket.socket) -> None:
        """Answer until the agent closes the channel."""
        while (call := receive_call(channel)) is not None:
            message, fds = call
            try:
                inbox, outbox = fds
                answer = self._answer(message, inbox, outbox)
            finally:
                for fd in fds:
                    os.close(fd)
            try:
                send_frame(channel, answer)
            except Malformed as error:
                send_frame(channel, {"error": _described(error)})

    def _answer(self, message: Message, inbox: int, outbox: int) -> Message:
        try:
            told, parts = self._calls[message["call"]](message, map_parts(inbox, message["parts"], message["stride"]))
            return {**told, "parts": write_parts(outbox, parts)}
        except BaseException as error:  # noqa: BLE001  # whatever foreign code raises, SystemExit too, is an answer
            return {"error": _described(error)}

    @property
    def _program(self) -> Recipe:
        assert self._recipe is not None, "the first call is open"
        return self._recipe

    def _open(self, message: Message, parts: Parts) -> Answer:
        archive, *models = parts
        inputs = {name: read_model(part) for name, part in zip(message["inputs"], models, strict=True)}
        equipment = from_json(Equipment, message["equipment"])
        if archive:
            program = equip(_load(bytes(archive))(message["params"], inputs), equipment)
        else:
            program = build(message["recipe"], message["params"], inputs, equipment)
        if message["evaluates"]:
            program = evaluating(program, inputs)
        self._recipe = program
        told = {"name": program.name, "length": program.length, "outputs": list(program.outputs)}
        ahead = program.ahead if isinstance(program, Overlapping) else 0
        last = program.last_length if isinstance(program, TwoPhased) else program.length
        told.update({"ahead": ahead, "last_length": last, "columns": list(columns_of(program))})
        told["is_scored"] = gives_probabilities(program)
        return {**told, "lacking": list(self._lacking)}, []

    def _codec(self, message: Message, _parts: Parts) -> Answer:
        return {"codec": to_json(self._program.codec(message["members"]))}, []

    def _last_codec(self, message: Message, _parts: Parts) -> Answer:
        codec = self._program.last_codec(message["members"]) if isinstance(self._program, TwoPhased) else None
        return {"codec": None if codec is None else to_json(codec)}, []

    def _initial(self, _message: Message, _parts: Parts) -> Answer:
        return {}, [write_model(self._program.initial())]

    def _rows(self, message: Message, parts: Parts) -> Answer:
        columns = message["columns"]
        arrays = _columns(columns, parts) if columns else read_model(parts[0])
        values: dict[str, Any] = {name: array for name, array in arrays.items() if "/" not in name}
        if columns:
            values = _apart(values, message["trained"]) if values else _nothing(message["rows"])
        table = table_of(message["rows"], message["levels"], arrays)
        self._data = Data(**values, names=tuple(message["names"]), table=table)
        return {}, []

    def _contribute(self, message: Message, parts: Parts) -> Answer:
        assert self._data is not None, "rows come before contributions"
        context = _context(message, parts[1])
        vector = np.asarray(self._program.contribute(_model(parts[0]), self._data, context))
        if vector.ndim != 1 or vector.dtype not in {np.dtype(np.float32), np.dtype(np.float64)}:
            raise Malformed("recipe-vector", f"expected a row of floats, got {vector.dtype} of shape {vector.shape}")
        kept = write_model(context.memory) if context.memory else []
        figures = {str(name): int(figure) for name, figure in context.figures.items()}
        return {"dtype": str(vector.dtype), "figures": figures}, [_stretches(vector), kept]

    def _train_ahead(self, message: Message, parts: Parts) -> Answer:
        assert self._data is not None, "rows come before training"
        assert isinstance(self._program, Overlapping), "a recipe that trains ahead said so when it was opened"
        context = _context(message, parts[1])
        self._program.train_ahead(_model(parts[0]), self._data, context)
        return {}, [write_model(context.memory) if context.memory else []]

    def _combine(self, message: Message, parts: Parts) -> Answer:
        total = np.frombuffer(parts[1], np.dtype(message["dtype"]))
        return {}, [write_model(self._program.combine(_model(parts[0]), total, message["members"]))]

    def _evaluate(self, _message: Message, parts: Parts) -> Answer:
        assert self._data is not None, "rows come before an evaluation"
        counts = self._program.evaluate(_model(parts[0]), self._data)
        return {"counts": {str(name): int(count) for name, count in counts.items()}}, []

    def _scores(self, _message: Message, parts: Parts) -> Answer:
        assert isinstance(self._program, Scored), "a recipe that gives probabilities said so when it was opened"
        found = np.asarray(self._program.scores(_model(parts[0]), read_model(parts[1])["x"]), np.float64)
        return {}, [write_model({"scores": found})]


def _columns(dtypes: Mapping[str, str], parts: Parts) -> Model:
    """Columns that lie in a file in memory since they were read; the agent made no copy of them."""
    kinds = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
    flat = {name: np.frombuffer(part, kinds[name].base) for name, part in zip(kinds, parts, strict=True)}
    return {name: array.reshape(-1, *kinds[name].shape) for name, array in flat.items()}


def _apart(values: Model, trained: int) -> dict[str, Any]:
    """Training rows, and after them those held back."""
    x, y = values["x"], values["y"]
    return {"x": x[:trained], "y": y[:trained], "test_x": x[trained:], "test_y": y[trained:]}


def _nothing(rows: int) -> dict[str, Any]:
    """Rows without features, beside a table."""
    return {"x": np.zeros((rows, 0)), "y": np.zeros(0), "test_x": np.zeros((0, 0)), "test_y": np.zeros(0)}


def _stretches(vector: Vector) -> Iterator[memoryview]:
    """The bytes of a vector; one that is strewn over memory, or one value for all, is never laid out whole."""
    for start in range(0, vector.size, _PIECE):
        yield np.ascontiguousarray(vector[start : start + _PIECE]).view(np.uint8).data


def _model(part: memoryview) -> Model:
    return read_model(part) if part else {}


def _context(message: Message, memory: memoryview) -> Context:
    """Where the agent says that this member is; a recipe may write into its memory, and nobody else sees it."""
    sent = message["sent"]
    return Context(
        round=message["round"],
        seed=bytes.fromhex(message["seed"]),
        member=MemberId(message["member"]),
        memory=dict(read_model(memory, writable=True)) if memory else {},
        secret=bytes.fromhex(message["secret"]),
        done=message["done"],
        rounds=message["rounds"],
        steps=message["steps"],
        share=message["share"],
        sent=None if sent is None else Sent(summed=sent["summed"], missed=sent["missed"]),
    )


def _load(archive: bytes) -> Callable[[Mapping[str, str], Mapping[str, Model]], Recipe]:
    """The class ``Recipe`` of an archive, unpacked where only this process writes."""
    folder = Path(tempfile.mkdtemp(prefix="recipe-"))
    for name, data in unpack(archive).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(_MODULE, folder / ENTRY_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    program: Any = getattr(module, "Recipe", None)
    if not callable(program):
        raise Malformed("recipe-class", f"expected a class Recipe in {ENTRY_FILE}")
    made: Callable[[Mapping[str, str], Mapping[str, Model]], Recipe] = program
    return made


def _described(error: BaseException) -> dict[str, str]:
    """An error for the agent: its kind, its words, and where in the recipe it arose."""
    if isinstance(error, SeraiError):
        return {"kind": error.family, "code": error.code, "text": error.message[:MAX_ERROR_CHARS]}
    place = ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "recipe-" in frame.filename:
            place = f" ({Path(frame.filename).name}, line {frame.lineno})"
            break
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # an error of foreign code may fail to describe itself
        text = type(error).__name__
    return {"kind": type(error).__name__, "code": "", "text": text[:MAX_ERROR_CHARS] + place}


if __name__ == "__main__":
    main()
