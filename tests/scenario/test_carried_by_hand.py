"""Bundles bring a mirror up to date without a network, and whoever leaves takes proof along."""

import importlib.util
import json
import tarfile
from pathlib import Path

import pytest

from serai.agent.bundles import Bundle, TileSource, write_bundle
from serai.agent.mirror import Mirror
from serai.charter.statements import MemberWithdraw
from serai.cli.leaving import policy, write_exit
from serai.errors import Conflict, Malformed, Missing, SeraiError, Unverified
from serai.ledger.proof import parse_proof
from serai.ledger.trust_policy import parse_policy
from serai.state import digest_state
from serai.storage.blobs import FileBlobs
from serai.storage.log import LogStore

TOOL = Path(__file__).parents[2] / "tools" / "audit_log.py"


@pytest.fixture(scope="module")
def auditor():
    spec = importlib.util.spec_from_file_location("audit_log", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bloc(agreed):
    """Three members with an agreement in force."""
    story, _ = agreed
    return story.bloc


def witnessed_mirror(bloc, member):
    """A member's mirror, with the newest witnessed checkpoint that the center has."""
    mirror = bloc.members[member].zone.mirror
    assert mirror.follow(bloc.center, 0, 0).witnessed_size > 10
    return mirror


@pytest.fixture
def bundle(bloc, tmp_path):
    """What bern's mirror holds after an agreement, in one file."""
    witnessed_mirror(bloc, "bern")
    path = tmp_path / "bern.bundle"
    blobs = bloc.members["bern"].zone.blobs
    with blobs.writer() as writer:
        writer.write(b"a model")
        blob = writer.commit()
    write_bundle(path, bloc.members["bern"].zone.mirror, blobs, [blob, "0" * 64])
    return path


def fresh(bloc, folder):
    return Mirror(LogStore(folder / "other.sqlite"), bloc.charter)


def take(path, mirror):
    with Bundle(path) as found:
        return mirror.follow(TileSource(found.read), mirror.view.witnessed_size, 0)


def test_a_mirror_catches_up_from_a_file_and_replays_the_same(bloc, bundle, tmp_path):
    mirror, bern = fresh(bloc, tmp_path), bloc.members["bern"].zone.mirror.view
    view = take(bundle, mirror)
    assert (view.size, view.witnessed_size, view.witnessed_note) == (
        bern.size,
        bern.witnessed_size,
        bern.witnessed_note,
    )
    assert digest_state(view.state) == digest_state(bern.state)
    assert take(bundle, mirror).size == view.size  # a second time changes nothing
    blobs = FileBlobs(tmp_path / "blobs")
    with Bundle(bundle) as found:
        for blob in found.blobs():
            found.copy_blob(blob, blobs)
            assert blobs.read_range(blob, 0, 99) == b"a model"


def test_a_mirror_that_is_ahead_of_a_bundle_keeps_what_it_has(bloc, bundle):
    bloc.say("lima", MemberWithdraw())
    bloc.settle()
    ahead = bloc.members["bern"].zone.mirror
    size = ahead.view.size
    with pytest.raises(Conflict, match="are here already"):
        take(bundle, ahead)
    assert ahead.view.size == size


def test_an_agent_goes_on_from_what_was_taken_beside_it(bloc, bundle, tmp_path):
    running = fresh(bloc, tmp_path)
    take(bundle, Mirror(LogStore(tmp_path / "other.sqlite"), bloc.charter))
    bloc.say("lima", MemberWithdraw())
    view = running.follow(bloc.center, 0, 0)
    assert view.size == bloc.state.size
    assert digest_state(view.state) == digest_state(bloc.state)


def test_unpacked_a_bundle_is_a_log_that_the_auditor_of_one_file_accepts(bloc, bundle, tmp_path, auditor, capsys):
    with tarfile.open(bundle) as tar:
        tar.extractall(tmp_path / "log", filter="data")
    genesis = bloc.state.charter.genesis
    assert auditor.main([str(tmp_path / "log"), "--genesis", genesis, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["entries"] == bloc.members["bern"].zone.mirror.view.witnessed_size


def test_one_bent_byte_anywhere_is_refused_or_harmless(bloc, bundle, tmp_path):
    data = bundle.read_bytes()
    expected = digest_state(take(bundle, fresh(bloc, tmp_path)).state)
    refused = 0
    for number, place in enumerate(range(0, len(data), len(data) // 60)):
        bent = tmp_path / "bent"
        bent.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        folder = tmp_path / f"try-{number}"
        folder.mkdir()
        try:
            view = take(bent, fresh(bloc, folder))
        except SeraiError:
            refused += 1
        else:
            assert digest_state(view.state) == expected
    assert refused


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "tile/../checkpoint", "blobs/../../x", "keys/root", "x" * 90]
)
def test_a_bundle_holds_only_files_under_known_names(tmp_path, name):
    path = tmp_path / "bad.bundle"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(Malformed):
        Bundle(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.XHDTYPE])
def test_a_bundle_holds_only_plain_files(tmp_path, kind):
    path = tmp_path / "bad.bundle"
    info = tarfile.TarInfo("checkpoint")
    info.type, info.linkname = kind, "/etc/passwd"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(info)
    with pytest.raises(Malformed, match="plain file"):
        Bundle(path)


def test_a_bundle_that_claims_more_than_it_has_is_refused(bundle, tmp_path):
    data = bundle.read_bytes()
    for cut in (100, 512, 700, len(data) // 2):
        (tmp_path / "cut").write_bytes(data[:cut])
        with pytest.raises(Malformed):
            Bundle(tmp_path / "cut")


def test_who_leaves_takes_its_statements_with_proof_and_knows_what_binds_it(bloc, tmp_path, auditor, capsys):
    bloc.say("lima", MemberWithdraw(reason="our law has changed"))
    bloc.settle()
    mirror, folder = witnessed_mirror(bloc, "lima"), tmp_path / "exit"
    left = write_exit(folder, mirror, "lima")

    assert auditor.main([str(folder), "--genesis", bloc.state.charter.genesis, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == left.size
    trusted = parse_policy((folder / "policy.txt").read_text())
    entries = sorted((folder / "statements").glob("*.json"))
    assert len(entries) == left.statements > 3
    for path in entries:
        proof = parse_proof(path.with_suffix(".tlog-proof").read_text())
        assert f"{proof.index:06}" == path.stem
        proof.check(path.read_bytes())
        checkpoint, times = trusted.open(proof.note)
        assert checkpoint.size == left.size
        assert len(times) >= 2
        with pytest.raises(Unverified):
            proof.check(path.read_bytes() + b" ")

    bound = json.loads((folder / "bound.json").read_text())
    assert bound["standing"] == "withdrawn"
    assert bound["duties_until_ms"] > bound["log_time_ms"]
    assert [item["obliged"] for item in bound["agreements"]] == [True]
    with pytest.raises(Conflict):
        write_exit(folder, mirror, "lima")


def test_an_empty_mirror_has_nothing_to_bundle(bloc, tmp_path):
    with pytest.raises(Missing):
        write_bundle(tmp_path / "none", fresh(bloc, tmp_path))


def test_the_policy_names_every_member_and_the_quorum(bloc):
    mirror = bloc.members["bern"].zone.mirror
    text = policy(mirror.view.state, mirror.key_after(mirror.view.state), "https://center.example")
    parsed = parse_policy(text)
    assert set(parsed.witnesses) == set(bloc.members)
    assert parsed.groups["members"].threshold == mirror.view.quorum
