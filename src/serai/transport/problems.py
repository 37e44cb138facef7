"""Errors to problem documents (RFC 9457) and back: the only place that knows HTTP status codes.

=============  ======  ===========================================
family         status  except
=============  ======  ===========================================
malformed      400
unverified     422     401 for ``request-...``: who asks is unclear
refused        403     413, 431 for what is too large
conflict       409
missing        404     405 for ``method-not-allowed``
unavailable    503
corrupt        500
misconfigured  500
=============  ======  ===========================================
"""

from typing import Final

from pydantic import ValidationError

from serai.errors import FAMILIES, Malformed, Misconfigured, Refused, SeraiError, Unavailable
from serai.transport.wire import Problem

PROBLEM_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:serai:problem:"
_STATUS: Final = {
    "malformed": 400,
    "unverified": 422,
    "refused": 403,
    "conflict": 409,
    "missing": 404,
    "unavailable": 503,
    "corrupt": 500,
    "misconfigured": 500,
}
_STATUS_BY_CODE: Final = {
    "body-too-large": 413,
    "blob-too-large": 413,
    "headers-too-large": 431,
    "method-not-allowed": 405,
}
_FAMILY: Final = {family.family: family for family in FAMILIES}


def problem_of(error: SeraiError) -> Problem:
    """The document that tells a client of an error."""
    status = _STATUS_BY_CODE.get(error.code, _STATUS[error.family])
    if error.family == "unverified" and error.code.startswith("request-"):
        status = 401
    return Problem(
        type=_TYPE_PREFIX + error.code,
        title=f"{error.family}: {error.code.replace('-', ' ')}",
        status=status,
        detail=error.message,
        code=error.code,
        family=error.family,
        article=error.article if isinstance(error, Refused) else "",
    )


def error_of(status: int, body: bytes) -> SeraiError:
    """The error that an answer with a failing status stands for.

    An answer that is not one of our documents comes from something in between,
    such as a proxy, and is told by its status alone.
    """
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        return _foreign(status, body)
    family = _FAMILY.get(problem.family, Unavailable)
    if family is Refused:
        return Refused(problem.code, problem.detail, problem.article)
    return family(problem.code, problem.detail)


def _foreign(status: int, body: bytes) -> SeraiError:
    said = f"expected an answer of a serai center, got status {status}: {body[:200]!r}"
    if status >= 500:
        return Unavailable("answer-foreign", f"{said}; try again later")
    if status in {400, 413, 431}:
        return Malformed("answer-foreign", f"{said}; does a proxy limit sizes?")
    return Misconfigured("answer-foreign", f"{said}; check the center's URL")
