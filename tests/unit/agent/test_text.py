"""A zone's text: documents for rows, whole ones held back, nothing of a table's settings."""

from fractions import Fraction

import numpy as np
import pytest

from serai.agent.datasets import DatasetKind, DatasetSettings
from serai.agent.settings import ZoneSettings, load_settings
from serai.agent.text import read_documents
from serai.agent.vault import Vault
from serai.errors import Malformed, Misconfigured
from serai.kernel.ids import MemberId

TOML = """
member = "almaty"
jurisdiction = "KZ"

[datasets.news]
title = "News of a year"
path = "news.txt"
kind = "text"
test_share = [1, 4]
"""


def vault_of(folder, text, **settings):
    path = folder / "news.txt"
    path.write_bytes(text)
    dataset = DatasetSettings(title="News", path=str(path), kind=DatasetKind.TEXT, **settings)
    return Vault(
        ZoneSettings(
            home=folder,
            member=MemberId("almaty"),
            name="",
            jurisdiction="KZ",
            center_url="",
            genesis=None,
            max_staleness_s=1,
            policy=(),
            legal=(),
            datasets={"news": dataset},
        )
    )


def test_zone_toml_names_a_text(tmp_path):
    (tmp_path / "zone.toml").write_text(TOML, encoding="utf-8")
    dataset = load_settings(tmp_path).datasets["news"]
    assert dataset.kind is DatasetKind.TEXT
    assert dataset.used_columns == ()


@pytest.mark.parametrize(
    "extra", ['rows = {column = "a", equals = "b"}', 'features = [{name = "a", column = "a", kind = "number"}]']
)
def test_a_text_has_nothing_that_only_a_table_has(tmp_path, extra):
    (tmp_path / "zone.toml").write_text(TOML + extra + "\n", encoding="utf-8")
    with pytest.raises(Misconfigured) as caught:
        load_settings(tmp_path)
    assert "a text has documents for rows" in caught.value.message


def test_a_table_without_a_label_is_still_refused():
    with pytest.raises(ValueError, match="a table needs a label"):
        DatasetSettings(title="t", path="t.csv")


def test_documents_stand_between_blank_lines(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes("\n\n first\nline two\n \t\nsecond\r\n\r\n\n\n ünï\n\n".encode())
    assert [document.decode() for document in read_documents(path)] == ["first\nline two", "second", "ünï"]


def test_whole_documents_are_held_back_and_rows_count_them(tmp_path):
    documents = [f"document {number} of them".encode() for number in range(40)]
    vault = vault_of(tmp_path, b"\n\n".join(documents), test_share=Fraction(1, 4))
    data = vault.load("news")
    assert vault.rows("news") == 40
    assert (len(data.x), len(data.test_x)) == (30, 10)
    train, held_back = (set(bytes(text).split(b"\n\n")) for text in (data.text, data.test_text))
    assert train | held_back == set(documents)
    assert not train & held_back
    assert data.text.dtype == np.uint8


def test_the_digest_names_the_bytes_and_the_split(tmp_path):
    text = b"one\n\ntwo"
    digest = vault_of(tmp_path, text).digest("news")
    assert vault_of(tmp_path, text).find_by_digest(digest) == "news"
    assert vault_of(tmp_path, text, split_seed=1).digest("news") != digest
    assert vault_of(tmp_path, text + b".").digest("news") != digest


@pytest.mark.parametrize(
    ("text", "code"), [(b"", "dataset-empty"), (b" \n\n \n", "dataset-empty"), (b"a\nb\xff\n", "dataset-encoding")]
)
def test_what_is_no_text_is_refused(tmp_path, text, code):
    with pytest.raises(Malformed) as caught:
        vault_of(tmp_path, text).load("news")
    assert caught.value.code == code
    assert str(tmp_path / "news.txt") in caught.value.message


def test_a_missing_file_is_named(tmp_path):
    vault = vault_of(tmp_path, b"one")
    (tmp_path / "news.txt").unlink()
    with pytest.raises(Misconfigured) as caught:
        vault.rows("news")
    assert caught.value.code == "dataset-file-missing"


def test_a_file_too_large_to_hold_is_refused_unread(tmp_path):
    path = tmp_path / "t.txt"
    with path.open("wb") as file:
        file.truncate(2**31 + 1)  # a hole: it takes no disk
    with pytest.raises(Malformed) as caught:
        read_documents(path)
    assert caught.value.code == "dataset-too-large"


def test_every_text_file_of_a_folder_is_a_document(tmp_path):
    for name, text in (("b/2.txt", "zwei\n\nAbsätze\n"), ("a.txt", " eins "), ("b/1.TXT", ""), ("b/notes.md", "no")):
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name).write_text(text, encoding="utf-8")
    documents = read_documents(tmp_path / "texts")
    assert [document.decode() for document in documents] == ["eins", "zwei\n\nAbsätze"]
    (tmp_path / "texts" / "c.txt").write_bytes(b"\xff")
    with pytest.raises(Malformed, match=r"c\.txt, line 1: expected UTF-8"):
        read_documents(tmp_path / "texts")
