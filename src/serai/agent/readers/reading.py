"""What becomes of a source's columns: numbers, places among levels, 0 or 1, subjects; row by row, or none of a row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.agent.datasets import DatasetSettings, Feature, Field, FieldKind, Label, MissingPolicy, RowFilter
from serai.agent.readers.cells import Batch, Marks
from serai.errors import Malformed, Refused

MAX_ROWS: Final = 1 << 28  # a column's stretch of a file in memory is 2 GiB
MAX_CELLS: Final = 1 << 28  # 2 GiB of float64

LABEL: Final = "\0label"  # no column that anybody names has such a name
SUBJECT: Final = "\0subject"
PIXELS: Final = "\0pixels"

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Number:
    """Numbers, on the scale that members share."""

    column: str
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Category:
    """Places among levels."""

    column: str
    places: Mapping[str, int]
    levels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flag:
    """1 where a cell equals a text, or is above a number; 0 elsewhere."""

    column: str
    equals: str = ""
    above: int | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A hash of whom a row is about."""

    column: str


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image, ``(values,) uint8``."""

    values: int


Part: TypeAlias = Number | Category | Flag | Subject | Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is to be read of a dataset.

    Attributes:
        parts: what to make, by name.
        rows: which rows belong to the dataset.
        complete: columns whose value no row may lack.
        drop: whether a row that lacks one is left out; it is an error otherwise.
        marks: cell texts that mean "not known".

    """

    parts: Mapping[str, Part]
    rows: RowFilter | None = None
    complete: tuple[str, ...] = ()
    drop: bool = False
    marks: Marks = field(default_factory=lambda: frozenset([None]))

    @property
    def columns(self) -> tuple[str, ...]:
        """The source's columns that this needs, each once."""
        filtered = [self.rows.column] if self.rows else []
        read = [part.column for part in self.parts.values() if not isinstance(part, Pixels)]
        return tuple(dict.fromkeys([*read, *self.complete, *filtered]))

    @property
    def dtypes(self) -> dict[str, str]:
        """What each part is made of, as numpy writes it."""
        return {name: dtype_of(part) for name, part in self.parts.items()}


def dtype_of(part: Part) -> str:
    """The type of a part's values."""
    match part:
        case Number() | Flag():
            return "<f8"
        case Category():
            return "<i2"
        case Subject():
            return "<u8"
        case Pixels():
            return f"({part.values},)u1"


def reading_of(settings: DatasetSettings, columns: Sequence[str] | None, *, subject: bool) -> Reading:
    """What is to be read of a dataset, by its settings.

    Args:
        settings: the dataset's.
        columns: which columns of all rows; None for features by their place, pixels and the label, of complete rows.
        subject: with ``columns``, whether the hashes of subjects are wanted too.

    Raises:
        Refused: the dataset has no such column.

    """
    return _training_reading(settings) if columns is None else _table_reading(settings, columns, subject=subject)


def _training_reading(settings: DatasetSettings) -> Reading:
    """Features and label, and the subject where a column tells; complete rows only."""
    assert settings.label is not None, "a dataset to train on has a label"
    parts: dict[str, Part] = {str(number): _of_feature(one) for number, one in enumerate(settings.features)}
    parts[LABEL] = _of_label(settings.label)
    if settings.images:
        parts[PIXELS] = Pixels(settings.images.values)
    return _reading(settings, {**parts, **_of_subject(settings)}, complete=True)


def _table_reading(settings: DatasetSettings, columns: Sequence[str], *, subject: bool) -> Reading:
    """Named columns: fields, where the dataset has any, else features by name and the label."""
    found: dict[str, Part] = {name: _of_field(name, one) for name, one in settings.fields.items()}
    if not found:
        found = {feature.name: _of_feature(feature) for feature in settings.features}
        if settings.label is not None:
            found.setdefault(settings.label.column, _of_label(settings.label))
    if lacking := [name for name in columns if name not in found]:
        known = ", ".join(sorted(found)[:40]) or "none"
        raise Refused("column", f"the dataset has no column {lacking[0]!r}; it has {known}")
    parts = {name: found[name] for name in columns} | (_of_subject(settings) if subject else {})
    return _reading(settings, parts, complete=not settings.fields)


def read_parts(batches: Iterable[Batch], reading: Reading) -> Iterator[list[Array]]:
    """The parts of a dataset, some rows at a time, in the order of ``reading.parts``.

    Raises:
        Malformed: a cell is not what it should be, a value is missing that may not be, or there is too much.
        Misconfigured, Malformed: as the reader of the batches.

    """
    rows = 0
    for batch in batches:
        kept = _belonging(batch, reading)
        if kept.rows:
            arrays = _converted(kept, reading)
            rows += kept.rows
            if rows > MAX_ROWS or rows * len(reading.parts) > MAX_CELLS:
                raise Malformed(
                    "dataset-too-large",
                    f"{kept.place(kept.rows - 1)}: more than {MAX_CELLS} cells; read a part of it, or fewer columns",
                )
            yield arrays


