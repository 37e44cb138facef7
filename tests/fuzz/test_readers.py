"""Bent tables, texts, images and databases: each is read to its right shape or refused in a sentence; nothing else happens."""

import io
import itertools
import os
import random
import signal
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from serai.agent.datasets import DatasetKind, DatasetSettings, Field, FieldKind, Format, Images, Label
from serai.agent.readers import confined
from serai.agent.readers.sources import read_columns, read_training
from serai.agent.settings import Limits
from serai.agent.text import read_documents
from serai.errors import Malformed, Misconfigured, SeraiError

COUNT = 200
LONGEST_S = 60  # on a busy machine; each takes a fraction of a second
FIELDS = {
    "x": Field(kind=FieldKind.NUMBER),
    "y": Field(kind=FieldKind.CATEGORY, levels=("a", "b"), codes={"1": "a"}),
}
ROWS = [(number / 7, "ab1"[number % 3]) for number in range(40)]
NASTY = (
    *(b"\x00", b"\xff", b"\xfe\xff", b'"', b",", b"\n", b"\r", b"nan", b"-inf", b"1e999", b"1_0", b"9" * 400),
    *(b"x", b"\xef\xbb\xbf", b"[" * 2000, b"{" * 2000, b"\x7f" * 8, b"\x80" * 10, b"PAR1", b"ARROW1", b"DUCK"),
    *(struct.pack("<q", value) for value in (-1, 2**31, 2**62, -(2**63))),
)


def bend(data, source):
    """Bytes with one to four of them changed: flipped, cut, doubled, moved, or replaced by what parsers dislike."""
    bent = bytearray(data)
    for _ in range(source.randint(1, 4)):
        start = source.randrange(len(bent) + 1)
        end = min(len(bent), start + source.choice([1, 4, 16, 64]))
        match source.randrange(7):
            case 0 if start < len(bent):
                bent[start] ^= 1 << source.randrange(8)
            case 1:
                del bent[start:end]
            case 2:
                bent[start:start] = bent[start:end] * source.choice([1, 50])
            case 3:
                bent[start:end] = source.choice(NASTY)
            case 4:
                del bent[start:]
            case 5:
                bent[start:end] = source.randbytes(end - start)
            case _:
                bent[start:start] = source.choice(NASTY)
    return bytes(bent)


def csv_bytes():
    return "\n".join(["x,y,z", *(f"{x},{y},{x}" for x, y in ROWS)]).encode()


def parquet_bytes(**options):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = io.BytesIO()
    x, y = zip(*ROWS, strict=True)
    pq.write_table(pa.table({"x": x, "y": y, "z": [[1, 2]] * len(x)}), sink, **options)
    return sink.getvalue()


def arrow_bytes(*, stream=False):
    pa = pytest.importorskip("pyarrow")
    sink = io.BytesIO()
    x, y = zip(*ROWS, strict=True)
    table = pa.table({"x": x, "y": pa.array(y).dictionary_encode(), "z": [[1, 2]] * len(x)})
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, 7)
    return sink.getvalue()


def image_bytes(kind="PNG"):
    image = pytest.importorskip("PIL.Image")
    sink = io.BytesIO()
    pixels = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3)
    image.fromarray(pixels).save(sink, kind)
    return sink.getvalue()


def duckdb_bytes(folder):
    duckdb = pytest.importorskip("duckdb")
    path = folder / "made.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table t (x double, y varchar)")
        connection.executemany("insert into t values (?, ?)", ROWS)
    return path.read_bytes()


def read_or_refuse(settings, columns):
    """Read, or be refused in time and in one sentence; whether it was read."""
    began = time.monotonic()
    error, file = attempt(lambda: read_columns(settings, columns) if columns else read_training(settings).file)
    assert time.monotonic() - began < LONGEST_S
    if error is not None:
        assert isinstance(error, Malformed | Misconfigured), error
        assert 10 < len(error.message) < 3000
        assert "Traceback" not in error.message
        assert error.message.isprintable() or settings.stored_as is Format.CSV
        return False
    for name in file.dtypes:
        column = file.column(name)
        assert len(column) == file.rows
        assert column.dtype != np.float64 or not np.isinf(column).any()
    return True


