"""Root keys that are on no network: what they sign travels by file, and people see what it says."""

import json
import operator

import pytest
from click.testing import CliRunner

from serai.agent.session import CHARTER_FILE, Session
from serai.charter.statements import CharterAdopt, KeyRevoke, MemberRotate
from serai.cli import keys
from serai.cli.main import main
from serai.errors import Conflict, Malformed, Missing, Refused, Unverified
from serai.kernel.envelope import read_payload, write_payload
from serai.kernel.keys import Role, Suite, find_suite, key_id
from serai.kernel.records import to_json
from serai.storage.keyring import Keyring
from serai.storage.record_files import write_record
from serai.storage.request_files import read_request


@pytest.fixture
def lima(story, monkeypatch):
    """The bloc, and lima's session: its verbs speak to the bloc's center."""
    bloc = story.bloc
    session = Session(bloc.members["lima"].zone.settings)
    session.center = bloc.center  # the one part that is the network's
    write_record(session.settings.home / CHARTER_FILE, bloc.charter)
    monkeypatch.setattr("serai.cli.verbs.keys.open_session", lambda _home: session)
    return bloc, session


def run(*arguments, code=0, **options):
    done = CliRunner().invoke(main, ["keys", *map(str, arguments)], catch_exceptions=False, **options)
    assert done.exit_code == code, done.output
    return done


def told(*arguments):
    return json.loads(run(*arguments, "--json").stdout)


def requests(out, *arguments):
    return told("request", *arguments, "--home", "lima", "--out", out)["requests"]


def test_a_zone_key_is_replaced_by_a_root_key_on_another_machine(lima, tmp_path):
    bloc, session = lima
    home = session.settings.home
    air_gap = tmp_path / "air gap"
    root = Keyring.create(air_gap, []).signer  # the root key moves to its own machine
    (air_gap / "root.pem").write_bytes((home / "keys" / "root.pem").read_bytes())
    (air_gap / "root.pem").chmod(0o600)
    (home / "keys" / "root.pem").unlink()
    before = session.keys.signer(Role.ZONE).public
    new = told("new", "zone", "--keys", home / "keys")
    assert new["public"] == session.keys.find_next(Role.ZONE).public.hex()
    (path,) = requests(tmp_path / "stick", "rotate")
    done = run("sign", path, "--keys", air_gap, input="y\n")
    assert f"The holder of key {key_id(root(Role.ROOT).public)[:12]} names keys of version 2 for lima" in done.stderr
    assert f"zone {key_id(bytes.fromhex(new['public']))[:12]}" in done.stderr
    assert new["public"] in done.stderr
    done = told("submit", path, "--home", "lima")
    assert (done["effective"], done["changed"]) == (True, ["zone"])
    assert session.keys.signer(Role.ZONE).public.hex() == new["public"] != before.hex()
    assert bloc.state.charter.members["lima"].keys["zone"] == (session.keys.signer(Role.ZONE).public,)
    bloc.settle()
    rows = {row["key"]: row for row in told("list", "--home", "lima") if row["member"] == "lima"}
    assert rows[key_id(before)]["standing"] == "replaced"
    assert rows[new["key"]]["standing"] == "in use"


