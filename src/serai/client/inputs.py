"""Public inputs of runs: models to start from, and texts that every member mixes into its own."""

from collections.abc import Sequence
from pathlib import Path

from serai.agent.session import Session
from serai.agent.text import join_documents, read_documents
from serai.errors import Malformed, Misconfigured
from serai.kernel.ids import Digest, digest_of
from serai.training.tensors import Model, model_bytes, read_model


def text_model(files: Sequence[Path]) -> Model:
    """The documents of text files, one after the other, as the array ``text`` that recipes expect.

    Raises:
        Misconfigured: a file is not there, or cannot be read.
        Malformed: it is no UTF-8, or holds no text.

    """
    return {"text": join_documents([document for path in files for document in read_documents(path)])}


def read_input(files: Sequence[Path]) -> Model:
    """A model from one safetensors file.

    Raises:
        Misconfigured: the file is not there, or cannot be read.
        Malformed: there are several, or it holds no model.

    """
    if len(files) != 1:
        raise Malformed("input-files", f"expected one model, got {len(files)} files; several texts need --text")
    try:
        return read_model(files[0].read_bytes())
    except OSError as error:
        raise Misconfigured(
            "input-file", f"cannot read {files[0]}: {error.strerror}; name a safetensors file"
        ) from error


def put_input(session: Session, model: Model) -> tuple[Digest, int]:
    """Bring a model to the center, in the one form that has its digest; the digest, and its size in bytes.

    Raises:
        Unavailable: the center does not answer.

    """
    data = model_bytes(model)
    session.center.put_blob(digest_of(data), data)
    return digest_of(data), len(data)
