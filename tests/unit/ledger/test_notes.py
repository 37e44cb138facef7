"""Signed notes: the published example, the forms that are refused, and whose signatures count."""

import pytest

from serai.errors import Malformed, Unverified
from serai.ledger.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Note,
    NoteKey,
    NoteKeyKind,
    NoteSignature,
    cosign_text,
    parse_note,
    parse_signature,
    parse_vkey,
    sign_text,
)

# golang.org/x/mod/sumdb/note, example_test.go.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SAYING = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
TEXT = "example.org/log\n0\n\u0411\n"


def test_the_published_note_opens_with_the_published_key():
    key = parse_vkey(NEUMANN)
    note = parse_note(SAYING)

    assert note.verify([key]) == {key: 0}
    assert note.encode() == SAYING
    assert key.encode() == NEUMANN


def test_the_published_note_with_another_letter_does_not_open():
    with pytest.raises(Unverified, match="does not hold"):
        parse_note(SAYING.replace("think", "thimk")).verify([parse_vkey(NEUMANN)])


def test_a_note_with_several_signatures_opens_for_each_of_its_keys(signer):
    log, witness = signer(1), signer(2)
    note = Note(TEXT, (sign_text(TEXT, "log", log), cosign_text(TEXT, "witness", witness, 1_700_000_000)))
    read = parse_note(note.encode())
    log_key = NoteKey("log", NoteKeyKind.ED25519, log.public)
    witness_key = NoteKey("witness", NoteKeyKind.COSIGNATURE, witness.public)

    assert read == note
    assert read.verify([log_key, witness_key]) == {log_key: 0, witness_key: 1_700_000_000}
    assert read.verify([witness_key]) == {witness_key: 1_700_000_000}


def test_signatures_of_unknown_keys_are_ignored_whatever_they_hold(signer):
    note = Note(TEXT, (NoteSignature("stranger", b"abcd", b"no signature"), sign_text(TEXT, "log", signer(1))))
    key = NoteKey("log", NoteKeyKind.ED25519, signer(1).public)

    assert parse_note(note.encode()).verify([key]) == {key: 0}
    assert parse_note(note.encode()).verify([]) == {}


def test_one_bad_signature_of_a_known_key_spoils_the_note(signer):
    good, bad = sign_text(TEXT, "log", signer(1)), sign_text("another text\n", "log", signer(1))
    key = NoteKey("log", NoteKeyKind.ED25519, signer(1).public)

    with pytest.raises(Unverified):
        Note(TEXT, (good, bad)).verify([key])


def test_a_cosignature_covers_its_time(signer):
    line = cosign_text(TEXT, "witness", signer(2), 1_700_000_000)
    later = NoteSignature(line.name, line.key_id, (1_700_000_001).to_bytes(8, "big") + line.signature[8:])
    key = NoteKey("witness", NoteKeyKind.COSIGNATURE, signer(2).public)

    with pytest.raises(Unverified):
        Note(TEXT, (later,)).verify([key])


def test_of_two_cosignatures_by_one_key_the_latest_time_counts(signer):
    lines = tuple(cosign_text(TEXT, "witness", signer(2), time_s) for time_s in (200, 300, 100))
    key = NoteKey("witness", NoteKeyKind.COSIGNATURE, signer(2).public)

    assert Note(TEXT, lines).verify([key]) == {key: 300}


def test_a_signature_of_one_kind_is_none_of_the_other(signer):
    cosigner = NoteKey("log", NoteKeyKind.COSIGNATURE, signer(1).public)

    assert Note(TEXT, (sign_text(TEXT, "log", signer(1)),)).verify([cosigner]) == {}


def test_the_last_empty_line_parts_text_and_signatures(signer):
    text = "a paragraph\n\nanother\n"
    note = Note(text, (sign_text(text, "log", signer(1)),))

    assert parse_note(note.encode()).text == text


@pytest.mark.parametrize(
    "data",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\n\u2014 name AAAAAAA=",
        "text\n\n- name AAAAAAA=\n",
        "text\n\n\u2014 name\n",
        "text\n\n\u2014 name AAAA\n",
        "text\n\n\u2014 name AAAAA\n",
        "text\n\n\u2014 na+me AAAAAAA=\n",
        "text\n\n\u2014 na\u00a0me AAAAAAA=\n",
        "text\n\n\u2014  AAAAAAA=\n",
        "text\n\n\u2014 name AAAAAAA= \n",
        "text\n\n\u2014 name AAAAAAB=\n",
        "text\ttab\n\n\u2014 name AAAAAAA=\n",
        "text\r\n\n\u2014 name AAAAAAA=\n",
        "text\ud800\n\n\u2014 name AAAAAAA=\n",
        "text\n\n" + "\u2014 name AAAAAAA=\n" * (MAX_SIGNATURES + 1),
        "t" * MAX_NOTE_BYTES + "\n\n\u2014 name AAAAAAA=\n",
    ],
)
def test_what_is_no_note_is_refused(data):
    with pytest.raises(Malformed):
        parse_note(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        NEUMANN.replace("c74f20a3", "c74f20a4"),
        NEUMANN.replace("c74f20a3", "C74F20A3"),
        NEUMANN.replace("+AR", "+BR"),
        NEUMANN + "=",
        NEUMANN[:-4],
        NEUMANN.replace("Peter", "Peter "),
    ],
)
def test_what_is_no_verifier_key_is_refused(text):
    with pytest.raises(Malformed):
        parse_vkey(text)


def test_a_text_that_cannot_be_in_a_note_is_not_signed(signer):
    with pytest.raises(Malformed, match="ends in a newline"):
        sign_text("no newline", "log", signer(1))
    with pytest.raises(Malformed, match="without spaces"):
        cosign_text(TEXT, "two words", signer(1), 0)
    with pytest.raises(Malformed, match="32 bytes"):
        NoteKey("log", NoteKeyKind.ED25519, b"short")


def test_a_signature_line_needs_its_newline(signer):
    line = sign_text(TEXT, "log", signer(1)).encode()

    assert parse_signature(line).encode() == line
    with pytest.raises(Malformed):
        parse_signature(line[:-1])