def test_two_of_three_root_keys_in_three_places_take_over_and_then_revoke_one(lima, tmp_path):
    bloc, session = lima
    safes = [tmp_path / f"safe {number}" for number in range(3)]
    roots = [told("new", "root", "--keys", safe)["public"] for safe in safes]
    options = [text for root in roots for text in ("--root", root)]
    paths = requests(tmp_path / "out", "rotate", *options, "--root-threshold", 2)
    assert len(paths) == 4, "one by the present root key, three by the next ones"
    run("sign", paths[0], "--keys", session.settings.home / "keys", "--yes")
    assert told("submit", paths[0], "--home", "lima")["effective"] is False
    for path in paths[1:3]:
        owner = next(safe for safe in safes if Keyring(safe).find_signer(read_request(tmp_path / path).signer))
        run("sign", path, "--keys", owner, "--yes")
    assert told("submit", paths[1], "--home", "lima")["effective"] is False
    assert told("submit", paths[2], "--home", "lima")["effective"] is True
    record = bloc.state.charter.members["lima"]
    assert (record.version, record.root_threshold) == (2, 2)
    lost = key_id(bytes.fromhex(roots[2]))
    paths = requests(tmp_path / "out", "revoke", lost[:12], "--from-index", bloc.state.size, "--reason", "lost")
    said = []
    for safe in safes[:2]:
        (path,) = [path for path in paths if Keyring(safe).find_signer(read_request(tmp_path / path).signer)]
        run("sign", path, "--keys", safe, "--yes")
        said.append(told("submit", path, "--home", "lima"))
    assert [(item["said"], item["effective"]) for item in said] == [(1, False), (2, True)]
    assert bloc.state.charter.keys[lost].revoked
    assert told("disputed", "--home", "lima") == []


