"""A vault reads the member's CSV files exactly, and says where they are wrong."""

import numpy as np
import pytest

from serai.agent.settings import load_settings
from serai.agent.vault import Vault
from serai.errors import Malformed, Misconfigured, Missing, Refused

ZONE = """\
member = "cleveland"
jurisdiction = "us"

[datasets.heart]
title = "Heart disease"
path = "heart.csv"
rows = {column = "site", equals = "A"}
label = {column = "num", above = 0}
missing = "drop"
test_share = [1, 3]
split_seed = 7
features = [
    {name = "age", column = "age", kind = "number"},
    {name = "typical", column = "cp", equals = "typical angina"},
]
"""

ROWS = [f"{30 + i},A,{'typical angina' if i % 2 else 'other'},{i % 3}" for i in range(12)]
CSV = "\n".join(["age,site,cp,num", *ROWS, "99,B,other,0", ",A,other,1"]) + "\n"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "zone.toml").write_text(ZONE)
    (tmp_path / "heart.csv").write_text(CSV)
    return tmp_path


def load(home):
    return Vault(load_settings(home)).load("heart")


def test_only_complete_rows_of_this_member_are_read(home):
    assert Vault(load_settings(home)).rows("heart") == 12


def test_features_and_labels_come_out_as_the_settings_say(home):
    data = load(home)
    x = np.concatenate([data.x, data.test_x])
    y = np.concatenate([data.y, data.test_y])
    order = np.argsort(x[:, 0])
    assert x[order].tolist() == [[30.0 + i, float(i % 2)] for i in range(12)]
    assert y[order].tolist() == [float(i % 3 > 0) for i in range(12)]
    assert data.x.dtype == data.y.dtype == np.float64
    assert tuple(data.names) == ("age", "typical")


def test_the_test_share_is_taken_of_each_label(home):
    data = load(home)
    assert (len(data.test_y), int(data.test_y.sum())) == (3, 2)  # floor(4 / 3) of label 0, floor(8 / 3) of label 1


def test_the_split_is_the_same_every_time_and_changes_with_the_seed(home):
    first = load(home).test_x.tolist()
    assert load(home).test_x.tolist() == first
    path = home / "zone.toml"
    splits = set()
    for seed in range(5):
        path.write_text(ZONE.replace("split_seed = 7", f"split_seed = {seed}"))
        splits.add(str(load(home).test_x.tolist()))
    assert len(splits) > 1


def test_the_split_does_not_move_when_other_members_rows_change(home):
    first = load(home).test_x.tolist()
    (home / "heart.csv").write_text(CSV.replace("age,site,cp,num\n", "age,site,cp,num\n1,B,other,0\n"))
    assert load(home).test_x.tolist() == first


def test_nothing_is_written_beside_the_data(home):
    before = sorted(path.name for path in home.rglob("*"))
    load(home)
    assert sorted(path.name for path in home.rglob("*")) == before


def test_a_byte_order_mark_and_blank_lines_do_no_harm(home):
    (home / "heart.csv").write_bytes(b"\xef\xbb\xbf" + CSV.encode() + b"\n\n")
    assert Vault(load_settings(home)).rows("heart") == 12


def test_quoted_cells_may_hold_commas_and_line_ends(home):
    (home / "heart.csv").write_text(CSV + '50,A,"chest, left\nand right",1\nbad,A,other,1\n')
    with pytest.raises(Malformed, match="line 18, column 'age'"):
        load(home)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("35,A", "35y,A", Malformed, r"heart\.csv, line 7, column 'age': expected a finite number, got '35y'"),
        ("35,A", "nan,A", Malformed, r"line 7, column 'age'.*got 'nan'"),
        ("35,A", "inf,A", Malformed, r"line 7, column 'age'.*got 'inf'"),
        ("35,A", "1e999,A", Malformed, r"line 7, column 'age'.*got '1e999'"),
        ("35,A", "1_0,A", Malformed, r"got '1_0'"),
        ("35,A", "\u0663\u0665,A", Malformed, r"got '\u0663\u0665'"),
        ("35,A", "35,A,A", Malformed, r"line 7: expected 4 cells as in the header, got 5"),
        ("35,A", '"35,A', Malformed, r"line \d+: not valid CSV"),
        (
            "age,site",
            "years,site",
            Misconfigured,
            r"line 1: column 'age' is missing; the header has years, site, cp, num",
        ),
        ("age,site,cp", "age,site,age", Misconfigured, r"column 'age' stands there more than once"),
        (",A,", ",C,", Malformed, r"no usable row with site = 'A'"),
        (CSV, "", Malformed, r"is empty"),
        ("35,A", "35" + "0" * (1 << 20) + ",A", Malformed, r"line 7: longer than 1048576 bytes"),
    ],
)
def test_a_bad_file_is_refused_naming_file_line_and_column(home, old, new, error, message):
    assert old in CSV
    (home / "heart.csv").write_text(CSV.replace(old, new))
    with pytest.raises(error, match=message):
        load(home)


