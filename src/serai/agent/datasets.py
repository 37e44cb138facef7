"""What ``zone.toml`` says of a dataset: where it lies, how it is read, what its columns mean."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import PurePath
from typing import Final

from serai.charter.agreements import Term
from serai.zones.descriptions import UNDETERMINED, About, ColumnText, Text
from serai.zones.statements import Column

MAX_FIELDS: Final = 1_024
MAX_LEVELS: Final = 32_767  # a place in the levels is an int16
MAX_SIDE: Final = 4_096  # pixels along one side of an image as it is read
MAX_NAME_CHARS: Final = 128
MAX_TEXT_CHARS: Final = 1_024
IMAGE_FOLDER: Final = "folder"
"""The one column of text that images have: the name of the folder in which each lies."""

_DECIMAL: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


class DatasetKind(StrEnum):
    """What a dataset holds: rows of a table, documents of text, or images in one folder for each label."""

    TABLE = "table"
    TEXT = "text"
    IMAGES = "images"


class Format(StrEnum):
    """How a table is stored."""

    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"
    DUCKDB = "duckdb"
    POSTGRES = "postgres"


_SUFFIXES: Final = {
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".arrow": Format.ARROW,
    ".feather": Format.ARROW,
    ".duckdb": Format.DUCKDB,
}


class FeatureKind(StrEnum):
    """How a column's text becomes a number."""

    NUMBER = "number"


class FieldKind(StrEnum):
    """What a field holds."""

    NUMBER = "number"
    CATEGORY = "category"


