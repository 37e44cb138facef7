"""Every source of tables keeps one contract: the same cells give the same numbers, or the same refusal with its place."""

import csv
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from serai.agent.datasets import (
    DatasetSettings,
    Feature,
    FeatureKind,
    Field,
    FieldKind,
    Format,
    Label,
    MissingPolicy,
    RowFilter,
)
from serai.agent.readers.cells import NOBODY
from serai.agent.readers.reading import SUBJECT
from serai.agent.readers.sources import read_columns
from serai.agent.settings import ZoneSettings
from serai.agent.vault import QUERY_TRUST_S, Vault
from serai.errors import Malformed, Misconfigured, Missing
from serai.kernel.ids import MemberId

SOURCES = ("csv", "parquet", "duckdb", "postgres")
FIELDS = {
    "age": Field(kind=FieldKind.NUMBER, column="Alter", unit="a", low="0", high="120"),
    "weight": Field(kind=FieldKind.NUMBER, unit="kg", factor="0.5", offset="1"),
    "sex": Field(kind=FieldKind.CATEGORY, levels=("female", "male"), codes={"1": "female", "2": "male"}),
    "smokes": Field(kind=FieldKind.CATEGORY, levels=("no", "yes"), codes={"true": "yes", "false": "no"}),
}
ROWS = [
    # Alter, weight, sex, smokes, site, who
    (61, 80.25, "1", True, "A", "p1"),
    (None, 1e-3, "female", False, "A", "p1"),
    (40, None, "2", None, "B", "p2"),
    (33, -2.0, None, True, "A", None),
]
NAMES = ("Alter", "weight", "sex", "smokes", "site", "who")


def write(kind, folder, rows, postgres):
    """A dataset's settings with its source written; None for what a cell lacks."""
    columns = dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True))
    path = folder / f"rows.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as file:
            shown = [[str(cell).lower() if isinstance(cell, bool) else cell for cell in row] for row in rows]
            csv.writer(file).writerows([NAMES, *shown])
        return {"path": str(path)}
    pa = pytest.importorskip("pyarrow")
    table = pa.table(columns)
    if kind == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(table, path, row_group_size=max(2, len(rows) // 3))
    elif kind in {"arrow", "stream"}:
        new = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema) as writer:
            writer.write_table(table, 3)
        return {"path": str(path), "format": Format.ARROW}
    elif kind == "duckdb":
        duckdb = pytest.importorskip("duckdb")
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            connection.register("given", table)
            connection.execute("create table t as select * from given")
        return {"path": str(path), "query": "select * from t"}
    else:
        sql(postgres, table)
        query = 'select "Alter", weight, sex, smokes, site, who from t order by place'
        return {"format": Format.POSTGRES, "service": "clinic", "service_file": str(postgres), "query": query}
    return {"path": str(path)}


def sql(service, table):
    psycopg = pytest.importorskip("psycopg")
    host = service.parent
    password = next(line for line in service.read_text().splitlines() if line.startswith("password=")).partition("=")[2]
    with psycopg.connect(host=str(host), user="steward", dbname="postgres", password=password) as connection:
        connection.execute("drop table if exists t")
        connection.execute(
            'create table t (place serial, "Alter" int, weight double precision, sex text, smokes boolean, '
            "site text, who text)"
        )
        with connection.cursor() as cursor:
            rows = [tuple(row.values()) for row in table.to_pylist()]
            cursor.executemany(
                'insert into t ("Alter", weight, sex, smokes, site, who) values (%s,%s,%s,%s,%s,%s)', rows
            )


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.slow] if name in {"duckdb", "postgres"} else []) for name in SOURCES]
)
def source(request, tmp_path):
    """Writes rows to one kind of source and gives the settings that read them."""
    postgres = request.getfixturevalue("postgres") if request.param == "postgres" else None

    def settings(cells=ROWS, **others):
        given = {"fields": FIELDS, "subject": "who", **others}
        return DatasetSettings(title="t", **write(request.param, tmp_path, cells, postgres), **given)

    return settings


