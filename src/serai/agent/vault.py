"""The zone's own data: tables, texts and images turned into arrays in memory, and nowhere else.

Nothing here writes a file: what a run sees of a dataset lives in the memory of
the run and dies with it. The split into training and test rows depends only on
the order of the rows in the source and on the seed in the settings, so every
run of a member sees the same split and no test row is ever trained on.
"""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from serai.agent.datasets import DatasetKind, DatasetSettings
from serai.agent.readers.column_file import ColumnData, ColumnFile
from serai.agent.readers.reading import LABEL, PIXELS, SUBJECT
from serai.agent.readers.sources import column_digests, read_columns, source_digest
from serai.agent.settings import ZoneSettings
from serai.agent.text import join_documents, read_documents
from serai.errors import Malformed, Misconfigured, Missing, Refused
from serai.kernel.canonical import Json, canonical
from serai.kernel.ids import Digest, digest_of
from serai.kernel.records import to_json
from serai.training.methods import Data
from serai.training.tables import Table

_Known: TypeAlias = Mapping[str, Json]
"""Digests of the columns that a query gave when its dataset was last named by a digest."""


@dataclass(frozen=True, slots=True)
class _Size:
    """How many rows can be used, and how many subjects they are about; None where no column tells."""

    rows: int
    subjects: int | None


