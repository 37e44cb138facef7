"""Proposals from a file: TOML, or Markdown in which each clause carries its own machine terms.

The Markdown form keeps text and terms from drifting apart, because the terms
stand inside the clause they enforce::

    +++
    topic = "agreement"
    title = "A joint heart-disease model"
    [agreement]
    scope = ["train", "evaluate"]
    ratifications = 3
    expires = 2035-12-31
    +++
    What the parties want, in prose.

    ## 2 At least three together
    No sum holds fewer than three members.

    ```terms
    min_participants = 3
    ```

A heading of level two opens a clause; its first word is the clause's number.
Text that is still negotiated (``serai project clean``) is not proposed.
In the TOML form the same clauses are ``[[agreement.clauses]]`` with ``id``,
``text`` and a table ``terms``.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from serai.agent.toml_files import dates_as_text
from serai.charter.agreements import AgreementText, Clause, Term
from serai.charter.constitution import CharterChange
from serai.charter.members import MemberRecord
from serai.charter.statements import AgreementChange, ProposalOpen, Recovery, StandingChange
from serai.cli.moments import unix_ms
from serai.errors import Malformed, Missing
from serai.kernel.ids import Digest, MemberId
from serai.kernel.records import from_json
from serai.programme.negotiation import find_brackets

FENCE: Final = "+++"
_CLAUSE: Final = re.compile(r"^## +(\S+)[ \t]*(.*)$", re.MULTILINE)
_TERMS: Final = re.compile(r"^```terms[ \t]*\n(.*?)^```[ \t]*\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clause:
    id: str
    text: str
    terms: Mapping[str, str | int | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Agreement:
    scope: tuple[str, ...]
    language: str = "en"
    clauses: tuple[_Clause, ...] = ()
    invited: tuple[MemberId, ...] = ()
    ratifications: int = 1
    effective: str | None = None
    expires: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proposal:
    topic: str
    title: str
    text: str = ""
    concerned: tuple[MemberId, ...] = ()
    participants: tuple[MemberId, ...] = ()
    agreement: _Agreement | None = None
    amends: Digest | None = None
    standing: StandingChange | None = None
    charter: CharterChange | None = None
    accession: MemberRecord | None = None
    status: AgreementChange | None = None
    recovery: Recovery | None = None


def read_proposal(path: Path) -> ProposalOpen:
    """Read a proposal from a ``.toml`` or ``.md`` file.

    Raises:
        Missing: there is no such file.
        Malformed: not UTF-8, not TOML, an unknown key, or a value of the wrong
            type; the message names file and place.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Missing("proposal-file-missing", f"there is no file {path}; write the proposal first") from None
    except UnicodeDecodeError as error:
        raise Malformed("proposal-encoding", f"{path}: expected UTF-8 text, byte {error.start + 1} is not") from error
    try:
        return _proposal(_from_clean(text) if path.suffix == ".md" else tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise Malformed("proposal-toml", f"{path} is not valid TOML: {error}") from error
    except RecursionError:
        raise Malformed("proposal-toml", f"{path} is not valid TOML: its values are nested too deeply") from None
    except (Malformed, ValueError) as error:
        place = str(error).replace("_Proposal.", "").replace("_Proposal", "a proposal").replace("_Clause", "a clause")
        raise Malformed("proposal-form", f"{path}: {place}") from error


def read_parts(path: Path, text: str) -> Iterator[tuple[str, str, Mapping[str, str | int | tuple[str, ...]]]]:
    """The clauses of a document: number, prose and terms of each; ``path`` is for errors.

    Raises:
        Malformed: the text has not the form of a document.

    """
    try:
        settings = dates_as_text(_from_markdown(text) if path.suffix == ".md" else tomllib.loads(text))
        clauses = settings.get("agreement", {}).get("clauses", [])
        read = [from_json(_Clause, clause) for clause in clauses]
    except (Malformed, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Malformed("document-form", f"{path}: {str(error).replace('_Clause', 'a clause')}") from error
    yield from ((clause.id, clause.text, clause.terms) for clause in read)


def split_clauses(text: str) -> list[tuple[str, str]]:
    """A Markdown document as headings with what follows each; what comes before the first has an empty heading."""
    headings = list(_CLAUSE.finditer(text))
    starts = [*(heading.start() for heading in headings), len(text)]
    pieces = [("", text[: starts[0]])]
    pieces += [(found[0], text[found.end() : stop]) for found, stop in zip(headings, starts[1:], strict=True)]
    return pieces


def _from_clean(text: str) -> dict[str, Any]:
    if brackets := find_brackets(text):
        who = "; ".join(", ".join(item.members) for item in brackets[0].alternatives)
        raise Malformed("proposal-form", f"{len(brackets)} brackets are open, the first between {who}; settle them")
    return _from_markdown(text)


def _from_markdown(text: str) -> dict[str, Any]:
    lines = text.split("\n")
    if lines[0].strip() != FENCE or FENCE not in [line.strip() for line in lines[1:]]:
        raise Malformed("proposal-form", f"expected the file to begin with settings between two lines of {FENCE}")
    end = next(number for number, line in enumerate(lines[1:], 1) if line.strip() == FENCE)
    settings = tomllib.loads("\n".join(lines[1:end]))
    body = "\n".join(lines[end + 1 :])
    headings = list(_CLAUSE.finditer(body))
    preamble = body[: headings[0].start()] if headings else body
    settings.setdefault("text", preamble.strip())
    if headings:
        ends = [*(heading.start() for heading in headings[1:]), len(body)]
        settings.setdefault("agreement", {})["clauses"] = [
            _clause(heading, body[heading.end() : stop]) for heading, stop in zip(headings, ends, strict=True)
        ]
    return settings


def _clause(heading: re.Match[str], body: str) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    for block in _TERMS.finditer(body):
        terms |= tomllib.loads(block[1])
    prose = _TERMS.sub("", body).strip()
    title = heading[2].strip()
    return {"id": heading[1].rstrip("."), "text": f"{title}. {prose}" if title else prose, "terms": terms}


def _proposal(settings: dict[str, Any]) -> ProposalOpen:
    read = from_json(_Proposal, dates_as_text(settings))
    return ProposalOpen(
        topic=read.topic,
        title=read.title,
        text=read.text,
        concerned=read.concerned,
        participants=read.participants,
        agreement=None if read.agreement is None else _agreement(read.agreement, read),
        amends=read.amends,
        standing=read.standing,
        charter=read.charter,
        accession=read.accession,
        status=read.status,
        recovery=read.recovery,
    )


def _agreement(read: _Agreement, proposal: _Proposal) -> AgreementText:
    terms = [
        Term(name=name, value=value, clause=clause.id)
        for clause in read.clauses
        for name, value in clause.terms.items()
    ]
    return AgreementText(
        title=proposal.title,
        language=read.language,
        text=proposal.text,
        scope=read.scope,
        clauses=tuple(Clause(id=clause.id, text=clause.text) for clause in read.clauses),
        terms=tuple(terms),
        invited=read.invited,
        ratifications=read.ratifications,
        effective_ms=_unix_ms(read.effective) or 0,
        expires_ms=_unix_ms(read.expires),
    )


def _unix_ms(text: str | None) -> int | None:
    return None if text is None else unix_ms(datetime.fromisoformat(text))
