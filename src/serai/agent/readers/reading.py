"""What becomes of a source's columns: numbers, places among levels, 0 or 1, subjects; row by row, or none of a row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from serai.agent.datasets import DatasetSettings, Feature, Field, FieldKind, Label, MissingPolicy, RowFilter
from serai.agent.readers.cells import Batch, Marks
from serai.errors import Malformed, Refused

MAX_ROWS: Final = 1 << 28  # a column's stretch of a file in memory is 2 GiB
MAX_CELLS: Final = 1 << 28  # 2 GiB of float64

FEATURES: Final = "\0features"  # no column that anybody names has such a name
LABEL: Final = "\0label"
SUBJECT: Final = "\0subject"

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
class Features:
    """What a model is trained on, side by side: one number a feature, ``(features,) float64`` in each row."""

    parts: tuple[Number | Flag, ...]


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image as features: each channel of each pixel from 0 to 1, ``(values,) float64``."""

    values: int


Cell: TypeAlias = Number | Category | Flag | Subject
Part: TypeAlias = Cell | Features | Pixels


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
        read = (cell.column for part in self.parts.values() for cell in _cells_of(part))
        return tuple(dict.fromkeys([*read, *self.complete, *filtered]))

    @property
    def dtypes(self) -> dict[str, str]:
        """What each part is made of, as numpy writes it."""
        return {name: _dtype(part) for name, part in self.parts.items()}

    @property
    def has_pixels(self) -> bool:
        """Whether images are to be opened."""
        return any(isinstance(part, Pixels) for part in self.parts.values())

    def only(self, name: str) -> "Reading":
        """The same rows, and of what is made of them one part."""
        return replace(self, parts={name: self.parts[name]})


def reading_of(settings: DatasetSettings, columns: Sequence[str] | None, *, subject: bool) -> Reading:
    """What is to be read of a dataset, by its settings.

    Args:
        settings: the dataset's.
        columns: which columns of all rows; None for features and label, of complete rows.
        subject: whether the hashes of subjects are wanted too.

    Raises:
        Refused: the dataset has no such column.

    """
    parts = _training_parts(settings) if columns is None else _table_parts(settings, columns)
    if subject and settings.subject:
        parts[SUBJECT] = Subject(settings.subject)
    return Reading(
        parts=parts,
        rows=settings.rows,
        complete=settings.used_columns if columns is None or not settings.fields else (),
        drop=settings.missing is MissingPolicy.DROP,
        marks=frozenset([*settings.missing_marks, None]),
    )


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
            if rows > MAX_ROWS or sum(array.size for array in arrays) // kept.rows * rows > MAX_CELLS:
                raise Malformed(
                    "dataset-too-large",
                    f"{kept.place(kept.rows - 1)}: more than {MAX_CELLS} cells; read a part of it, or fewer columns",
                )
            yield arrays


def _training_parts(settings: DatasetSettings) -> dict[str, Part]:
    assert settings.label is not None, "a dataset to train on has a label"
    features = Features(tuple(map(_of_feature, settings.features)))
    return {
        FEATURES: Pixels(settings.images.values) if settings.images else features,
        LABEL: _of_label(settings.label),
    }


def _table_parts(settings: DatasetSettings, columns: Sequence[str]) -> dict[str, Part]:
    """Named columns: fields, where the dataset has any, else features by name and the label."""
    found: dict[str, Part] = {name: _of_field(name, one) for name, one in settings.fields.items()}
    if not found:
        found = {feature.name: _of_feature(feature) for feature in settings.features}
        if settings.label is not None:
            found.setdefault(settings.label.column, _of_label(settings.label))
    if lacking := [name for name in columns if name not in found]:
        known = ", ".join(sorted(found)[:40]) or "none"
        raise Refused("column", f"the dataset has no column {lacking[0]!r}; it has {known}")
    return {name: found[name] for name in columns}


def _of_feature(feature: Feature) -> Number | Flag:
    return Number(feature.column) if feature.equals is None else Flag(feature.column, feature.equals)


def _of_label(label: Label) -> Flag:
    return Flag(label.column, label.equals or "", label.above)


def _of_field(name: str, one: Field) -> Number | Category:
    column = one.column or name
    if one.kind is FieldKind.NUMBER:
        return Number(column, float(one.factor), float(one.offset))
    return Category(column, one.places, one.levels)


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
        for name in reading.complete:
            lacking = np.flatnonzero(batch.columns[name].lacking(reading.marks))
            if lacking.size:
                wrong.append((int(lacking[0]), len(wrong), _missing(batch, int(lacking[0]), name)))
    arrays: list[Array] = []
    for part in reading.parts.values():
        made = [_made(batch, cell, reading.marks) for cell in _cells_of(part)]
        for cell, (_, row) in zip(_cells_of(part), made, strict=True):
            if row is not None:
                wrong.append((row, len(wrong), _no_value(batch, row, cell)))
        if not wrong:
            arrays.append(_joined(batch, part, [array for array, _ in made]))
    if wrong:
        raise min(wrong, key=lambda found: found[:2])[2]
    return arrays


def _cells_of(part: Part) -> tuple[Cell, ...]:
    """The columns of cells that a part is made of."""
    match part:
        case Features():
            return part.parts
        case Pixels():
            return ()
        case _:
            return (part,)


def _joined(batch: Batch, part: Part, columns: list[Array]) -> Array:
    """A part, out of its columns or of images."""
    match part:
        case Features():
            return np.column_stack(columns)
        case Pixels():
            assert batch.pixels is not None, "images have pixels"
            return batch.pixels / 255
        case _:
            return columns[0]


def _dtype(part: Part) -> str:
    match part:
        case Number() | Flag():
            return "<f8"
        case Category():
            return "<i2"
        case Subject():
            return "<u8"
        case Features():
            return f"({len(part.parts)},)<f8"
        case Pixels():
            return f"({part.values},)<f8"


def _made(batch: Batch, part: Cell, marks: Marks) -> tuple[Array, int | None]:
    """An array, and the first row whose cell cannot be read as its part."""
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


def _no_value(batch: Batch, row: int, part: Cell) -> Malformed:
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
