"""A zone reads its own settings strictly and says where they are wrong."""

import pytest

from serai.agent.datasets import TextNote
from serai.agent.settings import ForeignCode, Limits, SandboxMode, SandboxSettings, load_settings, with_pins
from serai.charter.agreements import Term
from serai.errors import Misconfigured
from serai.recipes.equipment import EngineName, Equipment

GENESIS = "ab" * 32

ZONE = """\
# our own file
member = "cleveland"
jurisdiction = "us"
max_staleness_s = 60

[[policy.terms]]
name = "min_participants"
value = 3
clause = "house rule 1"

[legal]
profile = "profiles/us.toml"

[datasets.heart]
title = "Heart disease"
path = "heart.csv"
label = {column = "num", above = 0}
test_share = [1, 4]
features = [
    {name = "age", column = "age", kind = "number"},
    {name = "angina", column = "cp", equals = "asymptomatic"},
]

[datasets.heart.columns.age]
unit = "years"
description = "age at examination"
"""

PROFILE = """\
title = "United States, as read by our counsel"
dated = 2025-06-01
until = "2027-05-31"

[[terms]]
name = "residency"
value = ["us"]
clause = "45 CFR 164.512"
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "zone.toml").write_text(ZONE)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/us.toml").write_text(PROFILE)
    return tmp_path


def rewrite(home, old, new):
    path = home / "zone.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_settings_hold_what_the_file_says(home):
    settings = load_settings(home)
    assert settings.member == "cleveland"
    assert settings.max_staleness_s == 60
    assert settings.policy == (Term(name="min_participants", value=3, clause="house rule 1"),)
    dataset = settings.datasets["heart"]
    assert dataset.used_columns == ("age", "cp", "num")
    assert dataset.columns["age"].unit == "years"


def test_a_dataset_is_described_in_several_languages(home):
    path = home / "zone.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace('title = "Heart disease"', 'title = "Heart disease"\nlanguage = "en"')
        + '\n[datasets.heart.texts.de]\ntitle = "Herzkrankheiten"\nkeywords = ["Herz"]\ncolumns = {age = "Alter"}\n',
        encoding="utf-8",
    )
    dataset = load_settings(home).datasets["heart"]
    assert dataset.language == "en"
    assert dataset.texts == {"de": TextNote(title="Herzkrankheiten", keywords=("Herz",), columns={"age": "Alter"})}


def test_a_legal_profile_is_read_from_the_dated_file_it_names_and_counts_from_its_day_to_its_end(home):
    residency, dated, until = load_settings(home).legal
    assert residency == Term(name="residency", value=("us",), clause="45 CFR 164.512")
    assert (dated.name, dated.value) == ("embargo_until_ms", 1_748_736_000_000)  # 2025-06-01, 00:00 UTC
    assert (until.name, until.value) == ("expires_ms", 1_811_808_000_000)  # the end of 2027-05-31
    assert until.clause == "United States, as read by our counsel, read on 2025-06-01, to be read again by 2027-05-31"


def test_a_profile_without_a_real_date_is_refused(home):
    (home / "profiles/us.toml").write_text(PROFILE.replace("2025-06-01", '"June 2025"'))
    with pytest.raises(Misconfigured, match=r"us\.toml.*June 2025"):
        load_settings(home)


def test_a_relative_data_path_is_relative_to_the_home_folder(home):
    assert load_settings(home).datasets["heart"].path == str(home / "heart.csv")


def test_recipes_run_in_the_best_sandbox_there_is_and_strangers_only_in_a_whole_one(home):
    assert load_settings(home).sandbox == SandboxSettings(
        mode=SandboxMode.PREFERRED, foreign=ForeignCode.SANDBOXED, limits=Limits()
    )


def test_a_zone_sets_where_recipes_run_and_what_they_may_use(home):
    rewrite(home, "max_staleness_s = 60", 'sandbox = "required"\nforeign_code = "never"')
    with (home / "zone.toml").open("a") as file:
        file.write('\n[limits]\nmemory_mb = 512\ncall_s = 30\ndevices = ["/dev/nvidia0"]\n')

    assert load_settings(home).sandbox == SandboxSettings(
        mode=SandboxMode.REQUIRED,
        foreign=ForeignCode.NEVER,
        limits=Limits(memory_mb=512, call_s=30, devices=("/dev/nvidia0",)),
    )


def test_a_zone_names_what_it_trains_with_and_the_base_models_it_has(home):
    with (home / "zone.toml").open("a") as file:
        file.write('\n[training]\nengine = "sklearn"\ndevice = "xpu:1"\n\n[models]\nsmall = "models/small"\n')

    assert load_settings(home).sandbox.equipment == Equipment(
        engine=EngineName.SKLEARN, device="xpu:1", models={"small": str(home / "models/small")}
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[training]\nengine = "jax"', "engine"),
        ('[training]\ndevice = "/dev/nvidia0"', "device must be auto"),
        ('[training]\nmodels = {a = "b"}', "models"),
        ('[models]\n"../up" = "x"', "a model's name"),
    ],
)
def test_equipment_that_names_nothing_is_refused(home, table, message):
    with (home / "zone.toml").open("a") as file:
        file.write(f"\n{table}\n")
    with pytest.raises(Misconfigured, match=message):
        load_settings(home)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('sandbox = "maybe"', "sandbox"),
        ('foreign_code = "always"', "foreign_code"),
        ("limits = {memory_mb = 1}", r"memory_mb must be from 256"),
        ("limits = {call_s = 0}", r"call_s must be from 1"),
        ('limits = {devices = ["/etc"]}', r"paths under /dev"),
        ('limits = {devices = ["/dev/../etc"]}', r"paths under /dev"),
    ],
)
def test_a_sandbox_that_could_not_hold_is_refused(home, line, message):
    rewrite(home, "max_staleness_s = 60", line)
    with pytest.raises(Misconfigured, match=message):
        load_settings(home)


def test_before_joining_nothing_is_pinned(home):
    settings = load_settings(home)
    assert settings.genesis is None
    assert not settings.center_url


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_staleness_s = 60", "max_stalenes_s = 60", r"no field 'max_stalenes_s'; known: .*max_staleness_s"),
        ("max_staleness_s = 60", "max_staleness_s = 1.5", r"expected int at max_staleness_s, got float"),
        ("max_staleness_s = 60", "max_staleness_s = 0", r"must be positive, got 0"),
        ("max_staleness_s = 60", "withheld_s = 9", r"withheld_s must be 10 to 86400, got 9"),
        ("max_staleness_s = 60", "withheld_s = 86401", r"withheld_s must be 10 to 86400, got 86401"),
        ('member = "cleveland"', "", r"member is required"),
        ('member = "cleveland"', 'member = "Ohio!"', r"got 'Ohio!'"),
        ('jurisdiction = "us"', 'jurisdiction = "us"\ngenesis = "12"', r"64 lower-case hex"),
        ('jurisdiction = "us"', "jurisdiction = us", r"not valid TOML: .*line 3"),
        ('name = "min_participants"', 'names = "x"', r"no field 'names'"),
        ("above = 0", 'above = 0, equals = "1"', r"exactly one of above"),
        (', equals = "asymptomatic"', "", r"'angina' needs exactly one of kind"),
        ('name = "angina"', 'name = "age"', r"distinct names"),
        ("[1, 4]", "[4, 4]", r"lowest terms|below 1"),
        ("[1, 4]", "[1, 1]", r"below 1"),
        ("columns.age]", "columns.weight]", r"columns\.weight describes a column that no feature"),
        ("profiles/us.toml", "profiles/fr.toml", r"expected a file at .*fr\.toml"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(home, old, new, message):
    rewrite(home, old, new)
    with pytest.raises(Misconfigured, match=message):
        load_settings(home)


def test_a_home_without_settings_says_which_command_makes_them(tmp_path):
    with pytest.raises(Misconfigured, match="serai zone init"):
        load_settings(tmp_path)


def test_a_wrong_encoding_names_the_line(home):
    (home / "zone.toml").write_bytes(b'# one\nmember = "Gen\xe8ve"\n')
    with pytest.raises(Misconfigured, match=r"line 2.*UTF-8"):
        load_settings(home)


def test_the_kill_switch_is_a_file_that_is_asked_for_each_time(home):
    settings = load_settings(home)
    assert not settings.is_stopped
    settings.stop_file.touch()
    assert settings.is_stopped


def test_pins_are_added_without_touching_comments(home):
    path = home / "zone.toml"
    path.write_text(with_pins(path.read_text(), "http://127.0.0.1:8470", GENESIS))
    settings = load_settings(home)
    assert (settings.center_url, settings.genesis) == ("http://127.0.0.1:8470", GENESIS)
    assert "# our own file" in path.read_text()


def test_pins_replace_earlier_pins_and_only_at_the_top(home):
    text = 'center_url = ""\ngenesis = ""\n' + ZONE + '\n[datasets.heart.columns.cp]\ndescription = "genesis = 1"\n'
    text = with_pins(with_pins(text, "http://a", "cd" * 32), "http://b", GENESIS)
    (home / "zone.toml").write_text(text)
    settings = load_settings(home)
    assert (settings.center_url, settings.genesis) == ("http://b", GENESIS)
    assert text.count("center_url") == 1
