"""Rows of several members as one table that nobody has: pandas-like questions, each answered by secure sums.

    data = JointData.open("~/zone", agreement="3f9a")
    data["age"].mean()
    data.groupby("sex").describe("age", "chol").to_pandas()
    data.survival("days", "died", by="arm", until="3650")

Every question that was not asked before is a run, which the zones check and answer by
themselves. What an earlier run answered is read again, at no cost to anybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from serai.agent.session import Session
from serai.analytics.frames import Cell, Frame, Result
from serai.charter.agreements import Term
from serai.client.asking import WAIT_S, Answer, Question, Scope, ask
from serai.client.find import find_id
from serai.client.joint_columns import JointColumns, joint_columns
from serai.client.planning import Wish, choose_offers
from serai.client.questions import QUARTILES, Asked, Times
from serai.client.voice import open_session
from serai.errors import Misconfigured, Missing
from serai.kernel.ids import Digest, MemberId
from serai.reports.result_page import frame_html, frame_text, plots_of, result_json
from serai.state import State


@dataclass(frozen=True, slots=True)
class JointTable:
    """An answer as a table and a picture, wherever these are looked at: a terminal, a notebook, a program."""

    answer: Answer

    @property
    def result(self) -> Result:
        """Its tables and curves."""
        return self.answer.result

    def frame(self, name: str = "") -> Frame:
        """One of its tables, the first if no name is given.

        Raises:
            Missing: it has no such table.

        """
        frames = {frame.name: frame for frame in self.result.frames}
        if name and name not in frames:
            raise Missing("result-table", f"the result has no table {name!r}; it has {', '.join(frames)}")
        return frames[name] if name else self.result.frames[0]

    def to_pandas(self, name: str = "") -> Any:
        """One of its tables as a ``pandas.DataFrame``.

        Raises:
            Misconfigured: pandas is not installed.
            Missing: it has no such table.

        """
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise Misconfigured("pandas-missing", "to_pandas needs pandas; run: pip install pandas") from None
        frame = self.frame(name)
        return pandas.DataFrame.from_records(list(frame.rows), columns=list(frame.columns))

    def to_json(self) -> dict[str, object]:
        """Tables and curves as JSON values."""
        return result_json(self.result)

    def _repr_html_(self) -> str:
        """What a notebook shows: the plot, then each table."""
        return "".join([*plots_of(self.result), *map(frame_html, self._shown)])

    def __str__(self) -> str:
        return "\n\n".join(map(frame_text, self._shown))

    @property
    def _shown(self) -> list[Frame]:
        return [frame for frame in self.result.frames if frame.rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class JointData:
    """Everybody's rows under one agreement.

    Attributes:
        session: the member's who asks.
        scope: whose rows, under what.
        bounds: ranges of numbers in place of the stewards', as ``low:high`` by column.
        least: rows of a group below which a zone leaves it out; 0 for what the terms demand.
        noise: on each zone's sums, where a statistic can have it; empty for none. With ``delta``, as
            docs/how-to/set-a-privacy-budget.md says.
        delta: the odds that the privacy promised by noise does not hold; the recipe's own if empty.
        wait_s: how long to wait for an answer.
        anew: whether what was answered before is computed again.

    """

    session: Session
    scope: Scope
    bounds: Mapping[str, str] = field(default_factory=dict)
    least: int = 0
    noise: str = ""
    delta: str = ""
    wait_s: float = WAIT_S
    anew: bool = False

    @classmethod
    def open(cls, home: str | Path, agreement: str, offers: Sequence[str] = (), purpose: str = "") -> Self:
        """What a member may ask under an agreement.

        Args:
            home: the zone's folder.
            agreement: the first characters of its id.
            offers: of the ids of the offers to use; every granted one if there is none.
            purpose: purpose code; the agreement's if empty.

        Raises:
            Misconfigured: the folder is no zone's, or has not joined a center.
            Missing: there is no such agreement or offer.

        """
        session = open_session(Path(home).expanduser())
        state = session.state()
        return cls(
            session=session,
            scope=Scope(
                agreement=find_id(state.charter.agreements, agreement, "agreement"),
                offers=tuple(find_id(state.zones.offers, offer, "offer") for offer in offers),
                purpose=purpose,
            ),
        )

    def with_(self, **settings: Any) -> Self:
        """The same, asked in another way: ``bounds``, ``least``, ``noise``, ``delta``, ``wait_s``, ``anew``."""
        return replace(self, **settings)

    @property
    def columns(self) -> JointColumns:
        """The columns that can be asked for, and why others cannot.

        Raises:
            Missing: nothing is granted to the agreement.

        """
        return self._asked().columns

    def ask(self, question: Question) -> JointTable:
        """Ask a question; see ``serai.client.questions``.

        Raises:
            Missing, Conflict, Malformed: a column is not there, or not as the question needs it.
            Refused: the log's rules do not allow the run, or too many members declined it.
            Unavailable: the run is not over yet; ask again later for its answer.

        """
        return JointTable(ask(self.session, self.scope, question, self.wait_s, anew=self.anew))

    def __getitem__(self, name: str) -> "Column":
        return Column(self, name)

    def groupby(self, by: str) -> "Grouped":
        """Questions by the levels of a category; a zone leaves out groups of which it has few rows."""
        return Grouped(self, by)

    def describe(self, *names: str, by: str = "", bins: int = 20) -> JointTable:
        """Counts, means, deviations, histograms, levels and correlations of columns; of all if none is named."""
        asked = self._asked()
        return self.ask(asked.describe(names or tuple(asked.columns.alike), by, bins))

    def quantile(self, *names: str, q: Sequence[str] = QUARTILES) -> JointTable:
        """Quantiles of columns of numbers, for shares as decimal strings."""
        return self.ask(self._asked().quantiles(names, q))

    def crosstab(self, rows: str, columns: str, stratum: str = "") -> JointTable:
        """How often the levels of two categories meet."""
        return self.ask(self._asked().crosstab(rows, columns, stratum))

    def survival(self, time: str, event: str, by: str = "", until: str = "", step: str = "1") -> JointTable:
        """Kaplan-Meier curves; what the arguments mean, ``serai.client.questions.Times`` says."""
        return self.ask(self._asked().survival(Times(time=time, event=event, until=until, step=step), by))

    def cox(
        self, time: str, event: str, *terms: str, stratum: str = "", until: str = "", step: str = "1"
    ) -> JointTable:
        """Proportional hazards, with times as in ``survival``."""
        return self.ask(self._asked().hazards(Times(time=time, event=event, until=until, step=step), terms, stratum))

    def linear(self, outcome: str, *terms: str, ridge: str = "0") -> JointTable:
        """Linear regression by least squares, or ridge."""
        return self.ask(self._asked().linear(outcome, terms, ridge))

    def logistic(self, outcome: str, *terms: str, ridge: str = "0") -> JointTable:
        """Logistic regression; the outcome is a column of 0 and 1, or ``COLUMN=LEVEL``."""
        return self.ask(self._asked().logistic(outcome, terms, ridge))

    def pca(self, *names: str, matrix: str = "correlation") -> JointTable:
        """Principal components of columns of numbers."""
        return self.ask(self._asked().components(names, matrix))

    def kmeans(self, *names: str, clusters: int, seed: int = 0) -> JointTable:
        """Clusters of rows by their numbers."""
        return self.ask(self._asked().clusters(names, clusters, seed=seed))

    def _asked(self) -> Asked:
        state = self.session.state()
        chosen = choose_offers(state, Wish(agreement=self.scope.agreement, rounds=1, offers=self.scope.offers))
        offers = {MemberId(member): state.zones.offers[id_].body for member, id_ in chosen.items()}
        least = self.least or demanded_cohort(state, self.scope.agreement, list(chosen.values()))
        return Asked(
            columns=joint_columns(offers),
            least=least,
            bounds=self.bounds,
            most_rows=max(offer.rows for offer in offers.values()),
            noise=self.noise,
            delta=self.delta,
        )


@dataclass(frozen=True, slots=True)
class Column:
    """One column of everybody's rows; its methods have the names that pandas gives them."""

    data: JointData
    name: str

    def describe(self) -> JointTable:
        """All that one sum tells of it."""
        return self.data.describe(self.name)

    def count(self) -> Cell:
        """Rows that have a value."""
        return self._told("n")

    def mean(self) -> Cell:
        """Mean of the values within the bounds."""
        return self._told("mean")

    def std(self) -> Cell:
        """Standard deviation, of a sample."""
        return self._told("deviation")

    def median(self) -> Cell:
        """The middle value."""
        return self.quantile("0.5")

    def quantile(self, q: str) -> Cell:
        """The value below which a share of the values lies, for a share as a decimal string."""
        (value,) = self.data.quantile(self.name, q=(q,)).frame().column("value")
        return value

    def _told(self, what: str) -> Cell:
        (value,) = self.describe().frame("numbers").column(what)
        return value


@dataclass(frozen=True, slots=True)
class Grouped:
    """Questions by the levels of a category."""

    data: JointData
    by: str

    def describe(self, *names: str, bins: int = 20) -> JointTable:
        """As ``JointData.describe``, for each group."""
        return self.data.describe(*names, by=self.by, bins=bins)

    def survival(self, time: str, event: str, until: str = "", step: str = "1") -> JointTable:
        """As ``JointData.survival``, a curve for each group."""
        return self.data.survival(time, event, self.by, until, step)


def demanded_cohort(state: State, agreement: Digest, offers: Sequence[Digest]) -> int:
    """The most rows that agreement, offers or grants demand behind what leaves a zone; 1 if none does."""
    terms: list[Term] = list(state.charter.agreements[agreement].text.terms)
    for id_ in offers:
        terms.extend(state.zones.offers[id_].body.terms)
        grants = (grant for grant in state.zones.grants.values() if grant.body.offer == id_ and grant.revoked is None)
        terms.extend(term for grant in grants if grant.body.agreement == agreement for term in grant.body.terms)
    return max([1, *(term.value for term in terms if term.name == "min_cohort" and isinstance(term.value, int))])
