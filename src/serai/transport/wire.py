"""The JSON that crosses the wire, as pydantic models."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from serai.kernel.canonical import MAX_INT

Size = Annotated[int, Field(ge=0, le=MAX_INT)]


class Wire(BaseModel):
    """What all messages share: unknown fields are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewsReply(Wire):
    """Answer to ``GET /news``; entries are canonical JSON, so their text is their bytes."""

    first: Size
    entries: tuple[str, ...] = Field(strict=False)
    checkpoint: str
    witnessed: str | None


class SubmitReply(Wire):
    """Answer to ``POST /entries``: where the entry is in the log."""

    index: Size


class CosignRequest(Wire):
    """Body of ``POST /cosignatures``: a member's cosignature line for the head of ``size`` entries."""

    member: str = Field(max_length=63)
    line: str = Field(max_length=4096)
    size: Size


class UploadReply(Wire):
    """Answer to ``GET /uploads/{digest}``: what is still to be sent of a blob, as first bytes and lengths.

    A blob of which nothing is missing and that is not whole is being put together.
    """

    whole: bool
    size: Size
    missing: tuple[tuple[Size, Size], ...] = Field(strict=False)


class HealthReply(Wire):
    """Answer to ``GET /health``."""

    origin: str
    size: Size
    witnessed: Size
    software: str


class Problem(Wire):
    """A failed request (RFC 9457), with the error's own code, family and article beside the standard members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    family: str
    article: str = ""
