"""What a zone notes of statements on their way, and keeps of those that do not arrive."""

import pytest

from serai.agent.outbox import MAX_FILES, MAX_NOTED, Outbox, keep, kept, path_of
from serai.agent.receipts import MAX_RECEIPTS, Evidence, parse_evidence
from serai.errors import Malformed
from serai.kernel.envelope import parse_envelope, sign_statement
from serai.kernel.keys import Role
from serai.storage.keyring import Keyring


@pytest.fixture
def entry(tmp_path):
    signer = Keyring.create(tmp_path / "keys", [Role.ZONE]).signer(Role.ZONE)
    return lambda number: sign_statement("note", {"number": number}, {}, signer)


def name(entry):
    return parse_envelope(entry).id


def test_what_is_said_again_keeps_its_first_time(entry):
    outbox = Outbox()
    outbox.note(entry(1), 10)
    outbox.note(entry(1), 20)
    assert outbox.noted() == {name(entry(1)): (entry(1), 10)}
    outbox.forget(name(entry(1)))
    assert outbox.noted() == {}


def test_of_too_many_the_oldest_is_forgotten(entry):
    outbox = Outbox()
    for number in range(MAX_NOTED + 2):
        outbox.note(entry(number), number)
    assert len(outbox.noted()) == MAX_NOTED
    assert name(entry(0)) not in outbox.noted()
    assert name(entry(MAX_NOTED + 1)) in outbox.noted()


def test_what_is_kept_comes_back_but_for_what_is_known(tmp_path, entry):
    for number in range(3):
        keep(tmp_path, Evidence(entry=entry(number).decode()))
    assert {item.entry for item in kept(tmp_path)} == {entry(number).decode() for number in range(3)}
    assert len(list(kept(tmp_path, {name(entry(0)), name(entry(1))}))) == 1


def test_other_files_in_the_folder_are_left_alone_and_of_very_many_only_some_are_read(tmp_path, entry):
    path = keep(tmp_path, Evidence(entry=entry(0).decode()))
    (path.parent / "notes.json").write_text("mine")
    (path.parent / f"{path.stem}.json.bak").write_text("old")
    assert len(list(kept(tmp_path))) == 1
    for number in range(MAX_FILES):
        path_of(tmp_path, f"{number:064x}").write_bytes(path.read_bytes())
    assert len(list(kept(tmp_path))) == MAX_FILES


def test_evidence_with_more_receipts_than_members_could_give_is_malformed(entry):
    with pytest.raises(Malformed, match="expected at most 128 receipts"):
        parse_evidence(Evidence(entry=entry(0).decode(), receipts=("x",) * (MAX_RECEIPTS + 1)).encode())
