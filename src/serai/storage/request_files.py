"""Statements on their way to a signer that is on no network, as files that people can read.

A request is a text of a few lines: remarks that begin with ``#``, one line
``payload`` with the statement as canonical JSON, and once it is signed a line
``signature`` for each signature of the signer's suite. A line ``extra`` holds a
further signature. Whoever reads a request trusts the payload alone: remarks are
for people, and are written anew from the payload wherever they are shown.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from serai.errors import Malformed, Misconfigured, Missing
from serai.kernel.envelope import MAX_ENTRY_BYTES, MAX_PARTS, Envelope, read_payload
from serai.kernel.extras import MAX_EXTRAS, ExtraSignature
from serai.storage.disk import no_room_explained

MAX_REQUEST_BYTES: Final = 4 * MAX_ENTRY_BYTES  # payload and remarks say the same, and signatures come on top
_HEADER: Final = "serai-request-v1"


def write_request(path: Path, envelope: Envelope, remarks: Sequence[str]) -> None:
    """Write a statement, with the signatures that it has, as a request.

    Raises:
        Unavailable: the disk is full.

    """
    lines = [_HEADER, *(f"# {remark}".rstrip() for remark in remarks), f"payload {envelope.payload.decode()}"]
    lines += [f"signature {base64.b64encode(part).decode()}" for part in envelope.parts]
    lines += [f"extra {extra.key} {base64.b64encode(extra.signature).decode()}" for extra in envelope.extras]
    temporary = path.with_name(f"{path.name}.part")
    with no_room_explained(path.parent):
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")
        temporary.replace(path)  # whoever takes the stick out meanwhile has the old file or the new one


def read_request(path: Path) -> Envelope:
    """Read a request; its signatures are *not* checked here.

    Raises:
        Missing: there is no such file.
        Misconfigured: it cannot be read.
        Malformed: it holds no request.

    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_REQUEST_BYTES + 1)
    except FileNotFoundError:
        raise Missing("signing-file-missing", f"there is no file {path}; check the name") from None
    except OSError as error:
        raise Misconfigured("signing-file-unreadable", f"cannot read {path}: {error.strerror}") from error
    try:
        return _parse(data)
    except Malformed as error:
        raise Malformed(error.code, f"{path}: {error.message}") from error


def _parse(data: bytes) -> Envelope:
    if len(data) > MAX_REQUEST_BYTES:
        raise Malformed("signing-file-form", f"a request has at most {MAX_REQUEST_BYTES} bytes")
    try:
        header, *lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise Malformed("signing-file-form", f"expected a text in UTF-8: {error}") from error
    said = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    payloads = [text for word, _, text in said if word == "payload"]
    unknown = sorted({word for word, _, _ in said} - {"payload", "signature", "extra"})
    if header != _HEADER or len(payloads) != 1 or unknown:
        raise Malformed(
            "signing-file-form", f"expected a {_HEADER} with one payload line and signatures, and nothing else"
        )
    parts = tuple(_base64(text) for word, _, text in said if word == "signature")
    extras = [text.partition(" ") for word, _, text in said if word == "extra"]
    if len(parts) > MAX_PARTS or len(extras) > MAX_EXTRAS:
        raise Malformed("signing-file-form", f"expected at most {MAX_PARTS} signatures and {MAX_EXTRAS} further ones")
    envelope = replace(read_payload(payloads[0].encode()), parts=parts)
    for key, _, text in extras:
        envelope = envelope.with_extra(ExtraSignature(key, _base64(text)))
    return envelope


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("signing-file-form", "expected a signature in base64") from error
