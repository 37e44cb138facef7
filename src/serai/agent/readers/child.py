"""The process that reads one source with libraries in C++, and gives nothing back but columns of numbers.

Started by an agent as ``python -I -m serai.agent.readers.child``; see
``serai.agent.readers.confined``, which also says what it is kept from.
"""

import socket
import sys
from collections.abc import Sequence
from typing import Final

from serai.agent.datasets import DatasetKind, DatasetSettings, Format
from serai.agent.readers.column_file import ColumnFile
from serai.agent.readers.reading import reading_of
from serai.agent.readers.split import Open, fill
from serai.errors import Malformed, Misconfigured, SeraiError
from serai.kernel.records import from_json
from serai.recipes.confinement import Bounds, confine, die_with_parent
from serai.recipes.frames import Message, receive_call, send_frame

MAX_ERROR_CHARS: Final = 600


def main() -> None:
    """Answer one call, then end."""
    fd, parent, *bounds = map(int, sys.argv[1:])
    die_with_parent(parent)
    with socket.socket(fileno=fd) as channel:
        call = receive_call(channel)
        if call is not None:
            message, (_, outbox) = call
            send_frame(channel, {**_answer(message, outbox, bounds), "parts": []})


def _answer(message: Message, outbox: int, bounds: Sequence[int]) -> Message:
    try:
        settings = from_json(DatasetSettings, message["settings"])
        read = _reader(settings)
        if settings.stored_as is not Format.POSTGRES:  # which is reached through a socket
            confine(Bounds(memory_bytes=bounds[0], data_bytes=bounds[1], file_bytes=bounds[2]))
        reading = reading_of(settings, message["columns"], subject=message["subject"])
        file = ColumnFile(reading.dtypes, outbox)
        held_back = fill(file, read, reading, settings)
    except SeraiError as error:
        return {"refused": {"family": error.family, "code": error.code, "text": error.message[:MAX_ERROR_CHARS]}}
    except MemoryError as error:
        return {"error": {"kind": "MemoryError", "text": str(error)[:MAX_ERROR_CHARS]}}
    except BaseException as error:  # noqa: BLE001  # whatever a library raises about foreign bytes is an answer
        first = (str(error).splitlines() or [""])[0][:MAX_ERROR_CHARS]
        told = message["settings"]
        text = f"{told.get('path') or told.get('service')} cannot be read: {type(error).__name__}: {first}"
        return {"refused": {"family": Malformed.family, "code": "dataset-reader", "text": text}}
    else:
        return {"rows": file.rows, "held_back": held_back}


def _reader(settings: DatasetSettings) -> Open:
    """What reads a source; its libraries are loaded here, while they may still open files.

    Raises:
        Misconfigured: they are not installed.

    """
    try:
        if settings.kind is DatasetKind.IMAGES:
            from serai.agent.readers.images import read_images  # noqa: PLC0415  # an extra

            return lambda reading: read_images(settings, with_pixels=reading.has_pixels)
        match settings.stored_as:
            case Format.PARQUET | Format.ARROW:
                from serai.agent.readers.arrow_files import read_arrow  # noqa: PLC0415  # an extra

                return lambda reading: read_arrow(settings, reading.columns)
            case Format.DUCKDB:
                from serai.agent.readers.duckdb_file import read_duckdb  # noqa: PLC0415  # an extra

                return lambda reading: read_duckdb(settings, reading.columns)
            case Format.POSTGRES:
                from serai.agent.readers.postgres import read_postgres  # noqa: PLC0415  # an extra

                return lambda reading: read_postgres(settings, reading.columns)
            case Format.CSV:
                raise AssertionError("CSV is read in the agent")
    except ImportError as error:
        raise Misconfigured(
            "dataset-extra-missing",
            f"reading {settings.kind.value} stored as {settings.stored_as.value} needs {error.name}; "
            "install it with: pip install 'serai[data]'",
        ) from None


if __name__ == "__main__":
    main()