def vault_of(settings, folder):
    return Vault(
        ZoneSettings(
            home=folder,
            member=MemberId("bern"),
            name="",
            jurisdiction="CH",
            center_url="",
            genesis=None,
            max_staleness_s=1,
            policy=(),
            legal=(),
            datasets={"rows": settings},
        )
    )


def test_the_same_cells_give_the_same_columns(source):
    file = read_columns(source(), tuple(FIELDS), subject=True)

    assert file.rows == 4
    assert np.array_equal(file.column("age"), [61, np.nan, 40, 33], equal_nan=True)
    assert np.array_equal(file.column("weight"), [41.125, 1.0005, np.nan, 0.0], equal_nan=True)
    assert file.column("sex").tolist() == [0, 0, 1, -1]
    assert file.column("smokes").tolist() == [1, 0, -1, 1]


def test_subjects_and_filters_mean_the_same(source):
    file = read_columns(source(rows=RowFilter(column="site", equals="A")), (), subject=True)
    one, same, nobody = file.column(SUBJECT).tolist()
    assert one == same != nobody == NOBODY


def test_features_are_of_complete_rows(source, tmp_path):
    features = (
        Feature(name="age", column="Alter", kind=FeatureKind.NUMBER),
        Feature(name="woman", column="sex", equals="1"),
    )
    settings = source(
        fields={},
        features=features,
        label=Label(column="weight", above=0),
        missing=MissingPolicy.DROP,
        test_share=Fraction(0),
    )
    data = vault_of(settings, tmp_path).load("rows")
    assert data.x.tolist() == [[61.0, 1.0]]
    assert data.y.tolist() == [1.0]


def test_the_first_cell_that_is_neither_level_nor_code_is_named_by_its_place(source):
    settings = source([*ROWS, (1, 2.0, "x", True, "A", "p"), (1, 2.0, "y", True, "A", "p")])
    with pytest.raises(Malformed, match=r"(line 6|row 5), column 'sex': expected one of the levels .*got 'x'"):
        read_columns(settings, tuple(FIELDS))


def test_a_column_that_the_source_lacks_is_named_with_those_it_has(source):
    settings = source(fields={**FIELDS, "height": Field(kind=FieldKind.NUMBER)})
    with pytest.raises(Misconfigured, match=r"column 'height' is missing; the header has Alter, weight"):
        read_columns(settings, ("height",))


def test_more_rows_than_a_batch_has_come_in_order(source):
    count = 20_000 if source().stored_as is Format.POSTGRES else 70_000  # more than a batch of each reader
    rows = [(1, float(number), "1", True, "A", "p") for number in range(count)]
    assert np.array_equal(read_columns(source(rows), ("weight",)).column("weight"), np.arange(count) * 0.5 + 1)


def test_what_was_offered_is_found_by_its_digest_until_a_row_changes(source, tmp_path):
    vault = vault_of(source(), tmp_path)
    digest = vault.digest("rows")
    assert vault.load_by_digest(digest, ("sex",)).table.rows == 4
    changed = vault_of(source([*ROWS[:3], (34, -2.0, None, True, "A", None)]), tmp_path)
    with pytest.raises(Missing, match="offer it again"):
        changed.load_by_digest(digest, ("sex",))


# What only one of them has


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_number_without_end_is_refused(tmp_path, kind):
    given = write(kind, tmp_path, [*ROWS, (1, float("inf"), "1", True, "A", "p")], None)
    with pytest.raises(Malformed, match=r"(line 6|row 5), column 'weight': expected a finite number, got 'inf'"):
        read_columns(DatasetSettings(title="t", fields=FIELDS, **given), tuple(FIELDS))


@pytest.mark.parametrize("kind", ["arrow", "stream"])
def test_files_and_streams_of_arrow_read_alike(tmp_path, kind):
    settings = DatasetSettings(title="t", fields=FIELDS, **write(kind, tmp_path, ROWS, None))
    file = read_columns(settings, tuple(FIELDS))
    assert np.array_equal(file.column("weight"), [41.125, 1.0005, np.nan, 0.0], equal_nan=True)
    assert file.column("sex").tolist() == [0, 0, 1, -1]
    assert file.column("smokes").tolist() == [1, 0, -1, 1]


