"""Rules to try and votes to imagine, from files and options.

An imagined vote is a few lines of TOML::

    members = ["bern", "lima", "oslo"]

    [weights.votes]
    bern = 3
    lima = 2

    [[questions]]
    topic = "agreement"
    title = "May we train together?"
    [questions.ballots]
    bern = "yes"
    lima = "object"

Members that cast no ballot are silent.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from serai.charter.constitution import Charter, CharterChange
from serai.charter.decision import Choice, Electorate, Voter
from serai.charter.presets import PRESETS
from serai.charter.simulation import Question, RuleBook
from serai.errors import Malformed, Missing
from serai.kernel.ids import MemberId, parse_member_id
from serai.kernel.records import from_json
from serai.storage.record_files import read_record

T = TypeVar("T")

MAX_FILE_BYTES: Final = 1_000_000  # of a file that people write by hand


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    topic: str
    ballots: Mapping[str, Choice]
    title: str = ""
    concerned: tuple[MemberId, ...] = ()
    participants: tuple[MemberId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Imagined:
    members: tuple[MemberId, ...]
    questions: tuple[_Question, ...]
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    groups: Mapping[str, tuple[MemberId, ...]] = field(default_factory=dict)


def read_questions(path: Path) -> tuple[Question, ...]:
    """The imagined votes in a TOML file.

    Raises:
        Missing: there is no such file.
        Malformed: it is not TOML of this form, or a ballot is of nobody's.

    """
    imagined = _read_toml(_Imagined, path)
    voters = {
        member: Voter(
            groups=frozenset(group for group, members in imagined.groups.items() if member in members),
            weights={table: weights.get(member, 0) for table, weights in imagined.weights.items()},
        )
        for member in imagined.members
    }
    return tuple(_question(voters, asked, str(path)) for asked in imagined.questions)


def ask(topic: str, ballots: Sequence[str], silent: Sequence[str]) -> Question:
    """One imagined vote from ``MEMBER=CHOICE`` options, and members who stay silent.

    Raises:
        Malformed: a ballot has another form.

    """
    cast: dict[str, Choice] = {}
    for text in ballots:
        member, _, choice = text.partition("=")
        try:
            cast[parse_member_id(member)] = Choice(choice)
        except ValueError:
            known = ", ".join(item.value for item in Choice)
            raise Malformed("ballot-form", f"expected MEMBER=CHOICE with one of {known}, got {text!r}") from None
    voters = {MemberId(member): Voter() for member in [*cast, *map(parse_member_id, silent)]}
    return _question(voters, _Question(topic=topic, ballots=cast), "the options")


def read_rules(name: str) -> RuleBook:
    """Rules by the name of a preset, or from a charter (``.json``) or a change of one (``.toml``).

    Raises:
        Missing: no preset is called so, and there is no such file.
        Malformed: the file holds something else.

    """
    if name in PRESETS:
        return RuleBook(name=name, articles=PRESETS[name])
    path = Path(name)
    if not path.is_file():
        raise Missing("rules-unknown", f"no preset and no file is called {name!r}; presets: {', '.join(PRESETS)}")
    if path.suffix == ".json":
        charter = read_record(Charter, path)
        return RuleBook(name=path.stem, articles=charter.articles, weights=charter.weights)
    change = _read_toml(CharterChange, path)
    return RuleBook(name=path.stem, articles=change.articles, weights=change.weights)


def _question(voters: Mapping[MemberId, Voter], asked: _Question, where: str) -> Question:
    named = [*asked.ballots, *asked.concerned, *asked.participants]
    if strangers := sorted(set(named) - set(voters)):
        raise Malformed("ballot-stranger", f"{where}: {strangers[0]} is not among the members; add it, or drop it")
    return Question(
        topic=asked.topic,
        title=asked.title or asked.topic,
        electorate=Electorate(
            voters=voters,
            concerned=frozenset(asked.concerned),
            participants=frozenset(asked.participants) or frozenset(voters),
        ),
        ballots={MemberId(member): choice for member, choice in asked.ballots.items()},
    )


def _read_toml(cls: type[T], path: Path) -> T:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Missing("simulation-file-missing", f"there is no file {path}; write it first") from None
    if len(data) > MAX_FILE_BYTES:
        raise Malformed("simulation-file-size", f"{path}: expected at most {MAX_FILE_BYTES} bytes, got {len(data)}")
    try:
        return from_json(cls, tomllib.loads(data.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Malformed("simulation-toml", f"{path} is not valid TOML: {error}") from error
    except Malformed as error:
        raise Malformed("simulation-form", f"{path}: {error.message.replace('_Imagined', 'the file')}") from error


def parse_weights(texts: Sequence[str]) -> dict[str, dict[str, int]]:
    """Voting weights from ``TABLE:MEMBER=N`` options.

    Raises:
        Malformed: an option has another form.

    """
    tables: dict[str, dict[str, int]] = {}
    for text in texts:
        table, _, rest = text.partition(":")
        member, _, number = rest.partition("=")
        if not (table and member and number.isdecimal()):
            raise Malformed("weight-form", f"expected TABLE:MEMBER=N, such as votes:bern=4, got {text!r}")
        tables.setdefault(table, {})[member] = int(number)
    return tables


def rule_books(names: Sequence[str], weights: Mapping[str, Mapping[str, int]]) -> Iterator[RuleBook]:
    """The rules to try: the named ones, or every preset; given weights are theirs where they have none."""
    for name in names or PRESETS:
        book = read_rules(name)
        yield RuleBook(name=book.name, articles=book.articles, weights={**weights, **book.weights})
