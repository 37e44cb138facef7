"""Documents that members sign: templates that come with serai, filled in, compared, and negotiated clause by clause.

A template is a file of two parts, each headed by settings between lines of
``+++``: what the template is and which fields it asks for, then the document
with ``{{field}}`` where they go. What comes out is read by ``serai propose``
where it is an agreement, and kept beside the project where it is not.
"""

import importlib.resources
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serai.charter.agreements import AgreementText
from serai.cli.proposals import FENCE, read_parts, split_clauses
from serai.errors import Malformed, Misconfigured, Missing
from serai.kernel.ids import MemberId, parse_member_id
from serai.kernel.records import from_json
from serai.programme.negotiation import Part, stack

_FOLDER: Final = "templates/documents"
_FIELD: Final = re.compile(r"\{\{([a-z_]+)\}\}")
_TERMS: Final = re.compile(r"^```terms[ \t]*\n.*?^```", re.MULTILINE | re.DOTALL)
_BREAKS: Final = frozenset({"Cc", "Zl", "Zp"})  # a value on several lines could open a clause of its own
MAX_VALUE_CHARS: Final = 2_000
MAX_FILE_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One document to fill in.

    Attributes:
        name: what people call it by.
        number: its place in the list of documents; 0 for those of a project's first stages.
        purpose: one line.
        language: BCP 47 tag of its text.
        authoritative: the language that counts where several say different things.
        agreement: whether it can be proposed as an agreement.
        fields: what each field asks for.
        defaults: what a field is where nobody says.
        text: the document.

    """

    name: str
    number: int
    purpose: str
    language: str
    authoritative: str
    agreement: bool
    fields: Mapping[str, str]
    defaults: Mapping[str, str]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    name: str
    purpose: str
    language: str
    number: int = 0
    authoritative: str = "en"
    agreement: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)


def templates() -> Iterator[Template]:
    """Every template that comes with serai, by number, name and language."""
    folder = importlib.resources.files("serai.cli") / _FOLDER
    found = [_template(place.name, place.read_text(encoding="utf-8")) for place in folder.iterdir()]
    yield from sorted(
        found, key=lambda item: (item.number, item.name, item.language != item.authoritative, item.language)
    )


def find_template(name: str, language: str | None) -> Template:
    """A template by name, in a language or else the authoritative one.

    Raises:
        Missing: there is none of that name, or not in that language.

    """
    named = [template for template in templates() if template.name == name]
    if not named:
        known = ", ".join(dict.fromkeys(template.name for template in templates()))
        raise Missing("template-unknown", f"no template is called {name!r}; known: {known}")
    found = [template for template in named if template.language == (language or template.authoritative)]
    if not found:
        known = ", ".join(template.language for template in named)
        raise Missing("template-language", f"template {name} is not there in {language!r}; it is in {known}")
    return found[0]


def fill(template: Template, values: Mapping[str, str]) -> str:
    """The document with every field filled in.

    Raises:
        Malformed: a field is unknown, lacks a value, or has one that could change more than its place.

    """
    given = {**template.defaults, **values}
    if unknown := sorted(set(given) - set(template.fields)):
        raise Malformed("field-unknown", f"{template.name} has no field {unknown[0]!r}; it has {_names(template)}")
    if lacking := [name for name in template.fields if name not in given]:
        raise Malformed("field-missing", f"say --set {lacking[0]}=...: {template.fields[lacking[0]]}")
    for name, value in given.items():
        if len(value) > MAX_VALUE_CHARS or any(unicodedata.category(char) in _BREAKS for char in value):
            raise Malformed("field-value", f"expected one line of at most {MAX_VALUE_CHARS} characters as {name}")
    places = [found.span() for found in _TERMS.finditer(template.text)]
    places += [(0, template.text.index(f"\n{FENCE}\n", 1))]

    def put(found: re.Match[str]) -> str:
        value = given[found[1]]
        is_toml = any(start <= found.start() < end for start, end in places)
        return json.dumps(value, ensure_ascii=False)[1:-1] if is_toml else value  # TOML's escapes are JSON's

    return _FIELD.sub(put, template.text)


def read_text(path: Path) -> str:
    """A document as people write it.

    Raises:
        Misconfigured: it cannot be read.
        Malformed: it is no UTF-8, or too long.

    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Misconfigured("document-file", f"cannot read {path}: {error.strerror}; name a file") from error
    if len(data) > MAX_FILE_BYTES:
        raise Malformed("document-size", f"{path}: expected at most {MAX_FILE_BYTES} bytes, got {len(data)}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("document-encoding", f"{path}: expected UTF-8, byte {error.start + 1} is not") from error


def parts_of_file(path: Path) -> tuple[Part, ...]:
    """The clauses of a document with their terms.

    Raises:
        Malformed: it has not the form of one.

    """
    return tuple(Part(id=clause, text=text, terms=terms) for clause, text, terms in read_parts(path, read_text(path)))


def parts_of_agreement(text: AgreementText) -> tuple[Part, ...]:
    """The clauses of an agreement in the log with their terms."""
    return tuple(
        Part(
            id=clause.id,
            text=clause.text,
            terms={term.name: term.value for term in text.terms if term.clause == clause.id},
        )
        for clause in text.clauses
    )


def merge(versions: Mapping[MemberId, Path]) -> str:
    """One negotiating text of members' versions: a bracket around each clause, and each preamble, that differs.

    Raises:
        Malformed: a file has not the form of a document, or the versions have different clauses.

    """
    texts = {member: read_text(path) for member, path in versions.items()}
    settings = {member: _settings_of(text) for member, text in texts.items()}
    if len(set(settings.values())) > 1:
        raise Malformed("merge-settings", "the versions differ in the settings at their head; agree on those first")
    split = {member: split_clauses(text.removeprefix(settings[member])) for member, text in texts.items()}
    headings = {member: [heading for heading, _ in clauses[1:]] for member, clauses in split.items()}
    first = next(iter(headings.values()))
    for member, found in headings.items():
        if found != first:
            raise Malformed("merge-clauses", f"the version of {member} has other clauses; agree on the headings first")
    pieces = [next(iter(settings.values())).rstrip("\n")]
    for number in range(len(first) + 1):
        heading = next(iter(split.values()))[number][0]
        body = stack({member: clauses[number][1].strip() for member, clauses in split.items()})
        pieces.append(f"{heading}\n{body}\n" if heading else f"{body}\n")
    return "\n".join(pieces)


def read_versions(texts: Sequence[str]) -> dict[MemberId, Path]:
    """Members' versions from ``MEMBER=FILE`` arguments.

    Raises:
        Malformed: an argument has another form, or there are fewer than two.

    """
    versions: dict[MemberId, Path] = {}
    for text in texts:
        member, equals, name = text.partition("=")
        if not equals or not name:
            raise Malformed("version-form", f"expected MEMBER=FILE, such as bern=ours.md, got {text!r}")
        versions[parse_member_id(member)] = Path(name)
    if len(versions) < 2:
        raise Malformed("version-count", "expected the versions of two members or more")
    return versions


def _template(name: str, text: str) -> Template:
    lines = text.split("\n")
    end = lines.index(FENCE, 1)
    header = from_json(_Header, tomllib.loads("\n".join(lines[1:end])))
    assert name == f"{header.name}.{header.language}.md", f"{name} is headed {header.name} in {header.language}"
    return Template(
        name=header.name,
        number=header.number,
        purpose=header.purpose,
        language=header.language,
        authoritative=header.authoritative,
        agreement=header.agreement,
        fields=header.fields,
        defaults=header.defaults,
        text="\n".join(lines[end + 1 :]).lstrip("\n"),
    )


def _settings_of(text: str) -> str:
    """What stands between the first two fences, with both; nothing where there are none."""
    end = text.find(f"\n{FENCE}\n", len(FENCE))
    return text[: end + len(FENCE) + 2] if text.startswith(f"{FENCE}\n") and end > 0 else ""


def _names(template: Template) -> str:
    return ", ".join(template.fields) or "none"
