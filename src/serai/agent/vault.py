"""The zone's own data: CSV and text files turned into arrays in memory, and nowhere else.

Nothing here writes: what a run sees of a table lives in the memory of the run
and dies with it. The split into training and test rows depends only on the
order of the rows in the file and on the seed in the settings, so every run of a
member sees the same split and no test row is ever trained on.
"""

import contextlib
import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from serai.agent.settings import DatasetKind, DatasetSettings, Feature, MissingPolicy, ZoneSettings
from serai.agent.table import Row, digest_file, read_rows
from serai.agent.text import join_documents, read_documents
from serai.errors import Malformed, Misconfigured, Missing, Refused
from serai.kernel.canonical import Json, canonical
from serai.kernel.ids import Digest, digest_of
from serai.kernel.records import to_json
from serai.training.methods import Data
from serai.training.tables import Table

MAX_CELLS: Final = 1 << 28  # 2 GiB of float64: a larger table needs a reader that does not hold it in memory


@dataclass(frozen=True, slots=True)
class Vault:
    """Opens the datasets that the settings name."""

    settings: ZoneSettings

    def load(self, dataset: str, columns: Sequence[str] = ()) -> Data:
        """Read a dataset into arrays.

        Args:
            dataset: its name in the settings.
            columns: columns to read instead of features and label, of all rows.

        Returns:
            ``x (n, d)``, ``y (n,)``, ``test_x (m, d)``, ``test_y (m,)``, all float64, and the
            feature names, in the order of the settings. Of a text, ``text`` and ``test_text``,
            and a row without features for each document. Where columns were asked for,
            ``table`` with these, and as many rows without features.

        Raises:
            Refused: the dataset has no such column.
            Missing: the settings name no such dataset.
            Misconfigured: the file or a column of it is missing.
            Malformed: a cell, row or line is not what it should be; the message
                names file, line and column.

        """
        settings = self.settings_of(dataset)
        if settings.kind is DatasetKind.TEXT:
            return _load_text(settings)
        table = _read(settings)
        if columns:
            return _load_columns(table, settings, columns)
        test = _test_rows(table.labels, settings)
        x = np.frombuffer(table.features, dtype=np.float64).reshape(len(table.labels), len(settings.features))
        y = np.frombuffer(table.labels, dtype=np.float64)
        return Data(
            x=x[~test],
            y=y[~test],
            test_x=x[test],
            test_y=y[test],
            names=tuple(feature.name for feature in settings.features),
        )

    def rows(self, dataset: str) -> int:
        """Count the usable rows of a dataset, training and test rows together.

        Raises:
            Missing, Misconfigured, Malformed: as ``load``.

        """
        settings = self.settings_of(dataset)
        if settings.kind is DatasetKind.TEXT:
            return len(read_documents(Path(settings.path)))
        return len(_read(settings).labels)

    def subjects(self, dataset: str) -> int | None:
        """Count the distinct subjects whom a dataset's usable rows are about; None if no column tells.

        Raises:
            Missing, Misconfigured, Malformed: as ``load``.

        """
        settings = self.settings_of(dataset)
        return _distinct(_read(settings).subjects) if settings.subject else None

    def digest(self, dataset: str) -> Digest:
        """Name a dataset as it lies on the disk: the file's bytes and how they are read.

        An offer carries it, and the zone compares before every run, so a table that
        changed since it was offered is not used. It shows nothing of the table, but
        whoever holds the same file can recognise it.

        Raises:
            Missing, Misconfigured: as ``load``.

        """
        settings = self.settings_of(dataset)
        content = digest_file(Path(settings.path))
        split: dict[str, Json] = {"split_seed": settings.split_seed, "test_share": to_json(settings.test_share)}
        if settings.kind is DatasetKind.TEXT:
            return digest_of(canonical({"file": content, "reading": {"kind": settings.kind.value, **split}}))
        reading = {
            **split,
            "features": to_json(settings.features),
            "label": to_json(settings.label),
            "missing": settings.missing.value,
            "missing_marks": list(settings.missing_marks),
            "rows": to_json(settings.rows),
            **({"subject": settings.subject} if settings.subject else {}),
        }
        return digest_of(canonical({"file": content, "reading": reading}))

    def find_by_digest(self, digest: Digest) -> str | None:
        """The name of the dataset whose digest this is now; None if none is, or its file is gone."""
        for name in self.settings.datasets:
            with contextlib.suppress(Misconfigured):
                if self.digest(name) == digest:
                    return name
        return None

    def load_by_digest(self, digest: Digest, columns: Sequence[str] = ()) -> Data:
        """Read the dataset that an offer named by its digest.

        Raises:
            Missing: no dataset here has that digest now; it may have changed since it was offered.
            Misconfigured, Malformed: as ``load``.

        """
        name = self.find_by_digest(digest)
        if name is None:
            raise Missing(
                "dataset-changed",
                f"no dataset of this zone has digest {digest[:12]} now; if its file changed, offer it again",
            )
        return self.load(name, columns)

    def rows_by_digest(self, digest: Digest) -> int | None:
        """Count the usable rows of the dataset of that digest; None if no dataset here has it now.

        Raises:
            Misconfigured, Malformed: as ``load``.

        """
        name = self.find_by_digest(digest)
        return None if name is None else self.rows(name)

    def subjects_by_digest(self, digest: Digest) -> int | None:
        """Count the subjects of the dataset of that digest; None if no dataset here has it, or no column tells.

        Raises:
            Misconfigured, Malformed: as ``load``.

        """
        name = self.find_by_digest(digest)
        return None if name is None else self.subjects(name)

    def subjects_apart(self, digest: Digest) -> tuple[int, int] | None:
        """As ``subjects_by_digest``, of the training rows and of those held back; a subject may be in both.

        Raises:
            Misconfigured, Malformed: as ``load``.

        """
        name = self.find_by_digest(digest)
        if name is None or not self.settings.datasets[name].subject:
            return None
        table = _read(self.settings.datasets[name])
        test = _test_rows(table.labels, self.settings.datasets[name])
        train, held_back = (np.flatnonzero(part) for part in (~test, test))
        return _distinct(table.subjects[row] for row in train), _distinct(table.subjects[row] for row in held_back)

    def settings_of(self, name: str) -> DatasetSettings:
        """What ``zone.toml`` says of a dataset.

        Raises:
            Missing: it names no such dataset.

        """
        try:
            return self.settings.datasets[name]
        except KeyError:
            known = ", ".join(self.settings.datasets) or "none"
            raise Missing("dataset-unknown", f"this zone has no dataset {name!r}; zone.toml names: {known}") from None


