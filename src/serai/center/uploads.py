"""Streams a request's body into a blob: hashing and writing in threads, two batches in memory at most."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from typing import Final

from serai.center.bodies import RequestBody
from serai.errors import Refused, SeraiError
from serai.kernel.ids import Digest
from serai.storage.blobs import BlobStore, BlobWriter

BATCH_BYTES: Final = 2**20  # handed to a thread at once; a hop between threads costs as much as hashing 100 KB


async def store_blob(body: RequestBody, digest: Digest, store: BlobStore, max_bytes: int, threads: Executor) -> None:
    """Write a body under its digest, receiving one batch while the last one is written.

    Raises:
        Malformed: the sender left before the end.
        Refused: longer than ``max_bytes``.
        Unverified: the body does not have that digest.
        Unavailable: the disk is full.

    """
    loop = asyncio.get_running_loop()
    writer = store.writer()
    writing: asyncio.Future[None] | None = None
    try:
        async for batch in _batches(body.chunks(), max_bytes):
            if writing is not None:
                await writing
            writing = loop.run_in_executor(threads, _write, writer, batch)
        if writing is not None:
            await writing
        # Shielded, because a commit that has begun in a thread must not be aborted beside it.
        await asyncio.shield(writing := loop.run_in_executor(threads, _commit, writer, digest))
    except SeraiError:
        if writing is not None:
            await asyncio.wait({writing})  # whoever hears of the failure finds nothing left of the blob
        raise
    finally:
        _abort_after(writing, writer)


def blob_too_large(size_bytes: int, max_bytes: int) -> Refused:
    """The error for a body that is, or says it is, too long."""
    return Refused(
        "blob-too-large",
        f"expected a blob of at most {max_bytes} bytes, got {size_bytes} or more; split it, or ask the operator to "
        "raise max_blob_bytes",
    )


async def _batches(chunks: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    held = total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise blob_too_large(total, max_bytes)
        batch.append(chunk)
        held += len(chunk)
        if held >= BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _abort_after(writing: asyncio.Future[None] | None, writer: BlobWriter) -> None:
    # On cancellation a thread may still be writing: closing its file under it could
    # send its bytes into whatever file gets the same descriptor next.
    if writing is None or writing.done():
        writer.abort()
    else:
        writing.add_done_callback(lambda _: writer.abort())


def _write(writer: BlobWriter, batch: Sequence[bytes]) -> None:
    for chunk in batch:
        writer.write(chunk)


def _commit(writer: BlobWriter, digest: Digest) -> None:
    writer.commit(digest)
