"""A released model's card in Markdown: what it is, how it was made, how it does for each member, and what it gives away."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Final

from serai.analytics.comparison import own_models
from serai.analytics.membership import Exposure, exposure_of
from serai.analytics.quality import METRICS, Estimate, measure
from serai.cli.output import count, printable
from serai.cli.quality import estimate_words
from serai.hub.rules import RunOutcome
from serai.kernel.ids import Digest, MemberId
from serai.reports.evaluations import Look, Part, look_of
from serai.state import State
from serai.training.state import Run

_SHOWN: Final = ("accuracy", "sensitivity", "specificity", "auc", "brier", "calibration_error")
_AGAINST: Final = ("accuracy", "balanced_accuracy", "auc", "brier")
_NOTHING: Final = "\N{EN DASH}"
_WHAT_THE_ATTACK_IS: Final = (
    "Each zone guessed, by the model's loss on a row, whether the row was trained on, as somebody could who has the row "
    "and the model (Yeom et al., 2018). The advantage is the share of training rows it called so minus that of rows "
    "held back; a blind guess has 0. This is one attack on these rows and no bound: others may find more, and a single "
    "unusual row may be exposed where the mean is not. Only differential privacy bounds every attack."
)


def write_card(state: State, outcome: RunOutcome, header: Mapping[str, str]) -> str:
    """The card.

    Args:
        state: what the log adds up to.
        outcome: the run that made the model.
        header: ``title``, ``text``, ``format`` and ``license``, as the one who releases wants them.

    """
    assert outcome.model is not None, "only a model is released"
    run, look = state.runs.plans[outcome.run], look_of(state, outcome.run)
    sections = (
        _head(run, outcome, header),
        _inputs(state, run),
        _quality(look),
        _against(state, outcome.run, outcome.model, look),
        _exposure(look),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(run: Run, outcome: RunOutcome, header: Mapping[str, str]) -> str:
    plan, text = run.plan, header["text"]
    return (
        f"# {header['title']}\n\n{text + chr(10) + chr(10) if text else ''}"
        f"- model: `{outcome.model}` ({header['format']})\n- licence: {header['license']}\n- purpose: {plan.purpose}\n"
        f"- run: `{run.id}`, recipe {plan.recipe}, {count(plan.rounds, 'round')}, "
        f"{count(len(outcome.participants), 'member')}, each sum of at least {outcome.minimum}\n"
        f"- agreement: `{outcome.agreement}`"
    )


def _inputs(state: State, run: Run) -> str:
    columns = state.zones.offers[next(iter(run.plan.offers.values()))].body.columns
    lines = (f"- `{c.name}` ({c.kind}{', ' + c.unit if c.unit else ''}) {c.description}" for c in columns)
    return "## Columns it was made from\n\n" + "\n".join(lines)


def _quality(look: Look) -> str:
    rows = (_quality_row(part) for part in look.parts)
    heads = ("member", "rows", *(METRICS[name].title for name in _SHOWN))
    lines = [_table(heads, rows), "", *_worst(look), *_missing(look)]
    return "## How it does, on each member's own held-back rows\n\n" + "\n".join(lines)


def _quality_row(part: Part) -> tuple[str, ...]:
    found = {} if part.counts is None else measure(part.counts)
    rows = _NOTHING if part.counts is None else str(part.counts["n"])
    return (part.member, rows, *(estimate_words(found.get(name)) for name in _SHOWN))


def _worst(look: Look) -> Iterator[str]:
    """For whom it does worst, by the best metric that everybody tells."""
    told = {member: measure(counts) for member, counts in look.counts.items()}
    for name in ("auc", "accuracy"):
        if told and all(name in found for found in told.values()):
            value, member = min((found[name].value, member) for member, found in told.items())
            yield f"Worst for {member}, by {METRICS[name].title}: {float(value):.3f}."
            break
    yield "In brackets: 95 % intervals. Read the rows apart: a mean would hide the member for whom it does worst."


def _missing(look: Look) -> Iterator[str]:
    for part in look.parts:
        if part.counts is None:
            why = "; ".join(printable(f"{reason.article}: {reason.text}") for reason in part.reasons)
            yield f"Missing: {part.member}, {part.presence.value}{f' ({why})' if why else ''}."


def _against(state: State, run: Digest, model: Digest, look: Look) -> str:
    own = own_models(state.analytics, run, model)
    if not own:
        return ""
    rows = []
    for member, records in sorted(own.items()):
        joint = measure(look.counts[member])
        for record in records:
            alone = measure(record.body.counts)
            rows.append((member, *(_pair(joint.get(name), alone.get(name)) for name in _AGAINST)))
    table = _table(("member", *(METRICS[name].title for name in _AGAINST)), rows)
    return f"## With the others, and alone\n\n{table}\n\nEach cell: this model, then one that the member trained alone."


def _pair(joint: Estimate | None, alone: Estimate | None) -> str:
    shown = (_NOTHING if found is None else f"{float(found.value):.3f}" for found in (joint, alone))
    return " / ".join(shown)


def _exposure(look: Look) -> str:
    found = {member: exposure_of(counts) for member, counts in look.counts.items()}
    told = {member: exposure for member, exposure in found.items() if exposure is not None}
    title = "## What it gives away about its training rows\n\n"
    if not told:
        return f"{title}Not measured: the recipe gives no probabilities, the rows are too few, or terms forbid it."
    heads = ("member", "advantage", "AUC of the attack", "found with at most 1 % false alarms")
    table = _table(heads, (_exposure_row(member, told.get(member)) for member in look.counts))
    worst, member = max((exposure.advantage, member) for member, exposure in told.items())
    untold = sorted(set(look.counts) - set(told))
    lacking = f" Not measured by {', '.join(untold)}." if untold else ""
    return f"{title}{table}\n\nLargest for {member}: {float(worst):+.3f}.{lacking} {_WHAT_THE_ATTACK_IS}"


def _exposure_row(member: MemberId, exposure: Exposure | None) -> tuple[str, ...]:
    if exposure is None:
        return (member, _NOTHING, _NOTHING, _NOTHING)
    advantage = estimate_words(Estimate(exposure.advantage, exposure.interval))
    area = estimate_words(Estimate(exposure.area.value, exposure.area.interval))
    return (member, advantage, area, _percent(exposure.found))


def _percent(share: Fraction) -> str:
    return f"{float(share):.1%}"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = tuple(heads)
    lines = [names, ("---", *("---:" for _ in names[1:])), *(tuple(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