def test_what_is_signed_is_read_from_the_payload_whatever_the_remarks_say(lima, tmp_path):
    bloc, session = lima
    zone = key_id(session.keys.signer(Role.ZONE).public)
    body = KeyRevoke(key=zone, from_index=0, reason="all is \u001b[2Jwell \u202egnp.exe")
    (path,) = keys.write_requests(tmp_path, body, keys.signers_of(bloc.state, "lima", body))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("revokes key", "greets key"), encoding="utf-8")
    done = run("sign", path, "--keys", session.settings.home / "keys", input="n\n", code=1)
    assert "revokes key" in done.stderr
    assert "greets" not in done.stderr
    assert "\u001b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert "\\u{1b}[2Jwell \\u{202e}gnp" in done.stderr
    assert not read_request(path).parts


def test_a_request_is_refused_where_its_key_is_not_or_before_it_is_signed(lima, tmp_path):
    _, session = lima
    run("new", "steward", "--keys", session.settings.home / "keys")
    (path,) = requests(tmp_path, "rotate")
    with pytest.raises(Missing, match="not in this folder"):
        keys.sign_request_file(tmp_path / path, Keyring.create(tmp_path / "other", [Role.ROOT]))
    with pytest.raises(Malformed, match="is not signed"):
        keys.submit_request(session, tmp_path / path)
    payload = write_payload("peace", {}, {}, key_id(session.keys.signer(Role.ROOT).public))
    (tmp_path / "x").write_text(f"serai-request-v1\npayload {payload.decode()}\n", encoding="utf-8")
    with pytest.raises(Malformed, match="sign nothing unknown"):
        keys.sign_request_file(tmp_path / "x", session.keys)


def test_a_signature_that_was_changed_on_its_way_is_refused(lima, tmp_path):
    _, session = lima
    (path,) = requests(tmp_path, "revoke", key_id(session.keys.signer(Role.ZONE).public)[:12], "--from-index", 0, "--reason", "x")  # fmt: skip
    signed = keys.sign_request_file(tmp_path / path, session.keys)
    text = (tmp_path / path).read_text(encoding="utf-8")
    (tmp_path / path).write_text(text.replace('"from_index":0', '"from_index":1'), encoding="utf-8")
    with pytest.raises(Unverified, match="does not hold"):
        keys.submit_request(session, tmp_path / path)
    assert read_request(tmp_path / path).id != signed.id


def test_a_void_word_says_which_article_makes_it_so(lima, tmp_path):
    _, session = lima
    (path,) = requests(tmp_path, "revoke", key_id(session.keys.signer(Role.ROOT).public)[:12], "--from-index", 0, "--reason", "x")  # fmt: skip
    keys.sign_request_file(tmp_path / path, session.keys)
    with pytest.raises(Refused, match="too few root keys") as caught:
        keys.submit_request(session, tmp_path / path)
    assert caught.value.article == "charter, keys"


def test_nothing_is_asked_for_where_there_is_no_next_key(lima):
    bloc, session = lima
    with pytest.raises(Missing, match="serai keys new"):
        keys.next_keys(bloc.state, session.keys, "lima", (), None)
    assert keys.next_keys(bloc.state, session.keys, "lima", (), 1).version == 2
    with pytest.raises(Missing, match="no member ghost"):
        keys.record_of(bloc.state, "ghost")


def test_every_founder_may_adopt_the_charter_by_request(lima, tmp_path):
    bloc, session = lima
    (path,) = requests(tmp_path, "adopt")
    keys.sign_request_file(tmp_path / path, session.keys)
    with pytest.raises(Refused, match="the charter is in force"):
        keys.submit_request(session, tmp_path / path)
    fresh = type(bloc.state)()
    (signer,) = keys.signers_of(fresh, "lima", CharterAdopt(charter=bloc.charter))
    assert signer == key_id(session.keys.signer(Role.ROOT).public)


# Further signatures


def test_a_national_signature_is_attached_by_file_kept_in_the_log_and_counted_where_it_can_be(
    lima, tmp_path, monkeypatch
):
    bloc, session = lima
    (path,) = requests(tmp_path, "revoke", key_id(session.keys.signer(Role.ZONE).public)[:12], "--from-index", 0, "--reason", "x")  # fmt: skip
    run("message", path, tmp_path / "message")
    signature = b"toy " + key_id((tmp_path / "message").read_bytes()).encode()
    (tmp_path / "signature").write_bytes(signature)
    (tmp_path / "wrong").write_bytes(b"toy x")
    run("attach", path, "toy:ministry", tmp_path / "signature")
    run("attach", path, "toy:office", tmp_path / "wrong")
    run("attach", path, "gost:other", tmp_path / "wrong")
    run("sign", path, "--keys", session.settings.home / "keys", "--yes")
    index = told("submit", path, "--home", "lima")["entry"]
    holds = {row["key"]: row["holds"] for row in told("check", index, "--home", "lima")}
    root = key_id(session.keys.signer(Role.ROOT).public)
    assert holds == {root: "yes", **dict.fromkeys(["toy:ministry", "toy:office", "gost:other"], "no verifier here")}
    monkeypatch.setattr(keys, "find_verifiers", lambda: {"toy": lambda _key, made, message: made == b"toy " + key_id(message).encode()})  # fmt: skip
    holds = {row["key"]: row["holds"] for row in told("check", index, "--home", "lima")}
    assert holds == {root: "yes", "toy:ministry": "yes", "toy:office": "no", "gost:other": "no verifier here"}
    assert not bloc.state.void
    bloc.settle()


def test_verifiers_are_what_installed_packages_bring(tmp_path, monkeypatch):
    package = tmp_path / "toy-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[serai.signatures]\ntoy = operator:eq\n")
    assert "toy" not in keys.find_verifiers()
    monkeypatch.syspath_prepend(tmp_path)
    assert keys.find_verifiers()["toy"] is operator.eq


def test_a_key_of_any_suite_is_made_beside_the_one_in_use(tmp_path):
    first = told("new", "root", "--keys", tmp_path / "k", "--suite", "ed25519+ml-dsa-65")
    assert find_suite(bytes.fromhex(first["public"])) is Suite.HYBRID
    second = told("new", "root", "--keys", tmp_path / "k")
    assert second == told("new", "root", "--keys", tmp_path / "k") != first
    assert "witness key is ed25519" in run("new", "witness", "--keys", tmp_path / "k", "--suite", "ed25519+ml-dsa-65", code=1).output  # fmt: skip
    with pytest.raises(Conflict):
        Keyring.create(tmp_path / "k", [Role.ROOT])


def test_the_words_of_a_rotation_name_every_key(lima):
    bloc, _ = lima
    record = bloc.state.charter.members["lima"]
    body = MemberRotate(member="lima", version=2, keys=record.keys, root_threshold=1)
    root = key_id(record.keys["root"][0])
    payload = write_payload(body.KIND, to_json(body), {}, root)
    lines = keys.describe(read_payload(payload))
    for publics in record.keys.values():
        assert key_id(publics[0])[:12] in lines[0]
    assert f"by key {root}" in lines