def attempt(call):
    """The error that callers know how to handle, or what came."""
    try:
        return None, call()
    except SeraiError as error:
        return error, None


def bend_files(path, originals, count, settings, columns):
    """Write bent files one after the other and read each; nothing appears beside them."""
    source = random.Random(20261125)
    read = 0
    for data in itertools.islice(itertools.cycle(originals), count):
        path.write_bytes(bend(data, source))
        before = {place: place.stat().st_size for place in path.parent.rglob("*")}
        read += read_or_refuse(settings, columns)
        assert {place: place.stat().st_size for place in path.parent.rglob("*")} == before
    assert read < count, "what is bent is seldom still whole"


def test_bent_csv(tmp_path):
    path = tmp_path / "rows.csv"
    settings = DatasetSettings(title="t", path=str(path), fields=FIELDS)
    bend_files(
        path,
        [csv_bytes(), csv_bytes().replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + csv_bytes()],
        COUNT,
        settings,
        ("x", "y"),
    )


def test_bent_texts(tmp_path):
    source = random.Random(3)
    path = tmp_path / "t.txt"
    for _ in range(COUNT):
        path.write_bytes(bend("Eins\n\nzwölf\r\n\r\n \nüber\n".encode() * 3, source))
        error, documents = attempt(lambda: read_documents(path))
        if error is not None:
            assert str(path) in error.message
        else:
            assert all(document.decode().strip() for document in documents)


@pytest.fixture(params=[2, pytest.param(COUNT, marks=pytest.mark.slow)])
def count(request):
    """Two each time, two hundred in the slow tests: each is read by a process of its own."""
    return request.param


def test_bent_parquet(tmp_path, count):
    originals = [
        parquet_bytes(),
        parquet_bytes(compression="gzip", row_group_size=7),
        parquet_bytes(compression="none", use_dictionary=False, data_page_version="2.0"),
    ]
    path = tmp_path / "rows.parquet"
    bend_files(path, originals, count, DatasetSettings(title="t", path=str(path), fields=FIELDS), ("x", "y"))


def test_bent_arrow(tmp_path, count):
    path = tmp_path / "rows.arrow"
    settings = DatasetSettings(title="t", path=str(path), fields=FIELDS)
    bend_files(path, [arrow_bytes(), arrow_bytes(stream=True)], count, settings, ("x", "y"))


def test_bent_duckdb(tmp_path, count):
    path = tmp_path / "rows.duckdb"
    settings = DatasetSettings(title="t", path=str(path), fields=FIELDS, query="select x, y from t")
    source = random.Random(5)
    (tmp_path / "apart").mkdir()
    original = duckdb_bytes(tmp_path / "apart")
    used = len(original.rstrip(b"\x00"))
    for number in range(count):
        bent = bytearray(original)
        # Its blocks are long and mostly empty: bend where something is, and half the time right behind the headers.
        for _ in range(source.randint(1, 12)):
            bent[source.randrange(used if number % 2 else min(used, 16384))] = source.randrange(256)
        path.write_bytes(bytes(bent) if number % 5 else bend(bytes(bent[:8192]), source))
        read_or_refuse(settings, ("x", "y"))