def _load_text(settings: DatasetSettings) -> Data:
    documents = read_documents(Path(settings.path))
    test = _test_rows(array("d", bytes(8 * len(documents))), settings)
    train, held_back = np.flatnonzero(~test), np.flatnonzero(test)
    return Data(
        x=np.zeros((train.size, 0)),
        y=np.zeros(train.size),
        test_x=np.zeros((held_back.size, 0)),
        test_y=np.zeros(held_back.size),
        names=(),
        text=join_documents([documents[index] for index in train]),
        test_text=join_documents([documents[index] for index in held_back]),
    )


@dataclass(slots=True)
class _Table:
    """Columns as they grow: ``features`` row after row, one label per row, and its subject where a column tells."""

    features: "array[float]" = field(default_factory=lambda: array("d"))
    labels: "array[float]" = field(default_factory=lambda: array("d"))
    subjects: list[str] = field(default_factory=list)


def _read(settings: DatasetSettings) -> _Table:
    path = Path(settings.path)
    table = _Table()
    wanted = [*settings.used_columns, *([settings.rows.column] if settings.rows else [])]
    wanted += [settings.subject] if settings.subject else []
    for row in read_rows(path, tuple(dict.fromkeys(wanted))):
        if settings.rows and row.cells[settings.rows.column] != settings.rows.equals:
            continue
        if _lacks_value(row, settings):
            continue
        table.features.extend(_feature(row, feature) for feature in settings.features)
        table.labels.append(_label(row, settings))
        if settings.subject:
            subject = row.cells[settings.subject]
            table.subjects.append("" if subject in settings.missing_marks else subject)
        if len(table.features) > MAX_CELLS:
            raise Malformed(
                "dataset-too-large", f"{path}, line {row.line}: more than {MAX_CELLS} cells; read a part of it"
            )
    if not table.labels:
        which = f" with {settings.rows.column} = {settings.rows.equals!r}" if settings.rows else ""
        raise Malformed("dataset-empty", f"{path} has no usable row{which}; check rows, missing and the file")
    return table


def _load_columns(table: _Table, settings: DatasetSettings, columns: Sequence[str]) -> Data:
    """The features by name, and the label by its column's, as columns of numbers."""
    rows, width = len(table.labels), len(settings.features)
    x = np.frombuffer(table.features, dtype=np.float64).reshape(rows, width)
    assert settings.label is not None, "a table has a label"
    found = {feature.name: x[:, place] for place, feature in enumerate(settings.features)}
    found.setdefault(settings.label.column, np.frombuffer(table.labels, dtype=np.float64))
    if lacking := [name for name in columns if name not in found]:
        raise Refused("column", f"the dataset has no column {lacking[0]!r}; it has {', '.join(sorted(found))}")
    numbers = {name: np.ascontiguousarray(found[name]) for name in columns}
    nothing, none = np.zeros((rows, 0)), np.zeros(0)
    return Data(x=nothing, y=none, test_x=nothing[:0], test_y=none, names=(), table=Table(rows=rows, numbers=numbers))


def _distinct(subjects: Iterable[str]) -> int:
    """How many subjects there are; rows about nobody known count for none."""
    return len(set(subjects) - {""})


def _lacks_value(row: Row, settings: DatasetSettings) -> bool:
    for column in settings.used_columns:
        if row.cells[column] in settings.missing_marks:
            if settings.missing is MissingPolicy.DROP:
                return True
            raise Malformed(
                "dataset-missing-value",
                f"{row.path}, line {row.line}, column {column!r}: the value is missing; "
                'fill it in, or set missing = "drop" to leave such rows out',
            )
    return False


def _feature(row: Row, feature: Feature) -> float:
    if feature.equals is not None:
        return float(row.cells[feature.column] == feature.equals)
    return row.number(feature.column)


def _label(row: Row, settings: DatasetSettings) -> float:
    label = settings.label
    assert label is not None, "a table has a label"
    if label.above is not None:
        return float(row.number(label.column) > label.above)
    return float(row.cells[label.column] == label.equals)


def _test_rows(labels: "array[float]", settings: DatasetSettings) -> np.ndarray:
    """Pick the rows to hold back: of each label, the first share in an order drawn by hashing.

    A hash of seed and row number orders the rows, for it gives the same order in
    every version of every library, which a random generator does not promise.
    """
    test = np.zeros(len(labels), dtype=bool)
    for label in sorted(set(labels)):
        rows = [index for index, value in enumerate(labels) if value == label]
        rows.sort(key=lambda index: hashlib.sha256(f"{settings.split_seed}/{index}".encode()).digest())
        test[rows[: int(len(rows) * settings.test_share)]] = True
    return test
