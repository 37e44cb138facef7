"""``serai zone uses``: what left this zone, for whom and by what right; and whether the book is whole."""

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from serai.agent.journal import open_journal
from serai.agent.settings import ZoneSettings, load_settings
from serai.agent.uses import Compared, compare, find_zone_key
from serai.agent.vault import Vault
from serai.cli.moments import unix_ms
from serai.cli.output import count, emit, emit_table, home_option, json_option, short, with_dates
from serai.client.voice import open_session
from serai.errors import Misconfigured
from serai.kernel.records import to_json
from serai.zones.uses import Use, parse_use, verify_uses

_FIELDS: Final = tuple(item.name for item in fields(Use))
_COLUMNS: Final = ("number", "when", "left", "run", "recipe", "rows", "bytes", "planner", "airlock")


@click.command()
@home_option
@click.option("--dataset", metavar="NAME", help="Only of this dataset of zone.toml, as it lies on the disk now.")
@click.option("--run", "run", metavar="ID", help="Only for this run.")
@click.option("--since", metavar="DATE", help="Only from then on, such as 2026-11-01; UTC unless it says otherwise.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for a spreadsheet.")
@click.option("--verify", "is_checked", is_flag=True, help="Check chain and signatures, and compare with the log.")
@json_option
def uses(
    *,
    home: Path,
    dataset: str | None,
    run: str | None,
    since: str | None,
    as_csv: bool,
    is_checked: bool,
    as_json: bool,
) -> None:
    """List every use of this zone's data: what left, when, under which agreement, for whom, at what cost."""
    if is_checked:
        _verify(home, as_json=as_json)
        return
    settings = load_settings(home)
    found = list(_chosen(settings, dataset, run, since))
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(_FIELDS)
        writer.writerows([_cell(value) for value in _value(use).values()] for use in found)
        return
    emit_table([_value(use) if as_json else _row(use) for use in found], _COLUMNS, as_json=as_json)


def _chosen(settings: ZoneSettings, dataset: str | None, run: str | None, since: str | None) -> Iterator[Use]:
    digest = None if dataset is None else Vault(settings).digest(dataset)
    since_ms = 0 if since is None else _since_ms(since)
    with closing(open_journal(settings.home)) as journal:
        receipts = journal.uses.receipts()
    for use in map(parse_use, receipts):
        if (digest is None or use.dataset == digest) and use.run.startswith(run or "") and use.at_ms >= since_ms:
            yield use


def _since_ms(text: str) -> int:
    try:
        return unix_ms(datetime.fromisoformat(text))
    except ValueError:
        raise Misconfigured("uses-since", f"expected a date such as 2026-11-01, got {text[:40]!r}") from None


def _verify(home: Path, *, as_json: bool) -> None:
    session = open_session(home)
    state, member = session.state(), session.settings.member
    with closing(open_journal(session.settings.home)) as journal:
        receipts = journal.uses.receipts()
    read = verify_uses(receipts, lambda key: find_zone_key(state, member, key))
    compared = compare(state, member, read)
    emit(_verdict(read, compared), "\n".join(_told(read, compared)), as_json=as_json)
    if compared.missing:
        raise SystemExit(1)


def _told(read: tuple[Use, ...], compared: Compared) -> Iterator[str]:
    yield f"{count(len(read), 'receipt')}, chained and signed without a gap."
    for use in compared.unseen:
        yield f"not in the log: receipt {use.number}, {use.left} of run {short(use.run)}; it has not left, or not yet"
    for missing in compared.missing:
        yield f"NO RECEIPT of what the log has: {missing}"
    if not compared.missing:
        yield "The log has nothing of this zone's rows without a receipt."


def _verdict(read: tuple[Use, ...], compared: Compared) -> dict[str, Any]:
    return {
        "ok": not compared.missing,
        "receipts": len(read),
        "missing": list(compared.missing),
        "unseen": [use.number for use in compared.unseen],
    }


def _value(use: Use) -> dict[str, Any]:
    value = to_json(use)
    assert isinstance(value, dict)
    return {name: value.get(name) for name in _FIELDS}


def _cell(value: object) -> object:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def _row(use: Use) -> dict[str, Any]:
    return {
        "number": use.number,
        "when": with_dates(f"{use.at_ms} ms"),
        "left": use.left.value,
        "run": short(use.run),
        "recipe": use.recipe,
        "rows": use.rows,
        "bytes": use.bytes,
        "planner": use.planner,
        "airlock": with_dates(use.airlock) or "nobody had to look",
    }