def test_a_wrong_byte_is_named_by_line_and_place(home):
    (home / "heart.csv").write_bytes(CSV.replace("35,A", "35,\u00e9").encode("latin-1"))
    with pytest.raises(Malformed, match=r"line 7, byte 4: expected UTF-8 text, got byte 0xe9"):
        load(home)


def test_a_missing_value_can_be_refused_instead_of_dropped(home):
    (home / "zone.toml").write_text(ZONE.replace('missing = "drop"', 'missing = "refuse"'))
    with pytest.raises(Malformed, match=r"line 15, column 'age': the value is missing"):
        load(home)


def test_a_mark_for_missing_values_is_honoured(home):
    (home / "zone.toml").write_text(ZONE.replace("split_seed", 'missing_marks = ["", "?"]\nsplit_seed'))
    (home / "heart.csv").write_text(CSV.replace("35,A", "?,A"))
    assert Vault(load_settings(home)).rows("heart") == 11


def test_a_missing_file_and_an_unknown_dataset_are_named(home):
    (home / "heart.csv").unlink()
    with pytest.raises(Misconfigured, match=r"expected a data file at .*heart\.csv"):
        load(home)
    with pytest.raises(Missing, match=r"no dataset 'lungs'; zone\.toml names: heart"):
        Vault(load_settings(home)).load("lungs")


def test_a_dataset_is_found_by_its_digest_until_its_bytes_or_its_reading_change(home):
    vault = Vault(load_settings(home))
    digest = vault.digest("heart")
    assert vault.find_by_digest(digest) == "heart"
    assert vault.rows_by_digest(digest) == 12
    assert vault.rows_by_digest("ab" * 32) is None
    assert vault.load_by_digest(digest).x.tolist() == vault.load("heart").x.tolist()
    (home / "zone.toml").write_text(ZONE.replace("above = 0", "above = 1"))
    assert Vault(load_settings(home)).find_by_digest(digest) is None
    (home / "zone.toml").write_text(ZONE)
    (home / "heart.csv").write_text(CSV + "50,A,other,0\n")
    with pytest.raises(Missing, match="offer it again"):
        vault.load_by_digest(digest)


def test_where_a_dataset_lies_and_what_it_is_called_is_no_part_of_its_digest(home):
    digest = Vault(load_settings(home)).digest("heart")
    (home / "heart.csv").rename(home / "renamed.csv")
    (home / "zone.toml").write_text(ZONE.replace("heart.csv", "renamed.csv").replace("Heart disease", "Hearts"))
    assert Vault(load_settings(home)).digest("heart") == digest


def test_subjects_are_distinct_values_of_their_column_and_nobody_unknown_counts(home):
    (home / "zone.toml").write_text(
        ZONE.replace("split_seed", 'missing_marks = ["", "?"]\nsubject = "who"\nsplit_seed')
    )
    patients = ["p1", "p1", "p2", "?", "p3", "p2", "", "p1", "p4", "p3", "p2", "p1"]
    rows = [f"{row},{who}" for row, who in zip(ROWS, patients, strict=True)]
    (home / "heart.csv").write_text("\n".join(["age,site,cp,num,who", *rows, "99,B,other,0,p9"]) + "\n")
    vault = Vault(load_settings(home))
    digest = vault.digest("heart")
    assert vault.subjects("heart") == vault.subjects_by_digest(digest) == 4
    assert vault.load("heart").names == ("age", "typical")
    train, held_back = vault.subjects_apart(digest)
    ages = vault.load("heart").x[:, 0].astype(int) - 30
    assert train == len({patients[age] for age in ages} - {"?", ""})
    assert 1 <= held_back <= 3
    assert vault.subjects_by_digest("ab" * 32) is None
    assert vault.subjects_apart("ab" * 32) is None


def test_without_a_column_of_subjects_nobody_can_tell_how_many_there_are(home):
    vault = Vault(load_settings(home))
    assert vault.subjects("heart") is None
    assert vault.subjects_apart(vault.digest("heart")) is None


def test_columns_are_read_of_all_rows_features_by_name_and_the_label_by_its_column(home):
    data = Vault(load_settings(home)).load("heart", ("age", "num"))
    assert len(data.x) == data.table.rows == 12
    assert data.table.number("age").tolist() == [30.0 + i for i in range(12)]
    assert data.table.number("num").tolist() == [float(i % 3 > 0) for i in range(12)]
    assert set(data.table.numbers) == {"age", "num"}


def test_a_column_that_a_dataset_lacks_is_refused_with_those_it_has(home):
    with pytest.raises(Refused, match="no column 'weight'; it has age, num, typical"):
        Vault(load_settings(home)).load("heart", ("weight",))