class MissingPolicy(StrEnum):
    """What to do with a row that lacks a needed value."""

    DROP = "drop"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFilter:
    """Which rows belong to the dataset: those whose ``column`` equals a text."""

    column: str
    equals: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One input of the model: a number as it stands, or 1 where a column equals a text and 0 elsewhere."""

    name: str
    column: str
    kind: FeatureKind | None = None
    equals: str | None = None

    def __post_init__(self) -> None:
        """Refuse a feature that is neither or both.

        Raises:
            ValueError: not exactly one of ``kind`` and ``equals`` is given.

        """
        if (self.kind is None) == (self.equals is None):
            raise ValueError(f'feature {self.name!r} needs exactly one of kind = "number" and equals = "text"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is predicted: 1 where a column is above a number, or equals a text; 0 elsewhere."""

    column: str
    above: int | None = None
    equals: str | None = None

    def __post_init__(self) -> None:
        """Refuse a label that is neither or both.

        Raises:
            ValueError: not exactly one of ``above`` and ``equals`` is given.

        """
        if (self.above is None) == (self.equals is None):
            raise ValueError("a label needs exactly one of above = 0 and equals = 'text'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column as all members agree to see it, and how this member's own column becomes it.

    Attributes:
        kind: a number, or a category.
        column: this member's name for it; the field's own name if empty.
        unit: of the numbers, after ``factor`` and ``offset``; all members use the same.
        description: what it means, for people.
        low: the least plausible number, as a decimal; public, like ``high``. Empty if none is known.
        high: the greatest.
        factor: what a cell's number is multiplied by, before ``offset`` is added.
        offset: what is added to it.
        levels: what the category can be, in the order that all members share.
        codes: this member's texts for them; a cell holds a code or a level.

    """

    kind: FieldKind
    column: str = ""
    unit: str = ""
    description: str = ""
    low: str = ""
    high: str = ""
    factor: str = "1"
    offset: str = "0"
    levels: tuple[str, ...] = ()
    codes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a field that mixes the two kinds, or that no cell could be read as.

        Raises:
            ValueError: the message says what is wrong.

        """
        if self.kind is FieldKind.NUMBER:
            self._check_number()
        else:
            self._check_category()

    def _check_number(self) -> None:
        if self.levels or self.codes:
            raise ValueError("a number has no levels and no codes")
        for name in ("low", "high", "factor", "offset"):
            text = getattr(self, name)
            if not _DECIMAL.fullmatch(text) and not (text == "" and name in {"low", "high"}):
                raise ValueError(f'{name} must be a decimal in quotes such as "0.5", got {text!r}')
        if Fraction(self.factor) == 0:
            raise ValueError("factor must not be 0")
        if self.low and self.high and Fraction(self.low) >= Fraction(self.high):
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")

    def _check_category(self) -> None:
        if self.unit or self.low or self.high or (self.factor, self.offset) != ("1", "0"):
            raise ValueError("a category has no unit, low, high, factor or offset")
        if not 1 <= len(self.levels) <= MAX_LEVELS or len(set(self.levels)) != len(self.levels):
            raise ValueError(f"a category needs 1 to {MAX_LEVELS} levels, each once")
        if bent := [text for text in (*self.levels, *self.codes) if text != text.strip() or len(text) > MAX_TEXT_CHARS]:
            raise ValueError(f"a level or code has no space around it and is not long, got {bent[0][:80]!r}")
        if strange := [level for level in self.codes.values() if level not in self.levels]:
            raise ValueError(f"codes lead to {strange[0]!r}, which is no level; the levels are {_shown(self.levels)}")
        if twice := [code for code, level in self.codes.items() if code in self.levels and code != level]:
            raise ValueError(f"{twice[0]!r} is a level and also a code for another")

    @property
    def places(self) -> dict[str, int]:
        """The place among the levels of each text that a cell may hold."""
        place = {level: number for number, level in enumerate(self.levels)}
        return {**place, **{code: place[level] for code, level in self.codes.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNote:
    """What the steward says about a column to those who will never see it."""

    unit: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextNote:
    """What the steward says about a dataset in one more language; ``columns`` by their names."""

    title: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """How images become numbers: each channel of each pixel is a feature from 0 to 1, row by row.

    Attributes:
        width: pixels.
        height: pixels.
        color: three channels (red, green, blue) instead of one.
        resize: whether images of another size are scaled; they are refused otherwise.

    """

    width: int
    height: int
    color: bool = False
    resize: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that no image has.

        Raises:
            ValueError: a side is not from 1 to 4096 pixels.

        """
        for side in (self.width, self.height):
            if not 1 <= side <= MAX_SIDE:
                raise ValueError(f"width and height must be from 1 to {MAX_SIDE} pixels, got {side}")

    @property
    def values(self) -> int:
        """Numbers that an image becomes."""
        return self.width * self.height * (3 if self.color else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSettings:
    """One dataset that the zone may work on, and how it is read.

    Attributes:
        path: the file, or the folder of documents or images; absolute once the settings are loaded.
        kind: a text has documents for rows, and neither features, label, fields nor columns.
        format: how a table is stored; by the path's suffix if left out, and CSV where that says nothing.
        query: one SELECT, of a database; its order is part of the dataset, so end it with ORDER BY over a key.
        service: of PostgreSQL: the section of ``service_file`` that says where the database is.
        service_file: in the form of ``pg_service.conf``; only this user may read it.
        fields: columns as all members agree to see them, for recipes that read columns.
        images: how images become numbers.
        rows: only rows that pass this filter belong to the dataset.
        missing: what to do with a row that lacks a value of a feature or the label; in a field it is just missing.
        missing_marks: cell texts that mean "not known", such as ``""`` or ``"?"``.
        test_share: this share of the rows of each label, or of the documents, is held back for evaluation.
        split_seed: picks which rows are held back.
        jurisdiction: where the data lies; the zone's own where empty.
        columns: what the steward says of columns that features and label use.
        terms: what the steward offers it for.
        subject: the column that tells whom a row is about, such as a patient's number; no recipe sees it.
        language: BCP 47 tag of title, description and columns.
        keywords: words to find it by, in that language.
        texts: the same in other languages, by BCP 47 tag.
        creator: who made the data, where that is not the member.
        contact: where to ask for an agreement, as ``https:`` or ``mailto:``.
        license: SPDX identifier or ``https:`` address, where the data have a licence.

    """

    title: str
    path: str = ""
    kind: DatasetKind = DatasetKind.TABLE
    format: Format | None = None
    query: str = ""
    service: str = ""
    service_file: str = "pg_service.conf"
    features: tuple[Feature, ...] = ()
    label: Label | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    images: Images | None = None
    description: str = ""
    rows: RowFilter | None = None
    missing: MissingPolicy = MissingPolicy.REFUSE
    missing_marks: tuple[str, ...] = ("",)
    test_share: Fraction = Fraction(1, 3)
    split_seed: int = 0
    jurisdiction: str = ""
    columns: Mapping[str, ColumnNote] = field(default_factory=dict)
    terms: tuple[Term, ...] = ()
    subject: str = ""
    language: str = ""
    keywords: tuple[str, ...] = ()
    texts: Mapping[str, TextNote] = field(default_factory=dict)
    creator: str = ""
    contact: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        """Refuse what could not be read.

        Raises:
            ValueError: the message says which settings do not go together.

        """
        if not 0 <= self.test_share < 1:
            raise ValueError(f"test_share must be at least 0 and below 1, got {self.test_share}")
        _check_source(self)
        match self.kind:
            case DatasetKind.TEXT:
                if self.features or self.label or self.fields or self.rows or self.columns or self.subject:
                    raise ValueError(
                        "a text has documents for rows; leave out features, label, fields, rows, columns and subject"
                    )
            case DatasetKind.IMAGES:
                _check_images(self)
            case DatasetKind.TABLE:
                _check_table(self)

    @property
    def stored_as(self) -> Format:
        """How a table is stored."""
        return self.format or _SUFFIXES.get(PurePath(self.path).suffix.lower(), Format.CSV)

    @property
    def has_features(self) -> bool:
        """Whether it can be trained on: it has features and a label, or is images or text."""
        return self.label is not None or self.kind is not DatasetKind.TABLE

    @property
    def used_columns(self) -> tuple[str, ...]:
        """The columns that features and label read, each once, in order of first use."""
        labels = [self.label.column] if self.label else []
        return tuple(dict.fromkeys([*(feature.column for feature in self.features), *labels]))

    @property
    def table_columns(self) -> tuple[str, ...]:
        """What a recipe that reads columns may name: fields, or, where there are none, features and the label."""
        if self.fields or self.kind is not DatasetKind.TABLE:
            return tuple(self.fields)
        labels = [self.label.column] if self.label else []
        return tuple(dict.fromkeys([*(feature.name for feature in self.features), *labels]))


def described_columns(settings: DatasetSettings) -> tuple[Column, ...]:
    """The columns as an offer describes them: the fields, then what features and label use beside them.

    A text has one, of documents; an offer describes at least one column (``zones 1``).
    """
    if settings.kind is DatasetKind.TEXT:
        return (Column(name="text", kind="text", unit="", description="one document in each row"),)
    used = [name for name in settings.used_columns if name not in settings.fields]
    return (*_described_fields(settings), *(_described(settings, name) for name in used))


def described_about(settings: DatasetSettings) -> About | None:
    """What catalogs ask of an offer beside its columns; None if the settings say nothing of it."""
    about = About(
        language=settings.language,
        keywords=settings.keywords,
        texts={tag: _text(note) for tag, note in settings.texts.items()},
        creator=settings.creator,
        contact=settings.contact,
        license=settings.license,
    )
    if about == About(language=""):
        return None
    return about if about.language else replace(about, language=UNDETERMINED)


def _text(note: TextNote) -> Text:
    columns = tuple(ColumnText(name=name, description=text) for name, text in note.columns.items())
    return Text(title=note.title, description=note.description, keywords=note.keywords, columns=columns)


def _described_fields(settings: DatasetSettings) -> Iterator[Column]:
    for name, one in settings.fields.items():
        yield Column(
            name=name,
            kind=one.kind.value,
            unit=one.unit,
            description=one.description,
            levels=one.levels,
            low=one.low,
            high=one.high,
        )


def _described(settings: DatasetSettings, name: str) -> Column:
    numbers = {feature.column for feature in settings.features if feature.kind}
    if settings.label and settings.label.above is not None:
        numbers.add(settings.label.column)
    note = settings.columns.get(name, ColumnNote())
    kind = FieldKind.NUMBER if name in numbers else FieldKind.CATEGORY
    return Column(name=name, kind=kind.value, unit=note.unit, description=note.description)


def _check_source(settings: DatasetSettings) -> None:
    is_table = settings.kind is DatasetKind.TABLE
    stored = settings.stored_as if is_table else None
    if "\0" in settings.path + settings.query + settings.service + settings.service_file:
        raise ValueError("path, query and service are texts without the character U+0000")
    if settings.format and not is_table:
        raise ValueError("format says how a table is stored; leave it out")
    if settings.query and stored not in {Format.DUCKDB, Format.POSTGRES}:
        raise ValueError('query is for databases: give format = "duckdb" or "postgres"')
    if stored in {Format.DUCKDB, Format.POSTGRES} and not settings.query:
        raise ValueError("a database needs query, one SELECT whose rows are the dataset")
    if (stored is Format.POSTGRES) != bool(settings.service):
        raise ValueError('format = "postgres" needs service, a section of service_file; nothing else has one')
    if (stored is Format.POSTGRES) == bool(settings.path):
        raise ValueError("a dataset needs path, unless it lies in PostgreSQL, which has none")


def _check_images(settings: DatasetSettings) -> None:
    if settings.images is None:
        raise ValueError("images need their size: images = {width = 28, height = 28}")
    if settings.features or settings.rows or settings.columns or settings.subject:
        raise ValueError("images have pixels for features; leave out features, rows, columns and subject")
    if settings.label is None or (settings.label.column, settings.label.above) != (IMAGE_FOLDER, None):
        raise ValueError('images need label = {column = "folder", equals = "the folder of those that count as 1"}')
    if strange := [name for name, one in settings.fields.items() if (one.column or name) != IMAGE_FOLDER]:
        raise ValueError(f"fields.{strange[0]} reads a column that images have not; they have {IMAGE_FOLDER!r}")
    if any(one.kind is FieldKind.NUMBER for one in settings.fields.values()):
        raise ValueError("the folder of an image is a category, not a number")


def _check_table(settings: DatasetSettings) -> None:
    if settings.images is not None:
        raise ValueError('images is for kind = "images"')
    if (settings.label is None) != (not settings.features) or not (settings.features or settings.fields):
        raise ValueError("a table needs a label, which is predicted, and features; or fields")
    names = [feature.name for feature in settings.features]
    if len(set(names)) != len(names):
        raise ValueError(f"a dataset's features need distinct names, got {names}")
    if len(settings.fields) > MAX_FIELDS:
        raise ValueError(f"a dataset has at most {MAX_FIELDS} fields, got {len(settings.fields)}")
    if bent := [name for name in settings.fields if not (1 <= len(name) <= MAX_NAME_CHARS and name.isprintable())]:
        raise ValueError(f"a field's name has 1 to {MAX_NAME_CHARS} printable characters, got {bent[0][:80]!r}")
    if unused := sorted(set(settings.columns) - set(settings.used_columns)):
        raise ValueError(f"columns.{unused[0]} describes a column that no feature or label uses")


def _shown(texts: tuple[str, ...]) -> str:
    return ", ".join(texts[:20])
