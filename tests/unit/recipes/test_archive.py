"""A recipe's archive: one folder, one digest; anything packed otherwise is refused."""

import io
import tarfile

import pytest

from serai.errors import Malformed, Missing
from serai.recipes.archive import MAX_ARCHIVE_BYTES, pack, pack_folder, unpack

FILES = {"recipe.py": b"class Recipe: ...\n", "tables/a.csv": b"1,2\n", "words.txt": bytes(600)}


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "mine"


def test_a_folder_is_packed_alike_whatever_lies_hidden_in_it(folder):
    before = pack_folder(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "recipe.pyc").write_bytes(b"x")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_bytes(b"x")
    (folder / "recipe.py").touch()

    assert pack_folder(folder) == before == pack(dict(reversed(FILES.items())))
    assert unpack(before) == FILES


def test_any_tar_program_reads_it(folder):
    with tarfile.open(fileobj=io.BytesIO(pack_folder(folder))) as archive:
        assert archive.getnames() == sorted(FILES)
        assert archive.extractfile("tables/a.csv").read() == b"1,2\n"


def test_a_link_is_not_followed(folder):
    (folder / "keys").symlink_to("/etc")
    with pytest.raises(Malformed, match="is a link"):
        pack_folder(folder)


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", ".x", "a/../b", "a b", "\u00e4", "x" * 101, "a\n", ""])
def test_a_name_that_could_lead_elsewhere_is_refused(name):
    with pytest.raises(Malformed, match="expected names"):
        pack({**FILES, name: b""})


def test_a_folder_without_a_recipe_or_too_large_is_refused(tmp_path):
    with pytest.raises(Missing):
        pack_folder(tmp_path / "none")
    with pytest.raises(Missing):
        pack_folder(tmp_path)
    with pytest.raises(Malformed, match="at most"):
        pack({**FILES, "big": bytes(MAX_ARCHIVE_BYTES)})
    with pytest.raises(Malformed, match="at most 256 files"):
        pack({**FILES, **{f"f{number}": b"" for number in range(256)}})


def test_every_bent_byte_and_every_cut_is_found():
    good = pack(FILES)
    for place in range(0, len(good), 7):
        bent = bytearray(good)
        bent[place] ^= 1
        try:
            assert unpack(bytes(bent)) != FILES
        except (Malformed, Missing):
            continue
    for size in range(0, len(good), 97):
        with pytest.raises((Malformed, Missing)):
            unpack(good[:size])
    with pytest.raises(Malformed):
        unpack(good + bytes(512))


def test_an_archive_that_another_packer_made_is_refused():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("recipe.py")
        info.size, info.mtime = 3, 1
        archive.addfile(info, io.BytesIO(b"x=1"))
    with pytest.raises(Malformed):
        unpack(buffer.getvalue())
