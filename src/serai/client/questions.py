"""Questions of joint statistics, from columns as people name them to the settings of the recipe that answers them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serai.client.asking import Question
from serai.client.joint_columns import CATEGORY, NUMBER, JointColumn, JointColumns
from serai.errors import Malformed
from serai.training.statistics.components import KMEANS, PCA
from serai.training.statistics.notation import written
from serai.training.statistics.regression import LINEAR, LOGISTIC
from serai.training.statistics.summaries import CROSSTAB, DESCRIBE, QUANTILES
from serai.training.statistics.survival import COX, KAPLAN_MEIER

QUARTILES: Final = ("0.25", "0.5", "0.75")
_NEWTON: Final = 8  # steps, after which nothing moves any more that the sums could tell
_LLOYD: Final = 20
_REFINED: Final = 4  # rounds, of 64 bins each: a quantile to a 16-millionth of its column's bounds


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

    """

    columns: JointColumns
    least: int = 1
    bounds: Mapping[str, str]

    def describe(self, names: Sequence[str], by: str = "", bins: int = 20) -> Question:
        """Counts, means, deviations, histograms, level counts and correlations, over all rows or by group.

        Raises:
            Missing, Conflict: a column is not offered, or not by all alike.
            Malformed: a number has no bounds.

        """
        params = {**self._read([*names, *([by] if by else [])]), "bins": str(bins), **self._grouped(by)}
        return Question(title=f"{', '.join(names)}{_by(by)}", recipe=DESCRIBE, params=params)

    def crosstab(self, rows: str, columns: str, stratum: str = "") -> Question:
        """How often the levels of two categories meet.

        Raises:
            Missing, Conflict: a column is not offered, or is no category that all have alike.

        """
        names = [rows, columns, *([stratum] if stratum else [])]
        params = {"levels": self._levels(names), "rows": rows, "columns": columns, "least": str(self.least)}
        if stratum:
            params["stratum"] = stratum
        return Question(title=f"{rows} by {columns}{_within(stratum)}", recipe=CROSSTAB, params=params)

    def quantiles(self, names: Sequence[str], probabilities: Sequence[str] = QUARTILES) -> Question:
        """Quantiles of numbers, each to a 16-millionth of its bounds.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"bounds": self._bounds(names), "probabilities": ",".join(probabilities)}
        return Question(title=f"quantiles of {', '.join(names)}", recipe=QUANTILES, params=params, rounds=_REFINED)

    def survival(self, times: Times, by: str = "") -> Question:
        """Kaplan-Meier curves, one for each level of a category.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {**self._timed(times), **self._grouped(by)}
        if by:
            params["levels"] = self._levels([by])
        return Question(title=f"survival to {times.event}{_by(by)}", recipe=KAPLAN_MEIER, params=params)

    def hazards(self, times: Times, terms: Sequence[str], stratum: str = "") -> Question:
        """Proportional hazards, ties as Breslow has them.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        columns = [*terms, *([stratum] if stratum else [])]
        params = {**self._timed(times), **self._read(columns)}
        if stratum:
            params["stratum"] = stratum
        title = f"hazard of {times.event} by {', '.join(terms)}{_within(stratum)}"
        return Question(title=title, recipe=COX, params=params, rounds=_NEWTON)

    def linear(self, outcome: str, terms: Sequence[str], ridge: str = "0") -> Question:
        """Linear regression by least squares, or ridge.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"outcome": outcome, **self._read([outcome, *terms]), "ridge": ridge}
        return Question(title=f"{outcome} by {', '.join(terms)}", recipe=LINEAR, params=params)

    def logistic(self, outcome: str, terms: Sequence[str], ridge: str = "0") -> Question:
        """Logistic regression by Newton's method; the outcome is a column of 0 and 1, or ``COLUMN=LEVEL``.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"outcome": self._event(outcome), **self._read(terms), "ridge": ridge}
        return Question(
            title=f"odds of {outcome} by {', '.join(terms)}", recipe=LOGISTIC, params=params, rounds=_NEWTON
        )

    def components(self, names: Sequence[str], matrix: str = "correlation") -> Question:
        """Principal components of numbers, of their ``correlation`` or ``covariance`` matrix.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"bounds": self._bounds(names), "matrix": matrix}
        return Question(title=f"components of {', '.join(names)}", recipe=PCA, params=params)

    def clusters(self, names: Sequence[str], count: int, rounds: int = _LLOYD, seed: int = 0) -> Question:
        """Clusters of rows by k-means, from centers that a seed draws.

        Raises:
            Missing, Conflict, Malformed: as ``describe``.

        """
        params = {"bounds": self._bounds(names), "clusters": str(count), "seed": str(seed)}
        return Question(title=f"{count} clusters by {', '.join(names)}", recipe=KMEANS, params=params, rounds=rounds)

    def _timed(self, times: Times) -> dict[str, str]:
        column = self.columns.get(times.time, NUMBER)
        until = times.until or self._bound(column).partition(":")[2]
        return {"time": times.time, "event": self._event(times.event), "until": until, "step": times.step}

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
        return {"by": by, "least": str(self.least)} if by else {}

    def _bounds(self, names: Sequence[str]) -> str:
        return ",".join(f"{written(name)}={self._bound(self.columns.get(name, NUMBER))}" for name in names)

    def _bound(self, column: JointColumn) -> str:
        if given := self.bounds.get(column.name, ""):
            return given
        if not column.low:
            raise Malformed(
                "column-bounds",
                f"not every steward gives column {column.name!r} a low and a high; "
                f"name the range that you expect: --bounds {column.name}=LOW:HIGH",
            )
        return f"{column.low}:{column.high}"

    def _levels(self, names: Sequence[str]) -> str:
        columns = (self.columns.get(name, CATEGORY) for name in names)
        return ",".join(f"{written(one.name)}={'|'.join(map(written, one.levels))}" for one in columns)


def _within(name: str) -> str:
    return f" within {name}" if name else ""


def _by(name: str) -> str:
    return f" by {name}" if name else ""
