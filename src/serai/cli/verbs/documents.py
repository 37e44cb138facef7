"""``serai project draft, compare, merge, clean``: documents from templates, and texts under negotiation."""

from pathlib import Path
from typing import Any

import click

from serai.cli.documents import (
    fill,
    find_template,
    parts_of_agreement,
    parts_of_file,
    read_text,
    read_versions,
    templates,
)
from serai.cli.documents import (
    merge as merge_versions,
)
from serai.cli.output import count, emit, emit_table, json_option
from serai.client.find import find_id
from serai.client.voice import open_session
from serai.errors import Malformed, Misconfigured, Unverified
from serai.kernel.ids import MemberId, parse_member_id
from serai.programme.negotiation import Bracket, Difference, Part, check_translation, find_brackets, settle_brackets
from serai.programme.negotiation import compare as compare_parts

_output = click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write  [default: stdout]"
)


@click.command()
@click.argument("template", required=False)
@click.option("--set", "values", multiple=True, metavar="FIELD=TEXT", help="What a field says; repeatable.")
@click.option("--language", help="BCP 47 tag  [default: the authoritative language]")
@click.option("--fields", "only_fields", is_flag=True, help="Only list what TEMPLATE asks for.")
@_output
@json_option
def draft(
    *,
    template: str | None,
    values: tuple[str, ...],
    language: str | None,
    only_fields: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write a document from TEMPLATE; without one, list the templates."""
    if template is None:
        emit_table(_listed(), ("number", "template", "languages", "purpose"), as_json=as_json)
        return
    found = find_template(template, language)
    if only_fields:
        lines = [
            {"field": name, "default": found.defaults.get(name), "says": text} for name, text in found.fields.items()
        ]
        emit_table(lines, ("field", "default", "says"), as_json=as_json)
        return
    _write(fill(found, dict(_value(text) for text in values)), output)


@click.command()
@click.argument("before")
@click.argument("after")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SERAI_HOME",
    help="A zone's folder, where one of the two is an agreement in its log.",
)
@click.option("--translation", is_flag=True, help="AFTER is a translation: only its clauses and terms have to match.")
@json_option
def compare(before: str, after: str, home: Path | None, *, translation: bool, as_json: bool) -> None:
    """Show clause by clause how AFTER differs from BEFORE: files, or agreements by id."""
    old, new = _parts(before, home), _parts(after, home)
    if translation:
        wrong = list(check_translation(old, new))
        if wrong:
            raise Unverified("translation", f"{after} does not match {before}: {'; '.join(wrong)}")
        emit({"clauses": len(new)}, f"{count(len(new), 'clause')} match.", as_json=as_json)
        return
    found = list(compare_parts(old, new))
    text = "\n".join(line for difference in found for line in _told(difference)) or "No clause differs."
    emit([_row(difference) for difference in found], text, as_json=as_json)


@click.command()
@click.argument("versions", nargs=-1, metavar="MEMBER=FILE...")
@_output
def merge(versions: tuple[str, ...], output: Path | None) -> None:
    """Stack members' versions of one document into a negotiating text: brackets where they differ."""
    _write(merge_versions(read_versions(versions)), output)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--take", "taken", multiple=True, metavar="NUMBER=MEMBER", help="Settle a bracket so; repeatable.")
@_output
@json_option
def clean(file: Path, taken: tuple[str, ...], output: Path | None, *, as_json: bool) -> None:
    """List the open brackets of FILE, or settle some; a text without any is clean."""
    text = read_text(file)
    if not taken:
        lines = [line for bracket in find_brackets(text) for line in _alternatives(bracket)]
        if lines or as_json:
            emit_table(lines, ("bracket", "members", "text"), as_json=as_json)
        else:
            emit(None, f"{file} is clean.", as_json=False)
        return
    settled = settle_brackets(text, dict(_taken(item) for item in taken))
    _write(settled, output)
    left = len(find_brackets(settled))
    click.echo(f"{count(left, 'bracket')} left." if left else "The text is clean.", err=True)


def _listed() -> list[dict[str, Any]]:
    lines: dict[str, dict[str, Any]] = {}
    for template in templates():
        line = lines.setdefault(
            template.name,
            {
                "number": template.number or None,
                "template": template.name,
                "languages": "",
                "purpose": template.purpose,
                "agreement": template.agreement,
            },
        )
        line["languages"] = " ".join([*line["languages"].split(), template.language])
    return list(lines.values())


def _value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Malformed("field-form", f"expected FIELD=TEXT, got {text!r}")
    return name, value


def _taken(text: str) -> tuple[int, MemberId]:
    number, _, member = text.partition("=")
    if not number.isdecimal():
        raise Malformed("take-form", f"expected NUMBER=MEMBER, such as 1=bern, got {text!r}")
    return int(number), parse_member_id(member)


def _parts(name: str, home: Path | None) -> tuple[Part, ...]:
    if Path(name).suffix in (".md", ".toml"):
        return parts_of_file(Path(name))
    if home is None:
        raise Misconfigured("compare-source", f"{name} is no .md or .toml file; give --home to look it up in a log")
    agreements = open_session(home).state().charter.agreements
    return parts_of_agreement(agreements[find_id(agreements, name, "agreement")].text)


def _told(difference: Difference) -> list[str]:
    lines = [f"clause {difference.clause} {difference.change}: {difference.words}"]
    for name, (before, after) in difference.terms.items():
        lines.append(f"  term {name}: {'none' if before is None else before} -> {'none' if after is None else after}")
    return lines


def _row(difference: Difference) -> dict[str, Any]:
    terms = {name: {"before": before, "after": after} for name, (before, after) in difference.terms.items()}
    return {"clause": difference.clause, "change": difference.change.value, "words": difference.words, "terms": terms}


def _alternatives(bracket: Bracket) -> list[dict[str, Any]]:
    return [
        {"bracket": bracket.number, "members": ", ".join(item.members), "text": item.text}
        for item in bracket.alternatives
    ]


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text.encode(), nl=False)
    else:
        output.write_bytes(text.encode())
