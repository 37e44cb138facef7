import pytest

from serai.center.settings import CenterSettings, read_settings
from serai.errors import Misconfigured


def write(folder, text):
    (folder / "center.toml").write_text(text, encoding="utf-8")
    return folder


def test_settings_come_from_the_file_and_the_rest_has_defaults(tmp_path):
    settings = read_settings(write(tmp_path, 'origin = "center.test/log"\nport = 9000\nsync_blobs = true\n'))
    assert settings == CenterSettings(folder=tmp_path, origin="center.test/log", port=9000, sync_blobs=True)
    assert settings.host == "127.0.0.1"
    assert settings.database.parent == settings.keys.parent == settings.blobs.parent == tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 9000", "must set origin"),
        ("origin = 5", "expected origin"),
        ('origin = "a"\nprot = 9000', "'prot'; known are origin, host, port"),
        ('origin = "a"\nfolder = "/"', "'folder'; known"),
        ('origin = "a"\nport = "9000"', "expected port"),
        ('origin = "a"\nport = true', "expected port"),
        ('origin = "a"\nport = 70000', "0 to 65535"),
        ('origin = "a"\nmax_requests = 1', "at least 16"),
        ('origin = "a"\nmax_blob_bytes = 0', "at least 1"),
        ('origin = "a"\nkeep_rounds = 1', "0, or 2 or more"),
        ('origin = "a"\nlog_level = "loud"', "debug, info"),
        ("origin = ", "expected TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, text, said):
    with pytest.raises(Misconfigured, match=said):
        read_settings(write(tmp_path, text))


def test_a_folder_without_a_center_is_named(tmp_path):
    with pytest.raises(Misconfigured, match="make a center there first"):
        read_settings(tmp_path)
