"""Questions of joint statistics, from columns as people name them to the settings of the recipe that answers them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serai.analytics.results import USUAL_ROUNDS
from serai.client.asking import Question
from serai.client.joint_columns import CATEGORY, NUMBER, JointColumn, JointColumns
from serai.errors import Malformed
from serai.training.statistics.components import KMEANS, PCA
from serai.training.statistics.notation import bounds_setting, levels_setting, written
from serai.training.statistics.regression import LINEAR, LOGISTIC
from serai.training.statistics.summaries import CROSSTAB, DESCRIBE, QUANTILES
from serai.training.statistics.survival import COX, KAPLAN_MEIER

QUARTILES: Final = ("0.25", "0.5", "0.75")


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Times to an event, counted on a public grid.

    Attributes:
        time: column of times.
        event: column of 0 and 1, or ``COLUMN=LEVEL``.
        until: last time of the grid; the time column's upper bound if empty.
        step: width of the grid, in the unit of the times.

    """

    time: str
    event: str
    until: str = ""
    step: str = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What questions of one scope have in common.

    Attributes:
        columns: what can be asked for.
        least: rows of a group below which a zone leaves it out.
        bounds: bounds that whoever asks gives in place of the stewards', as ``low:high`` by column.
        most_rows: of one member; the smaller it is, the finer are the sums.
        noise: on each zone's sums, and ``delta``, as ``serai.training.statistics.protection`` says; none if empty.
        delta: the odds that the privacy promised by noise does not hold.

    """

    columns: JointColumns
    least: int = 1
    bounds: Mapping[str, str]
    most_rows: int = 2**24
    noise: str = ""
    delta: str = ""

    def describe(self, names: Sequence[str], by: str = "", bins: int = 20) -> Question:
        """Counts, means, deviations, histograms, level counts and correlations, over all rows or by group.

        Raises:
            Missing, Conflict: a column is not offered, or not by all alike.
            Malformed: a number has no bounds.

        """
        params = {**self._read([*names, *([by] if by else [])]), "bins": str(bins), **self._grouped(by)}
        return self._question(f"{', '.join(names)}{_by(by)}", DESCRIBE, params)

    def crosstab(self, rows: str, columns: str, stratum: str = "") -> Question:
        """How often the levels of two categories meet.

        Raises:
            Missing, Conflict: a column is not offered, or is no category that all have alike.

        """
        names = [rows, columns, *([stratum] if stratum else [])]
        params = {
            "levels": self._levels(names),
            "rows": written(rows),
            "columns": written(columns),
            **self._protected(),
        }
        if stratum:
            params["stratum"] = written(stratum)
        return self._question(f"{rows} by {columns}{_within(stratum)}", CROSSTAB, params)

    def quantiles(self, names: Sequence[str], probabilities: Sequence[str] = QUARTILES) -> Question:
        """Quantiles of numbers, each to a 16-millionth of its bounds.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"bounds": self._bounds(names), "probabilities": ",".join(probabilities)}
        return self._question(f"quantiles of {', '.join(names)}", QUANTILES, params)

    def survival(self, times: Times, by: str = "") -> Question:
        """Kaplan-Meier curves, one for each level of a category.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {**self._timed(times), **self._grouped(by)}
        if by:
            params["levels"] = self._levels([by])
        return self._question(f"survival to {times.event}{_by(by)}", KAPLAN_MEIER, params)

    def hazards(self, times: Times, terms: Sequence[str], stratum: str = "") -> Question:
        """Proportional hazards, ties as Breslow has them.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        columns = [*terms, *([stratum] if stratum else [])]
        params = {**self._timed(times), **self._read(columns)}
        if stratum:
            params["stratum"] = written(stratum)
        title = f"hazard of {times.event} by {', '.join(terms)}{_within(stratum)}"
        return self._question(title, COX, params)

    def linear(self, outcome: str, terms: Sequence[str], ridge: str = "0") -> Question:
        """Linear regression by least squares, or ridge.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"outcome": written(outcome), **self._read([outcome, *terms]), "ridge": ridge}
        return self._question(f"{outcome} by {', '.join(terms)}", LINEAR, params)

    def logistic(self, outcome: str, terms: Sequence[str], ridge: str = "0") -> Question:
        """Logistic regression by Newton's method; the outcome is a column of 0 and 1, or ``COLUMN=LEVEL``.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"outcome": self._event(outcome), **self._read(terms), "ridge": ridge}
        return self._question(f"odds of {outcome} by {', '.join(terms)}", LOGISTIC, params)

    def components(self, names: Sequence[str], matrix: str = "correlation") -> Question:
        """Principal components of numbers, of their ``correlation`` or ``covariance`` matrix.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"bounds": self._bounds(names), "matrix": matrix}
        return self._question(f"components of {', '.join(names)}", PCA, params)

    def clusters(self, names: Sequence[str], count: int, seed: int = 0) -> Question:
        """Clusters of rows by k-means, from centers that a seed draws.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"bounds": self._bounds(names), "clusters": str(count), "seed": str(seed)}
        return self._question(f"{count} clusters by {', '.join(names)}", KMEANS, params)

    def _question(self, title: str, recipe: str, params: Mapping[str, str]) -> Question:
        settings = {**params, "most_rows": str(self.most_rows)}
        return Question(title=title, recipe=recipe, params=settings, rounds=USUAL_ROUNDS[recipe])

    def _timed(self, times: Times) -> dict[str, str]:
        column = self.columns.get(times.time, NUMBER)
        until = times.until or self._bound(column)[1]
        return {"time": written(times.time), "event": self._event(times.event), "until": until, "step": times.step}

    def _event(self, event: str) -> str:
        """A column of 0 and 1, or ``COLUMN=LEVEL``, as settings write it."""
        name, has_level, level = event.partition("=")
        self.columns.get(name, CATEGORY if has_level else NUMBER)
        return f"{written(name)}={written(level)}" if has_level else written(name)

    def _read(self, names: Sequence[str]) -> dict[str, str]:
        """Bounds and levels of columns, by their kinds."""
        found = [self.columns.get(name) for name in dict.fromkeys(names)]
        params = {
            "bounds": self._bounds([column.name for column in found if column.kind == NUMBER]),
            "levels": self._levels([column.name for column in found if column.kind == CATEGORY]),
        }
        return {name: text for name, text in params.items() if text}

    def _grouped(self, by: str) -> dict[str, str]:
        """The groups, and what protects the rows of a small one; without groups there is noise, or nothing."""
        if by:
            return {"by": written(by), **self._protected()}
        return self._protected() if self.noise else {}

    def _protected(self) -> dict[str, str]:
        if not self.noise:
            return {"least": str(self.least)}
        return {"noise": self.noise, **({"delta": self.delta} if self.delta else {})}

    def _bounds(self, names: Sequence[str]) -> str:
        return bounds_setting({name: self._bound(self.columns.get(name, NUMBER)) for name in names})

    def _bound(self, column: JointColumn) -> tuple[str, str]:
        if given := self.bounds.get(column.name, ""):
            low, _, high = given.partition(":")
            return low, high
        if not column.low:
            raise Malformed(
                "column-bounds",
                f"not every steward gives column {column.name!r} a low and a high; "
                f"name the range that you expect: --bounds {column.name}=LOW:HIGH",
            )
        return column.low, column.high

    def _levels(self, names: Sequence[str]) -> str:
        return levels_setting({name: self.columns.get(name, CATEGORY).levels for name in names})


def _within(name: str) -> str:
    return f" within {name}" if name else ""


def _by(name: str) -> str:
    return f" by {name}" if name else ""