def test_a_query_is_not_read_for_each_question_and_rows_that_changed_meanwhile_are_not_used(tmp_path):
    now = [0.0]
    settings = DatasetSettings(title="t", fields=FIELDS, **write("duckdb", tmp_path, ROWS, None))
    vault = replace(vault_of(settings, tmp_path), clock=lambda: now[0])
    digest = vault.digest("rows")
    write("duckdb", tmp_path, [*ROWS[:3], (34, -2.0, None, True, "A", None)], None)
    assert vault.find_by_digest(digest) == "rows"
    with pytest.raises(Missing, match="'t' has changed since it was looked at"):
        vault.load_by_digest(digest, ("age",))
    assert vault.find_by_digest(digest) is None  # once that is known, it is read anew
    changed = vault.digest("rows")
    assert vault.find_by_digest(changed) == "rows"
    (tmp_path / "rows.duckdb").unlink()
    assert vault.find_by_digest(changed) == "rows"
    now[0] = QUERY_TRUST_S
    assert vault.find_by_digest(changed) is None


def test_a_database_is_never_written_to(postgres, tmp_path):
    for query, message in (
        ("with gone as (delete from t returning *) select * from gone", "the query fails"),
        ("select nextval('t_place_seq') as weight", "the query fails: cannot execute nextval"),
        ("select 1 as weight; drop table t", "without a semicolon"),
        ("drop table t", "the query fails: syntax error"),
    ):
        given = write("postgres", tmp_path, ROWS, postgres) | {"query": query}
        with pytest.raises((Malformed, Misconfigured), match=message):
            read_columns(DatasetSettings(title="t", fields=FIELDS, **given), ("weight",))
    assert read_columns(
        DatasetSettings(title="t", fields=FIELDS, **(given | {"query": "select * from t"})), ("weight",)
    ).rows == len(ROWS)


def test_no_error_repeats_a_word_of_the_service_file(postgres, tmp_path):
    bent = tmp_path / "pg_service.conf"
    bent.touch(0o600)
    for old, new in (("swordfish", "halibut"), ("user=steward", "user=nemo"), ("dbname=", "port=se-cret\ndbname=")):
        bent.write_text(postgres.read_text().replace(old, new))
        given = {"format": Format.POSTGRES, "service": "clinic", "service_file": str(bent), "query": "select 1"}
        with pytest.raises(Misconfigured) as caught:
            read_columns(DatasetSettings(title="t", fields=FIELDS, **given), ("weight",))
        assert "does not answer" in caught.value.message
        assert not any(word in caught.value.message for word in ("swordfish", "halibut", "nemo", "se-cret", "steward"))


def test_a_service_file_that_others_can_read_is_not_used(postgres, tmp_path):
    open_file = tmp_path / "pg_service.conf"
    open_file.write_text(postgres.read_text())
    open_file.chmod(0o640)
    given = {"format": Format.POSTGRES, "service": "clinic", "service_file": str(open_file), "query": "select 1"}
    with pytest.raises(Misconfigured, match="make it private with `chmod 600"):
        read_columns(DatasetSettings(title="t", fields=FIELDS, **given), ("weight",))


def test_a_query_to_duckdb_reaches_no_other_file_and_changes_nothing(tmp_path):
    given = write("duckdb", tmp_path, ROWS, None)
    before = (tmp_path / "rows.duckdb").read_bytes()
    (tmp_path / "other.csv").write_text("weight\n1\n")
    for query, message in (
        (f"select * from read_csv('{tmp_path}/other.csv')", "disabled"),
        (f"select * from '{tmp_path}/other.csv'", "cannot be read"),
        (f"copy t to '{tmp_path}/out.csv'", "one SELECT"),
        ("drop table t", "one SELECT"),
    ):
        with pytest.raises((Malformed, Misconfigured), match=message):
            read_columns(DatasetSettings(title="t", fields=FIELDS, **(given | {"query": query})), ("weight",))
    assert (tmp_path / "rows.duckdb").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.csv", "rows.duckdb"]