def test_bent_images(tmp_path, count):
    (tmp_path / "yes").mkdir()
    path = tmp_path / "yes" / "1.png"
    settings = DatasetSettings(
        title="t",
        path=str(tmp_path),
        kind=DatasetKind.IMAGES,
        images=Images(width=8, height=6),
        label=Label(column="folder", equals="yes"),
    )
    bend_files(path, [image_bytes(kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF")], count, settings, ())


EXPRESSIONS = (
    *(
        "1::numeric / 3",
        "'nan'::float8",
        "'infinity'::float8",
        "1e400::numeric",
        "null",
        "''",
        "'a'",
        "true",
        "'x'::bytea",
    ),
    *("array[1, 2]", "'{}'::jsonb", "'infinity'::date", "'4713-01-01 BC'::date", "interval '1 year'", "point(1, 2)"),
    *(
        "repeat('[', 100000)",
        "E'a\\x01b'",
        "'127.0.0.1'::inet",
        "'12.50'::money",
        "row(1, 2)",
        "'1'::bit",
        "'<a/>'::xml",
    ),
    *(
        "1 / 0",
        "nosuch",
        "pg_sleep(0)::text",
        "(select 1 union select 2)",
        "current_user",
        "9223372036854775807",
        "-0.0",
    ),
    *("int4range(1, 2)", "now()", "'b'", "'1'", "' b '", "pg_read_file('/etc/passwd')", "'24:00'::time", "chr(65533)"),
)


def test_bent_queries(postgres, count):
    source = random.Random(7)
    for _ in range(count):
        x, y = source.choices(EXPRESSIONS, k=2)
        rows = source.choice(
            ["from generate_series(1, 3)", "where false", "limit 2", "order by 1", "union all select 1, 'a'"]
        )
        names = source.choice([("x", "y"), ("x", "x"), ("y", '"X"'), ('"x"', '"y"')])
        query = f"select {x} as {names[0]}, {y} as {names[1]} {rows}"
        if not source.randrange(3):
            query = bend(query.encode(), source).decode("utf-8", "replace").replace("\0", "?") or "select"
        given = {"format": Format.POSTGRES, "service": "clinic", "service_file": str(postgres), "query": query}
        settings = DatasetSettings(title="t", fields=FIELDS, **given)
        read_or_refuse(settings, ("x", "y"))


# What is made to harm


def png_that_claims(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31 - 1, 1)])
def test_an_image_of_a_few_bytes_that_claims_a_whole_wall_is_refused(tmp_path, width, height):
    pytest.importorskip("PIL")
    (tmp_path / "yes").mkdir()
    (tmp_path / "yes" / "1.png").write_bytes(png_that_claims(width, height))
    settings = DatasetSettings(
        title="t",
        path=str(tmp_path),
        kind=DatasetKind.IMAGES,
        images=Images(width=8, height=6, resize=True),
        label=Label(column="folder", equals="yes"),
    )
    with pytest.raises(Malformed, match=r"1\.png: expected an image"):
        read_training(settings)


@pytest.mark.slow
def test_a_page_that_unpacks_to_more_than_a_reader_may_use_is_refused(tmp_path, monkeypatch):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    column = pa.array(np.zeros(1 << 25))  # 256 MiB in one page of some kilobytes
    pq.write_table(
        pa.table({"x": column}),
        path,
        compression="zstd",
        use_dictionary=False,
        data_page_size=1 << 30,
        row_group_size=1 << 25,
        write_batch_size=1 << 25,
        max_rows_per_page=1 << 25,
    )
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(confined, "LIMITS", Limits(memory_mb=256))
    with pytest.raises(Malformed, match="needs more than 256 MiB"):
        read_columns(DatasetSettings(title="t", path=str(path), fields=FIELDS), ("x",))


def test_a_source_that_never_ends_is_given_up(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = tmp_path / "rows.parquet"
    os.mkfifo(path)
    monkeypatch.setattr(confined, "LIMITS", Limits(call_s=1))
    with pytest.raises(Malformed, match="took longer than 1 s"):
        read_columns(DatasetSettings(title="t", path=str(path), fields=FIELDS), ("x",))


def test_a_reader_that_crashes_is_an_error_and_the_agent_lives(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "rows.parquet"
    os.mkfifo(path)  # the reader waits here until it is shot

    def shoot():
        deadline = time.monotonic() + 30
        while not (readers := find_readers(os.getpid())) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in readers:
            os.kill(pid, signal.SIGSEGV)

    thread = threading.Thread(target=shoot)
    thread.start()
    with pytest.raises(Malformed, match="the process that read it died"):
        read_columns(DatasetSettings(title="t", path=str(path), fields=FIELDS), ("x",))
    thread.join()


def find_readers(pid):
    """The processes, started by this one or by one that it started, that read; not the fence around them."""
    found = []
    for place in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, place.read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\x00")
            is_reader = b"serai.agent.readers.child" in command and b"python" in command[0]
            found += [child] if is_reader else find_readers(child)
    return found
