"""``serai catalog``: see and search what members offer, and write it in the forms that other catalogs read."""

from pathlib import Path

import click

from serai.catalog.record import records_of
from serai.catalog.search import Query, search
from serai.cli import catalogs
from serai.cli.output import count, emit, emit_table, home_option, json_option
from serai.client.voice import open_session
from serai.errors import Malformed, Misconfigured
from serai.kernel.records import to_json

_language = click.option(
    "--language", default="en", show_default=True, help="Language to show, such as de; else English, else its own."
)


@click.command("list")
@home_option
@_language
@json_option
def list_(home: Path, language: str, *, as_json: bool) -> None:
    """List what members offer now, and under which agreement this member could use it."""
    session = open_session(home)
    rows = [catalogs.row(record, session.settings.member, language) for record in records_of(session.state())]
    columns = ("title", "language", "member", "rows", "columns", "jurisdiction", "usable", "id")
    emit_table(rows, columns, as_json=as_json)


@click.command("search")
@home_option
@click.argument("words", nargs=-1)
@click.option("--column", default="", help="Only with a column of that name or meaning.")
@click.option("--unit", default="", help="Only with a column in that unit.")
@click.option("--purpose", default="", help="Only where the offer's terms leave that purpose open.")
@click.option("--jurisdiction", default="", help="Only data under that law.")
@click.option("--member", default="", help="Only that member's.")
@click.option("--described-in", default="", metavar="LANGUAGE", help="Only what is described in that language.")
@click.option("--usable", is_flag=True, help="Only what this member could plan a run over now.")
@_language
@json_option
def search_(
    *,
    home: Path,
    words: tuple[str, ...],
    column: str,
    unit: str,
    purpose: str,
    jurisdiction: str,
    member: str,
    described_in: str,
    usable: bool,
    language: str,
    as_json: bool,
) -> None:
    """Search what members offer: WORDS in any language, all of which must be found. Nobody is told what is sought."""
    session = open_session(home)
    query = Query(
        words=" ".join(words),
        column=column,
        unit=unit,
        purpose=purpose,
        jurisdiction=jurisdiction,
        member=member,
        language=described_in,
        usable=usable,
    )
    asking = session.settings.member
    rows = [catalogs.hit_row(hit, asking, language) for hit in search(records_of(session.state()), query, asking)]
    emit_table(rows, ("title", "language", "member", "why", "usable", "id"), as_json=as_json)


@click.command()
@home_option
@click.argument("offer")
@_language
@json_option
def show(home: Path, offer: str, language: str, *, as_json: bool) -> None:
    """Show the card of OFFER, and what this member could do with the data now."""
    session = open_session(home)
    member = session.settings.member
    record = catalogs.find_record(session.state(), offer)
    text = catalogs.in_words(record, member, language)
    emit({**catalogs.row(record, member, language), "said": to_json(record.offer)}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("offer", required=False)
@click.option("--all", "everything", is_flag=True, help="Everything that is offered now (dcat, dcat-ttl).")
@click.option("--format", "form", required=True, type=click.Choice(catalogs.FORMATS), help="The form to write.")
@click.option("--agreement", default="", metavar="ID", help="With odrl: the terms under that agreement, all of them.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The file to write  [default: the terminal]"
)
@_language
def export(
    *, home: Path, offer: str | None, everything: bool, form: str, agreement: str, out: Path | None, language: str
) -> None:
    """Write OFFER for other catalogs to read; what is written holds descriptions and terms, no row and no path."""
    if (offer is None) is not everything:
        raise Malformed("option-form", "expected either an offer or --all")
    state = open_session(home).state()
    if offer is None:
        text = catalogs.export_all(state, form)
    else:
        text = catalogs.export_one(state, catalogs.find_record(state, offer), form, language, agreement)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misconfigured("output-file", f"cannot write {out}: {error.strerror}") from error
    click.echo(f"{out}: {count(len(text.encode()), 'byte')}.")
