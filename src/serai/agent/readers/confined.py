"""A source that a library in C++ reads, read in a process of its own: where it crashes, this agent does not.

Theory of operation. Parquet, Arrow, images and databases are parsed by code
that nobody has proved safe, and the file may come from anybody. So a child
process reads it behind the same fences as a recipe (``serai.agent.sandbox``):
it sees that one file, no network, and may use a gibibyte. It writes columns of
numbers into a file in memory that this process made, and ends. Nothing else
comes back but a count of rows or an error, and the numbers are checked here:
whatever a crafted file makes of the child, it can at most lie about that file.

PostgreSQL needs the network, so its child has limits and no fence.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serai.agent.datasets import DatasetKind, DatasetSettings, Format
from serai.agent.readers.column_file import STRIDE, ColumnFile
from serai.agent.readers.reading import MAX_ROWS, Category, Features, Flag, Number, Part, Pixels, Reading, reading_of
from serai.agent.sandbox import READER, Call, Fence, Worker, clean, find_fence
from serai.agent.settings import Limits
from serai.errors import Malformed, Misconfigured, Missing, Refused, SeraiError
from serai.kernel.records import to_json

LIMITS: Final = Limits(memory_mb=1024, call_s=3600, scratch_mb=64)
_CODE: Final = re.compile(r"[a-z-]{1,40}")
_PIECE: Final = 1 << 20  # rows checked at a time
_FAMILIES: Final[dict[str, type[SeraiError]]] = {
    kind.family: kind for kind in (Malformed, Misconfigured, Missing, Refused)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a child is to read; see ``reading.reading_of``."""

    settings: DatasetSettings
    columns: tuple[str, ...] | None
    subject: bool


def read_confined(wish: Wish) -> tuple[ColumnFile, int]:
    """Read columns in a child process; the file, and how many of its rows, the last ones, are held back.

    Raises:
        Refused, Misconfigured, Missing, Malformed: as the reader; also where the child died or took too long.

    """
    settings = wish.settings
    where = settings.path or f"service {settings.service!r}"
    if settings.path and not os.path.exists(settings.path):  # noqa: PTH110  # also where nobody may look
        raise Misconfigured("dataset-file-missing", f"expected data at {where}; correct the dataset's path")
    reading = reading_of(settings, wish.columns, subject=wish.subject)
    message = {
        "call": "read",
        "settings": to_json(settings),
        "columns": None if wish.columns is None else list(wish.columns),
        "subject": wish.subject,
    }
    worker = Worker(_fence(settings), LIMITS, Path(tempfile.gettempdir()), READER)
    try:
        answer = worker.ask(Call(message=message, capacity=STRIDE * max(1, len(reading.parts))))
    except Refused as error:
        raise _told(error, where) from None
    finally:
        worker.close()
    if isinstance(refused := answer.message.get("refused"), dict):
        raise _refused(refused)
    rows, held_back = (answer.message.get(name) for name in ("rows", "held_back"))
    if type(rows) is not int or type(held_back) is not int or not 0 <= held_back <= rows <= MAX_ROWS:
        raise Malformed("dataset-reader", f"{where}: its reader answers {str(rows)[:40]!r} for a number of rows")
    file = ColumnFile(reading.dtypes, answer.outbox.duplicate(), rows)
    _check(file, reading, where)
    return file, held_back


def _fence(settings: DatasetSettings) -> Fence:
    if settings.kind is DatasetKind.TABLE and settings.stored_as is Format.POSTGRES:
        return Fence((), ("a database is reached over the network",))
    path = Path(settings.path)
    shown = (path, path.with_name(f"{path.name}.wal")) if settings.stored_as is Format.DUCKDB else (path,)
    return find_fence(Path("/nowhere"), LIMITS, shown)


def _refused(told: dict[str, Any]) -> SeraiError:
    """An error that a child found in its source, in the child's words, cut and cleaned."""
    family = _FAMILIES.get(str(told.get("family")), Malformed)
    code = str(told.get("code"))
    return family(code if _CODE.fullmatch(code) else "dataset-reader", clean(str(told.get("text"))))


def _told(error: Refused, where: str) -> SeraiError:
    """What ended a child, as an error about its source."""
    match error.code:
        case "sandbox-memory":
            text = f"reading it needs more than {LIMITS.memory_mb} MiB"
        case "sandbox-time":
            text = f"reading it took longer than {LIMITS.call_s} s"
        case "sandbox-death":
            text = "the process that read it died; the file is damaged, or made to harm"
        case _:
            text = error.message
    return Malformed("dataset-reader", f"{where} cannot be read: {text}")


def _check(file: ColumnFile, reading: Reading, where: str) -> None:
    """See that a child wrote what its columns can hold, a piece at a time.

    Raises:
        Malformed: it did not.

    """
    for name, part in reading.parts.items():
        column = file.column(name)
        for start in range(0, file.rows, _PIECE):
            if not _is_possible(column[start : start + _PIECE], part):
                raise Malformed("dataset-reader", f"{where}: its reader gives values that the column cannot have")


def _is_possible(values: npt.NDArray[Any], part: Part) -> bool:
    if isinstance(part, Category):
        return bool(values.min() >= -1 and values.max() < len(part.levels))
    if isinstance(part, Flag):
        return bool(((values == 0) | (values == 1)).all())
    if isinstance(part, Features | Pixels):
        return bool(np.isfinite(values).all())
    return not (isinstance(part, Number) and np.isinf(values).any())
