"""A dataset's card in Markdown: what it is, in one language, and who may do what with it."""

import html
import json
from collections.abc import Iterator

from serai.catalog.dcat import ACCESS, description_of, license_iri
from serai.catalog.record import CatalogRecord, Use
from serai.kernel.visible import visible_line
from serai.zones.forms import worded
from serai.zones.statements import Column


def write_card(record: CatalogRecord, wanted: str) -> str:
    """The card in the language that is nearest to the wanted one, which it names.

    What members wrote is shown as text: it cannot add headings, links or HTML.
    """
    language = record.language_for(wanted)
    return "\n".join(
        [*_head(record, language), *_facts(record, language), *_columns(record, language), *_terms(record)]
    )


def _head(record: CatalogRecord, language: str) -> Iterator[str]:
    text = record.texts[language]
    yield "---"
    yield f"pretty_name: {_yaml(visible_line(text.title))}"
    if record.about.license:
        yield f"license: {_yaml(record.about.license)}"
    if text.keywords:
        yield f"tags: {_yaml([visible_line(word) for word in text.keywords])}"
    yield "---"
    yield ""
    yield f"# {_text(text.title)}"
    yield ""
    yield from (f"{_text(line)}  " for line in (text.description or description_of(record)).splitlines())
    yield ""


def _facts(record: CatalogRecord, language: str) -> Iterator[str]:
    offer, about = record.offer, record.about
    others = ", ".join(sorted(tag for tag in record.texts if tag != language))
    yield f"- shown in: {language}{f'; also described in {others}' if others else ''}"
    yield f"- offered by: {_text(record.publisher)} ({record.member}), log entry {record.at.index}, `{record.id}`"
    yield from ([f"- made by: {_text(about.creator)}"] if about.creator else [])
    yield from ([f"- contact: <{about.contact}>"] if about.contact else [])
    yield f"- licence: {license_iri(about.license) if about.license else 'none; used by agreement only'}"
    yield f"- rows: {offer.rows}, under the law of {_text(offer.jurisdiction)}"
    yield f"- access: {ACCESS}"
    yield ""


def _columns(record: CatalogRecord, language: str) -> Iterator[str]:
    yield "## Columns"
    yield ""
    yield "| column | kind | unit | values | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for column in record.offer.columns:
        meaning, told_in = record.meaning_of(column.name, language)
        tagged = f" ({told_in})" if meaning and told_in != language else ""
        cells = (column.name, column.kind, column.unit, _values(column), meaning + tagged)
        yield f"| {' | '.join(_text(cell) for cell in cells)} |"
    yield ""


def _values(column: Column) -> str:
    if column.levels:
        return ", ".join(column.levels)
    return f"{column.low or '…'} to {column.high or '…'}" if column.low or column.high else ""


def _terms(record: CatalogRecord) -> Iterator[str]:
    yield "## Terms of every use"
    yield ""
    yield from _rows((term.name, worded(term.name, term.value), term.clause) for term in record.offer.terms)
    yield ""
    yield "## Granted to"
    yield ""
    yield from (_use(use) for use in record.uses)
    if not record.uses:
        yield "No agreement yet."
    yield ""


def _use(use: Use) -> str:
    parties = ", ".join(sorted(use.parties)) or "nobody"
    return (
        f"- {_text(use.title)}, {use.life.value.replace('-', ' ')}, permits {', '.join(use.scope)}; parties: {parties}; "
        f"`{use.agreement}`"
    )


def _rows(terms: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    rows = [f"| {' | '.join(_text(cell) for cell in row)} |" for row in terms]
    if not rows:
        yield "None beyond the agreement's."
        return
    yield "| term | value | clause |"
    yield "| --- | --- | --- |"
    yield from rows


def _yaml(value: str | list[str]) -> str:
    """JSON is YAML; escaped further, so that a reader who takes the head for Markdown finds no HTML in it."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _text(text: str) -> str:
    """Text that no reader of Markdown takes for anything else."""
    shown = html.escape(visible_line(text), quote=False)
    return "".join(f"\\{char}" if char in "\\`*_{}[]#|!~" else char for char in shown)
