"""Streams a request's body into a blob or a piece of one: hashing and writing in threads, two batches in memory at most.

A long blob comes in pieces, each a ``PUT`` with ``Content-Range`` (RFC 9110 14.5),
in any order. What has arrived is kept for its sender through broken connections
and the death of the center, see ``serai.storage.partials``.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from serai.center.bodies import RequestBody
from serai.errors import Malformed, Missing, Refused, SeraiError, Unverified
from serai.kernel.ids import Digest, KeyId
from serai.storage.blobs import BlobStore, BlobWriter, FileBlobs
from serai.storage.partials import PartialUpload, PartialUploads, Span
from serai.transport.wire import UploadReply

DROP_S: Final = 30.0  # to read a body that is not needed, so that its sender gets to see the answer
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})")
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
        async for batch in _batches(body.chunks(), lambda size: blob_too_large(size, max_bytes), max_bytes):
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


@dataclass(frozen=True, slots=True)
class Intake:
    """Where pieces go.

    Attributes:
        blobs: what is whole.
        partials: what is not yet.

    """

    blobs: FileBlobs
    partials: PartialUploads

    def begin(self, owner: KeyId, digest: Digest, span: Span) -> PartialUpload | None:
        """Where a piece goes; None if the blob is here already.

        Raises:
            Conflict: its sender began an upload of another size under that digest.
            Refused: longer than blobs may be.
            Unavailable: the disk is full.

        """
        upload = self.partials.find(owner, digest)
        if upload is None and self.blobs.has(digest) and self.blobs.size(digest) == span.total:
            return None
        return self.partials.begin(owner, digest, span.total)

    def finish(self, owner: KeyId, digest: Digest, upload: PartialUpload) -> bool:
        """Publish an upload if all of it is here; whether this call did.

        Raises:
            Unverified: it has another digest; all of it is forgotten.
            Unavailable: the disk is full.

        """
        found = upload.finish()
        if found is None:
            return False
        try:
            if found != digest:
                raise Unverified(
                    "blob-digest",
                    f"expected bytes with digest {digest}, got bytes with {found}; send the whole blob again",
                )
            self.blobs.adopt(upload.path, digest)
        finally:
            self.partials.end(owner, digest)
        return True

    def status(self, owner: KeyId, digest: Digest) -> UploadReply:
        """What is still to be sent of a blob.

        Raises:
            Missing: nothing of it is here.

        """
        upload = self.partials.find(owner, digest)
        if upload is not None and not self.finish(owner, digest, upload):
            return UploadReply(whole=False, size=upload.total, missing=upload.missing)
        if self.blobs.has(digest):
            try:
                self.blobs.verify(digest)  # who asks would not send it again
            except Unverified:
                self.blobs.delete(digest)
            else:
                return UploadReply(whole=True, size=self.blobs.size(digest), missing=())
        raise Missing("upload-missing", f"nothing of blob {digest} is here from this sender; send it from its start")


async def store_piece(
    body: RequestBody, name: tuple[KeyId, Digest], span: Span, intake: Intake, threads: Executor
) -> bool:
    """Write one piece of a sender's blob; whether the blob is whole with it.

    Args:
        body: the piece's bytes.
        name: the sender's key and the blob's digest.
        span: which part of the blob they are.
        intake: where they go.
        threads: for the disk.

    Raises:
        Malformed: the body has another length than its range.
        Conflict: see ``Intake.begin``, or the upload was finished or replaced meanwhile.
        Refused: longer than blobs may be.
        Unverified: the last piece came, and the whole has another digest.
        Unavailable: the disk is full.

    """
    loop, offset = asyncio.get_running_loop(), span.first
    upload = await loop.run_in_executor(threads, intake.begin, *name, span)
    if upload is None:
        await body.drop(span.length, DROP_S)
        return True
    async for batch in _batches(body.chunks(), lambda size: _piece_length(size, span), span.length):
        await loop.run_in_executor(threads, upload.write, offset, b"".join(batch))
        offset += sum(len(chunk) for chunk in batch)
    if offset != span.first + span.length:
        raise _piece_length(offset - span.first, span)
    await loop.run_in_executor(threads, upload.mark, span)
    return await loop.run_in_executor(threads, intake.finish, *name, upload)


def parse_content_range(text: str) -> Span:
    """Read which part of a blob a request brings (RFC 9110 14.4).

    Raises:
        Malformed: of another form, or no piece of a blob.

    """
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        raise Malformed("piece-range", f"expected Content-Range: bytes <first>-<last>/<size>, got {text[:80]!r}")
    first, last, total = (int(number) for number in match.groups())
    return Span(first, last - first + 1, total)


def blob_too_large(size_bytes: int, max_bytes: int) -> Refused:
    """The error for a body that is, or says it is, too long."""
    return Refused(
        "blob-too-large",
        f"expected a blob of at most {max_bytes} bytes, got {size_bytes} or more; split it, or ask the operator to "
        "raise max_blob_bytes",
    )


def _piece_length(size_bytes: int, span: Span) -> Malformed:
    return Malformed(
        "piece-length", f"the range says {span.length} bytes, the body has {size_bytes} or more; send the piece again"
    )


async def _batches(
    chunks: AsyncIterator[bytes], too_long: Callable[[int], SeraiError], max_bytes: int
) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    held = total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise too_long(total)
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