@dataclass(frozen=True, slots=True)
class Vault:
    """Opens the datasets that the settings name."""

    settings: ZoneSettings
    _sizes: dict[Digest, _Size] = field(default_factory=dict, init=False, repr=False, compare=False)
    _columns: dict[Digest, _Known] = field(default_factory=dict, init=False, repr=False, compare=False)

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
            Refused: the dataset has no such column, or no features.
            Missing: the settings name no such dataset.
            Misconfigured: the source or a column of it is missing, or a library that reads it.
            Malformed: a cell, row or line is not what it should be; the message
                names file, line and column.

        """
        return self._load(dataset, columns, {})

    def rows(self, dataset: str) -> int:
        """Count the usable rows of a dataset, training and test rows together.

        Raises:
            Missing, Misconfigured, Malformed: as ``load``.

        """
        return _measure(self.settings_of(dataset)).rows

    def subjects(self, dataset: str) -> int | None:
        """Count the distinct subjects whom a dataset's usable rows are about; None if no column tells.

        Raises:
            Missing, Misconfigured, Malformed: as ``load``.

        """
        settings = self.settings_of(dataset)
        return _measure(settings).subjects if settings.subject else None

    def digest(self, dataset: str) -> Digest:
        """Name a dataset as it lies on the disk: what it holds and how it is read.

        An offer carries it, and the zone compares before every run, so a table that
        changed since it was offered is not used. It shows nothing of the table, but
        whoever holds the same table can recognise it.

        Raises:
            Missing, Misconfigured, Malformed: as ``load``.

        """
        settings = self.settings_of(dataset)
        content = source_digest(settings)
        digest = digest_of(canonical({"file": content, "reading": _reading_as_json(settings)}))
        if isinstance(content, dict):
            self._columns[digest] = content
        return digest

    def find_by_digest(self, digest: Digest) -> str | None:
        """The name of the dataset whose digest this is now; None if none is, or its source is gone."""
        for name in self.settings.datasets:
            with contextlib.suppress(Misconfigured, Malformed):  # of a query, which may fail today
                if self.digest(name) == digest:
                    return name
        return None

    def load_by_digest(self, digest: Digest, columns: Sequence[str] = ()) -> Data:
        """Read the dataset that an offer named by its digest.

        Raises:
            Missing: no dataset here has that digest now; it may have changed since it was offered.
            Refused, Misconfigured, Malformed: as ``load``.

        """
        name = self.find_by_digest(digest)
        if name is None:
            raise Missing(
                "dataset-changed",
                f"no dataset of this zone has digest {digest[:12]} now; if its file changed, offer it again",
            )
        return self._load(name, columns, self._columns.get(digest, {}))

    def rows_by_digest(self, digest: Digest) -> int | None:
        """Count the usable rows of the dataset of that digest; None if no dataset here has it now.

        Raises:
            Misconfigured, Malformed: as ``load``.

        """
        found = self._size_of(digest)
        return None if found is None else found.rows

    def subjects_by_digest(self, digest: Digest) -> int | None:
        """Count the subjects of the dataset of that digest; None if no dataset here has it, or no column tells.

        Raises:
            Misconfigured, Malformed: as ``load``.

        """
        found = self._size_of(digest)
        return None if found is None else found.subjects

    def subjects_apart(self, digest: Digest) -> tuple[int, int] | None:
        """As ``subjects_by_digest``, of the training rows and of those held back; a subject may be in both.

        Where there is nothing to train on, nothing is held back.

        Raises:
            Misconfigured, Malformed: as ``load``.

        """
        name = self.find_by_digest(digest)
        if name is None or not self.settings.datasets[name].subject:
            return None
        settings = self.settings.datasets[name]
        if not settings.has_features:
            return _distinct(read_columns(settings, (), subject=True).column(SUBJECT)), 0
        file = read_columns(settings)
        test, subjects = _test_rows(file.column(LABEL), settings), file.column(SUBJECT)
        return _distinct(subjects[~test]), _distinct(subjects[test])

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

    def _load(self, dataset: str, columns: Sequence[str], known: _Known) -> Data:
        settings = self.settings_of(dataset)
        if settings.kind is DatasetKind.TEXT:
            return _load_text(settings)
        if columns:
            return _load_columns(settings, columns, known)
        if not settings.has_features:
            raise Refused("dataset-features", f"dataset {dataset!r} has fields, but no features and label to train on")
        return _load_features(settings, known)

    def _size_of(self, digest: Digest) -> _Size | None:
        """The size of the dataset of that digest; counted once, for what the digest names does not change."""
        name = self.find_by_digest(digest)
        if name is None:
            return None
        if digest not in self._sizes:
            self._sizes[digest] = _measure(self.settings.datasets[name])
        return self._sizes[digest]


def _reading_as_json(settings: DatasetSettings) -> Json:
    """What of the settings decides how the source is read; where it lies and what it is called does not."""
    split: dict[str, Json] = {"split_seed": settings.split_seed, "test_share": to_json(settings.test_share)}
    if settings.kind is DatasetKind.TEXT:
        return {"kind": settings.kind.value, **split}
    return {
        **split,
        "features": to_json(settings.features),
        "label": to_json(settings.label),
        "missing": settings.missing.value,
        "missing_marks": list(settings.missing_marks),
        "rows": to_json(settings.rows),
        **({"subject": settings.subject} if settings.subject else {}),
        **({"fields": to_json(settings.fields)} if settings.fields else {}),
        **({"images": to_json(settings.images)} if settings.images else {}),
        **({"query": settings.query} if settings.query else {}),
    }


def _load_text(settings: DatasetSettings) -> Data:
    documents = read_documents(Path(settings.path))
    test = _test_rows(np.zeros(len(documents)), settings)
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


def _read(settings: DatasetSettings, columns: Sequence[str] | None, known: _Known) -> ColumnFile:
    """Read, and see that a query gives what it gave when it was last looked at: it is read once for each.

    Raises:
        Missing: the rows have changed in between.

    """
    file = read_columns(settings, columns)
    for name, digest in column_digests("features" if columns is None else "fields", file) if known else ():
        if known.get(name, digest) != digest:
            raise Missing("dataset-changed", f"{settings.title!r} has changed while it was read; offer it again")
    return file


def _load_features(settings: DatasetSettings, known: _Known) -> Data:
    """Features and labels of training and held-back rows; each column is let go of as soon as it is copied."""
    file = _read(settings, None, known)
    labels = file.column(LABEL)
    test = _test_rows(labels, settings)
    if settings.images:
        pixels = file.column(PIXELS)
        x, test_x = pixels[~test] / 255, pixels[test] / 255
        names = tuple(f"p{place}" for place in range(settings.images.values))
    else:
        names = tuple(feature.name for feature in settings.features)
        held_back = int(np.count_nonzero(test))
        x, test_x = np.empty((len(labels) - held_back, len(names))), np.empty((held_back, len(names)))
        for place in range(len(names)):
            column = file.column(str(place))
            x[:, place], test_x[:, place] = column[~test], column[test]
    return Data(x=x, y=labels[~test], test_x=test_x, test_y=labels[test], names=names)


def _load_columns(settings: DatasetSettings, columns: Sequence[str], known: _Known) -> Data:
    file = _read(settings, columns, known)
    read = {name: file.column(name) for name in file.dtypes}
    levels = {name: one.levels for name, one in settings.fields.items() if name in read and one.levels}
    table = Table(
        rows=file.rows,
        numbers={name: column for name, column in read.items() if name not in levels},
        categories={name: column for name, column in read.items() if name in levels},
        levels=levels,
    )
    nothing, none = np.zeros((file.rows, 0)), np.zeros(0)
    return ColumnData(x=nothing, y=none, test_x=nothing[:0], test_y=none, names=(), table=table, file=file)


def _measure(settings: DatasetSettings) -> _Size:
    if settings.kind is DatasetKind.TEXT:
        return _Size(len(read_documents(Path(settings.path))), None)
    columns = None if settings.has_features else tuple(settings.fields)
    file = read_columns(settings, columns, subject=True)
    return _Size(file.rows, _distinct(file.column(SUBJECT)) if settings.subject else None)


def _distinct(subjects: npt.NDArray[np.uint64]) -> int:
    """How many subjects there are; rows about nobody known count for none."""
    return int(np.count_nonzero(np.unique(subjects)))


def _test_rows(labels: npt.NDArray[np.float64], settings: DatasetSettings) -> npt.NDArray[np.bool_]:
    """Pick the rows to hold back: of each label, the first share in an order drawn by hashing.

    A hash of seed and row number orders the rows, for it gives the same order in
    every version of every library, which a random generator does not promise.
    """
    test = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        order = np.argsort(
            np.fromiter((_rank(settings, row) for row in rows.tolist()), np.uint64, rows.size), kind="stable"
        )
        test[rows[order[: int(rows.size * settings.test_share)]]] = True
    return test


def _rank(settings: DatasetSettings, row: int) -> int:
    """Eight bytes of the hash, of which ten million rows have no two alike."""
    return int.from_bytes(hashlib.sha256(f"{settings.split_seed}/{row}".encode()).digest()[:8])
