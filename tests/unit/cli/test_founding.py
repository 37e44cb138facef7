"""Members make keys, the center writes a charter, and a zone signs only one that names it rightly."""

import json
import stat
from dataclasses import replace

import pytest

from serai.agent.settings import load_settings
from serai.center.settings import read_settings
from serai.charter.constitution import Charter, genesis_of
from serai.charter.members import MemberRecord
from serai.cli.charters import NewCenter, found_center
from serai.cli.founding import NewMember, init_zone, join_center, read_members
from serai.errors import Conflict, Malformed, Missing, Refused, Unavailable
from serai.kernel.keys import Role, Suite, find_suite
from serai.ledger.note import parse_vkey
from serai.storage.keyring import Keyring
from serai.storage.record_files import read_record, write_record

NAMES = {"bern": "Stadt Bern", "tehran": "\u062a\u0647\u0631\u0627\u0646", "ghent": 'Ghent "G"', "lima": "Lima"}


@pytest.fixture
def homes(tmp_path):
    for member, name in NAMES.items():
        init_zone(tmp_path / member, NewMember(id=member, name=name, jurisdiction="XX"))
    return {member: tmp_path / member for member in NAMES}


def found(tmp_path, homes, **settings):
    members = read_members([home / "member.json" for home in homes.values()])
    new = NewCenter(name="Test", origin="test.example/log", members=members, host="127.0.0.1", port=0, **settings)
    return found_center(tmp_path / "center", new)


def test_a_new_zone_has_a_key_for_every_role_and_shows_only_public_ones(homes):
    record = read_record(MemberRecord, homes["bern"] / "member.json")
    keys = Keyring(homes["bern"] / "keys")
    assert keys.roles == {Role.ROOT, Role.DELEGATE, Role.STEWARD, Role.ZONE, Role.WITNESS}
    assert record.keys["root"] == (keys.signer(Role.ROOT).public,)
    assert b"PRIVATE" not in (homes["bern"] / "member.json").read_bytes()


def test_private_keys_are_for_the_owner_alone(homes):
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (homes["bern"] / "keys").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(homes["bern"].stat().st_mode) == 0o700


def test_names_in_any_script_and_with_quotes_survive(homes):
    assert load_settings(homes["tehran"]).name == NAMES["tehran"]
    assert load_settings(homes["ghent"]).name == NAMES["ghent"]


def test_a_zone_is_never_made_twice(homes):
    before = (homes["bern"] / "keys" / "root.pem").read_bytes()
    with pytest.raises(Conflict, match="is a zone already"):
        init_zone(homes["bern"], NewMember(id="bern", name="x", jurisdiction="XX"))
    assert (homes["bern"] / "keys" / "root.pem").read_bytes() == before


def test_the_charter_names_founders_log_and_operator(tmp_path, homes):
    done = found(tmp_path, homes)
    assert read_record(Charter, done.path) == done.charter
    assert genesis_of(done.charter) == done.genesis
    assert [member.id for member in done.charter.members] == list(NAMES)
    assert done.charter.faulty == 1
    assert parse_vkey(done.charter.log_key).name == "test.example/log"
    settings = read_settings(tmp_path / "center")
    assert settings.origin == "test.example/log"
    assert Keyring(settings.keys).signer(Role.OPERATOR).public == done.charter.operator


def test_a_window_for_exercises_replaces_every_window(tmp_path, homes):
    charter = found(tmp_path, homes, window_s=5).charter
    assert {rule.window_ms for rule in charter.articles.values()} == {5000}


def test_a_center_is_never_founded_twice_in_one_folder(tmp_path, homes):
    found(tmp_path, homes)
    with pytest.raises(Conflict, match="is a center already"):
        found(tmp_path, homes)


def test_a_preset_that_weighs_votes_needs_weights(tmp_path, homes):
    with pytest.raises(Malformed, match="weights table"):
        found(tmp_path, homes, preset="eurohpc")


def test_a_charter_without_us_or_with_another_key_is_not_signed(tmp_path, homes):
    done = found(tmp_path, homes)
    init_zone(tmp_path / "oslo", NewMember(id="oslo", name="Oslo", jurisdiction="NO"))
    with pytest.raises(Refused, match="not oslo"):
        join_center(tmp_path / "oslo", done.path, "http://127.0.0.1:1")
    init_zone(tmp_path / "bern2", NewMember(id="bern", name="Bern again", jurisdiction="CH"))
    with pytest.raises(Refused, match="another root key"):
        join_center(tmp_path / "bern2", done.path, "http://127.0.0.1:1")
    assert load_settings(tmp_path / "bern2").genesis is None


def test_a_zone_pins_one_charter_and_no_second(tmp_path, homes):
    done = found(tmp_path, homes)
    with pytest.raises(Unavailable, match="no center answers"):
        join_center(homes["bern"], done.path, "http://127.0.0.1:9")
    assert load_settings(homes["bern"]).genesis == done.genesis
    other = tmp_path / "other.json"
    write_record(other, done.charter.with_change(_notice(1)))
    with pytest.raises(Conflict, match="has pinned charter"):
        join_center(homes["bern"], other, "http://127.0.0.1:9")


def test_a_zone_whose_root_keys_lie_elsewhere_pins_the_charter_and_leaves_the_signature_to_them(tmp_path):
    roots = tuple(Keyring.create(tmp_path / name, [Role.ROOT]).signer(Role.ROOT).public for name in ("safe", "vault"))
    home = tmp_path / "bern"
    record = init_zone(home, NewMember(id="bern", name="Bern", jurisdiction="CH", roots=roots, root_threshold=2))
    assert (record.keys["root"], record.root_threshold) == (roots, 2)
    assert Role.ROOT not in Keyring(home / "keys").roles
    done = found(tmp_path, {"bern": home})
    joined = join_center(home, done.path, "http://127.0.0.1:9")
    assert (joined.index, joined.genesis) == (None, done.genesis)
    write_record(home / "member.json", replace(record, keys={**record.keys, "root": roots[:1]}, root_threshold=1))
    with pytest.raises(Refused, match="another root key"):
        join_center(home, done.path, "http://127.0.0.1:9")


def test_root_keys_that_do_not_fit_make_no_zone(tmp_path):
    with pytest.raises(Malformed, match="no known suite"):
        init_zone(tmp_path / "x", NewMember(id="x", name="X", jurisdiction="XX", roots=(b"short",)))


def test_a_charter_takes_keys_of_its_suites_alone(tmp_path):
    asked = NewMember(id="bern", name="Bern", jurisdiction="CH", suite=Suite.HYBRID)
    record = init_zone(tmp_path / "bern", asked)
    suites = {role: find_suite(publics[0]) for role, publics in record.keys.items()}
    assert suites.pop("witness") is Suite.ED25519
    assert set(suites.values()) == {Suite.HYBRID}
    with pytest.raises(Malformed, match="the charter takes ed25519"):
        found(tmp_path, {"bern": tmp_path / "bern"})
    charter = found(tmp_path / "hybrid", {"bern": tmp_path / "bern"}, suites=(Suite.HYBRID,)).charter
    assert charter.suites == (Suite.HYBRID,)


def _notice(notice_ms):
    from serai.charter.constitution import CharterChange  # noqa: PLC0415 - used here only

    return CharterChange(notice_ms=notice_ms)


def test_a_file_that_is_no_member_record_is_named(tmp_path):
    path = tmp_path / "member.json"
    path.write_text(json.dumps({"id": "x"}))
    with pytest.raises(Malformed, match=r"member\.json"):
        read_members([path])
    with pytest.raises(Missing, match=r"none\.json"):
        read_members([tmp_path / "none.json"])
