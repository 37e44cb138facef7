"""Images become rows of pixels, in the order of their folders and names; whatever else lies there is named."""

import numpy as np
import pytest

from serai.agent.settings import load_settings
from serai.agent.vault import Vault
from serai.errors import Malformed, Misconfigured

ZONE = """\
member = "bern"
jurisdiction = "CH"

[datasets.xray]
title = "Chests"
path = "xray"
kind = "images"
images = {width = 4, height = 3}
label = {column = "folder", equals = "ill"}
test_share = [0, 1]
fields.finding = {column = "folder", kind = "category", levels = ["healthy", "ill"], codes = {well = "healthy"}}
"""


@pytest.fixture
def home(tmp_path):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "zone.toml").write_text(ZONE)
    for number, name in enumerate(("ill/1.png", "ill/2.png", "well/1.png")):
        path = tmp_path / "xray" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(np.full((3, 4), 51 * number, np.uint8)).save(path)
    return tmp_path


def vault_of(home):
    return Vault(load_settings(home))


def test_each_channel_of_each_pixel_is_a_feature_from_0_to_1(home):
    data = vault_of(home).load("xray")
    assert data.x.tolist() == [[share] * 12 for share in (0.0, 0.2, 0.4)]
    assert data.y.tolist() == [1.0, 1.0, 0.0]
    assert data.names == tuple(f"p{number}" for number in range(12))


def test_the_folder_is_a_category(home):
    vault = vault_of(home)
    assert vault.load("xray", ("finding",)).table.category("finding")[0].tolist() == [1, 1, 0]
    assert vault.rows("xray") == 3


def test_images_are_held_back_like_rows(home):
    (home / "zone.toml").write_text(ZONE.replace("[0, 1]", "[1, 2]"))
    data = vault_of(home).load("xray")
    assert (data.x.shape, data.test_x.shape) == ((2, 12), (1, 12))


def test_the_digest_changes_with_any_image_and_with_its_name(home):
    digest = vault_of(home).digest("xray")
    assert vault_of(home).find_by_digest(digest) == "xray"
    (home / "xray" / "ill" / "2.png").rename(home / "xray" / "well" / "2.png")
    assert vault_of(home).digest("xray") != digest


def test_another_size_is_refused_or_scaled_as_the_settings_say(home):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((6, 8, 3), 255, np.uint8)).save(home / "xray" / "ill" / "3.png")
    with pytest.raises(Malformed, match=r"3\.png: .*it has 8 x 6 pixels, the settings say 4 x 3"):
        vault_of(home).load("xray")
    (home / "zone.toml").write_text(ZONE.replace("height = 3}", "height = 3, resize = true, color = true}"))
    assert vault_of(home).load("xray").x.shape == (4, 36)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ill/notes.txt", r"notes\.txt: expected an image"),
        ("1.png", r"1\.png: expected images in one folder for each label"),
        ("ill/deep/1.png", r"expected images in one folder for each label"),
    ],
)
def test_what_is_no_image_or_lies_elsewhere_is_named(home, name, message):
    path = home / "xray" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"hello")
    with pytest.raises(Malformed, match=message):
        vault_of(home).load("xray")


def test_sixteen_bits_a_channel_are_refused_rather_than_clipped(home):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((3, 4), 40_000, np.uint16)).save(home / "xray" / "ill" / "3.png")
    with pytest.raises(Malformed, match="its channels are of kind I;16"):
        vault_of(home).load("xray")


def test_hidden_files_are_passed_over_and_a_missing_folder_is_named(home):
    (home / "xray" / ".DS_Store").write_bytes(b"x")
    assert vault_of(home).rows("xray") == 3
    (home / "zone.toml").write_text(ZONE.replace('path = "xray"', 'path = "yray"'))
    with pytest.raises(Misconfigured, match=r"expected data at .*yray"):
        vault_of(home).load("xray")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width = 4", "width = 0", "from 1 to 4096 pixels"),
        ('"folder", equals = "ill"', '"size", above = 3', "images need label"),
        ('fields.finding = {column = "folder"', 'fields.finding = {column = "size"', "a column that images have not"),
        ("test_share", 'subject = "who"\ntest_share', "leave out features, rows, columns and subject"),
    ],
)
def test_settings_that_images_have_not_are_refused(home, old, new, message):
    assert old in ZONE
    (home / "zone.toml").write_text(ZONE.replace(old, new))
    with pytest.raises(Misconfigured, match=message):
        load_settings(home)