def _reading(settings: DatasetSettings, parts: Mapping[str, Part], *, complete: bool) -> Reading:
    return Reading(
        parts=parts,
        rows=settings.rows,
        complete=settings.used_columns if complete else (),
        drop=settings.missing is MissingPolicy.DROP,
        marks=frozenset([*settings.missing_marks, None]),
    )


def _of_feature(feature: Feature) -> Part:
    return Number(feature.column) if feature.equals is None else Flag(feature.column, feature.equals)


def _of_label(label: Label) -> Part:
    return Flag(label.column, label.equals or "", label.above)


def _of_field(name: str, one: Field) -> Part:
    column = one.column or name
    if one.kind is FieldKind.NUMBER:
        return Number(column, float(one.factor), float(one.offset))
    return Category(column, one.places, one.levels)


def _of_subject(settings: DatasetSettings) -> dict[str, Part]:
    return {SUBJECT: Subject(settings.subject)} if settings.subject else {}


def _belonging(batch: Batch, reading: Reading) -> Batch:
    """The rows of the dataset, without those that are to be left out."""
    if reading.rows:
        batch = batch.take(batch.columns[reading.rows.column].equal(reading.rows.equals))
    if reading.drop and batch.rows:
        lacking = [batch.columns[name].lacking(reading.marks) for name in reading.complete]
        if lacking:
            batch = batch.take(~np.logical_or.reduce(lacking))
    return batch


def _converted(batch: Batch, reading: Reading) -> list[Array]:
    """A batch's parts; of all that is wrong in it, what stands first is named."""
    wrong: list[tuple[int, int, Malformed]] = []
    if not reading.drop:
        for number, name in enumerate(reading.complete, -len(reading.complete)):
            lacking = np.flatnonzero(batch.columns[name].lacking(reading.marks))
            if lacking.size:
                wrong.append((int(lacking[0]), number, _missing(batch, int(lacking[0]), name)))
    arrays: list[Array] = []
    for number, part in enumerate(reading.parts.values()):
        array, row = _made(batch, part, reading.marks)
        arrays.append(array)
        if row is not None:
            wrong.append((row, number, _no_value(batch, row, part)))
    if wrong:
        raise min(wrong, key=lambda found: found[:2])[2]
    return arrays


def _made(batch: Batch, part: Part, marks: Marks) -> tuple[Array, int | None]:
    """An array, and the first row whose cell cannot be read as its part."""
    if isinstance(part, Pixels):
        assert batch.pixels is not None, "images have pixels"
        return batch.pixels, None
    cells = batch.columns[part.column]
    match part:
        case Number():
            values, wrong = cells.numbers(marks)
            return _scaled(values, part, wrong)
        case Category():
            return cells.places(part.places, marks)
        case Flag(above=int(above)):
            values, wrong = cells.numbers(marks)
            return (values > above).astype(np.float64), wrong
        case Flag():
            return cells.equal(part.equals).astype(np.float64), None
        case Subject():
            return cells.subjects(marks), None


def _scaled(values: npt.NDArray[np.float64], part: Number, wrong: int | None) -> tuple[Array, int | None]:
    """Numbers on the members' scale; one that becomes infinite there is as wrong as a text."""
    if wrong is not None or (part.factor, part.offset) == (1.0, 0.0):
        return values, wrong
    with np.errstate(over="ignore"):
        scaled = values * part.factor + part.offset
    beyond = np.flatnonzero(np.isinf(scaled))
    return scaled, int(beyond[0]) if beyond.size else None


def _missing(batch: Batch, row: int, column: str) -> Malformed:
    return Malformed(
        "dataset-missing-value",
        f"{batch.place(row)}, column {column!r}: the value is missing; "
        'fill it in, or set missing = "drop" to leave such rows out',
    )


def _no_value(batch: Batch, row: int, part: Part) -> Malformed:
    assert not isinstance(part, Pixels), "an image that cannot be read was refused by its reader"
    where, shown = f"{batch.place(row)}, column {part.column!r}", batch.columns[part.column].shown(row)
    if isinstance(part, Category):
        levels = ", ".join(part.levels[:20])
        return Malformed(
            "dataset-level",
            f"{where}: expected one of the levels {levels}, or a code for one, got {shown}; "
            "correct the cell, or name this text in codes or missing_marks",
        )
    return Malformed(
        "dataset-number",
        f"{where}: expected a finite number, got {shown}; correct the cell, or name this text in missing_marks",
    )
