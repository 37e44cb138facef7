"""Withheld statements as people see them: what a zone keeps of them, what receipts in the log say, what follows."""

from pathlib import Path
from typing import Any

from serai.agent.mirror import Mirror, name_of
from serai.agent.outbox import kept
from serai.agent.receipts import Finding, judge_offline
from serai.cli.output import count, printable, short
from serai.ledger.statements import Receipt


def withheld_rows(home: Path, mirror: Mirror) -> list[dict[str, Any]]:
    """One row for each statement that this zone keeps, or that receipts in the log are about."""
    state = mirror.view.state
    rows: dict[str, dict[str, Any]] = {}
    for statement, given in state.receipts.items():
        rows[statement] = {
            "statement": short(statement),
            "author": None,
            "kind": None,
            "receipts": ", ".join(sorted(given)),
            "answers": _answers(tuple(given.values())),
            "so": _proof(len(given), mirror.view.quorum, mirror.find(statement)),
        }
    for evidence in kept(home):
        name = name_of(evidence.entry.encode())
        found = judge_offline(evidence, mirror)
        known = {**state.receipts.get(name, {}), **found.receipts}
        rows[name] = {
            "statement": short(name),
            "author": found.author,
            "kind": found.kind,
            "receipts": ", ".join(sorted(known)),
            "answers": _answers(tuple(known.values())),
            "so": _conclusion(found),
        }
    return list(rows.values())


def finding_value(found: Finding) -> dict[str, Any]:
    """A finding for programs."""
    return {
        "statement": found.statement,
        "author": found.author,
        "kind": found.kind,
        "denied": None if found.denied is None else {"article": found.denied.article, "reason": found.denied.reason},
        "stands": found.stands,
        "receipts": {
            member: {"handed_ms": item.handed_ms, "seen_ms": item.seen_ms, "size": item.size, "answer": _answer(item)}
            for member, item in sorted(found.receipts.items())
        },
        "void": list(found.void),
        "quorum": found.quorum,
        "proved": found.is_proved,
    }


def told_finding(found: Finding) -> str:
    """A finding for people."""
    lines = [f"{found.kind} {short(found.statement)} of {found.author or 'nobody known'} {_conclusion(found)}."]
    for member, item in sorted(found.receipts.items()):
        waited_s = (item.seen_ms - item.handed_ms) // 1000
        lines.append(f"{member} waited {waited_s} s and looked at {item.size} entries; the center: {_answer(item)}")
    lines += [f"not counted: {printable(reason)}" for reason in found.void]
    return "\n".join(lines)


def _conclusion(found: Finding) -> str:
    if found.denied is not None:
        return f"need not be let in, by {found.denied.article}: {found.denied.reason}"
    return _proof(len(found.receipts), found.quorum, found.stands)


def _proof(receipts: int, quorum: int, stands: int | None) -> str:
    is_proved = receipts >= quorum
    proof = (
        "was withheld, by receipts of a quorum"
        if is_proved
        else f"is not proved to be withheld: {receipts} of {count(quorum, 'receipt')}"
    )
    return proof if stands is None else f"{proof}; it stands at index {stands} now"


def _answers(given: tuple[Receipt, ...]) -> str:
    return "; ".join(sorted({_answer(item) for item in given}))


def _answer(item: Receipt) -> str:
    return printable(f"{item.answered} ({item.code}: {item.answer})" if item.code else str(item.answered))
