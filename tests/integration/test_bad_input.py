"""Bad input of every kind, from outside and from the disk: it is refused in words, and nothing that was there is lost."""

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serai.agent.session import Session
from serai.agent.settings import load_settings
from serai.aggregation.state import current_round
from serai.cli.audits import audit_run
from serai.errors import Malformed, Refused, Unavailable, Unverified
from serai.kernel.envelope import MAX_ENTRY_BYTES, sign_statement
from serai.kernel.ids import digest_of
from serai.kernel.keys import Role
from serai.kernel.statement import sign_body
from serai.storage.keyring import Keyring
from serai.testing.processes import ORIGIN, ProcessBloc
from serai.zones.statements import Approval

pytestmark = pytest.mark.slow  # real processes, seconds each

PARAMS = {"features": "2", "damping": "0.1"}
TMPFS_MB = 64  # SQLite's write-ahead logs grow to 4 MB each, and a bundle is published anew with each batch


def table(seed, count=40):
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (count, 2))
    return [[*map(float, values), float(values.sum() > 0)] for values in x]


def serai(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "serai", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def refusal(done):
    """What a command said when it failed: one sentence and where to read on, never a traceback."""
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    sentence, reference = done.stderr.strip().split("\n")
    assert re.fullmatch(r"  \([a-z]+: [a-z-]+; docs/errors.md says more\)", reference)
    return sentence.removeprefix("Error: ")


@pytest.fixture(scope="module")
def bloc(tmp_path_factory):
    tables = {"bern": table(0), "lima": table(1)}
    with ProcessBloc(tmp_path_factory.mktemp("bloc"), tables) as bloc:
        yield bloc


# From members, over HTTP


def approval(**more):
    return {"comment": "", "subject": digest_of(b"something"), **more}


def bent(entry):
    place = entry.index(b'"sig":"') + 10
    return entry[:place] + (b"A" if entry[place : place + 1] != b"A" else b"B") + entry[place + 1 :]


def test_entries_that_cannot_be_read_or_trusted_are_refused_in_words_and_the_log_goes_on(bloc, tmp_path):
    session = bloc.session("bern")
    signer = session.keys.signer(Role.DELEGATE)
    stranger = Keyring.create(tmp_path / "keys", [Role.DELEGATE]).signer(Role.DELEGATE)
    good = sign_body(Approval(subject=digest_of(b"good"), comment=""), signer)
    cases = [
        (b'{"payload": ', Malformed, "JSON"),
        (b"[]", Malformed, "expected the envelope to be an object"),
        (
            b'{"payload":"' + b"x" * MAX_ENTRY_BYTES + b'"}',
            Refused,
            f"expected a body of at most {MAX_ENTRY_BYTES} bytes",
        ),
        (sign_statement("treaty", {}, {}, signer), Malformed, "no statement of kind 'treaty' is known; update one"),
        (sign_statement("approval", approval(colour="red"), {}, signer), Malformed, "colour"),
        (sign_statement("approval", {"comment": ""}, {}, signer), Malformed, "subject"),
        (sign_statement("approval", approval(comment=7), {}, signer), Malformed, "comment"),
        (bent(good), Unverified, "signature"),
        (sign_statement("approval", approval(), {}, stranger), Unverified, "belongs to no member in the charter"),
    ]
    for entry, family, words in cases:
        with pytest.raises(family, match=re.escape(words)):
            session.center.submit(entry)
    index = session.center.submit(good)
    log = session.entries(0, session.state().size)
    assert log[index] == good
    assert not {entry for entry, _, _ in cases} & set(log)


def test_what_the_wrong_role_says_stands_in_the_log_without_effect_and_the_article_says_why(bloc):
    session = bloc.session("lima")
    index = session.say(Approval(subject=digest_of(b"mine"), comment=""), Role.WITNESS)
    denied = session.state().void[index]
    assert "witness" in denied.reason
    assert denied.article
    shown = serai("log", "--home", bloc.folder / "lima", "--void", "--from", index)
    assert denied.reason in shown.stdout


# On the command line


@pytest.mark.parametrize("which", [slice(0, 6), pytest.param(slice(6, None), marks=pytest.mark.slow)])
def test_no_verb_hangs_or_babbles_when_no_center_answers(bloc, tmp_path, which):
    with socket.create_server(("127.0.0.1", 0)) as trial:
        url = f"http://127.0.0.1:{trial.getsockname()[1]}"
    home = tmp_path / "bern"
    shutil.copytree(bloc.folder / "bern", home)
    text = (home / "zone.toml").read_text()
    (home / "zone.toml").write_text(text.replace(bloc.url, url))
    proposal = tmp_path / "proposal.toml"
    proposal.write_text('topic = "operations"\ntitle = "Tea"\ntext = "At four."\n')
    some = "0123456789ab"
    verbs = [
        ["vote", "--home", home, some, "yes"],
        ["run", "--home", home, "--agreement", some, "--recipe", "newton", "--rounds", "1"],
        ["log", "--home", home],
        ["log", "--center", url],
        ["audit", "--home", home],
        ["zone", "join", "--home", home, "--charter", home / "charter.json", "--center", url],
        ["propose", "--home", home, proposal],
        ["sign", "--home", home, some],
        ["withdraw", "--home", home, some, "--reason", "none"],
        ["release", "--home", home, some],
        ["explain", "--home", home, some],
        ["audit", "--center", url],
        ["audit", "--home", home, some],
        ["zone", "offer", "--home", home, "rows"],
        ["zone", "grant", "--home", home, some, some],
        ["zone", "withdraw", "--home", home, some],
    ][which]
    with ThreadPoolExecutor(8) as pool:
        for verb, done in zip(verbs, pool.map(lambda verb: serai(*verb), verbs), strict=True):
            assert f"no center answers at {url}" in refusal(done), verb
            assert "is it running" in done.stderr, verb


def test_a_second_center_on_the_port_ends_in_words(bloc, tmp_path):
    for name in ("keys", "center.toml", "charter.json"):
        source = bloc.folder / "center" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    port = bloc.url.rsplit(":", 1)[1]
    done = serai("center", "start", "--home", tmp_path, "--port", port)
    assert f"another program listens at 127.0.0.1 port {port}; stop it, or set another port" in refusal(done)
    assert bloc.session("bern").center.health().size > 0


def test_keys_that_others_can_read_are_not_used(bloc):
    keys = bloc.folder / "bern" / "keys"
    vote = ["vote", "--home", bloc.folder / "bern", "0123456789ab", "yes"]
    for path, mode, advice in ((keys / "zone.pem", 0o644, "chmod 600"), (keys, 0o755, "chmod 700")):
        before = path.stat().st_mode
        path.chmod(mode)
        try:
            assert f"can be used by others (mode {mode:o}); run: {advice} {path}" in refusal(serai(*vote))
        finally:
            path.chmod(before)


def test_a_zone_belongs_to_one_center(bloc, tmp_path):
    other = tmp_path / "other"
    members = [part for name in bloc.members for part in ("--member", bloc.folder / name / "member.json")]
    serai("center", "init", "--home", other, "--name", "Other", "--origin", "other.test/serai", *members)
    home = bloc.folder / "bern"
    settings = (home / "zone.toml").read_text()
    joining = serai("zone", "join", "--home", home, "--charter", other / "charter.json", "--center", bloc.url)
    assert "a zone belongs to one center" in refusal(joining)
    assert (home / "zone.toml").read_text() == settings

    # Another center, even of the same founders, at the address of ours.
    with center_of(other) as url:
        copy = tmp_path / "bern"
        shutil.copytree(home, copy)
        (copy / "zone.toml").write_text(settings.replace(bloc.url, url))
        assert "it is another log; compare checkpoints" in refusal(serai("log", "--home", copy))
        (copy / "mirror.sqlite").unlink()
        expected = f"expected a checkpoint of {ORIGIN}, got one of other.test/serai"
        assert expected in refusal(serai("log", "--home", copy))
    assert serai("log", "--home", home).returncode == 0


@contextlib.contextmanager
def center_of(home):
    command = [sys.executable, "-m", "serai", "center", "start", "--home", str(home), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        with process.stdout:
            yield process.stdout.readline().split()[1]
    finally:
        process.terminate()
        process.wait(20)


# From the disk


def failed_start(bloc, name):
    kind = "center" if name == "center" else "zone"
    return refusal(serai(kind, "start", "--home", bloc.folder / name))


@contextlib.contextmanager
def down(bloc, name):
    """While a process is down, its folder is ours; afterwards it is as before and the process runs again."""
    assert bloc.end(name) == 0
    backup = bloc.folder / f"{name}.backup"
    shutil.copytree(bloc.folder / name, backup)
    yield bloc.folder / name
    shutil.rmtree(bloc.folder / name)
    backup.rename(bloc.folder / name)
    bloc.start(name)


def bend_entry(database):
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        (entry,) = connection.execute("SELECT entry FROM entries WHERE position = 1").fetchone()
        connection.execute("UPDATE entries SET entry = ? WHERE position = 1", (bytes([entry[0] ^ 1]) + entry[1:],))


def bend_database(path):
    """Overwrite a database and take away its write-ahead log, from which SQLite would repair it; the bytes before."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    path.write_bytes(b"not a database" * 100)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return before


def test_damaged_files_of_a_zone_are_named_and_its_log_can_be_mirrored_anew(bloc):
    size = bloc.state().size
    with down(bloc, "lima") as home:
        bend_entry(home / "mirror.sqlite")
        assert "do not have the root they had; mirror the log anew" in failed_start(bloc, "lima")
        assert "mirror the log anew" in refusal(serai("log", "--home", home))
        for path in home.glob("mirror.sqlite*"):
            path.unlink()
        bloc.start("lima")
        deadline = time.monotonic() + 10
        while Session(load_settings(home)).mirror.view.size < size:
            assert time.monotonic() < deadline, bloc.said("lima")
            time.sleep(0.1)
        assert bloc.end("lima") == 0
        for name in ("mirror.sqlite", "journal.sqlite"):
            kept = bend_database(home / name)
            assert f"{home / name} is not a database" in failed_start(bloc, "lima")
            (home / name).write_bytes(kept)
        (home / "charter.json").write_text("{}")
        assert f"{home / 'charter.json'}: Charter.name is required" in failed_start(bloc, "lima")
    assert bloc.say("lima", Approval(subject=digest_of(b"well again"), comment=""))


def test_a_center_whose_log_was_bent_does_not_start(bloc):
    # Just after the founding the first clock is on its way.
    size = bloc.wait_until(lambda state: state.time_ms > 0).size
    with down(bloc, "center") as home:
        bend_entry(home / "log.sqlite")
        assert "are not the" in (said := failed_start(bloc, "center"))
        assert "restore it from a mirror" in said
        bend_database(home / "log.sqlite")
        assert f"{home / 'log.sqlite'} is not a database" in failed_start(bloc, "center")
    assert bloc.state().size == size


# From a member's data


def test_tables_that_do_not_fit_stop_their_run_with_a_reason_and_no_other_run(tmp_path):
    rows = table(1)
    rows[3][0] = 1e200  # finite, but its square is not
    with ProcessBloc(tmp_path, {"bern": table(0), "lima": rows}) as bloc:
        agreement = bloc.agree()
        infinite = bloc.train(agreement, "newton", 2, PARAMS)
        wide = bloc.train(agreement, "newton", 2, {"features": "5"})
        bloc.wait_for_model(bloc.train(agreement, "probe", 2, {"size": "100"}))
        bloc.wait_until(lambda _: "a vector holds NaN or infinity" in bloc.said("lima"), 10)
        bloc.wait_until(lambda _: "for 5 features, the data have shape" in bloc.said("lima"), 10)
        assert f"run {infinite[:12]} waits: " in bloc.said("lima")
        rounds = bloc.state().rounds
        assert set(current_round(rounds, infinite).uploads) == {"bern"}
        assert set(current_round(rounds, wide).uploads) == set()

        # The file that was offered is not the file that is there: the zone says so in the log.
        path = tmp_path / "lima.csv"
        path.write_text(path.read_text().replace("1e+200", "1"))
        run = bloc.train(agreement, "probe", 1, {"size": "100"})
        state = bloc.wait_until(lambda state: "lima" in state.runs.plans[run].declines)
        reasons = " ".join(reason.text for reason in state.runs.plans[run].declines["lima"])
        assert "dataset" in reasons
        assert state.zones.offers[state.runs.plans[run].plan.offers["lima"]].body.dataset[:12] in reasons

        path.write_text(path.read_text().replace("x1", "height"))
        sentence = refusal(serai("zone", "offer", "--home", tmp_path / "lima", "rows"))
        assert f"{path}, line 1: column 'x1' is missing; the header has x0, height, label" in sentence
        path.unlink()
        sentence = refusal(serai("zone", "offer", "--home", tmp_path / "lima", "rows"))
        assert f"expected a data file at {path}; correct the dataset's path" in sentence


# From a full disk


@contextlib.contextmanager
def small_disk(folder):
    folder.mkdir(mode=0o700, parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m,mode=700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:  # the last write takes what is left
            file.write(bytes(65_536))
    return path


def wait_for_words(bloc, name, words):
    deadline = time.monotonic() + 15
    while words not in bloc.said(name):
        assert time.monotonic() < deadline, bloc.said(name)
        time.sleep(0.05)


def submit_until_full(session):
    """Entries that the center took, by index, before it said that its disk is full."""
    signer = session.keys.signer(Role.DELEGATE)
    answered = {}
    for number in range(1_000):
        entry = sign_body(Approval(subject=digest_of(str(number).encode()), comment="x" * 2_000), signer)
        try:
            answered[session.center.submit(entry)] = entry
        except Unavailable as error:
            return answered, error
    raise AssertionError("the disk was never full")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_says_so_and_when_there_is_room_again_everything_goes_on(tmp_path):
    with contextlib.ExitStack() as stack:
        for name in ("center", "lima"):
            stack.enter_context(small_disk(tmp_path / name))
        bloc = stack.enter_context(ProcessBloc(tmp_path, {"bern": table(0), "lima": table(1)}))
        session = bloc.session("bern")
        agreement = bloc.agree()
        undisturbed = bloc.wait_for_model(bloc.train(agreement, "newton", 8, PARAMS))
        pids = [bloc.pid(name) for name in ("center", "lima")]

        run = bloc.train(agreement, "newton", 8, PARAMS)
        filler = fill(tmp_path / "lima")
        wait_for_words(bloc, "lima", "full")
        assert "center does not answer" not in bloc.said("lima")
        filler.unlink()
        assert bloc.wait_for_model(run) == undisturbed

        run = bloc.train(agreement, "newton", 8, PARAMS)
        filler = fill(tmp_path / "center")
        with pytest.raises(Unavailable, match=r"no room left on the disk of .*; free some or move the folder"):
            session.center.put_blob(digest_of(bytes(50_000)), bytes(50_000))
        answered, error = submit_until_full(session)
        assert error.code == "disk-full"
        assert "nothing was stored; free some space and retry" in error.message
        time.sleep(1.0)
        filler.unlink()
        started = time.monotonic()
        assert bloc.wait_for_model(run) == undisturbed
        assert time.monotonic() - started < 20
        entries = session.entries(0, session.state().size)
        assert all(entries[index] == entry for index, entry in answered.items())
        assert len(list(audit_run(session, run))) == 8
        session.center.put_blob(digest_of(bytes(50_000)), bytes(50_000))
        assert [bloc.pid(name) for name in ("center", "lima")] == pids
