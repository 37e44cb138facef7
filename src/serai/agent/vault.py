"""The zone's own data: tables, texts and images turned into arrays in memory, and nowhere else.

Nothing here writes a file: what a run sees of a dataset lives in the memory of
the run and dies with it. The split into training and test rows depends only on
the order of the rows in the source and on the seed in the settings, so every
run of a member sees the same split and no test row is ever trained on.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.agent.datasets import DatasetKind, DatasetSettings
from serai.agent.readers.column_file import table_data, training_data
from serai.agent.readers.reading import SUBJECT
from serai.agent.readers.sources import column_digests, read_columns, read_training, source_digest
from serai.agent.readers.split import choose_test_rows
from serai.agent.settings import ZoneSettings
from serai.agent.text import join_documents, read_documents
from serai.errors import Malformed, Misconfigured, Missing, Refused
from serai.kernel.canonical import Json, canonical
from serai.kernel.ids import Digest, digest_of
from serai.kernel.records import to_json
from serai.training.methods import Data

QUERY_TRUST_S: Final = 600  # a zone is asked again and again; a database should not be read for each question

_Known: TypeAlias = Mapping[str, Json]
"""Digests of the columns that a query gave when its dataset was last named by a digest."""


@dataclass(frozen=True, slots=True)
class _Size:
    """How many rows can be used, and how many subjects they are about; None where no column tells."""

    rows: int
    subjects: int | None


@dataclass(frozen=True, slots=True)
class Vault:
    """Opens the datasets that the settings name.

    Attributes:
        settings: of the zone.
        clock: seconds that only grow.

    """

    settings: ZoneSettings
    clock: Callable[[], float] = time.monotonic
    _sizes: dict[Digest, _Size] = field(default_factory=dict, init=False, repr=False, compare=False)
    _columns: dict[Digest, _Known] = field(default_factory=dict, init=False, repr=False, compare=False)
    _looked: dict[str, tuple[float, Digest]] = field(default_factory=dict, init=False, repr=False, compare=False)

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
            self._looked[dataset] = (self.clock(), digest)
        return digest

    def find_by_digest(self, digest: Digest) -> str | None:
        """The name of the dataset whose digest this is now; None if none is, or its source is gone."""
        for name in self.settings.datasets:
            with contextlib.suppress(Misconfigured, Malformed):  # of a query, which may fail today
                if self._recent_digest(name) == digest:
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
        try:
            return self._load(name, columns, self._columns.get(digest, {}))
        except Missing:
            self._looked.pop(name, None)  # the next question reads the query anew
            raise

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
        file, held_back = read_training(settings, subject=True)
        subjects = file.column(SUBJECT)
        return _distinct(subjects[: file.rows - held_back]), _distinct(subjects[file.rows - held_back :])

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

    def _recent_digest(self, dataset: str) -> Digest:
        """Its digest; of a query, that of some minutes ago, for its rows are compared again whenever they are used."""
        looked_s, digest = self._looked.get(dataset, (-math.inf, None))
        return digest if digest and self.clock() - looked_s < QUERY_TRUST_S else self.digest(dataset)

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
    test = choose_test_rows(np.zeros(len(documents), np.int8), settings)
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


def _load_features(settings: DatasetSettings, known: _Known) -> Data:
    file, held_back = read_training(settings)
    _check_unchanged(settings, column_digests("features", file), known)
    values = settings.images.values if settings.images else 0
    names = tuple(f"p{place}" for place in range(values)) or tuple(feature.name for feature in settings.features)
    return training_data(file, held_back, names)


def _load_columns(settings: DatasetSettings, columns: Sequence[str], known: _Known) -> Data:
    file = read_columns(settings, columns)
    _check_unchanged(settings, column_digests("columns", file), known)
    fields = settings.fields
    return table_data(file, {name: fields[name].levels for name in columns if name in fields and fields[name].levels})


def _check_unchanged(settings: DatasetSettings, found: Iterable[tuple[str, Json]], known: _Known) -> None:
    """See that a query gives what it gave when its digest was taken, however long ago.

    Raises:
        Missing: the rows have changed in between.

    """
    if known and any(known.get(name) != digest for name, digest in found):
        raise Missing("dataset-changed", f"{settings.title!r} has changed since it was looked at; offer it again")


def _measure(settings: DatasetSettings) -> _Size:
    if settings.kind is DatasetKind.TEXT:
        return _Size(len(read_documents(Path(settings.path))), None)
    if settings.has_features:
        file = read_training(settings, subject=True).file
    else:
        file = read_columns(settings, tuple(settings.fields), subject=True)
    return _Size(file.rows, _distinct(file.column(SUBJECT)) if settings.subject else None)


def _distinct(subjects: npt.NDArray[np.uint64]) -> int:
    """How many subjects there are; rows about nobody known count for none."""
    return int(np.count_nonzero(np.unique(subjects)))
