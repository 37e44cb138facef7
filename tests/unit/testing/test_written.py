"""An account of what a member wrote takes what the log accounts for, and nothing else."""

import contextlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from serai.errors import Malformed, SeraiError, Unverified
from serai.kernel.ids import MemberId, digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.testing.tap import Asked, TappedFederation
from serai.testing.written import Written
from serai.training.statements import RunThaw

ROWS = [[float(number), float(number % 2)] for number in range(8)]
MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def heard():
    """An account of bern's words, one request of each kind that bern wrote, and the bloc."""
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home,
        TappedFederation(Path(home), dict.fromkeys(("bern", "lima"), ROWS)) as bloc,
    ):
        bloc.found()
        bloc.train(bloc.agree(), "newton", 1, {"features": "1"})
        bloc.settle()
        account = Written(MemberId("bern"), bloc.state, bloc.entries)
        requests = bloc.taps["bern"].since()
        yield account, {account.take(asked): asked for asked in requests}, bloc


def with_header(asked, name, value):
    kept = tuple(header for header in asked.headers if header[0] != name)
    return replace(asked, headers=(*kept, (name, value)))


@pytest.mark.parametrize("kind", ["question", "blob", "cosignature", "round.upload"])
def test_what_was_written_is_accounted_for_and_nothing_beside_it(heard, kind):
    account, found, _ = heard
    asked = found[kind]
    assert account.take(asked) == kind
    for name, value in (
        ("x-extra", "1"),
        ("user-agent", "curl"),
        ("host", "evil.example:80"),
        ("signature-input", "x"),
    ):
        with pytest.raises((Malformed, Unverified)):
            account.take(with_header(asked, name, value))
    with pytest.raises(Malformed):
        account.take(replace(asked, target=asked.target + "?row=73.9"))
    with pytest.raises((SeraiError, ValueError)):
        account.take(replace(asked, body=asked.body + b" " if asked.body else b"73.9"))


def written_anew(bloc, write):
    """The one request that bern's own client makes of something."""
    mark = bloc.taps["bern"].mark()
    with contextlib.closing(bloc.client("bern")) as client:
        write(client)
    (asked,) = bloc.taps["bern"].since(mark)
    return asked


def test_a_blob_that_nothing_names_is_told(heard):
    account, _, bloc = heard
    asked = written_anew(bloc, lambda client: client.put_blob(digest_of(b"rows"), b"rows"))
    with pytest.raises(Unverified, match="nothing in the log names"):
        account.take(asked)


def test_a_statement_that_the_log_has_not_is_told(heard):
    account, _, bloc = heard
    entry = sign_body(RunThaw(plan=digest_of(b"run")), bloc.signer("bern", Role.STEWARD))
    asked = written_anew(bloc, lambda client: client.submit(entry))
    with pytest.raises(Unverified, match="the log has no such"):
        account.take(asked)


def test_another_members_requests_are_not_this_ones(heard):
    _, found, bloc = heard
    account = Written(MemberId("lima"), bloc.state, bloc.entries)
    for asked in found.values():
        with pytest.raises(Unverified):
            account.take(asked)


def test_a_cosignature_of_another_history_is_told(heard):
    account, found, _ = heard
    told = json.loads(found["cosignature"].body)
    for bent in ({**told, "size": told["size"] - 1}, {**told, "note": "73.9"}, {**told, "member": "lima"}):
        with pytest.raises((Malformed, Unverified)):
            account.take(replace(found["cosignature"], body=json.dumps(bent).encode()))


def test_a_verb_that_no_zone_uses_is_told(heard):
    account, found, _ = heard
    with pytest.raises(Malformed):
        account.take(Asked("POST", "/blobs/" + "ab" * 32, found["question"].headers, b"", 0))
