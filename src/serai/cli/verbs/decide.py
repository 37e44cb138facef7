"""``serai propose, vote, sign, withdraw, review, approve``: what a delegate, or a steward, does."""

from pathlib import Path

import click

from serai.charter.decision import Choice
from serai.charter.state import life_of, outcome_of
from serai.charter.statements import AgreementSign, AgreementWithdraw, Ballot
from serai.cli import reviews
from serai.cli.output import emit, home_option, json_option, short
from serai.cli.proposals import read_proposal
from serai.client import approving
from serai.client.find import find_id
from serai.client.voice import open_session, say
from serai.errors import Malformed, Missing
from serai.kernel.ids import Digest, parse_digest
from serai.kernel.keys import Role
from serai.state import State
from serai.zones.state import approving_members
from serai.zones.statements import Approval


@click.command()
@home_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def propose(home: Path, file: Path, *, as_json: bool) -> None:
    """Open the proposal in FILE: TOML, or Markdown whose clauses carry their terms."""
    said = say(open_session(home), read_proposal(file), Role.DELEGATE)
    outcome = outcome_of(said.state.charter, said.id, said.state.now)
    text = f"Proposed, entry {said.index}, proposal {short(said.id)}: {outcome.reason}."
    emit({"proposal": said.id, "entry": said.index, "result": outcome.result.value}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("proposal")
@click.argument("choice", type=click.Choice([choice.value for choice in Choice]))
@click.option("--reason", default="", help="An opinion on record; needed to object or reserve.")
@click.option("--amendment", help="Beside an objection to a silence procedure: the text to put instead.")
@json_option
def vote(home: Path, proposal: str, choice: str, reason: str, amendment: str | None, *, as_json: bool) -> None:
    """Cast the member's ballot on PROPOSAL; a later one replaces an earlier one."""
    session = open_session(home)
    id_ = find_id(session.state().charter.proposals, proposal, "proposal")
    body = Ballot(proposal=id_, choice=Choice(choice), reason=reason, amendment=amendment)
    said = say(session, body, Role.DELEGATE)
    outcome = outcome_of(said.state.charter, id_, said.state.now)
    text = f"Voted, entry {said.index}. The proposal is {outcome.result.value}: {outcome.reason} ({outcome.article})."
    value = {"ballot": said.id, "entry": said.index, "result": outcome.result.value, "reason": outcome.reason}
    emit(value, text, as_json=as_json)


@click.command()
@home_option
@click.argument("agreement")
@json_option
def sign(home: Path, agreement: str, *, as_json: bool) -> None:
    """Become party to AGREEMENT."""
    session = open_session(home)
    id_ = find_id(session.state().charter.agreements, agreement, "agreement")
    said = say(session, AgreementSign(agreement=id_), Role.DELEGATE)
    life = life_of(said.state.charter, id_, said.state.now)
    text = f"Signed, entry {said.index}. The agreement is {life.value}."
    emit({"entry": said.index, "life": life.value}, text, as_json=as_json)


@click.command()
@home_option
@click.argument("agreement")
@click.option("--reason", required=True, help="Why, for the record.")
@json_option
def withdraw(home: Path, agreement: str, reason: str, *, as_json: bool) -> None:
    """Leave AGREEMENT; the member's data stop at once, its duties after the notice."""
    session = open_session(home)
    id_ = find_id(session.state().charter.agreements, agreement, "agreement")
    said = say(session, AgreementWithdraw(agreement=id_, reason=reason), Role.DELEGATE)
    emit(
        {"entry": said.index},
        f"Withdrawn, entry {said.index}. No run uses this member's data from there on.",
        as_json=as_json,
    )


@click.command()
@home_option
@click.argument("run")
@click.option("--source", "with_source", is_flag=True, help="Also the source of a program that comes with serai.")
@json_option
def review(home: Path, run: str, *, with_source: bool, as_json: bool) -> None:
    """Look at RUN before approving it: what is new since the last approval, what binds it, what it costs."""
    session = open_session(home)
    state = session.state()
    looked = approving.review(session, find_id(state.runs.plans, run, "run"))
    if as_json:
        emit(reviews.as_json(looked), "", as_json=True)
    else:
        # Not by way of emit, which spells numbers as dates: code is shown as it is.
        click.echo(reviews.in_words(state, looked, with_source=with_source))


@click.command()
@home_option
@click.argument("subject", metavar="ID")
@click.option("--comment", default="", help="For the record.")
@click.option("--as-delegate", is_flag=True, help="Sign with the delegate's key in place of the steward's.")
@click.option("--yes", is_flag=True, help="Neither show nor ask, as where no terminal is.")
@json_option
def approve(home: Path, subject: str, comment: str, *, as_delegate: bool, yes: bool, as_json: bool) -> None:
    """Approve a run before it starts, or a model before it is released. ID: its first characters, or a whole digest.

    At a terminal a run is shown first, as `serai review` does.
    """
    session = open_session(home)
    state = session.state()
    body = Approval(subject=_subject(state, subject), comment=comment)
    looked = approving.review(session, body.subject) if body.subject in state.runs.plans else None
    is_shown = looked is not None and reviews.consent(state, looked, asks=not (yes or as_json))
    said = say(session, body, Role.DELEGATE if as_delegate else Role.STEWARD)
    if looked is not None:
        approving.keep(session.settings.home, looked, said.index, shown=is_shown)
    count = len(approving_members(said.state.zones, body.subject))
    text = f"Approved, entry {said.index}. Members that approved {short(body.subject)}: {count}."
    emit({"approval": said.id, "entry": said.index, "subject": body.subject, "members": count}, text, as_json=as_json)


def _subject(state: State, text: str) -> Digest:
    """A run, or a model that somebody evaluated, by its first characters; or a digest of anything else, in full."""
    known = [*state.runs.plans, *dict.fromkeys(model for _, model in state.analytics.by_model)]
    try:
        return find_id(known, text, "run or evaluated model")
    except Missing as unknown:
        try:
            return parse_digest(text)
        except Malformed:
            raise unknown from None
